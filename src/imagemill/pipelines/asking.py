"""One call of a stock pipeline: its own `__call__`, with a scheduler and a state of its own."""

import copy
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import DiffusionPipeline, SchedulerMixin
from torch.utils._pytree import tree_flatten, tree_map

from imagemill.errors import invalid
from imagemill.generation import Acceleration
from imagemill.pipelines.families import UNSHIFTED, Family
from imagemill.pipelines.first_block import accelerate
from imagemill.pipelines.schedules import clean
from imagemill.pipelines.sources import Picture
from imagemill.pipelines.stages import Stage

Look = Callable[[], Picture]  # paints what the canvas would be by now
Ended = Callable[[Look | None], None]  # called after every step

_WHERE_THERE_IS = {"callback_on_step_end", "width", "height"}


@dataclass(frozen=True)
class Asked:
    """What one stage asks of `pipe`.

    wishes: the caller's, which the pipeline must know. guided: whether the step at hand is.
    """

    pipe: DiffusionPipeline
    family: Family
    stage: Stage
    scheduler: SchedulerMixin
    wishes: Mapping[str, Any]
    guided: Callable[[], bool]
    ended: Ended
    acceleration: Acceleration = "none"


def ask(asked: Asked) -> Picture:
    """The canvas that the pipeline paints."""
    own = copy.copy(asked.pipe)  # a pipeline keeps the state of its call on itself
    object.__setattr__(own, "scheduler", asked.scheduler)
    accelerate(own, asked.acceleration)
    if asked.family.guided_pairs:
        _guide(own, asked.guided)
    unshifted = type(own).__name__ in UNSHIFTED
    arguments = dict(asked.wishes) | {
        "width": asked.stage.width,
        "height": asked.stage.height,
        "num_inference_steps": asked.stage.schedule,
        "output_type": "latent" if unshifted else "pt",
        "callback_on_step_end": _on_step_end(asked, own),
    }
    accepted = inspect.signature(type(own).__call__).parameters
    missing = [name for name in arguments if name not in {*accepted, *_WHERE_THERE_IS}]
    if missing:
        named = missing[0].replace("_", " ")
        raise invalid(missing[0], f"this model takes no {named}; leave it out")
    images = own(**{name: value for name, value in arguments.items() if name in accepted}).images
    return _decoded(own, asked, images) if unshifted else _pixels(images[0])


def _on_step_end(asked: Asked, own: DiffusionPipeline) -> Callable[..., dict[str, Any]]:
    before: torch.Tensor | None = None
    order = asked.scheduler.order

    def on_step_end(
        _pipe: Any, index: int, _timestep: Any, kwargs: dict[str, Any]
    ) -> dict[str, Any]:
        nonlocal before
        since, before = before, (latents := kwargs["latents"])
        # Some schedulers ask the model twice in each step but the last, others once too often in
        # the beginning; diffusers' own progress bar counts so.
        asks, needed = own.num_timesteps, asked.stage.steps * order
        if index + 1 == asks or (index + 1 > asks - needed and (index + 1) % order == 0):
            asked.ended(None if since is None else lambda: _look(asked, own, since, latents))
        return kwargs

    return on_step_end


def _look(
    asked: Asked, own: DiffusionPipeline, before: torch.Tensor, after: torch.Tensor
) -> Picture:
    return _decoded(own, asked, clean(asked.scheduler, asked.family.flow, before, after))


def _decoded(own: DiffusionPipeline, asked: Asked, latents: torch.Tensor) -> Picture:
    """As the pipelines do it in the end, where their `output_type` is a picture."""
    stage, config = asked.stage, own.vae.config
    if asked.family.latents == "packed":
        latents = own._unpack_latents(latents, stage.height, stage.width, own.vae_scale_factor)
    latents = latents / config.scaling_factor
    mean, std = getattr(config, "latents_mean", None), getattr(config, "latents_std", None)
    if mean is not None and std is not None:
        latents = latents * latents.new_tensor(std).view(1, -1, 1, 1)
        latents = latents + latents.new_tensor(mean).view(1, -1, 1, 1)
    latents = latents + (getattr(config, "shift_factor", None) or 0.0)
    image = own.vae.decode(latents.to(own.vae.dtype), return_dict=False)[0]
    return _pixels(own.image_processor.postprocess(image, output_type="pt")[0])


def _pixels(image: torch.Tensor) -> Picture:  # (3, h, w), 0 to 1
    pixels = (image.float().clamp(0, 1) * 255).round().to(torch.uint8)
    result: Picture = pixels.permute(1, 2, 0).cpu().numpy()
    return result


def _guide(own: DiffusionPipeline, guided: Callable[[], bool]) -> None:
    """Outside the guided steps, computes the rows for the prompt alone and answers them twice.

    The pipeline's own sum, `against + scale * (for - against)`, then gives the former. So it needs
    no knowledge of what a pipeline does with its pairs, and no pipeline is asked to change its mind
    in the middle of a call.
    """
    name = "transformer" if getattr(own, "transformer", None) is not None else "unet"
    module = getattr(own, name)
    sparing = copy.copy(module)  # shares its weights

    def forward(*args: Any, **kwargs: Any) -> Any:
        if guided():
            return module(*args, **kwargs)
        leaves = tree_flatten((args, kwargs))[0]
        rows = next(x.shape[0] for x in leaves if torch.is_tensor(x) and x.dim() > 1)
        if rows % 2:  # never guided at all
            return module(*args, **kwargs)
        args, kwargs = tree_map(lambda x: _second_half(x, rows), (args, kwargs))
        return tree_map(lambda x: torch.cat([x, x]), module(*args, **kwargs))

    object.__setattr__(sparing, "forward", forward)
    object.__setattr__(own, name, sparing)


def _second_half(x: Any, rows: int) -> Any:
    rowed = torch.is_tensor(x) and x.dim() > 0 and x.shape[0] == rows
    return x[rows // 2 :] if rowed else x
