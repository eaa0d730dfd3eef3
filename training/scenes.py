"""What a picture shows (Scene), where it lies (boxes) and how it is drawn (draw).

Objects lie on a lattice of 16 px and have a few fixed sizes, so that a shape has few distinct
encodings: measured, that is what lets a small denoiser learn shapes within hours on a CPU.
"""

import random
import zlib
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from training import grounds, icons, styles
from training.grounds import CELL, COLOURS, DEFAULT_GROUND, GRADIENTS, LANDSCAPES, LATTICE
from training.styles import STYLES, Style

Size = Literal["small", "medium", "large"]
SIZES: tuple[Size, ...] = ("small", "medium", "large")
Relation = Literal["left", "right", "above", "below", "inside"]
RELATIONS: tuple[Relation, ...] = ("left", "right", "above", "below", "inside")
OPPOSITE: dict[Relation, Relation] = {
    "left": "right",
    "right": "left",
    "above": "below",
    "below": "above",
}
COUNTS = {2: "two", 3: "three", 4: "four"}

# Cells wide and high, all of about 64 cells, with how often each is drawn. A batch has one shape.
SHAPES: dict[tuple[int, int], float] = {
    (8, 8): 0.84, (10, 6): 0.05, (6, 10): 0.05, (12, 5): 0.03, (5, 12): 0.03,
}  # fmt: skip

# Side of a small, medium and large object in cells, by the shorter side of its region in cells.
SIDES: tuple[tuple[float, tuple[int, int, int]], ...] = (
    (7, (2, 4, 6)), (4, (2, 3, 4)), (3, (2, 2, 3)), (2, (2, 2, 2)), (0, (1, 1, 1)),
)  # fmt: skip

# What is new in a scene, and how often. "plain" is one or two flat things on one colour; "ground"
# and "style" are the same otherwise. Any of the others may have an uncommon ground or style too.
NOVELTIES = {
    "plain": 0.45,
    "count": 0.12,
    "three": 0.13,
    "inside": 0.08,
    "ground": 0.1,
    "style": 0.12,
}
ALSO = 0.2

OBJECT_WEIGHT = 320  # px: a thing of this side counts twice as much as ground, half of it thrice

Picture = NDArray[np.uint8]  # (height, width, 3)
Box = tuple[int, int, int]  # left, top, side in px


@dataclass(frozen=True)
class Thing:
    name: str
    colour: str
    size: Size = "medium"
    count: int = 1


@dataclass(frozen=True)
class Scene:
    """One to three things; `relation` tells where each is, seen from the next."""

    things: tuple[Thing, ...]
    relation: Relation | None = None
    ground: str = DEFAULT_GROUND
    shape: tuple[int, int] = (8, 8)
    style: Style = "flat"

    @property
    def kinds(self) -> list[str]:
        """What is uncommon in it, or "plain"."""
        kinds = ["counted"] * (self.things[0].count > 1) + ["three"] * (len(self.things) > 2)
        kinds += ["inside"] * (self.relation == "inside")
        kinds += [kind for kind in (grounds.kind(self.ground), self.style) if kind in UNCOMMON]
        return kinds or ["plain"]


UNCOMMON = (*grounds.KINDS, *STYLES[1:])


def unseen(thing: Thing, scene: Scene) -> bool:
    """One in eight of all (object, colour, ground) triples is never trained on."""
    return zlib.crc32(f"{thing.name}|{thing.colour}|{scene.ground}".encode()) % 8 == 0


def held_out(scene: Scene) -> bool:
    """Whether a thing of it is unseen: it is never trained on, then."""
    return any(unseen(thing, scene) for thing in scene.things)


def sample(
    rng: random.Random, objects: list[str], shape: tuple[int, int] = (8, 8), wanted: bool = False
) -> Scene:
    """A random scene of `shape`; of the held-out ones where `wanted`, else of the others."""
    novelty = rng.choices(list(NOVELTIES), list(NOVELTIES.values()))[0]
    while True:
        scene = _any(rng, objects, shape, novelty)
        if held_out(scene) == wanted:
            return scene


def _any(rng: random.Random, objects: list[str], shape: tuple[int, int], novelty: str) -> Scene:
    also = novelty != "plain" and rng.random() < ALSO
    restyled = {"style": True, "ground": also, "count": also and rng.random() < 0.4}
    styled = restyled.get(novelty, False)
    varied = novelty == "ground" or (also and (novelty == "style" or not styled))
    ground, style = _ground(rng, varied), rng.choice(STYLES[1:]) if styled else "flat"
    if style == "outline":
        objects = [name for name in objects if styles.thick(name)]
    while True:
        scene = replace(_things(rng, objects, shape, novelty, ground), style=style)
        if not styled or min(side for _, (_, _, side) in boxes(scene)) >= styles.SHOWN:
            return scene


def _ground(rng: random.Random, varied: bool) -> str:
    if varied:
        return rng.choice(GRADIENTS if rng.random() < 0.4 else tuple(LANDSCAPES))
    return rng.choice([*COLOURS, DEFAULT_GROUND, DEFAULT_GROUND])


