"""Which call of a pipeline makes a picture: plain numbers, no torch."""

import math
from dataclasses import dataclass

from imagemill.generation import Generation
from imagemill.pipelines.families import Family, Task

Size = tuple[int, int]  # width and height in px


@dataclass(frozen=True)
class PipelineCall:
    """What is asked of a pipeline.

    width, height: px of the canvas. steps: that will be run, the last of a schedule of so many.
    inside: px that the picture asked for takes in the middle of the canvas.
    """

    task: Task
    width: int
    height: int
    steps: int
    schedule: int
    inside: Size

    def strength(self, floors: bool) -> float:
        """What makes a pipeline that rounds its steps down, or up, run exactly `steps`."""
        if self.steps == self.schedule:
            return 1.0
        return (self.steps + (0.5 if floors else -0.5)) / self.schedule


def planned(family: Family, generation: Generation) -> PipelineCall | None:
    """None where nothing of an image is to be repainted."""
    task = task_of(family, generation)
    if task is None:
        return None
    whole = task in ("paint", "edit") or task in family.whole
    steps = generation.steps if whole else repainting_steps(family, generation)
    if steps == 0:
        return None
    size = _within(family, generation.width, generation.height)
    width, height = (-(-side // family.multiple_of) * family.multiple_of for side in size)
    return PipelineCall(task, width, height, steps, generation.steps, size)


def task_of(family: Family, generation: Generation) -> Task | None:
    """What paints a generation; None where the family does not what is asked for.

    Behind a foreground that is kept, all is painted from words, so that nothing of it is drawn on
    by a model that sees it; what cannot paint from words fills the background as a mask.
    """
    image, mask, behind = (
        generation.image is not None,
        generation.mask is not None,
        generation.keep_foreground,
    )
    if behind and family.paints:
        return family.task(False, False, False)
    return family.task(image, mask or behind, bool(generation.references) and not image)


def repainting_steps(family: Family, generation: Generation) -> int:
    """As the family's own pipelines round them, but one at least where there is any strength."""
    share = generation.steps * generation.strength
    if family.floors:
        return max(int(share), generation.strength > 0)
    # Rounded first: 0.7 of ten steps is a little more than seven, in floating point.
    return math.ceil(round(share, 6))


def guided(family: Family, generation: Generation, step: int, steps: int) -> bool:
    """Whether the step, counted from 0, has rows for and against the prompt."""
    if family.guidance == "embedded" or generation.guidance_scale <= 1:
        return False
    start, end = generation.guidance_range
    return family.guidance == "always" or start <= step / steps < end


def _within(family: Family, width: int, height: int) -> Size:
    """The size asked for, or the nearest of its shape that the family paints."""
    scale = math.sqrt(family.max_pixels / (width * height)) if family.max_pixels else 1
    if scale < 1:
        sides = (int(side * scale // family.multiple_of) for side in (width, height))
        across, down = (max(1, cells) * family.multiple_of for cells in sides)
        scale = min(across / width, down / height)
        return max(1, round(width * scale)), max(1, round(height * scale))
    scale = max(1, math.sqrt(family.min_pixels / (width * height)))
    return round(width * scale), round(height * scale)
