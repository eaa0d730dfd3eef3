"""Does the picture show what the prompt says? Asked of combinations that were never trained on.

    python -m training.evaluate --pipeline runs/pico/pipeline --shuffled

Ground: the colour of most of the border. Object: which of all the vocabulary's silhouettes fits
best where one is due, moved by at most an eighth of its side. Colour: most of what is not ground
under the named silhouette, where it fits best. Relation: the two things are sought over the whole
picture by colour and silhouette, then their centres are compared. A thing of several copies is
right when every copy is. With --shuffled each picture is also judged by the next prompt, which must
come out near chance, or the judges would be worth nothing.
"""

import argparse
import math
import random
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import torch
from diffusers import StableDiffusion3Pipeline
from numpy.typing import NDArray

from imagemill.pico.vocabulary import vocabulary
from imagemill.pipelines.families import EMBEDDED
from imagemill.pipelines.loading import load
from training import icons, scenes
from training.scenes import Box, Picture, Scene, Thing

SIDE = 32  # cells of a silhouette that is compared
MARGIN = SIDE // 8  # cells that it may be off
BORDER = 8  # px
POOL = 8  # px of a cell in the search for things
CONTRAST = np.float32(0.15)  # deviation; the thinnest silhouette has 0.2
FOUND = 0.4  # least correlation of a thing found
BATCH = 32
COLOURS = tuple(scenes.COLOURS)
PALETTE = np.array(list(scenes.COLOURS.values()), np.float32)
QUESTIONS = ("ground", "colour", "object", "relation")

Grid = NDArray[np.float32]
Point = tuple[float, float]  # x, y


@dataclass(frozen=True)
class Case:
    scene: Scene
    seed: int

    @property
    def prompt(self) -> str:
        return scenes.plain(self.scene)


def cases(count: int, seed: int, objects: list[str], shape: tuple[int, int] = (8, 8)) -> list[Case]:
    rng = random.Random(seed)
    return [
        Case(scenes.sample(rng, objects, shape, wanted=True), seed=1000 * seed + i)
        for i in range(count)
    ]


# Judging


@dataclass
class Tally:
    """Answers by question, and by object whether it was recognised."""

    answers: dict[str, list[bool]] = field(default_factory=lambda: {q: [] for q in QUESTIONS})
    objects: dict[str, list[bool]] = field(default_factory=lambda: defaultdict(list))

    def judge(self, picture: Picture, scene: Scene, objects: tuple[str, ...]) -> None:
        ground = ground_of(picture)
        self.answers["ground"].append(ground == scene.ground)
        for thing in scene.things:
            seen = [
                look(picture, ground, box, thing.name, objects)
                for owner, box in scenes.boxes(scene)
                if owner is thing
            ]
            self.answers["object"].append(all(name == thing.name for name, _ in seen))
            self.answers["colour"].append(all(colour == thing.colour for _, colour in seen))
            self.objects[thing.name].append(self.answers["object"][-1])
        if scene.relation:
            self.answers["relation"].append(related(picture, scene))

    def share(self, question: str) -> float:
        answers = self.answers[question]
        return sum(answers) / max(1, len(answers))

    def worst(self) -> list[tuple[str, int, int]]:
        """(object, times recognised, times asked), the least recognised first."""
        rows = [(name, sum(right), len(right)) for name, right in self.objects.items()]
        return sorted(rows, key=lambda row: (row[1] / row[2], -row[2]))


def ground_of(picture: Picture) -> str:
    """The colour of most of the border."""
    inner = np.zeros(picture.shape[:2], dtype=bool)
    inner[BORDER:-BORDER, BORDER:-BORDER] = True
    return _most(nearest(picture[~inner]))


def nearest(pixels: NDArray[np.uint8] | Grid) -> NDArray[np.intp]:  # (..., 3) to (...)
    """The nearest of the palette's colours, as its index."""
    distances: Grid = pixels.astype(np.float32) @ (-2 * PALETTE.T) + (PALETTE**2).sum(-1)
    closest: NDArray[np.intp] = distances.argmin(-1)
    return closest