def _things(
    rng: random.Random, objects: list[str], shape: tuple[int, int], novelty: str, ground: str
) -> Scene:
    ink = grounds.inks(ground)
    if novelty == "inside":
        return _inside(rng, objects, shape, ground)
    if novelty == "three":
        things = [_thing(rng, name, ink) for name in rng.sample(objects, 3)]
        across = [n for n, cells in ((0, shape[0]), (2, shape[1])) if cells >= 6] or [0, 2]
        at = rng.choice(across) + rng.randrange(2)
        return Scene(tuple(things), RELATIONS[at], ground, shape)
    if novelty == "count":
        thing = replace(_thing(rng, rng.choice(objects), ink), count=rng.choice(list(COUNTS)))
        return Scene((thing,), ground=ground, shape=shape)
    if rng.random() < 0.5:
        return Scene((_thing(rng, rng.choice(objects), ink),), ground=ground, shape=shape)
    pair = tuple(_thing(rng, name, ink) for name in rng.sample(objects, 2))
    return Scene(pair, RELATIONS[rng.randrange(4)], ground, shape)


def _inside(rng: random.Random, objects: list[str], shape: tuple[int, int], ground: str) -> Scene:
    outer = rng.choice([name for name in objects if styles.broad(name)])
    inner = rng.choice([name for name in objects if name != outer])
    colours = rng.sample(grounds.inks(ground), 2)
    things = Thing(inner, colours[0], "small"), Thing(outer, colours[1], "large")
    return Scene(things, "inside", ground, shape)


def _thing(rng: random.Random, name: str, ink: list[str]) -> Thing:
    return Thing(name, rng.choice(ink), rng.choice(["small", "medium", "medium", "large"]))


def boxes(scene: Scene) -> list[tuple[Thing, Box]]:
    """Where each thing lies; what lies upon another comes first."""
    width, height = (n * CELL for n in scene.shape)
    whole = (0, 0, width, height)
    if scene.relation == "inside":
        inner, outer = scene.things
        x, y, side = _box(whole, _side(whole, "large"))
        within = _box((x, y, x + side, y + side), 2 * CELL if side >= 4 * CELL else CELL)
        return [(inner, within), (outer, (x, y, side))]
    if len(scene.things) == 1:
        thing = scene.things[0]
        regions = _cut(whole, thing.count)
        side = min(_side(region, thing.size) for region in regions)
        return [(thing, _box(region, side)) for region in regions]
    regions = _row(whole, len(scene.things), wide=scene.relation in ("left", "right"))
    if scene.relation in ("right", "below"):
        regions.reverse()
    sides = [min(_side(region, thing.size) for region in regions) for thing in scene.things]
    placed = [_box(region, side) for region, side in zip(regions, sides, strict=True)]
    return list(zip(scene.things, placed, strict=True))


Region = tuple[int, int, int, int]  # left, top, right, bottom


def _row(region: Region, count: int, wide: bool) -> list[Region]:
    """`count` regions from left to right where `wide`, else from top to bottom."""
    x0, y0, x1, y1 = region
    low, high = (x0, x1) if wide else (y0, y1)
    marks = [low + (high - low) * i // count // LATTICE * LATTICE for i in range(count)] + [high]
    return [(a, y0, b, y1) if wide else (x0, a, x1, b) for a, b in pairwise(marks)]


def _cut(region: Region, count: int) -> list[Region]:
    """`count` regions: a row along the longer side, or of four two by two."""
    x0, y0, x1, y1 = region
    wide = x1 - x0 >= y1 - y0
    if count < 4:
        return _row(region, count, wide)
    return [part for half in _row(region, 2, wide) for part in _row(half, 2, not wide)]


def _side(region: Region, size: Size) -> int:
    x0, y0, x1, y1 = region
    shorter = min(x1 - x0, y1 - y0) / CELL
    sides = next(sides for least, sides in SIDES if shorter >= least)
    return sides[SIZES.index(size)] * CELL


def _box(region: Region, side: int) -> Box:
    x0, y0, x1, y1 = region
    return _snap((x0 + x1 - side) / 2), _snap((y0 + y1 - side) / 2), side


def _snap(at: float) -> int:
    return int(at // LATTICE * LATTICE)


def draw(scene: Scene, scale: int = 1) -> Picture:
    """The scene at `scale` times its native size."""
    picture = grounds.pixels(scene.ground, scene.shape, scale).copy()
    for thing, (x, y, side) in reversed(boxes(scene)):
        mask = styles.mask(thing.name, side, scene.style, scale)
        paste(picture, mask, COLOURS[thing.colour], x * scale, y * scale)
    return picture.round().astype(np.uint8)


def weights(scene: Scene, scale: int = 1) -> NDArray[np.float32]:  # (height / 16, width / 16)
    """Of the loss at each latent: 1 on the ground, more where a thing lies, most if it is small."""
    width, height = (n * CELL * scale // LATTICE for n in scene.shape)
    weight = np.ones((height, width), dtype=np.float32)
    for _, (x, y, side) in reversed(boxes(scene)):
        left, top, length = (n * scale // LATTICE for n in (x, y, side))
        weight[top : top + length, left : left + length] = 1 + OBJECT_WEIGHT / side
    return weight


def paste(
    picture: NDArray[np.float32], mask: icons.Mask, colour: tuple[int, int, int], x: int, y: int
) -> None:
    part = picture[y : y + mask.shape[0], x : x + mask.shape[1]]
    part += mask[: part.shape[0], : part.shape[1], None] * (np.asarray(colour, np.float32) - part)
