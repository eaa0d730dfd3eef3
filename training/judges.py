"""What a picture shows, seen without a model, where the scene says it should be.

Ground: which of all the grounds its border is nearest to. Object: which of all the vocabulary's
silhouettes, in the style asked for, fits best where one is due, moved by at most an eighth of its
side. Colour: most of what is not ground under the named silhouette, where it fits best. Relation:
the things are sought over the whole picture by colour and silhouette, then their centres are
compared. Style, where it is not flat: in which one the named silhouettes fit best. Alone: next to
no ink where nothing is due. A thing of several copies is right when every copy is.
"""

import math
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from itertools import compress, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training import grounds, scenes, styles
from training.grounds import COLOURS, GROUNDS, Pixels, Shape
from training.scenes import Box, Picture, Relation, Scene, Thing
from training.styles import STYLES, Style

SIDE = 32  # cells of a silhouette that is compared
MARGIN = SIDE // 8  # cells that it may be off
BORDER = 8  # px
POOL = 8  # px of a cell in the search for things
CONTRAST = np.float32(0.15)  # deviation; the thinnest silhouette has 0.2
FOUND = 0.4  # least correlation of a thing found
SEEN = 0.2  # least correlation of a thing that stands where it is due
SPARE = 0.02  # of a picture may be ink where nothing is due: less than a small thing has
UNLIKE = 40.0  # least distance of ink from the ground
NAMES = tuple(COLOURS)
PALETTE = np.array(list(COLOURS.values()), np.float32)
QUESTIONS = ("ground", "colour", "object", "relation", "style", "alone")

Grid = NDArray[np.float32]
Point = tuple[float, float]  # x, y


@dataclass
class Tally:
    """Answers by question, by kind of scene, and by object whether it was recognised."""

    answers: dict[str, list[bool]] = field(default_factory=lambda: {q: [] for q in QUESTIONS})
    kinds: dict[str, "Tally"] = field(default_factory=dict)
    objects: dict[str, list[bool]] = field(default_factory=lambda: defaultdict(list))

    def judge(
        self,
        picture: Picture,
        scene: Scene,
        objects: tuple[str, ...],
        counted: Callable[[Thing, Scene], bool] = lambda _thing, _scene: True,
    ) -> None:
        """counted: which things' objects and colours count."""
        answers, things = judged(picture, scene, objects), scene.things
        kept = [counted(thing, scene) for thing in things]
        for question in ("object", "colour"):
            answers[question] = list(compress(answers[question], kept))
        for thing, right in zip(compress(things, kept), answers["object"], strict=True):
            self.objects[thing.name].append(right)
        for tally in (self, *(self.kinds.setdefault(kind, Tally()) for kind in scene.kinds)):
            for question, answered in answers.items():
                tally.answers[question] += answered

    def share(self, question: str) -> float:
        answers = self.answers[question]
        return sum(answers) / max(1, len(answers))

    def worst(self) -> list[tuple[str, int, int]]:
        """(object, times recognised, times asked), the least recognised first."""
        rows = [(name, sum(right), len(right)) for name, right in self.objects.items()]
        return sorted(rows, key=lambda row: (row[1] / row[2], -row[2]))


def judged(picture: Picture, scene: Scene, objects: tuple[str, ...]) -> dict[str, list[bool]]:
    """The answers to each question, one for each thing where it is of things."""
    ground = ground_of(picture, scene.shape)
    behind = grounds.pixels(ground, scene.shape)
    answers: dict[str, list[bool]] = {question: [] for question in QUESTIONS}
    answers["ground"].append(ground == scene.ground)
    fits = np.zeros(len(STYLES))
    for thing in scene.things:
        around, cover = _around(thing, scene, behind), _cover(thing, scene)
        placed = [box for owner, box in scenes.boxes(scene) if owner is thing]
        views = [View.of(picture, around, box, cover) for box in placed]
        seen = [view.look(thing.name, scene.style, objects) for view in views]
        answers["object"].append(all(name == thing.name for name, _ in seen))
        answers["colour"].append(all(colour == thing.colour for _, colour in seen))
        fits += [sum(view.fit(thing.name, style) for view in views) for style in STYLES]
    if scene.relation:
        answers["relation"].append(related(picture, scene, behind))
    if shows_style(scene):
        answers["style"].append(STYLES[int(fits.argmax())] == scene.style)
    answers["alone"].append(alone(picture, scene, behind))
    return answers


