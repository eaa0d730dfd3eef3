"""What pico's ControlNet, as it is shipped, does to single things.

python -m training.control_effect --measure 100
python -m training.control_effect --sheet docs/pictures/controls.jpeg
"""

import argparse
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from diffusers import StableDiffusion3ControlNetPipeline, StableDiffusion3Pipeline
from PIL import Image

from imagemill.catalog.models import PICO
from imagemill.pico import folder, parts
from imagemill.pico.control import FINE, PlacementControlNet
from imagemill.pico.looks import Choice, Field, Sketcher
from imagemill.pico.matching import Box
from imagemill.pico.placing import token_ids
from imagemill.pico.scene import Placement
from training.control_images import box_of, encoded, lines

__all__ = ["parts"]  # the pipeline's own classes

NAMES = ("cat", "car", "teapot", "tree", "guitar", "parrot", "bicycle", "horse", "chair", "rocket")
SIDE = 512  # px of an image
STRAIGHT = Choice()  # as a seed may have it that turns nothing round


def placed(name: str, x: float = 0.5, y: float = 0.6, side: float = 0.5) -> Placement:
    return Placement(name, "", x, y, 0.0, 0.0, side, side)


# What is asked for, and where the things of it are in the control image.
SHOWN = (
    ("a teapot on a kitchen table", (placed("teapot", 0.3, 0.7, 0.35),)),
    ("a red car on a street at night", (placed("car", 0.62, 0.66, 0.62),)),
    (
        "a parrot and a bicycle in a garden",
        (placed("parrot", 0.22, 0.3, 0.3), placed("bicycle", 0.68, 0.68, 0.5)),
    ),
    ("a rocket over the mountains, watercolour", (placed("rocket", 0.75, 0.35, 0.5),)),
    ("an owl in a forest, comic", (placed("owl", 0.5, 0.5, 0.8),)),
)


def scattered(seed: int) -> Placement:
    """A thing somewhere, whole."""
    rng = random.Random(seed)
    side = rng.uniform(0.3, 0.6)
    x, y = (rng.uniform(side / 2, 1 - side / 2) for _ in range(2))
    return placed(NAMES[seed % len(NAMES)], x, y, side)


@dataclass(frozen=True)
class Effect:
    """What the ControlNet of a stock pipeline does to single things."""

    pipeline: StableDiffusion3ControlNetPipeline

    def rows(self, *placements: Placement) -> torch.Tensor:
        ids = token_ids(placements, self.pipeline.tokenizer_3.looks)
        looks: torch.Tensor = self.pipeline.text_encoder_3(torch.tensor([ids]))[0][0]
        return looks

    def image(self, *placements: Placement) -> torch.Tensor:
        """The edges of what is placed, as a control image: (1, 1, SIDE, SIDE), 0 to 1."""
        sketcher: Sketcher = self.pipeline.transformer.sketcher
        sketch = sketcher(self.rows(*placements)[None], [Choice()], SIDE, SIDE)
        return lines(sketch[:, :3], random.Random(1))

    def map(self, image: torch.Tensor) -> torch.Tensor:
        values: torch.Tensor = self.pipeline.controlnet.map(encoded(self.pipeline.vae, image))
        return values[0]

    def moved(self, placement: Placement, image: torch.Tensor, choice: Choice = STRAIGHT) -> Box:
        """Where a thing goes under a control image, in its map."""
        values = self.map(image)
        change = self.pipeline.controlnet.change(values, self.rows(placement), choice)
        dx, dy, side = (float(change[0, i]) for i in (Field.DX, Field.DY, Field.SIDE))
        size = max(placement.width, placement.height) + side
        there = replace(placement, dx=dx, dy=dy, width=size, height=size)
        return box_of(there, values.shape[-1], values.shape[-2])

    @torch.inference_mode()
    def overlaps(self, count: int, shuffled: bool) -> list[tuple[float, float]]:
        """How much of a thing lies where it is wanted, by area: in its usual place, and under a
        control image. shuffled: this is another's.
        """
        shares = []
        for seed in range(count):
            wanted, usual = scattered(seed), placed(NAMES[seed % len(NAMES)])
            image = self.image(scattered(seed + 1) if shuffled else wanted)
            moved, side = self.moved(usual, image), FINE * SIDE // 16
            there = box_of(wanted, side, side)
            shares.append((box_of(usual, side, side).overlap(there), moved.overlap(there)))
        return shares

    @torch.inference_mode()
    def painted(self, prompt: str, image: Image.Image, scale: float) -> Image.Image:
        with torch.random.fork_rng():
            torch.manual_seed(0)  # of the noise that encoding a control image takes
            result: Image.Image = self.pipeline(
                prompt, control_image=image, controlnet_conditioning_scale=scale, width=SIDE,
                height=SIDE, num_inference_steps=PICO.steps, guidance_scale=1.2,
                generator=torch.Generator().manual_seed(3),
            ).images[0]  # fmt: skip
        return result


def sheet(effect: Effect) -> Image.Image:
    """A column for each of SHOWN: the control image, and what is painted without and with it."""
    side, gap = SIDE // 2, 10
    paper = Image.new("RGB", (len(SHOWN) * (side + gap) - gap, 3 * (side + gap) - gap), "white")
    for column, (prompt, things) in enumerate(SHOWN):
        edges_of = (255 * effect.image(*things)[0, 0]).byte().numpy()
        control = Image.fromarray(edges_of).convert("RGB")
        cells = (control, *(effect.painted(prompt, control, scale) for scale in (0.0, 1.0)))
        for row, cell in enumerate(cells):
            paper.paste(cell.resize((side, side)), (column * (side + gap), row * (side + gap)))
    return paper


def shipped() -> StableDiffusion3ControlNetPipeline:
    plain = StableDiffusion3Pipeline.from_pretrained(folder())
    network = PlacementControlNet.from_pretrained(folder("control"))
    pipeline = StableDiffusion3ControlNetPipeline(**plain.components, controlnet=network)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def table(effect: Effect, count: int) -> Iterator[str]:
    """In Markdown, with intervals for the medians."""
    yield f"| control image, {count} seeds | overlap: median (95 %) | nearer |"
    yield "| --- | --- | --- |"
    for name, shuffled in (("its own", False), ("another's", True)):
        shares = effect.overlaps(count, shuffled)
        after = sorted(each for _, each in shares)
        spread = round(0.98 * math.sqrt(count))
        low, middle, top = (after[count // 2 + by] for by in (-spread, 0, spread))
        nearer = sum(b > a + 0.02 for a, b in shares) / count
        yield f"| {name} | {middle:.2f} ({low:.2f} to {top:.2f}) | {nearer:.0%} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--measure", type=int, default=0, help="seeds")
    parser.add_argument("--sheet", type=Path, help="a file for pictures to look at")
    options = parser.parse_args()
    effect = Effect(shipped())
    if options.measure:
        print("\n".join(table(effect, options.measure)))
    if options.sheet:
        sheet(effect).save(options.sheet, quality=88, optimize=True)


if __name__ == "__main__":
    main()
