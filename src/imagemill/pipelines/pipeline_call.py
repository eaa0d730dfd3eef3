"""One call of a stock pipeline: its own `__call__`, with a scheduler and a state of its own."""

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from diffusers import DiffusionPipeline, SchedulerMixin
from diffusers.configuration_utils import FrozenDict

from imagemill.errors import invalid
from imagemill.generation import Acceleration
from imagemill.pipelines.calls import PipelineCall
from imagemill.pipelines.controlling import control
from imagemill.pipelines.deriving import (
    Parameters,
    checks_itself,
    guidance_argument,
    image_guidance,
    parameters,
)
from imagemill.pipelines.families import (
    IMAGE,
    IMAGES,
    PLAIN_ARGUMENTS,
    SIXTEEN,
    UNSHIFTED,
    Family,
)
from imagemill.pipelines.first_block import accelerate
from imagemill.pipelines.guiding import Guiding
from imagemill.pipelines.inputs import Picture
from imagemill.pipelines.ip_prompting import AdapterCall, ImagePrompting
from imagemill.pipelines.schedules import clean
from imagemill.pipelines.stepping import Steps, check_finite, follow

Look = Callable[[], Picture]  # paints what the canvas would be by now
Ended = Callable[[Look | None], None]  # called after every step


def nothing() -> None:
    """Nobody is told."""


# What callers always send, whether they said it or not.
_WHERE_THERE_IS = {"width", "height", "guidance_scale", "strength", "image_guidance_scale"}


@dataclass(frozen=True)
class CallSetup:
    """What one call asks of `pipe`.

    wishes: the caller's, which the pipeline must know. guided: whether the step at hand is.
    steered: whether `pipe` has a ControlNet that the caller named. checked: a safety checker that
    comes with the model's weights looks at the picture. flag: is called where that flags it.
    image_prompt: what is asked of an IP-Adapter, where there is one.
    """

    pipe: DiffusionPipeline
    family: Family
    call: PipelineCall
    scheduler: SchedulerMixin
    generator: torch.Generator
    wishes: Mapping[str, Any]
    guided: Callable[[], bool]
    ended: Ended
    acceleration: Acceleration = "none"
    steered: bool = False
    checked: bool = True
    flag: Callable[[], None] = nothing
    image_prompt: AdapterCall | None = None


def ask(setup: CallSetup) -> Picture:
    """The canvas that the pipeline paints."""
    return _Call(setup).run()