def alone(picture: Picture, scene: Scene, behind: Pixels) -> bool:
    """Whether there is nothing but what is due."""
    ink = inks(picture, behind) != GROUND
    for _, (x, y, side) in scenes.boxes(scene):
        margin = side * MARGIN // SIDE
        top, left = max(0, y - margin), max(0, x - margin)
        ink[top : y + side + margin, left : x + side + margin] = False
    return bool(ink.mean() < SPARE)


def _around(thing: Thing, scene: Scene, behind: Pixels) -> Pixels:
    """What is seen where the thing is not: the ground, or what it is inside of."""
    if scene.relation != "inside" or thing is not scene.things[0]:
        return behind
    outer, (x, y, side) = scenes.boxes(scene)[1]
    wide = behind.copy()
    scenes.paste(wide, styles.mask(outer.name, side, scene.style), COLOURS[outer.colour], x, y)
    return wide


def _cover(thing: Thing, scene: Scene) -> Box | None:
    """Where the thing is painted over by what is inside of it."""
    covered = scene.relation == "inside" and thing is scene.things[1]
    return scenes.boxes(scene)[0][1] if covered else None


def shows_style(scene: Scene) -> bool:
    """Whether it has one, and its things are large and thick enough to tell the styles apart."""
    if scene.style == "flat":
        return False
    sides = [side for _, (_, _, side) in scenes.boxes(scene)]
    return min(sides) >= styles.SHOWN and all(styles.thick(t.name) for t in scene.things)


def ground_of(picture: Picture, shape: Shape) -> str:
    """The nearest to the border; what is far from all, such as a thing there, counts alike."""
    off = _border(picture.astype(np.float32)) - _borders(shape)
    distances = np.minimum(np.square(off).sum(-1), UNLIKE**2).mean(-1)
    return GROUNDS[int(distances.argmin())]


@cache
def _borders(shape: Shape) -> Grid:  # (grounds, pixels, 3)
    return np.stack([_border(grounds.pixels(ground, shape)) for ground in GROUNDS])


def _border(pixels: Grid) -> Grid:
    """Every second pixel of the border, (pixels, 3)."""
    inner = np.zeros(pixels.shape[:2], dtype=bool)
    inner[BORDER:-BORDER, BORDER:-BORDER] = True
    inner[1::2] = inner[:, 1::2] = True
    border: Grid = pixels[~inner]
    return border


def nearest(pixels: NDArray[np.uint8] | Grid) -> NDArray[np.intp]:  # (..., 3) to (...)
    """The nearest of the palette's colours, as its index."""
    closest: NDArray[np.intp] = _distances(pixels).argmin(-1)
    return closest


def _distances(pixels: NDArray[np.uint8] | Grid) -> Grid:  # (..., colours)
    """Squared, to each of the palette, but for what is the same for all."""
    distances: Grid = pixels.astype(np.float32) @ (-2 * PALETTE.T) + (PALETTE**2).sum(-1)
    return distances


GROUND = -1


def inks(pixels: NDArray[np.uint8] | Grid, behind: Grid) -> NDArray[np.intp]:
    """As `nearest`, but GROUND where a pixel is nearer to what lies behind."""
    pixels = pixels.astype(np.float32)
    distances = _distances(pixels)
    off = np.square(pixels - behind).sum(-1)
    ink = off > distances.min(-1) + np.square(pixels).sum(-1) + 1
    return np.where(ink & (off > UNLIKE**2), distances.argmin(-1), GROUND)


@dataclass(frozen=True)
class View:
    """A box with its margin, in cells."""

    patch: Grid  # (SIDE + 2 MARGIN, ~, 3)
    behind: Grid
    windows: Grid  # (places, SIDE * SIDE), centred: how much ink there is
    side: int  # px of the box
    bare: NDArray[np.bool_]  # (SIDE, SIDE) of the box: not painted over

    @classmethod
    def of(cls, picture: Picture, behind: Pixels, box: Box, cover: Box | None = None) -> "View":
        patch, ground = cut(picture, box), cut(behind, box)
        off = np.linalg.norm(patch - ground, axis=-1)
        inked = np.clip(off / max(float(np.percentile(off, 97)), UNLIKE), 0, 1)
        windows = np.lib.stride_tricks.sliding_window_view(inked, (SIDE, SIDE))
        bare = np.ones((SIDE, SIDE), dtype=bool)
        if cover:
            x, y, side = (
                (n - at) * SIDE // box[2] for n, at in zip(cover, (*box[:2], 0), strict=True)
            )
            bare[y : y + side, x : x + side] = False
        return cls(patch, ground, _centred(windows.reshape(-1, SIDE * SIDE)), box[2], bare)

    def fit(self, named: str, style: Style) -> float:
        return float((self.windows @ _templates((named,), self.side, style).T).max())

    def look(self, named: str, style: Style, objects: tuple[str, ...]) -> tuple[str, str]:
        """Which object is here, and what colour lies under the silhouette of `named`."""
        fits = self.windows @ _templates(objects, self.side, style).T  # (places, objects)
        y, x = divmod(int(fits[:, objects.index(named)].argmax()), 2 * MARGIN + 1)
        mask = _silhouette(named, self.side, style)
        inside = self.bare & (
            mask >= min(0.9, np.sort(mask, axis=None)[-12])
        )  # twelve cells where all are thin
        here = np.s_[y : y + SIDE, x : x + SIDE]
        cells, behind = self.patch[here][inside], self.behind[here][inside]
        under = inks(cells, behind)
        off = np.linalg.norm(cells - behind, axis=-1)
        inked = under != GROUND
        name = objects[fits.max(0).argmax()] if fits.max() >= SEEN else "none"
        if inked.mean() < 1 / 8:
            return name, "none"
        # The half that is furthest from the ground: what is near is an edge, of mixed colours.
        ink = under[inked & (off >= np.median(off[inked]))]
        return name, NAMES[np.bincount(ink).argmax()]


