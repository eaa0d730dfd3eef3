"""Which calls of a pipeline make a picture: plain numbers, no torch."""

import math
from dataclasses import dataclass

from imagemill.generation import Generation
from imagemill.pipelines.composition import (
    REFINING_STRENGTH,
    Size,
    compose,
    inside,
    refining_steps,
)
from imagemill.pipelines.families import Family, Task


@dataclass(frozen=True)
class Stage:
    """One call of a pipeline.

    width, height: px. steps: that will be run, the last of a schedule of so many. inside: px that
    the picture asked for takes in the middle of the canvas; None where the canvas takes a part of
    the picture.
    """

    task: Task
    width: int
    height: int
    steps: int
    schedule: int
    inside: Size | None = None

    def strength(self, floors: bool) -> float:
        """What makes a pipeline that rounds its steps down, or up, run exactly `steps`."""
        if self.steps == self.schedule:
            return 1.0
        return (self.steps + (0.5 if floors else -0.5)) / self.schedule


def stages(family: Family, generation: Generation) -> tuple[Stage, ...]:
    """None at all where nothing of an image is to be repainted."""
    task: Task = "paint" if generation.image is None else "repaint"
    if generation.mask is not None:
        task = "inpaint"
    steps = generation.steps if task == "paint" else repainting_steps(generation)
    if steps == 0:
        return ()
    if family.recipe == "stock":
        return (_stock(family, generation, task, steps),)
    return _composed(generation, task, steps)


def repainting_steps(generation: Generation) -> int:
    # Rounded first: 0.7 of ten steps is a little more than seven, in floating point.
    return math.ceil(round(generation.steps * generation.strength, 6))


def guided(family: Family, generation: Generation, step: int, steps: int) -> bool:
    """Whether the step, counted from 0 over all stages, has rows for and against the prompt."""
    start, end = generation.guidance_range
    return family.guided_pairs and generation.guidance_scale > 1 and start <= step / steps < end


def _stock(family: Family, generation: Generation, task: Task, steps: int) -> Stage:
    size = generation.width, generation.height
    width, height = (-(-side // family.multiple_of) * family.multiple_of for side in size)
    return Stage(task, width, height, steps, generation.steps, size)


def _composed(generation: Generation, task: Task, steps: int) -> tuple[Stage, ...]:
    size = generation.width, generation.height
    composition = compose(*size)
    refined = composition.refined

    def on(canvas: Size) -> Size | None:
        return None if task == "paint" else inside(*size, canvas)

    native = composition.native
    first = Stage(task, *native, steps, generation.steps, on(native))
    if composition.scale == 1:
        return (first,)
    if task != "paint" and generation.strength <= REFINING_STRENGTH:
        # No more noise than a refinement puts back: the small canvas would only lose detail.
        return (Stage(task, *refined, steps, generation.steps, on(refined)),)
    refining = refining_steps(generation.steps)
    again: Task = "inpaint" if task == "inpaint" else "repaint"
    schedule = math.ceil(refining / REFINING_STRENGTH)
    return first, Stage(again, *refined, refining, schedule, on(refined))
