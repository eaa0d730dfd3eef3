"""What pico takes from a reference image: its colours, and its thing.

python -m training.ip_effect --measure 100
python -m training.ip_effect --sheet docs/pictures/ip_adapters.jpeg
"""

import argparse
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from diffusers import StableDiffusion3Pipeline
from numpy.typing import NDArray
from PIL import Image

from imagemill.catalog.models import PICO
from imagemill.pico import folder, parts
from imagemill.pico.looks import LookEncoder
from imagemill.pico.matching import Box
from imagemill.pico.reading import read
from imagemill.pico.reference import THING, ReferenceEncoder, ReferenceProcessor, acting
from imagemill.pico.reference_scene import beside, fitting, grown
from imagemill.pico.scene import Placement
from training.judges import Judge, interval
from training.looks import Looks
from training.teacher import Atlas

__all__ = ["parts"]  # the pipeline's own classes

NAMES = (
    "cat", "car", "teapot", "guitar", "parrot", "bicycle", "chair", "mushroom", "umbrella",
    "robot", "owl", "pineapple", "backpack", "snail", "helicopter", "crown",
)  # fmt: skip
COLOURS = ("", "red", "blue", "green", "purple", "yellow")
PLACES = ("in a studio", "in a meadow", "in the desert", "at night", "under water")
PROMPTS = (
    "a dog on a beach", "a castle in the mountains", "an apple in a kitchen", "a street at night",
    "a boat on a lake", "a tree in a meadow", "a lamp in a bedroom", "a rocket on the moon",
)  # fmt: skip
OTHERS = 144  # drawings that the judge knows beside
SIDE, STEPS = 256, 6  # px and steps of what is measured
SCALES = (0.0, 0.25, 0.5, 1.0)
INSIDE = (0.5, 0.42, 0.97, 0.97)  # of the picture: left, top, right and bottom of the mask
LARGE = 512  # px of what is looked at

Pixels = NDArray[np.uint8]  # (h, w, 3)


