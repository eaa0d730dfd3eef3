"""A style as a vector: eight levels from 0 to 15, measured in images, and written as eight digits.

Seven say how an image looks, whatever it shows; the last is the medium, by its number. A code is
the vector with every level rounded, a hexadecimal digit each, so that it means the same style on
every server and needs to be stored nowhere.
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from imagemill.conditions import LEVELS, STYLE_NUMBERS, StyleVector
from imagemill.errors import invalid
from imagemill.finishing.colour import to_oklab
from imagemill.finishing.planes import mean_around

SIDE = 256  # px of the shorter side of an image that is measured
TOP = LEVELS - 1
# The numbers of media, in the order of their digits; what is like none of them is open.
MEDIA: dict[str, str] = {  # each with the words that a model is told
    "3d": "3d render",
    "flat": "flat design",
    "outline": "outline drawing",
    "pixel art": "pixel art",
    "watercolour": "watercolour painting",
    "comic": "comic book style",
    "oil": "oil painting",
    "pencil": "pencil drawing",
    "black and white": "black and white",
}
UNCOLOURED = ("outline", "pencil", "black and white")
OPEN = TOP
NEAR = 2  # px around a pixel that a line stands out from, each way, twice over
STEP, EDGE = 0.006, 0.03  # in lightness: below there is no step, above there is an edge
PAPER = 0.96  # lightness
MEDIA_APART = 4.0  # levels by which two styles of different media differ, in place of the last
TABLE = Path(__file__).parent / "media.json"

Pixels = NDArray[np.uint8]  # (h, w, 3)
Numbers = NDArray[np.floating]


@dataclass(frozen=True)
class Axis:
    """One of the levels: level i is the value low + i * step."""

    #: What it is called.
    name: str
    #: The value of level 0.
    low: float
    #: From one level to the next.
    step: float

    def level(self, value: float) -> float:
        """The level of a value, 0 to 15, not rounded."""
        return min(float(TOP), max(0.0, (value - self.low) / self.step))

    def value(self, level: float) -> float:
        return self.low + level * self.step


# Lightness and colours are those of Oklab; warmth is blue to yellow, tint green to red, both 0 at
# level 8. Lines are what is darker than its surroundings, detail is what differs from its
# neighbours, both as roots, in which faint ones differ more.
AXES: tuple[Axis, ...] = (
    Axis("lightness", 0.1, 0.06),
    Axis("contrast", 0.0, 0.02),
    Axis("saturation", 0.0, 0.0125),
    Axis("warmth", -0.1, 0.0125),
    Axis("tint", -0.1, 0.0125),
    Axis("lines", 0.0, 0.012),
    Axis("detail", 0.0, 0.015),
)
SATURATION, MEDIUM = 2, len(AXES)  # places
GREY = 0.012  # a saturation up to which an image may be of a medium without colours


@dataclass(frozen=True)
class Measures:
    """What is measured in an image: the values of the axes, and what else tells media apart."""

    #: By axis, in their order.
    values: tuple[float, ...]
    #: How much of it is even, how square its edges are, how much runs along one diagonal, how fine
    #: its steps are, and how much is paper.
    traits: tuple[float, ...]


def measure(pixels: Pixels) -> StyleVector:
    """The style of an image (h, w, 3)."""
    measures = measures_of(pixels)
    levels = (axis.level(value) for axis, value in zip(AXES, measures.values, strict=True))
    return (*levels, float(_medium(measures)))


def measures_of(pixels: Pixels) -> Measures:
    lab = to_oklab(measured_size(pixels).astype(np.float32) / 255)
    light, green_red, blue_yellow = (lab[..., i] for i in range(3))
    fine = np.abs(light - mean_around(light, 1)).mean()
    lines = np.clip(mean_around(light, 2 * NEAR) - light - EDGE, 0, None).mean()
    across = np.abs(np.diff(light, axis=1))[:-1]
    down = np.abs(np.diff(light, axis=0))[:, :-1]
    steps, lesser = np.maximum(across, down), np.minimum(across, down)
    edges = steps > EDGE
    falling = np.abs(light[1:, 1:] - light[:-1, :-1]).mean()
    rising = np.abs(light[1:, :-1] - light[:-1, 1:]).mean()
    square = (lesser[edges] < 0.15 * steps[edges]).mean() if edges.sum() > 50 else 0.5
    return Measures(
        (
            float(light.mean()),
            float(light.std()),
            float(np.hypot(green_red, blue_yellow).mean()),
            float(blue_yellow.mean()),
            float(green_red.mean()),
            float(np.sqrt(lines)),
            float(np.sqrt(fine)),
        ),
        (
            float((steps < STEP).mean()),
            float(square),
            float((falling - rising) / (falling + rising + 1e-4)),
            float(fine / (steps.mean() + 1e-4)),
            float((light > PAPER).mean()),
        ),
    )


def measured_size(pixels: Pixels) -> Pixels:
    """In the size in which images are measured, so that a style is the same in every size."""
    image = Image.fromarray(pixels)
    scale = SIDE / min(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    by = Image.Resampling.BOX if scale < 1 else Image.Resampling.BICUBIC
    return np.asarray(image.resize((width, min(height, 8 * SIDE)), by))


@cache
def _table() -> dict[str, Numbers]:
    """What media measure (`training.media`): mean and scale of each number, and for each medium the
    middle of its images, in numbers that vary alike.
    """
    table: dict[str, Any] = json.loads(TABLE.read_text("utf-8"))
    return {name: np.array(values) for name, values in table.items()}


def _medium(measures: Measures) -> int:
    """The number of the nearest medium; OPEN where none is near."""
    table = _table()
    numbers = np.array((*measures.values, *measures.traits))
    placed = ((numbers - table["mean"]) / table["scale"]) @ table["axes"]
    far = ((placed - table["middles"]) ** 2).sum(1)
    if measures.values[SATURATION] > GREY:
        far[[number for number, name in enumerate(MEDIA) if name in UNCOLOURED]] = np.inf
    nearest = int(far.argmin())
    return nearest if far[nearest] <= table["farthest"] else OPEN


def mean(vectors: Sequence[StyleVector]) -> StyleVector:
    """What several styles have in common: the mean of their levels, and the medium of most."""
    rows = np.array(vectors, dtype=np.float64)
    medium = Counter(vector[MEDIUM] for vector in vectors).most_common(1)[0][0]
    return (*(float(level) for level in rows[:, :MEDIUM].mean(0)), medium)


def distance(one: StyleVector, other: StyleVector) -> float:
    """How far apart two styles are, in levels: the root of the mean square over the eight."""
    apart = [a - b for a, b in zip(one[:MEDIUM], other[:MEDIUM], strict=True)]
    apart.append(MEDIA_APART if one[MEDIUM] != other[MEDIUM] else 0.0)
    return float(np.sqrt(np.mean(np.square(apart))))


def from_code(digits: str) -> StyleVector:
    """The vector of a code; raises a Fault where it is none."""
    try:
        levels = [int(digit, LEVELS) for digit in digits]
    except ValueError:
        levels = []
    if len(levels) != STYLE_NUMBERS:
        message = f"{digits!r:.80} is no style code; give eight hexadecimal digits, as 9468878f"
        raise invalid("style_codes", message)
    return tuple(map(float, levels))


def medium_words(vector: StyleVector | None) -> str:
    """What a model is told of the medium; nothing where that is open, or there is no style."""
    number = OPEN if vector is None else round(vector[MEDIUM])
    return [*MEDIA.values()][number] if number < len(MEDIA) else ""
