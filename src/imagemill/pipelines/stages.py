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
    task = family.task(generation.image is not None, generation.mask is not None)
    if task is None:
        return ()
    whole = task == "paint" or task in family.edits
    steps = generation.steps if whole else repainting_steps(family, generation)
    if steps == 0:
        return ()
    if family.recipe == "stock":
        return (_stock(family, generation, task, steps),)
    return _composed(generation, task, steps)


def repainting_steps(family: Family, generation: Generation) -> int:
    """As the family's own pipelines round them, but one at least where there is any strength."""
    share = generation.steps * generation.strength
    if family.floors:
        return max(int(share), generation.strength > 0)
    # Rounded first: 0.7 of ten steps is a little more than seven, in floating point.
    return math.ceil(round(share, 6))


def guided(family: Family, generation: Generation, step: int, steps: int) -> bool:
    """Whether the step, counted from 0 over all stages, has rows for and against the prompt."""
    if family.guidance == "embedded" or generation.guidance_scale <= 1:
        return False
    start, end = generation.guidance_range
    return family.guidance == "always" or start <= step / steps < end


def _stock(family: Family, generation: Generation, task: Task, steps: int) -> Stage:
    size = _within(family, generation.width, generation.height)
    width, height = (-(-side // family.multiple_of) * family.multiple_of for side in size)
    return Stage(task, width, height, steps, generation.steps, size)


def _within(family: Family, width: int, height: int) -> Size:
    """The size asked for, or the largest of its shape that the family paints."""
    if family.max_pixels is None or width * height <= family.max_pixels:
        return width, height
    scale = math.sqrt(family.max_pixels / (width * height))
    sides = (int(side * scale // family.multiple_of) for side in (width, height))
    across, down = (max(1, cells) * family.multiple_of for cells in sides)
    return across, down


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