@dataclass(frozen=True)
class Case:
    """A reference of a concept, and what is asked for beside it. seed: of both."""

    seed: int
    concept: str
    colour: str
    place: str
    prompt: str

    @classmethod
    def of(cls, seed: int) -> "Case":
        rng = random.Random(seed)
        name = NAMES[seed % len(NAMES)]
        colour, place = rng.choice(COLOURS), rng.choice(PLACES)
        return cls(seed, name, colour, place, PROMPTS[(seed // 3) % len(PROMPTS)])

    @property
    def shown(self) -> str:
        """The prompt of the reference."""
        return f"a {self.colour} {self.concept} {self.place}".replace("  ", " ")


def mask(side: int) -> torch.Tensor:
    """(1, side, side), 0 and 1."""
    left, top, right, bottom = (round(side * each) for each in INSIDE)
    inside = torch.zeros(1, side, side)
    inside[:, top:bottom, left:right] = 1
    return inside


@dataclass
class Effect:
    """What references do to pictures of a stock pipeline."""

    pipeline: StableDiffusion3Pipeline
    side: int = SIDE
    steps: int = STEPS
    _references: dict[int, Image.Image] = field(default_factory=dict)
    _encoded: dict[bytes, torch.Tensor] = field(default_factory=dict)

    @cached_property
    def encoder(self) -> ReferenceEncoder:
        return ReferenceEncoder(self.pipeline.transformer.sketcher, self.pipeline.text_encoder_3)

    @cached_property
    def judge(self) -> Judge:
        """Who knows NAMES and so many other drawings."""
        own, encoder = self.pipeline.tokenizer_3.looks, self.pipeline.text_encoder_3
        others = [name for name in own if name not in NAMES and not name.startswith("letter:")]
        names = [*NAMES, *random.Random(1).sample(others, OTHERS)]
        known = LookEncoder(len(names))
        known.codes.copy_(encoder.codes[[own[name] for name in names]])
        known.scale.data.copy_(encoder.scale)
        return Judge(Atlas.shown(Looks(names, known, self.pipeline.transformer.sketcher)))

    def encoded(self, image: Image.Image) -> torch.Tensor:
        """(1, 2, DIM)."""
        key = image.tobytes()
        if key not in self._encoded:
            self._encoded[key] = self.encoder(ReferenceProcessor()(image).pixel_values)[0][-2]
        return self._encoded[key]

    def reference(self, case: Case) -> Image.Image:
        """Painted by pico itself, in a light of some colour."""
        if case.seed not in self._references:
            light = np.random.default_rng(case.seed).uniform(0.55, 1.0, 3)
            painted = np.asarray(self.painted(case.shown, case.seed + 10_000))
            lit = (painted * light / light.max()).round().astype(np.uint8)
            self._references[case.seed] = Image.fromarray(lit)
        return self._references[case.seed]

    @torch.inference_mode()
    def painted(
        self, prompt: str, seed: int, reference: Image.Image | None = None, scale: float = 1.0,
        inside: torch.Tensor | None = None,
    ) -> Image.Image:  # fmt: skip
        own = None if reference is None else acting(self.encoded(reference), scale, inside)
        image: Image.Image = self.pipeline(
            prompt, width=self.side, height=self.side, num_inference_steps=self.steps,
            guidance_scale=1.0, generator=torch.Generator().manual_seed(seed),
            ip_adapter_image_embeds=own,
        ).images[0]  # fmt: skip
        return image

    def seen(self, case: Case, painted: Image.Image, place: Box) -> bool:
        """Whether the judge sees the case's concept there, either way round."""
        if place.side < 1:  # of a reference in which nothing stood out
            return False
        x, y, side = (each / self.side for each in place)
        there = Placement(case.concept, "red", x, y, 0.0, 0.0, side, side)  # whatever its colour
        both = [replace(there, flip=flip) for flip in (False, True)]
        names = [self.judge.seen(np.asarray(painted), each) for each in both]
        return max(names, key=lambda each: each[1])[0] == case.concept


def apart(one: Image.Image, other: Image.Image, inside: torch.Tensor | None = None) -> float:
    """How far the colours of an image, within a mask, are from another's: how far each channel's
    histogram has to be moved, 0 to 1.
    """
    a, b = (np.asarray(each, np.float64).reshape(-1, 3) / 255 for each in (one, other))
    if inside is not None:
        a = a[inside.flatten().numpy() > 0]
    shares = np.linspace(0, 1, 201)
    return float(np.abs(np.quantile(a, shares, axis=0) - np.quantile(b, shares, axis=0)).mean())


@dataclass
class Measured:
    """colours: apart from the reference, by scale. seen, other_seen: whether the concept is, under
    its own reference and under another's. plain: the same at a scale of 1, of references in a
    studio. masked: apart inside the mask, without and with. changed: outside and inside of the
    mask, of 255.
    """

    colours: dict[float, list[float]] = field(default_factory=dict)
    other_colours: list[float] = field(default_factory=list)
    seen: dict[float, list[bool]] = field(default_factory=dict)
    other_seen: list[bool] = field(default_factory=list)
    plain: list[bool] = field(default_factory=list)
    masked: list[tuple[float, float]] = field(default_factory=list)
    masked_seen: list[bool] = field(default_factory=list)
    changed: list[tuple[float, float]] = field(default_factory=list)


def measure(effect: Effect, seeds: Sequence[int]) -> Measured:
    out, size, inside = Measured(), (effect.side, effect.side), mask(effect.side)
    for seed in seeds:
        case, other = Case.of(seed), Case.of(seed + 1)
        reference, another = effect.reference(case), effect.reference(other)
        plain = effect.painted(case.prompt, seed)
        thing = effect.encoded(reference)[0, THING]
        there = beside(not read(case.prompt).scene.things, size)
        for scale in SCALES:
            image = effect.painted(case.prompt, seed, reference, scale) if scale else plain
            out.colours.setdefault(scale, []).append(apart(image, reference))
            place = grown(there, scale or 1.0, thing)
            out.seen.setdefault(scale, []).append(effect.seen(case, image, place))
        if case.place == PLACES[0]:
            out.plain.append(out.seen[1.0][-1])
        shuffled = effect.painted(case.prompt, seed, another, 1.0)
        out.other_colours.append(apart(shuffled, reference))
        out.other_seen.append(effect.seen(case, shuffled, there))
        masked = effect.painted(case.prompt, seed, reference, 1.0, inside)
        out.masked.append((apart(plain, reference, inside), apart(masked, reference, inside)))
        left, top, right, bottom = (each * effect.side for each in INSIDE)
        out.masked_seen.append(
            effect.seen(case, masked, fitting((left, top, right, bottom), thing))
        )
        out.changed.append(_changed(plain, masked, inside))
    return out


def _changed(plain: Image.Image, masked: Image.Image, inside: torch.Tensor) -> tuple[float, float]:
    change = np.abs(np.asarray(plain, np.float64) - np.asarray(masked, np.float64)).mean(2)
    within = inside[0].numpy() > 0
    return float(change[~within].mean()), float(change[within].mean())


def middle(values: Sequence[float]) -> str:
    """The median, and its 95 % interval."""
    ordered, count = sorted(values), len(values)
    spread = round(0.98 * math.sqrt(count))
    low, half, top = (
        ordered[min(count - 1, max(0, count // 2 + by))] for by in (-spread, 0, spread)
    )
    return f"{half:.3f} ({low:.3f} to {top:.3f})"


def share(answers: Sequence[bool]) -> str:
    low, top = interval(sum(answers), len(answers))
    return f"{sum(answers) / len(answers):.0%} ({low:.0%} to {top:.0%})"


def table(effect: Effect, count: int) -> Iterator[str]:
    """In Markdown, with intervals."""
    found = measure(effect, range(count))
    yield f"| reference, {count} seeds | colours apart: median (95 %) | its thing is seen (95 %) |"
    yield "| --- | --- | --- |"
    for scale in SCALES:
        yield f"| scale {scale:g} | {middle(found.colours[scale])} | {share(found.seen[scale])} |"
    yield f"| of them in a studio, {len(found.plain)} | | {share(found.plain)} |"
    yield f"| another's, scale 1 | {middle(found.other_colours)} | {share(found.other_seen)} |"
    before, after = zip(*found.masked, strict=True)
    yield f"| inside a mask, without | {middle(before)} | |"
    yield f"| inside a mask, scale 1 | {middle(after)} | {share(found.masked_seen)} |"
    nearer = [
        all(a >= b for a, b in pairwise(each))
        for each in zip(*(found.colours[scale] for scale in SCALES), strict=True)
    ]
    yield ""
    yield f"Nearer with every scale: {share(nearer)}. "
    outside, within = zip(*found.changed, strict=True)
    yield f"Changed by a masked reference, of 255: outside {middle(outside)}, "
    yield f"inside {middle(within)}."


# What is looked at: of the reference, and asked for; the last one within a mask.
SHOWN = (
    ("a purple teapot in a studio", "a dog on a beach"),
    ("an orange cat in the desert", "a cat in a garden, watercolour"),
    ("a green car in a studio", "a street at night"),
    ("a blue robot in a studio", "a castle in the mountains"),
    ("a parrot in the jungle", "a bedroom, comic"),
)


def sheet(effect: Effect) -> Image.Image:
    """A column for each of SHOWN: the reference, then without it, at half its scale, at its scale,
    and within a mask, whose place is marked.
    """
    cell, gap = LARGE // 2, 10
    paper = Image.new("RGB", (len(SHOWN) * (cell + gap) - gap, 5 * (cell + gap) - gap), "white")
    inside = mask(effect.side)
    for column, (shown, prompt) in enumerate(SHOWN):
        reference = effect.painted(shown, 11)
        cells = (
            reference,
            effect.painted(prompt, 3),
            *(effect.painted(prompt, 3, reference, scale) for scale in (0.5, 1.0)),
            effect.painted(prompt, 3, reference, 1.0, inside),
        )
        for row, each in enumerate(cells):
            paper.paste(each.resize((cell, cell)), (column * (cell + gap), row * (cell + gap)))
    return paper


def shipped() -> StableDiffusion3Pipeline:
    pipeline = StableDiffusion3Pipeline.from_pretrained(folder())
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--measure", type=int, default=0, help="seeds")
    parser.add_argument("--sheet", type=Path, help="a file for pictures to look at")
    options = parser.parse_args()
    if options.measure:
        print("\n".join(table(Effect(shipped()), options.measure)))
    if options.sheet:
        large = Effect(shipped(), LARGE, PICO.steps)
        sheet(large).save(options.sheet, quality=88, optimize=True)


if __name__ == "__main__":
    main()