def _most(indices: NDArray[np.intp]) -> str:
    return COLOURS[np.bincount(indices.ravel(), minlength=len(COLOURS)).argmax()]


def look(
    picture: Picture, ground: str, box: Box, named: str, objects: tuple[str, ...]
) -> tuple[str, str]:
    """Which object is at `box`, and what colour lies under the silhouette of `named` there."""
    patch = cut(picture, box)  # (SIDE + 2 MARGIN, ~, 3)
    off = np.linalg.norm(patch - PALETTE[COLOURS.index(ground)], axis=-1)
    inked = np.clip(off / max(float(np.percentile(off, 97)), 40.0), 0, 1)
    windows = np.lib.stride_tricks.sliding_window_view(inked, (SIDE, SIDE))
    fits = _centred(windows.reshape(-1, SIDE * SIDE)) @ _templates(objects).T  # (places, objects)
    y, x = divmod(int(fits[:, objects.index(named)].argmax()), windows.shape[1])
    mask = icons.mask(named, SIDE)
    inside = mask >= min(0.9, np.sort(mask, axis=None)[-12])  # twelve cells where all are thin
    under = nearest(patch[y : y + SIDE, x : x + SIDE][inside])
    ink = under[under != COLOURS.index(ground)]
    colour = _most(ink) if len(ink) >= len(under) / 8 else ground
    return objects[fits.max(0).argmax()], colour


