"""Endless scenes, and the pictures of them in shards for the trainers.

    python -m training.sample --count 5000 --seed 1 --out runs/pictures

writes `runs/pictures-00000.npy`, uint8 (500, h, w, 3), and `runs/pictures-00000.jsonl`, a line a
picture with its scene and its placements, and so on. A shard depends on the seed and its number
alone, so that several workers give the same shards as one.
"""

import argparse
import dataclasses
import hashlib
import json
import multiprocessing
import random
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from imagemill.pico.backgrounds import VARIANTS, background_of, number
from imagemill.pico.concepts import concepts, traits
from imagemill.pico.layout import layout, place_of
from imagemill.pico.scene import (
    CLOSED,
    COLOURS,
    PLACES,
    STYLES,
    TIMES,
    WEATHERS,
    Placement,
    Scene,
    Thing,
)  # fmt: skip
from training.canvas import SIDE, Picture
from training.places import Size, background, cropped, stem
from training.teacher import draw, shipped

SHARD = 500
HELD_OUT = 20  # one pair of concepts in so many is never shown in training
BEINGS = ("person", "animal", "face")
MOUNTS = ("animal", "vehicle")
SUPPORTS = ("furniture", "vehicle", "building", "object", "animal", "nature", "food", "toy")
HOLLOW = ("object", "furniture", "vehicle", "building", "food", "plant", "nature", "clothing")
CONTAINERS = (
    "box", "basket", "bucket", "bowl", "mug", "coffee", "pot", "vase", "barrel", "bathtub",
    "shopping cart", "treasure chest", "glass", "jar", "backpack", "hat", "boot", "car", "canoe",
    "nest", "empty nest", "frying pan", "teapot", "handbag", "gift",
)  # fmt: skip
HOLDABLE = ("object", "food", "tool", "toy", "instrument", "plant", "clothing")
WORDS = (
    "Hello", "Welcome", "OPEN", "Love", "Pizza", "Happy Birthday", "2026", "SALE", "Coffee",
    "Thank you", "Good Night", "Merry Xmas", "Stop", "Go!", "Yes", "No", "Fun", "Music",
    "Party", "Cafe", "Hotel", "Hi!", "Dream", "Summer", "Winter", "Spring", "Team 7",
    "Game Over", "Level 1", "Play", "New York", "Paris", "Tokyo", "Zoo", "Books", "Bank",
    "School", "Taxi", "Fresh", "Wow!", "Be kind", "Zzz", "Jazz", "Queen", "King", "Magic",
    "Rock & Roll", "Let's go", "Quick", "fox", "Hope", "Peace", "Joy", "Space", "Moon", "Robot",
    "Cat", "Dog", "Mom", "Dad", "No. 1", "100", "50", "42", "A+", "x-ray",
)  # fmt: skip
CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!?&"


@dataclass(frozen=True)
class Concepts:
    """The concepts that may be sampled, by kind."""

    by_kind: Mapping[str, Sequence[str]]

    @classmethod
    def of(cls, names: Mapping[str, str]) -> "Concepts":
        """Of a kind for each name."""
        kinds: dict[str, list[str]] = {}
        for name, kind in names.items():
            kinds.setdefault(kind, []).append(name)
        return cls(kinds)

    @classmethod
    def shipped(cls) -> "Concepts":
        """All that have a drawing."""
        drawn = traits()
        return cls.of({each.name: each.kind for each in concepts().values() if each.name in drawn})

    @property
    def all(self) -> list[str]:
        return [name for names in self.by_kind.values() for name in names]

    def some(self, rng: random.Random, wanted: Sequence[str] = (), loyal: float = 1.0) -> str:
        """Any; or one of the kinds wanted, but for a share of 1 - loyal."""
        if wanted and rng.random() < loyal:
            among = [name for kind in wanted for name in self.by_kind.get(kind, ())]
            if among:
                return rng.choice(among)
        return rng.choice(self.all)

    def named(self, rng: random.Random, wanted: Sequence[str], loyal: float) -> str:
        known = set(self.all)
        among = [name for name in wanted if name in known]
        return rng.choice(among) if among and rng.random() < loyal else rng.choice(self.all)