@dataclass
class _Call:
    setup: CallSetup
    own: DiffusionPipeline = field(init=False)
    guiding: Guiding | None = None

    def __post_init__(self) -> None:
        setup = self.setup
        self.own = copy.copy(setup.pipe)  # a pipeline keeps the state of its call on itself
        object.__setattr__(self.own, "scheduler", setup.scheduler)
        if not setup.checked and checks_itself(self.own):
            object.__setattr__(self.own, "safety_checker", None)
        accelerate(self.own, setup.acceleration, setup.family.cache_tolerance)
        self.steps = Steps(setup.call.steps, setup.scheduler.order)
        if setup.family.guided_pairs:
            self.guiding = Guiding(self.own, setup.family.guidance, setup.guided)
        if setup.steered:  # after the former, which cannot share what is nothing
            control(self.own, setup.generator.initial_seed())
        if setup.image_prompt is not None:
            ImagePrompting(self.own, setup.image_prompt)
        if type(self.own).__name__ in SIXTEEN:
            object.__setattr__(self.own, "transformer", _of_sixteen_channels(self.own))
        if setup.family.own_area:
            self.own.default_sample_size = _area_side(setup.call) / self.own.vae_scale_factor
        follow(setup.scheduler, setup.generator, self._stepped)

    def run(self) -> Picture:
        unshifted = type(self.own).__name__ in UNSHIFTED
        output = self.own(**self._arguments("latent" if unshifted else "pt"))
        for _ in range(self.steps.needed - self.steps.done):  # that its scheduler made none of
            self.setup.ended(None)
        if (getattr(output, "nsfw_content_detected", None) or [False])[0]:
            self.setup.flag()
        image = output.images[0]
        check_finite(image)
        return self._decoded(output.images) if unshifted else _pixels(image)

    def _arguments(self, output_type: str) -> dict[str, Any]:
        setup, accepted = self.setup, parameters(type(self.own))
        wishes = _named(setup, accepted)
        missing = [name for name in wishes if name not in {*accepted, *_WHERE_THERE_IS}]
        if missing:
            named = missing[0].replace("_", " ")
            raise invalid(missing[0], f"this model takes no {named}; leave it out")
        call = setup.call
        arguments = {
            **PLAIN_ARGUMENTS,
            **wishes,
            "generator": setup.generator,
            "width": call.width,
            "height": call.height,
            "max_area": call.width * call.height,
            "num_inference_steps": call.schedule,
            "output_type": output_type,
        }
        return {name: value for name, value in arguments.items() if name in accepted}

    def _stepped(self, before: torch.Tensor, after: torch.Tensor) -> None:
        if self.guiding:
            self.guiding.stepped()
        calls = getattr(self.own, "_num_timesteps", None) or len(self.setup.scheduler.timesteps)
        first = self.steps.calls == 0
        if self.steps.ends(calls):
            if self.steps.done == self.steps.needed:
                check_finite(after)
            self.setup.ended(None if first else lambda: self._look(before, after))

    def _look(self, before: torch.Tensor, after: torch.Tensor) -> Picture:
        return self._decoded(clean(self.setup.scheduler, self.setup.family.flow, before, after))

    def _decoded(self, latents: torch.Tensor) -> Picture:
        """As the pipelines do it in the end, where their `output_type` is a picture."""
        own, call, config = self.own, self.setup.call, self.own.vae.config
        if self.setup.family.latents == "packed":
            latents = own._unpack_latents(latents, call.height, call.width, own.vae_scale_factor)
        latents = latents / config.scaling_factor
        mean, std = getattr(config, "latents_mean", None), getattr(config, "latents_std", None)
        if mean is not None and std is not None:
            latents = latents * latents.new_tensor(std).view(1, -1, 1, 1)
            latents = latents + latents.new_tensor(mean).view(1, -1, 1, 1)
        latents = latents + (getattr(config, "shift_factor", None) or 0.0)
        image = own.vae.decode(latents.to(own.vae.dtype), return_dict=False)[0]
        return _pixels(own.image_processor.postprocess(image, output_type="pt")[0])


def _named(setup: CallSetup, accepted: Parameters) -> dict[str, Any]:
    """The wishes by the names that this class has for them."""
    wishes, argument = dict(setup.wishes), IMAGES.get(type(setup.pipe).__name__, IMAGE)
    if "image" in wishes and setup.call.task in ("repaint", "edit"):
        images = wishes.pop("image")
        images = images if isinstance(images, list) else [images]
        wishes[argument.name] = images if argument.listed or len(images) > 1 else images[0]
        wishes["prompt"] = argument.prompt(wishes["prompt"], len(images))
    nearness = wishes.pop("image_guidance_scale", None)
    if nearness is not None and (own := image_guidance(accepted)):
        wishes[own] = nearness
    scale = wishes.pop("guidance_scale")
    if scale <= 1 and setup.family.unguided is not None:
        scale = setup.family.unguided
    name = guidance_argument(accepted)
    if name == "true_cfg_scale" and scale > 1:
        wishes.setdefault("negative_prompt", " ")  # without one it guides nothing
    return wishes if name is None else wishes | {name: scale}


class _Saying:
    """A module whose configuration says something else."""

    def __init__(self, module: Any, **said: Any) -> None:
        self._module, self.config = module, FrozenDict({**module.config, **said})

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._module(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


def _of_sixteen_channels(pipe: DiffusionPipeline) -> Any:
    transformer, channels = pipe.transformer, pipe.vae.config.latent_channels
    alike = transformer.config.in_channels == channels
    return _Saying(transformer, in_channels=16) if alike else transformer


def _area_side(call: PipelineCall) -> float:
    """Of the square that is as large as the call, a hair more: its pipeline rounds down."""
    return math.sqrt(call.width * call.height) * (1 + 1e-9)


def _pixels(image: torch.Tensor) -> Picture:  # (3, h, w), 0 to 1
    pixels = (image.float().clamp(0, 1) * 255).round().to(torch.uint8)
    result: Picture = pixels.permute(1, 2, 0).cpu().numpy()
    return result
