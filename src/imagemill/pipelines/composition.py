"""How pico reaches any size: plain numbers, no torch.

pico composes on about 64 cells of 32 px, in one of a few shapes that it was trained on. A picture
of another size is painted in the trained shape nearest to its own, at the native size; where more
pixels are asked for, it is enlarged and refined by a few more steps at twice or four times that
size. The result is scaled to lie inside the size asked for and its edges are continued to fill it:
nothing is stretched and nothing cropped.

A picture that is painted over goes the other way: it lies inside the canvas, whose rest continues
its edges, so that all of it is repainted.
"""

import math
from dataclasses import dataclass

CELL = 32  # px of one token: patch 2 on latents of a sixteenth
NATIVE: tuple[tuple[int, int], ...] = ((8, 8), (10, 6), (6, 10), (12, 5), (5, 12))
SCALES = (1, 2, 4)  # trained
LARGEST = 32  # cells a side
WORTH_REFINING = 1.25  # enlargements below this stay sharp enough without a second stage
REFINING_STRENGTH = 0.3  # share of the noise that the second stage puts back


Size = tuple[int, int]  # width and height in px


@dataclass(frozen=True)
class Composition:
    """native: width and height in px of the first stage. scale: of the second stage, 1 for none.

    inner: width and height in px that the painted picture takes within the size asked for.
    """

    native: Size
    scale: int
    inner: Size

    @property
    def refined(self) -> Size:
        return self.native[0] * self.scale, self.native[1] * self.scale


def compose(width: int, height: int) -> Composition:
    shape = min(NATIVE, key=lambda cells: abs(math.log(width * cells[1] / (height * cells[0]))))
    native = shape[0] * CELL, shape[1] * CELL
    enlarged = min(width / native[0], height / native[1])
    inner = round(native[0] * enlarged), round(native[1] * enlarged)
    return Composition(native, _scale(shape, enlarged), inner)


def inside(width: int, height: int, canvas: Size) -> Size:
    """How large a picture of `width` by `height` lies in a canvas, whole."""
    scale = min(canvas[0] / width, canvas[1] / height)
    return max(1, round(width * scale)), max(1, round(height * scale))


def refining_steps(steps: int) -> int:
    """Steps of the second stage, for `steps` of the first."""
    return max(2, round(steps / 5))


def _scale(shape: tuple[int, int], enlarged: float) -> int:
    if enlarged <= WORTH_REFINING:
        return 1
    possible = [scale for scale in SCALES if max(shape) * scale <= LARGEST]
    return next((scale for scale in possible if scale * WORTH_REFINING >= enlarged), possible[-1])