def cut(picture: Picture, box: Box) -> Grid:
    """The box and its margin as (SIDE + 2 MARGIN, ~, 3) cells; beyond, the picture's edge."""
    left, top, side = box
    margin = side * MARGIN // SIDE
    wide = np.pad(picture, ((margin, margin), (margin, margin), (0, 0)), mode="edge")
    part = wide[top : top + side + 2 * margin, left : left + side + 2 * margin]
    return pool(part, side // SIDE)


def pool(pixels: NDArray[Any], px: int) -> Grid:
    """Means of squares of `px`."""
    height, width, *rest = pixels.shape
    squares = pixels.reshape(height // px, px, width // px, px, *rest)
    means: Grid = squares.mean((1, 3), dtype=np.float32)
    return means


@cache
def _templates(objects: tuple[str, ...]) -> Grid:  # (objects, SIDE * SIDE)
    return _centred(np.stack([icons.mask(name, SIDE).ravel() for name in objects]))


def _centred(rows: Grid) -> Grid:
    """Rows whose products are correlations; one of little contrast correlates with nothing."""
    rows = rows - rows.mean(-1, keepdims=True)
    contrast = np.sqrt((rows * rows).mean(-1, keepdims=True))
    unit: Grid = rows / (np.maximum(contrast, CONTRAST) * math.sqrt(rows.shape[-1]))
    return unit


def related(picture: Picture, scene: Scene) -> bool:
    """Whether the first thing is where the relation says, wherever in the picture the two are."""
    sought = [search(picture, thing, box[2]) for thing, box in scenes.boxes(scene)]
    surer = int(sought[1].best > sought[0].best)
    if sought[surer].best < FOUND:
        return False
    place = sought[surer].place
    other = sought[1 - surer].away_from(place)  # two red things are not one red thing twice
    if other.best < FOUND:
        return False
    (x0, y0), (x1, y1) = (place, other.place) if surer == 0 else (other.place, place)
    right, down = x0 - x1, y0 - y1
    along, across = (right, down) if scene.relation in ("left", "right") else (down, right)
    sign = -1 if scene.relation in ("left", "above") else 1
    return sign * along > abs(across)


@dataclass(frozen=True)
class Found:
    """How well a thing fits around each place of a lattice."""

    fits: Grid  # (rows, columns)
    side: int  # px

    @property
    def best(self) -> float:
        return float(self.fits.max())

    @property
    def place(self) -> Point:
        y, x = divmod(int(self.fits.argmax()), self.fits.shape[1])
        return x * POOL, y * POOL

    def away_from(self, place: Point) -> "Found":
        """The same without the places less than half a side from `place`."""
        rows, columns = (np.arange(n) * POOL for n in self.fits.shape)
        near = (abs(columns - place[0]) < self.side / 2) & (
            abs(rows[:, None] - place[1]) < self.side / 2
        )
        return Found(np.where(near, np.float32(-1), self.fits), self.side)


def search(picture: Picture, thing: Thing, side: int) -> Found:
    """Fits of the thing's silhouette among the pixels of its colour, over the whole picture."""
    cells = pool(nearest(picture) == COLOURS.index(thing.colour), POOL)
    n = max(4, side // POOL)
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(cells, n // 2), (n, n))
    silhouette = _centred(icons.mask(thing.name, n).reshape(1, -1))
    fits = _centred(windows.reshape(-1, n * n)) @ silhouette.T
    return Found(fits.reshape(windows.shape[:2]), side)


# Painting


def paint(
    pipeline: StableDiffusion3Pipeline, asked: Sequence[Case], steps: int, guidance_scale: float
) -> Iterator[Picture]:
    """One picture per case, in order; all of one shape."""
    for start in range(0, len(asked), BATCH):
        part = asked[start : start + BATCH]
        width, height = (n * scenes.CELL for n in part[0].scene.shape)
        images: Grid = pipeline(
            prompt=[case.prompt for case in part],
            generator=[torch.Generator().manual_seed(case.seed) for case in part],
            width=width,
            height=height,
            num_inference_steps=steps,
            guidance_scale=guidance_scale,
            output_type="np",
        ).images
        yield from (images * 255).round().astype(np.uint8)


# Telling


def interval(right: int, count: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share."""
    if count == 0:
        return 0.0, 1.0
    z, share = 1.96, right / count
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z * math.sqrt(share * (1 - share) / count + z * z / (4 * count**2)) / (1 + z * z / count)
    return max(0.0, middle - half), min(1.0, middle + half)


def table(tally: Tally, shuffled: Tally | None, chance: float) -> str:
    """Markdown."""
    titles = ["", "right", "95 % interval", "of", *(["shuffled prompts"] if shuffled else [])]
    rows = [titles, ["---"] * len(titles)]
    for question in QUESTIONS:
        answers = tally.answers[question]
        low, high = interval(sum(answers), len(answers))
        about = f" (chance {chance:.1%})" if question == "object" else ""
        row = [question + about, f"{tally.share(question):.1%}", f"{low:.1%} to {high:.1%}"]
        other = [f"{shuffled.share(question):.1%}"] if shuffled else []
        rows.append([*row, str(len(answers)), *other])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def score(
    pictures: Iterator[Picture], asked: Sequence[Case], objects: tuple[str, ...]
) -> tuple[Tally, Tally]:
    """By the own prompt, and by the next one's."""
    own, following = Tally(), Tally()
    for i, picture in enumerate(pictures):
        own.judge(picture, asked[i].scene, objects)
        following.judge(picture, asked[(i + 1) % len(asked)].scene, objects)
    return own, following


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pipeline", default=EMBEDDED, help="its folder")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--guidance-scale", type=float, default=4)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--every", type=int, default=1, help="judge only every nth of these")
    parser.add_argument("--shape", default="8x8", help="cells of 32 px, wide x high")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--shuffled", action="store_true", help="judge also by the next prompt")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    width, height = (int(n) for n in args.shape.split("x"))
    objects = vocabulary().words["objects"]
    asked = cases(args.count, args.seed, objects, (width, height))[:: args.every]
    began = time.monotonic()
    pictures = paint(load(args.pipeline, "cpu").pipe, asked, args.steps, args.guidance_scale)
    own, following = score(pictures, asked, tuple(objects))
    print(table(own, following if args.shuffled else None, 1 / len(objects)))
    worst = [f"{name} {right}/{count}" for name, right, count in own.worst()[:12] if right < count]
    print(f"\nLeast recognised: {', '.join(worst) or 'none'}.")
    how = f"{args.steps} steps, guidance {args.guidance_scale}"
    print(f"{len(asked)} pictures, {how}: {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
