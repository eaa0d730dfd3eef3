"""What a picture shows (Scene), how it is said (caption) and how it is drawn (draw).

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

from training import icons

CELL = 32  # px of one token of the denoiser: patch 2 on latents of 1/16
LATTICE = 16

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (214, 48, 49),
    "orange": (243, 135, 34),
    "yellow": (250, 211, 62),
    "green": (46, 160, 67),
    "cyan": (52, 199, 222),
    "blue": (37, 99, 217),
    "purple": (128, 68, 182),
    "pink": (244, 143, 187),
    "brown": (122, 78, 44),
    "black": (24, 24, 27),
    "gray": (140, 143, 148),
    "white": (250, 250, 250),
}
Size = Literal["small", "medium", "large"]
SIZES: tuple[Size, ...] = ("small", "medium", "large")
Relation = Literal["left", "right", "above", "below"]
RELATIONS: tuple[Relation, ...] = ("left", "right", "above", "below")
OPPOSITE: dict[Relation, Relation] = {
    "left": "right",
    "right": "left",
    "above": "below",
    "below": "above",
}
COUNTS = {2: "two", 3: "three", 4: "four"}
DEFAULT_GROUND = "white"

# Cells wide and high, all of about 64 cells, with how often each is drawn. A batch has one shape.
SHAPES: dict[tuple[int, int], float] = {
    (8, 8): 0.84, (10, 6): 0.05, (6, 10): 0.05, (12, 5): 0.03, (5, 12): 0.03,
}  # fmt: skip

# Side of a small, medium and large object in cells, by the shorter side of its region in cells.
SIDES: tuple[tuple[float, tuple[int, int, int]], ...] = (
    (7, (2, 4, 6)), (4, (2, 3, 4)), (3, (1, 2, 3)), (2, (1, 2, 2)), (0, (1, 1, 1)),
)  # fmt: skip

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
    """One or two things; `relation` tells where the first is, seen from the second."""

    things: tuple[Thing, ...]
    relation: Relation | None = None
    ground: str = DEFAULT_GROUND
    shape: tuple[int, int] = (8, 8)


def held_out(scene: Scene) -> bool:
    """One in eight of all (object, colour, ground) triples is never trained on."""
    keys = (f"{thing.name}|{thing.colour}|{scene.ground}" for thing in scene.things)
    return any(zlib.crc32(key.encode()) % 8 == 0 for key in keys)


def sample(
    rng: random.Random, objects: list[str], shape: tuple[int, int] = (8, 8), wanted: bool = False
) -> Scene:
    """A random scene of `shape`; of the held-out ones where `wanted`, else of the others."""
    while True:
        scene = _any(rng, objects, shape)
        if held_out(scene) == wanted:
            return scene


def _any(rng: random.Random, objects: list[str], shape: tuple[int, int]) -> Scene:
    ground = rng.choice([*COLOURS, DEFAULT_GROUND, DEFAULT_GROUND])
    ink = [colour for colour in COLOURS if colour != ground]
    kind = rng.random()
    if kind < 0.47:
        return Scene((_thing(rng, rng.choice(objects), ink),), ground=ground, shape=shape)
    if kind < 0.50:
        thing = replace(_thing(rng, rng.choice(objects), ink), count=rng.choice(list(COUNTS)))
        return Scene((thing,), ground=ground, shape=shape)
    things = tuple(_thing(rng, name, ink) for name in rng.sample(objects, 2))
    return Scene(things, rng.choice(RELATIONS), ground, shape)


def _thing(rng: random.Random, name: str, ink: list[str]) -> Thing:
    return Thing(name, rng.choice(ink), rng.choice(["small", "medium", "medium", "large"]))


def boxes(scene: Scene) -> list[tuple[Thing, Box]]:
    """Where each thing lies."""
    width, height = (n * CELL for n in scene.shape)
    whole = (0, 0, width, height)
    if len(scene.things) == 1:
        thing = scene.things[0]
        regions = _cut(whole, thing.count)
        side = min(_side(region, thing.size) for region in regions)
        return [(thing, _box(region, side)) for region in regions]
    first, second = _halves(whole, across=scene.relation in ("left", "right"))
    if scene.relation in ("right", "below"):
        first, second = second, first
    return [
        (t, _box(r, _side(r, t.size))) for t, r in zip(scene.things, (first, second), strict=True)
    ]


Region = tuple[int, int, int, int]  # left, top, right, bottom


def _halves(region: Region, across: bool) -> tuple[Region, Region]:
    x0, y0, x1, y1 = region
    x, y = (x0 + x1) // 2, (y0 + y1) // 2
    return ((x0, y0, x, y1), (x, y0, x1, y1)) if across else ((x0, y0, x1, y), (x0, y, x1, y1))


def _cut(region: Region, count: int) -> list[Region]:
    """`count` regions: rows of one, of two (four: two by two), or three along the longer side."""
    x0, y0, x1, y1 = region
    wide = x1 - x0 >= y1 - y0
    if count == 1:
        return [region]
    if count == 4:
        return [
            part for half in _halves(region, across=wide) for part in _halves(half, across=not wide)
        ]
    low, high = (x0, x1) if wide else (y0, y1)
    marks = [low + (high - low) * i // count // LATTICE * LATTICE for i in range(count)] + [high]
    return [(a, y0, b, y1) if wide else (x0, a, x1, b) for a, b in pairwise(marks)]


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
    width, height = (n * CELL * scale for n in scene.shape)
    picture = np.empty((height, width, 3), dtype=np.float32)
    picture[:] = COLOURS[scene.ground]
    for thing, (x, y, side) in boxes(scene):
        mask = icons.mask(thing.name, side * scale)
        paste(picture, mask, COLOURS[thing.colour], x * scale, y * scale)
    return picture.round().astype(np.uint8)


def weights(scene: Scene, scale: int = 1) -> NDArray[np.float32]:  # (height / 16, width / 16)
    """Of the loss at each latent: 1 on the ground, more where a thing lies, most if it is small."""
    width, height = (n * CELL * scale // LATTICE for n in scene.shape)
    weight = np.ones((height, width), dtype=np.float32)
    for _, (x, y, side) in boxes(scene):
        left, top, length = (n * scale // LATTICE for n in (x, y, side))
        weight[top : top + length, left : left + length] = 1 + OBJECT_WEIGHT / side
    return weight


def paste(
    picture: NDArray[np.float32], mask: icons.Mask, colour: tuple[int, int, int], x: int, y: int
) -> None:
    part = picture[y : y + mask.shape[0], x : x + mask.shape[1]]
    part += mask[: part.shape[0], : part.shape[1], None] * (np.asarray(colour, np.float32) - part)


def caption(scene: Scene, rng: random.Random) -> str:
    """One of many ways to say the scene; what is default may stay unsaid."""
    relation, things = scene.relation, scene.things
    if relation and rng.random() < 0.5:
        relation, things = OPPOSITE[relation], things[::-1]
    said = [_phrase(thing, rng) for thing in things]
    text = said[0] if relation is None else f"{said[0]} {relation} {said[1]}"
    if scene.ground == DEFAULT_GROUND and rng.random() < 0.5:
        return text
    ground = f"{scene.ground} background"
    return rng.choice(
        [f"{text} {ground}", f"{text} {ground}", f"{text}, {ground}", f"{ground}, {text}"]
    )


def _phrase(thing: Thing, rng: random.Random) -> str:
    silent = thing.size == "medium" and rng.random() < 0.8
    words = [COUNTS[thing.count]] if thing.count > 1 else []
    adjectives = (
        [thing.colour]
        if silent
        else rng.choice([[thing.size, thing.colour], [thing.colour, thing.size]])
    )
    return " ".join([*words, *adjectives, thing.name])


def plain(scene: Scene) -> str:
    """The scene as a person would say it."""
    where = {
        "left": "to the left of",
        "right": "to the right of",
        "above": "above",
        "below": "below",
    }
    said = []
    for thing in scene.things:
        size = "" if thing.size == "medium" else f"{thing.size} "
        many = f"{COUNTS[thing.count]} " if thing.count > 1 else "a "
        name = plural(thing.name) if thing.count > 1 else thing.name
        said.append(f"{many}{size}{thing.colour} {name}")
    text = said[0] if scene.relation is None else f"{said[0]} {where[scene.relation]} {said[1]}"
    return f"{text} on a {scene.ground} background"


SAME = ("fish", "sheep", "dice", "cherries", "grapes", "scissors", "glasses")  # many as one
ODD = {"leaf": "leaves"}


def plural(name: str) -> str:
    if name in SAME or name in ODD:
        return ODD.get(name, name)
    if name.endswith("y") and name[-2] not in "aeiou":
        return f"{name[:-1]}ies"
    return f"{name}es" if name.endswith(("s", "x", "sh", "ch")) else f"{name}s"


def loose(rng: random.Random) -> Picture:
    """Off the lattice, any colours, sizes and grounds: what the autoencoder must also bear."""
    width, height = (n * CELL for n in rng.choices(list(SHAPES), list(SHAPES.values()))[0])
    ramp = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    top, bottom = (np.asarray(_colour(rng), np.float32) for _ in range(2))
    picture = np.broadcast_to(
        top + (bottom - top) * ramp * (rng.random() < 0.4), (height, width, 3)
    ).copy()
    for _ in range(rng.randint(1, 5)):
        side = rng.randint(24, 192)
        shape = icons.mask(rng.choice(list(icons.atlas())), side)
        shape = shape[:, ::-1] if rng.random() < 0.5 else shape
        x, y = rng.randint(0, max(0, width - side)), rng.randint(0, max(0, height - side))
        paste(picture, shape, _colour(rng), x, y)
    return picture.round().astype(np.uint8)


def _colour(rng: random.Random) -> tuple[int, int, int]:
    if rng.random() < 0.5:
        return rng.choice(list(COLOURS.values()))
    return rng.randrange(256), rng.randrange(256), rng.randrange(256)