def pair_held_out(a: str, b: str) -> bool:
    text = "|".join(sorted((a, b)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") % HELD_OUT == 0


def held_out(scene: Scene) -> bool:
    """Whether it shows two concepts together that training must not see together."""
    names = sorted({thing.concept for thing in scene.things})
    return any(pair_held_out(a, b) for i, a in enumerate(names) for b in names[i + 1 :])


# --- scenes


def _words(rng: random.Random) -> str:
    if rng.random() < 0.55:
        text = rng.choice(WORDS)
        return rng.choice((text, text, text.upper()))
    return "".join(rng.choice(CHARACTERS) for _ in range(rng.choice((1, 2, 3, 3, 4, 4, 5, 6, 8))))


def _colour(rng: random.Random) -> str:
    return rng.choice(COLOURS) if rng.random() < 0.3 else ""


def _size(rng: random.Random) -> float:
    return rng.choice((0.45, 0.6, 1.35, 1.6)) if rng.random() < 0.14 else 1.0


def _thing(rng: random.Random, concept: str, **more: object) -> Thing:
    thing = Thing(concept, _colour(rng), _size(rng))
    return dataclasses.replace(thing, **more)  # type: ignore[arg-type]


def _pair(rng: random.Random, concepts: Concepts, relation: str) -> tuple[Thing, Thing]:
    """The host and what stands to it in that relation."""
    some = concepts.some
    host, other = some(rng), some(rng)
    if relation == "rides":
        host, other = some(rng, MOUNTS, 0.85), some(rng, BEINGS, 0.85)
    elif relation == "holds":
        host, other = some(rng, BEINGS, 0.9), some(rng, HOLDABLE, 0.9)
    elif relation == "wears":
        host, other = some(rng, BEINGS, 0.9), some(rng, ("headwear", "headwear", "clothing"), 0.95)
    elif relation in ("on", "sits on"):
        host, other = (
            some(rng, SUPPORTS, 0.8),
            some(rng, BEINGS, 0.9 if relation == "sits on" else 0.4),
        )
    elif relation == "in":
        host = (
            concepts.named(rng, CONTAINERS, 0.5) if rng.random() < 0.5 else some(rng, HOLLOW, 0.9)
        )
    elif relation == "at":
        host, other = some(rng, ("furniture", "building"), 0.8), some(rng, BEINGS, 0.9)
    elif relation == "flies over":
        other = some(rng, ("animal", "vehicle", "sky"), 0.7)
    elif rng.random() < 0.1:
        other = host  # the same twice, to tell colours and sizes apart
    count = rng.randint(2, 4) if rng.random() < 0.1 and relation != "wears" else 1
    return _thing(rng, host), _thing(rng, other, relation=relation, of=0, count=count)


RELATED = {
    "beside": 5, "rides": 5, "holds": 5, "wears": 5, "sits on": 3, "on": 4, "in": 4, "under": 2,
    "behind": 3, "before": 3, "above": 2, "flies over": 2, "at": 2,
}  # fmt: skip


def _relation(rng: random.Random) -> str:
    return rng.choices(list(RELATED), list(RELATED.values()))[0]


def _things(rng: random.Random, concepts: Concepts) -> tuple[Thing, ...]:
    kind = rng.random()
    if kind < 0.03:
        return ()
    if kind < 0.38:
        return (_thing(rng, concepts.some(rng)),)
    if kind < 0.48:
        return (_thing(rng, concepts.some(rng), count=rng.randint(2, 6)),)
    pair = _pair(rng, concepts, _relation(rng))
    if kind < 0.82:
        return pair
    if kind < 0.86:
        return (_thing(rng, concepts.some(rng)), _thing(rng, concepts.some(rng)))
    more = [_more(rng, concepts, 2)]
    if kind > 0.96:
        more.append(_more(rng, concepts, 3))
    return (*pair, *more)


def _more(rng: random.Random, concepts: Concepts, n: int) -> Thing:
    """One more beside n things, alone or in relation to one of them."""
    if rng.random() < 0.45:
        count = rng.randint(2, 4) if rng.random() < 0.3 else 1
        return _thing(rng, concepts.some(rng), count=count)
    relation, of = _relation(rng), rng.randrange(n)
    return dataclasses.replace(_pair(rng, concepts, relation)[1], of=of, count=1)


def _lettered(rng: random.Random, things: tuple[Thing, ...]) -> tuple[Thing, ...]:
    i = rng.randrange(len(things))
    marked = dataclasses.replace(things[i], letters=_words(rng), count=1)
    return (*things[:i], marked, *things[i + 1 :])


def once(rng: random.Random, concepts: Concepts) -> Scene:
    """A scene by lot, also one that is held out."""
    things = _things(rng, concepts)
    place = rng.choice(PLACES) if not things or rng.random() < 0.75 else ""
    style = "3d" if rng.random() < 0.55 else rng.choice(STYLES[1:])
    scene = Scene(things, place, "day" if rng.random() < 0.3 else rng.choice(TIMES), style=style)
    if rng.random() < 0.25 and place_of(scene) not in CLOSED:
        scene = dataclasses.replace(scene, weather=rng.choice(WEATHERS[1:]))
    if things and rng.random() < 0.05:
        scene = dataclasses.replace(scene, closeup=True)
    if rng.random() < 0.05:
        scene = dataclasses.replace(scene, title=_words(rng))
    elif things and rng.random() < 0.035:
        scene = dataclasses.replace(scene, things=_lettered(rng, things))
    return scene


def sample(rng: random.Random, concepts: Concepts) -> Scene:
    """A scene by lot, never one that is held out."""
    while held_out(scene := once(rng, concepts)):
        pass
    return scene


# --- backgrounds, drawn once and used often


@dataclass
class Pool:
    """Empty places, by number and variant, and as much of them as a picture of that size shows."""

    size: Size
    drawn: dict[tuple[int, int], Picture] = field(default_factory=dict)

    @classmethod
    def stored(cls, out: str, size: Size) -> "Pool":
        """The pool that `training.places` wrote, for sizes up to its own; several processes
        share its memory.
        """
        pictures = np.load(f"{stem(out, (SIDE, SIDE))}.npy", mmap_mode="r")
        return cls(size, {divmod(i, VARIANTS): each for i, each in enumerate(pictures)})

    def empty(self, scene: Scene, variant: int) -> Picture:
        key = number(scene), variant
        if key not in self.drawn:
            self.drawn[key] = background(*background_of(scene), variant)
        return cropped(self.drawn[key], self.size)


@dataclass(frozen=True)
class Sample:
    """variant, mirrored: of the scene's background."""

    picture: Picture
    scene: Scene
    placements: list[Placement]
    variant: int
    mirrored: bool

    def as_json(self) -> dict[str, object]:
        return {
            "scene": dataclasses.asdict(self.scene),
            "placements": [dataclasses.astuple(each) for each in self.placements],
            "variant": self.variant,
            "mirrored": self.mirrored,
        }


def draw_one(rng: random.Random, concepts: Concepts, pool: Pool) -> Sample:
    scene = sample(rng, concepts)
    placements = layout(scene, traits(), rng)
    variant, mirrored = rng.randrange(VARIANTS), rng.random() < 0.5
    empty = pool.empty(scene, variant)[:, :: -1 if mirrored else 1]
    picture = draw(scene, placements, rng.randrange(2**31), pool.size, empty=empty)
    return Sample(picture, scene, placements, variant, mirrored)


# --- shards


@dataclass(frozen=True)
class Order:
    """One shard to write."""

    out: str
    number: int
    count: int
    seed: int
    size: Size
    pool: str


POOLS: dict[tuple[str, Size], Pool] = {}  # of this process


def pool_of(order: Order) -> Pool:
    key = (order.pool, order.size)
    if key not in POOLS:
        POOLS[key] = Pool.stored(*key) if order.pool else Pool(order.size)
    return POOLS[key]


def write(order: Order) -> str:
    rng = random.Random(f"{order.seed} {order.number}")
    pool = pool_of(order)
    concepts = Concepts.shipped()
    w, h = order.size
    pictures = np.empty((order.count, h, w, 3), np.uint8)
    lines = []
    for i in range(order.count):
        sample = draw_one(rng, concepts, pool)
        pictures[i] = sample.picture
        lines.append(json.dumps(sample.as_json()))
    name = f"{order.out}-{order.number:05d}"
    np.save(f"{name}.npy", pictures)
    Path(f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return name


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", required=True, help="the beginning of the shards' names")
    parser.add_argument("--sizes", default="512x512", help="of the shards in turn: 512x512,768x512")
    parser.add_argument("--pool", default="", help="of places, as `training.places` wrote it")
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    sizes = [tuple(int(n) for n in text.split("x")) for text in options.sizes.split(",")]
    out = options.out.removesuffix(".npz").removesuffix(".npy")
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    orders = [
        Order(
            out,
            k,
            min(SHARD, options.count - k * SHARD),
            options.seed,
            (size[0], size[1]),
            options.pool,
        )
        for k in range(-(-options.count // SHARD))
        for size in [sizes[k % len(sizes)]]
    ]
    shipped()
    began = time.perf_counter()
    if options.workers == 1:
        for order in orders:
            print(write(order), round(time.perf_counter() - began, 1), "s", flush=True)
    else:
        with multiprocessing.Pool(options.workers) as workers:
            for name in workers.imap(write, orders):
                print(name, round(time.perf_counter() - began, 1), "s", flush=True)
    spent = time.perf_counter() - began
    print(f"{1000 * spent / options.count:.0f} ms a picture", file=sys.stderr)


if __name__ == "__main__":
    main()
