"""How a picture is asked of a pipeline. Nothing here knows that modules may be shared."""

import copy
import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import diffusers
import numpy as np
import torch
from diffusers import DiffusionPipeline, SchedulerMixin
from numpy.typing import NDArray
from PIL import Image

from imagemill.errors import invalid
from imagemill.generation import Generation
from imagemill.pipelines.composition import REFINING_STRENGTH, compose, refining_steps
from imagemill.pipelines.families import FLOW_PREDICTION, Family
from imagemill.pipelines.loading import Loaded

Picture = NDArray[np.uint8]  # (height, width, 3)
Stepped = Callable[[], None]  # called after every step of every stage


@dataclass(frozen=True)
class Stage:
    """One call of a pipeline: px, and the steps that will be run."""

    width: int
    height: int
    steps: int


def stages(family: Family, generation: Generation) -> tuple[Stage, ...]:
    if family.recipe == "stock":
        width, height = (
            -(-side // family.multiple_of) * family.multiple_of
            for side in (generation.width, generation.height)
        )
        return (Stage(width, height, generation.steps),)
    composition = compose(generation.width, generation.height)
    first = Stage(*composition.native, generation.steps)
    if composition.scale == 1:
        return (first,)
    return first, Stage(*composition.refined, refining_steps(generation.steps))


def paint(loaded: Loaded, generation: Generation, index: int, stepped: Stepped) -> Picture:
    """The picture `index` of a generation; raises a Fault for what the model cannot do."""
    if generation.negative_prompt and not loaded.family.negative_prompt:
        raise invalid("negative_prompt", "this model takes no negative prompt; leave it out")
    generator = torch.Generator("cpu").manual_seed(generation.seed_of(index))
    first, *rest = stages(loaded.family, generation)
    scheduler = scheduler_for(loaded.pipe, generation.scheduler, loaded.family.flow)
    picture = _ask(
        loaded.pipe, generation, scheduler, generator, stepped,
        width=first.width, height=first.height, num_inference_steps=generation.steps,
    )  # fmt: skip
    if loaded.family.recipe == "stock":
        return _cut(picture, generation.width, generation.height)
    for stage in rest:
        assert loaded.refine is not None
        schedule = math.ceil(stage.steps / REFINING_STRENGTH)
        picture = _ask(
            loaded.refine, generation, scheduler_for(loaded.refine, None, True), generator, stepped,
            image=_resized(picture, stage.width, stage.height), num_inference_steps=schedule,
            strength=(stage.steps - 0.5) / schedule,  # the pipeline rounds up to whole steps
        )  # fmt: skip
    return _extended(picture, generation.width, generation.height)


def _ask(
    pipe: DiffusionPipeline, generation: Generation, scheduler: SchedulerMixin,
    generator: torch.Generator, stepped: Stepped, **stage: Any,
) -> Picture:  # fmt: skip
    own = copy.copy(pipe)  # a pipeline keeps the state of its call on itself
    object.__setattr__(own, "scheduler", scheduler)

    def on_step_end(
        _pipe: Any, _step: int, _timestep: Any, kwargs: dict[str, Any]
    ) -> dict[str, Any]:
        stepped()
        return kwargs

    wanted = {
        "prompt": generation.prompt,
        "negative_prompt": generation.negative_prompt or None,
        "guidance_scale": generation.guidance_scale,
        "generator": generator,
        "output_type": "pt",
        "callback_on_step_end": on_step_end,
    } | stage
    accepted = inspect.signature(type(own).__call__).parameters
    given = {name: value for name, value in wanted.items() if value is not None}
    if missing := [
        name for name in given if name not in accepted and name != "callback_on_step_end"
    ]:
        raise invalid(
            missing[0], f"this model takes no {missing[0].replace('_', ' ')}; leave it out"
        )
    image = own(**{name: value for name, value in given.items() if name in accepted}).images[0]
    pixels = (image.float().clamp(0, 1) * 255).round().to(torch.uint8)  # (3, h, w)
    result: Picture = pixels.permute(1, 2, 0).cpu().numpy()
    return result


def scheduler_for(pipe: DiffusionPipeline, name: str | None, flow: bool) -> SchedulerMixin:
    """A scheduler of one trajectory's own; `flow` models drive others with the sigmas they were
    trained on.
    """
    own = pipe.scheduler
    kind = type(own) if name is None else getattr(diffusers, name)
    native = kind.__name__.startswith("FlowMatch")
    if native and not flow:
        raise invalid("scheduler", f"{kind.__name__} is for flow-matching models; this one is not")
    if native or not flow:
        return kind.from_config(own.config)
    return kind.from_config(
        own.config,
        use_flow_sigmas=True,
        prediction_type=FLOW_PREDICTION.get(kind.__name__, "flow_prediction"),
        flow_shift=own.config.shift,
    )


def _resized(picture: Picture, width: int, height: int) -> Image.Image:
    return Image.fromarray(picture).resize((width, height), Image.Resampling.LANCZOS)


def _cut(picture: Picture, width: int, height: int) -> Picture:
    top, left = (picture.shape[0] - height) // 2, (picture.shape[1] - width) // 2
    return picture[top : top + height, left : left + width]


def _extended(picture: Picture, width: int, height: int) -> Picture:
    """Scaled to lie inside width x height, its edges continued outwards."""
    inner = compose(width, height).inner
    scaled = np.asarray(_resized(picture, *inner))
    left, top = (width - inner[0]) // 2, (height - inner[1]) // 2
    around = ((top, height - inner[1] - top), (left, width - inner[0] - left), (0, 0))
    return np.pad(scaled, around, mode="edge")
