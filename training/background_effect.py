"""What replacing backgrounds does to sketches of pico's, whose layers are known.

python -m training.background_effect --measure 100
python -m training.background_effect --sheet docs/pictures/backgrounds.jpeg

Things are drawn somewhere in a place, and another place is asked for. Measured is how much of the
thing is left to the byte, and how much of the old background.
"""

import argparse
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from imagemill.images.encode import encode_png
from imagemill.pico.backgrounds import BACKGROUNDS
from imagemill.pico.looks import Choice
from imagemill.pico.placing import token_ids
from training.control_effect import NAMES, placed, shipped
from training.style_effect import generation, painted

SIDE = 256
PLACES = (
    "a beach at sunset", "a city at night with neon lights", "a snowy forest", "a kitchen",
    "the desert", "a library", "underwater", "mountains in the fog",
)  # fmt: skip
SHOWN = ("car", "cat", "teapot", "horse", "guitar", "bicycle")
Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Case:
    """One seed."""

    #: Of the pixels that the thing covers whole, those whose bytes are left.
    kept: float
    #: Of the pixels that it does not cover, those that changed.
    replaced: float


class Scenes:
    """Things in places, drawn without noise, and what covers them."""

    def __init__(self) -> None:
        self.pipeline = shipped()

    @torch.inference_mode()
    def drawn(self, name: str, seed: int, side: int = SIDE) -> tuple[Pixels, NDArray[np.float32]]:
        """The image (side, side, 3), and how far the thing covers each pixel."""
        rng = random.Random(seed)
        size = rng.uniform(0.35, 0.6)
        placement = placed(name, rng.uniform(0.3, 0.7), rng.uniform(0.5, 0.7), size)
        behind = rng.randrange(len(BACKGROUNDS)) + 1
        ids = token_ids([placement], self.pipeline.tokenizer_3.looks, behind)
        looks = self.pipeline.text_encoder_3(torch.tensor([ids]))[0]
        sketch = self.pipeline.transformer.sketcher(looks, [Choice()], side, side)[0]
        pixels = ((sketch[:3] + 1) * 127.5).round().clamp(0, 255).byte().permute(1, 2, 0).numpy()
        return pixels, sketch[3].numpy()


def replaced(image: Pixels, place: str, seed: int, steps: int = 4) -> Pixels:
    """The image with another background."""
    side = image.shape[0]
    asked = replace(
        generation(place, seed, side, steps), image="image:", keep_foreground=True, strength=1.0
    )
    return painted(asked, {"image:": encode_png(Image.fromarray(image))})


def case(scenes: Scenes, seed: int) -> Case:
    image, alpha = scenes.drawn(NAMES[seed % len(NAMES)], seed)
    after = replaced(image, PLACES[seed % len(PLACES)], seed)
    same = (image == after).all(2)
    return Case(float(same[alpha > 0.98].mean()), float((~same)[alpha < 0.02].mean()))


def table(cases: Sequence[Case]) -> Iterator[str]:
    """In Markdown: means."""
    yield f"| of {len(cases)} images | share of pixels | in the worst tenth |"
    yield "| --- | --- | --- |"
    for name, values in (
        ("things, left to the byte", sorted(each.kept for each in cases)),
        ("background, painted anew", sorted(each.replaced for each in cases)),
    ):
        worst = mean(values[: max(1, len(values) // 10)])
        yield f"| {name} | {mean(values):.1%} | {worst:.1%} |"


def sheet() -> Image.Image:
    """A column for each of SHOWN: the image, and two others that it was put before."""
    scenes, side, gap = Scenes(), 220, 8
    paper = Image.new("RGB", (len(SHOWN) * (side + gap), 3 * (side + gap)), "white")
    for column, name in enumerate(SHOWN):
        image, _ = scenes.drawn(name, 40 + column, 512)
        places = (PLACES[(2 * column + i) % len(PLACES)] for i in range(2))
        cells = [image, *(replaced(image, place, column, 8) for place in places)]
        for row, cell in enumerate(cells):
            small = Image.fromarray(cell).resize((side, side), Image.Resampling.LANCZOS)
            paper.paste(small, (column * (side + gap), row * (side + gap)))
    return paper


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--measure", type=int, default=0, help="seeds")
    parser.add_argument("--sheet", type=Path, help="a file for images to look at")
    options = parser.parse_args()
    if options.measure:
        scenes = Scenes()
        print("\n".join(table([case(scenes, seed) for seed in range(options.measure)])))
    if options.sheet:
        sheet().save(options.sheet, quality=88, optimize=True)


if __name__ == "__main__":
    main()