def cut(pixels: NDArray[Any], box: Box) -> Grid:
    """The box and its margin as (SIDE + 2 MARGIN, ~, 3) cells; beyond, the picture's edge."""
    left, top, side = box
    margin = side * MARGIN // SIDE
    wide = np.pad(pixels, ((margin, margin), (margin, margin), (0, 0)), mode="edge")
    part = wide[top : top + side + 2 * margin, left : left + side + 2 * margin]
    return pool(part, side // SIDE)


def pool(pixels: NDArray[Any], px: int) -> Grid:
    """Means of squares of `px`."""
    height, width, *rest = pixels.shape
    squares = pixels.reshape(height // px, px, width // px, px, *rest)
    means: Grid = squares.mean((1, 3), dtype=np.float32)
    return means


@cache
def _silhouette(name: str, side: int, style: Style) -> Grid:  # (SIDE, SIDE)
    return pool(styles.mask(name, side, style), side // SIDE)


@cache
def _templates(objects: tuple[str, ...], side: int, style: Style) -> Grid:  # (objects, SIDE * SIDE)
    return _centred(np.stack([_silhouette(name, side, style).ravel() for name in objects]))


def _centred(rows: Grid) -> Grid:
    """Rows whose products are correlations; one of little contrast correlates with nothing."""
    rows = rows - rows.mean(-1, keepdims=True)
    contrast = np.sqrt((rows * rows).mean(-1, keepdims=True))
    unit: Grid = rows / (np.maximum(contrast, CONTRAST) * math.sqrt(rows.shape[-1]))
    return unit


def related(picture: Picture, scene: Scene, behind: Pixels) -> bool:
    """Whether each thing is where the relation says, wherever in the picture they all are."""
    colours = inks(picture, behind)
    sought = [search(colours, thing, box[2], scene.style) for thing, box in scenes.boxes(scene)]
    if scene.relation == "inside":
        inner, outer = sought
        (x0, y0), (x1, y1) = inner.place, outer.place
        off = max(abs(x0 - x1), abs(y0 - y1))
        return min(inner.best, outer.best) >= FOUND and off < outer.side / 4
    places: dict[int, Point] = {}
    while len(places) < len(sought):
        left = [i for i in range(len(sought)) if i not in places]
        surest = max(left, key=lambda i: sought[i].best)
        if sought[surest].best < FOUND:
            return False
        place = places[surest] = sought[surest].place
        sought = [found.away_from(place) for found in sought]  # one red thing is not two
    pairs = pairwise(places[i] for i in range(len(sought)))
    return all(_stands(first, second, scene.relation) for first, second in pairs)


def _stands(first: Point, second: Point, relation: Relation | None) -> bool:
    right, down = first[0] - second[0], first[1] - second[1]
    along, across = (right, down) if relation in ("left", "right") else (down, right)
    sign = -1 if relation in ("left", "above") else 1
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


def search(colours: NDArray[np.intp], thing: Thing, side: int, style: Style) -> Found:
    """Fits of the thing's silhouette among the pixels of its colour, over the whole picture."""
    cells = pool(colours == NAMES.index(thing.colour), POOL)
    n = side // POOL
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(cells, n // 2), (n, n))
    silhouette = pool(styles.mask(thing.name, side, style), POOL)
    fits = _centred(windows.reshape(-1, n * n)) @ _centred(silhouette.reshape(1, -1)).T
    return Found(fits.reshape(windows.shape[:2]), side)
