"""What style references do to pico's images.

python -m training.style_effect --measure 100
python -m training.style_effect --sheet docs/pictures/style-references.jpeg

Images of some scenes are the references of others. Measured is how far the style of what was
painted is from that of its reference, in levels of `finishing.style_vectors`: without a reference,
with its own, and with another's.
"""

import argparse
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from imagemill.catalog import EMBEDDED
from imagemill.conditions import StyleVector, style_code
from imagemill.engine import inline
from imagemill.engine.events import NO_INPUTS
from imagemill.finishing.style_vectors import distance, measure
from imagemill.generation import Generation, Input

Pixels = NDArray[np.uint8]
SIDE, STEPS = 256, 4
LOOKS = (
    "watercolour of a boat on a lake at sunset", "a castle in a desert at dusk, oil painting",
    "pencil drawing of an owl in a forest", "a rocket over mountains at night, comic book style",
    "black and white photo of a street in the rain", "pixel art of a tree in a garden",
    "a lighthouse by the sea in a storm", "a polar bear in the snow, flat design",
    "outline drawing of a bicycle in a park", "a cake in a kitchen at dawn",
)  # fmt: skip
THINGS = (
    "a red cat in a meadow", "two penguins on a beach", "a teapot on a table in a living room",
    "a fox holding an umbrella", "a green car on a street", "a guitar on a stage",
    "a horse in a field",
)  # fmt: skip


def generation(prompt: str, seed: int, side: int = SIDE, steps: int = STEPS) -> Generation:
    return Generation(prompt, EMBEDDED, side, side, steps, 1.0, seed)


def painted(asked: Generation, inputs: Mapping[str, Input] = NO_INPUTS) -> Pixels:
    """What pico paints. inputs: the images that are asked about."""
    files = inline.paint(asked, EMBEDDED, lambda done, steps: None, inputs=inputs).pictures
    return np.asarray(Image.open(io.BytesIO(files[0])).convert("RGB"))


@cache
def reference(seed: int) -> StyleVector:
    """The style of one of LOOKS."""
    return measure(painted(generation(LOOKS[seed % len(LOOKS)], 1000 + seed)))


@dataclass(frozen=True)
class Case:
    """One seed: how far the style of its image is from its reference's, in levels."""

    #: Painted without a reference.
    without: float
    #: With its own, and with that of another.
    own: float
    others: float


def case(seed: int) -> Case:
    plain, wanted = generation(THINGS[seed % len(THINGS)], seed), reference(seed)
    styles = None, wanted, reference(seed + 1)
    images = (painted(replace(plain, style_vector=style)) for style in styles)
    return Case(*(distance(measure(image), wanted) for image in images))


def interval(values: Sequence[float]) -> str:
    """The median, and where it lies in 95 of 100 such samples."""
    ordered, count = sorted(values), len(values)
    spread = round(0.98 * math.sqrt(count))
    low, top = (ordered[min(count - 1, max(0, count // 2 + by))] for by in (-spread, spread))
    return f"{median(ordered):.2f} ({low:.2f} to {top:.2f})"


def table(cases: Sequence[Case]) -> Iterator[str]:
    """In Markdown."""
    yield f"| style reference, {len(cases)} seeds | levels from it: median (95 %) | nearer |"
    yield "| --- | --- | --- |"
    yield f"| none | {interval([each.without for each in cases])} | |"
    for name, values in (
        ("its own", [each.own for each in cases]),
        ("another's", [each.others for each in cases]),
    ):
        nearer = sum(after < each.without for after, each in zip(values, cases, strict=True)) / len(
            cases
        )
        yield f"| {name} | {interval(values)} | {nearer:.0%} |"


def sheet() -> Image.Image:
    """Above, references; beneath each, two things in its style; on the left, without one."""
    side, gap, seeds = 200, 8, (7, 8)
    looks = [painted(generation(prompt, 1000 + i, 512, 8)) for i, prompt in enumerate(LOOKS[:8])]
    rows = [[np.full_like(looks[0], 255), *looks]]
    for prompt, seed in zip(THINGS[:2], seeds, strict=True):
        plain = generation(prompt, seed, 512, 8)
        styled = (painted(replace(plain, style_vector=measure(look))) for look in looks)
        rows.append([painted(plain), *styled])
    paper = Image.new("RGB", (len(rows[0]) * (side + gap), len(rows) * (side + gap)), "white")
    for row, cells in enumerate(rows):
        for column, cell in enumerate(cells):
            small = Image.fromarray(cell).resize((side, side), Image.Resampling.LANCZOS)
            paper.paste(small, (column * (side + gap), row * (side + gap)))
    return paper


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--measure", type=int, default=0, help="seeds")
    parser.add_argument("--sheet", type=Path, help="a file for images to look at")
    options = parser.parse_args()
    if options.measure:
        print("\n".join(table([case(seed) for seed in range(options.measure)])))
        print(
            "codes of references:", ", ".join(style_code(reference(i)) for i in range(len(LOOKS)))
        )
    if options.sheet:
        sheet().save(options.sheet, quality=88, optimize=True)


if __name__ == "__main__":
    main()
