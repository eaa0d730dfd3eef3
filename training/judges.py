"""What a picture shows, by comparing its parts with all drawings: it is judged, not admired.

A thing counts as seen where, of all drawings, its own fits best where the plan puts it, or one that
is so like it that a person would hardly tell them apart: a guard and a man as a guard.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from imagemill.pico.backgrounds import VARIANTS
from imagemill.pico.scene import PAINTS, PLACES, TIMES, Placement
from training.canvas import Picture
from training.places import background
from training.teacher import Atlas, recoloured, shades, spot

SIDE = 40  # px in which parts are compared
GROUND = 24  # px in which places are compared
LEAST = 28  # px of the picture that a thing must have to be judged
ALIKE = 0.8  # correlation of light, slopes and colours, from which on a drawing passes for another
COVERED = 0.35  # of a thing, by what stands before it, from which on it is not judged
COLOURFUL, COLOURLESS = (1.0, 1.5, 0.7), (0.7, 2.0, 0.0)  # weights of light, slopes, colours

Squares = NDArray[np.float32]  # (n, SIDE, SIDE, 4), premultiplied, 0 to 1


@dataclass(frozen=True)
class Judge:
    atlas: Atlas

    @cached_property
    def names(self) -> list[str]:
        return [name for name in self.atlas.index if not name.startswith("letter:")]

    @cached_property
    def squares(self) -> Squares:
        cells = (Image.fromarray(self.atlas.cells[self.atlas.index[n]], "RGBA") for n in self.names)
        return np.stack([_square(cell) for cell in cells])

    @cached_property
    def alike(self) -> NDArray[np.bool_]:
        """(n, n): which drawings pass for which, on a grey ground."""
        on_grey = self.squares[..., :3] + (1 - self.squares[..., 3:]) * np.float32(0.7)
        features = [_even(kind) for kind in _kinds(on_grey)]
        alike: NDArray[np.bool_] = np.min([each @ each.T for each in features], 0) > ALIKE
        return alike

    def seen(self, picture: Picture, placement: Placement) -> tuple[str, float]:
        """The concept whose drawing fits best there, and how well it does, -1 to 1; the one that
        is placed there, where the best passes for it.
        """
        scores = self.scores(picture, placement)
        best, own = int(scores.argmax()), self.names.index(placement.concept)
        best = own if self.alike[best, own] else best
        return self.names[best], float(scores[best])

    def scores(self, picture: Picture, placement: Placement) -> NDArray[np.float32]:
        """Of every concept: the correlation of its drawing over the part's own border with it.
        Where a colour was asked for, colours do not count.
        """
        part = _part(picture, placement)
        squares = self.squares[:, :, ::-1] if placement.flip else self.squares
        edge = np.concatenate([part[0], part[-1], part[:, 0], part[:, -1]])
        border = np.median(edge, 0)
        fitted = squares[..., :3] + (1 - squares[..., 3:]) * border.astype(np.float32)
        weights = COLOURLESS if placement.colour else COLOURFUL
        return _correlation(_features(fitted, weights), _features(part[None], weights))

    def colour(self, picture: Picture, placement: Placement) -> str:
        """The colour in which the drawing would be most like the part."""
        square = self.squares[self.names.index(placement.concept)]
        square = square[:, ::-1] if placement.flip else square
        part, inside = _part(picture, placement), square[..., 3] > 0.9
        vivid, mid = shades(self.atlas, placement.concept)
        sprite = square * np.array((255, 255, 255, 1), np.float32)
        paints = {
            paint: recoloured(sprite, paint, vivid, mid)[inside][:, :3] / 255 for paint in PAINTS
        }
        observed = _opponent(part[inside])
        apart = {paint: np.abs(observed - _opponent(each)).mean() for paint, each in paints.items()}
        return min(apart, key=lambda paint: float(apart[paint]))


def _opponent(colours: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n, 3) to (n, 4): hue counts more than light, which the time of day changes."""
    light = colours.mean(-1, keepdims=True)
    return np.concatenate([(colours - light) * 2 / (light + 0.3), light], -1, dtype=np.float32)


def _square(cell: Image.Image) -> Squares:
    return _unit(cell.resize((SIDE, SIDE), Image.Resampling.BOX))


def cropped(picture: Picture, placement: Placement, margin: float = 0.0) -> Image.Image:
    """The square in which a thing is placed, larger on every side by a margin of its own side."""
    h, w = picture.shape[:2]
    at = spot(placement, (w, h))
    half = max(at.width, at.height) * (0.5 + margin)
    x, y = at.left + at.width / 2, at.top + at.height / 2
    box = tuple(round(n) for n in (x - half, y - half, x + half, y + half))
    pad = max(0, -box[0], -box[1], box[2] - w, box[3] - h)
    if pad:
        picture = np.pad(picture, ((pad, pad), (pad, pad), (0, 0)), "edge")
    left, top, right, bottom = (n + pad for n in box)
    return Image.fromarray(picture).crop((left, top, right, bottom))


def _part(picture: Picture, placement: Placement) -> NDArray[np.float32]:  # (SIDE, SIDE, 3)
    part = cropped(picture, placement)
    return _unit(part.resize((SIDE, SIDE), Image.Resampling.BOX))


def _features(
    parts: NDArray[np.float32], weights: tuple[float, float, float]
) -> NDArray[np.float32]:
    """(n, h, w, 3) to (n, features) of length 1."""
    weighted = [w * _even(kind) for w, kind in zip(weights, _kinds(parts), strict=True)]
    joined: NDArray[np.float32] = np.concatenate(weighted, axis=1) / np.linalg.norm(weights)
    return joined


def _kinds(parts: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
    """Light, its slopes, which styles and tints leave, and colours."""
    light = parts.mean(-1)
    down, across = np.diff(light, axis=1), np.diff(light, axis=2)
    edges = np.hypot(down[:, :, :-1], across[:, :-1])
    return light, edges, parts - light[..., None]


def _even(values: NDArray[np.float32]) -> NDArray[np.float32]:
    flat = values.reshape(len(values), -1)
    flat = flat - flat.mean(1, keepdims=True)
    unit: NDArray[np.float32] = flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-3)
    return unit


def _correlation(those: NDArray[np.float32], one: NDArray[np.float32]) -> NDArray[np.float32]:
    products: NDArray[np.float32] = those @ one[0]
    return products


@dataclass(frozen=True)
class Places:
    """Tells places apart by the teacher's empty ones, `variants` of each place and time, which are
    none of those that pico knows.
    """

    variants: int = 3

    @cached_property
    def known(self) -> list[tuple[str, NDArray[np.float32]]]:
        return [
            (place, _ground(background(place, time, "", seed, (128, 128))))
            for place in PLACES
            for time in TIMES
            for seed in range(VARIANTS, VARIANTS + self.variants)
        ]

    def seen(self, picture: Picture, placements: Sequence[Placement]) -> str:
        """The place that is most like what the things leave free."""
        free, (h, w) = np.ones(picture.shape[:2], np.float32), picture.shape[:2]
        for at in (spot(each, (w, h)) for each in placements):
            free[
                max(0, at.top) : max(0, at.bottom), max(0, at.left) : max(0, at.left + at.width)
            ] = 0
        mask, ground = _ground(free), _ground(picture)
        return min(self.known, key=lambda one: _distance(ground, one[1], mask))[0]


def _ground(picture: NDArray[Any]) -> NDArray[np.float32]:
    """(GROUND, GROUND, ...), whatever the size; bytes become 0 to 1."""
    image = Image.fromarray(picture)
    small = np.asarray(image.resize((GROUND, GROUND), Image.Resampling.BOX), np.float32)
    return (small / 255 if picture.dtype == np.uint8 else small).astype(np.float32)


def _distance(a: NDArray[np.float32], b: NDArray[np.float32], mask: NDArray[np.float32]) -> float:
    """Of colours, and of light from row to row."""
    slopes = (np.diff(each.mean(-1), axis=0) for each in (a, b))
    rows = np.abs(np.subtract(*slopes)) * np.minimum(mask[1:], mask[:-1])
    whole = np.abs(a - b).mean(-1) * mask
    return float(whole.sum() / (mask.sum() + 1e-3) + 2 * rows.sum() / (mask.sum() + 1e-3))


def _unit(image: Image.Image) -> NDArray[np.float32]:
    return np.asarray(image, np.float32) / np.float32(255)


def visible(placements: Sequence[Placement], size: tuple[int, int]) -> list[int]:
    """Which of the placements can be judged: things that are large and open enough."""
    spots = [spot(each, size) for each in placements]
    out = []
    for i, at in enumerate(spots):
        if placements[i].concept.startswith("letter:") or min(at.width, at.height) < LEAST:
            continue
        free = np.ones((at.height, at.width), bool)
        for other in spots[i + 1 :]:
            y0, x0 = max(0, other.top - at.top), max(0, other.left - at.left)
            y1, x1 = other.bottom - at.top, other.left + other.width - at.left
            free[y0 : max(0, y1), x0 : max(0, x1)] = False
        if 1 - free.mean() < COVERED:
            out.append(i)
    return out


@dataclass
class Tally:
    """Answers by question."""

    answers: dict[str, list[bool]] = field(default_factory=dict)

    def add(self, question: str, right: bool) -> None:
        self.answers.setdefault(question, []).append(right)

    def share(self, question: str) -> float:
        answers = self.answers.get(question, [])
        return sum(answers) / len(answers) if answers else float("nan")


def interval(right: int, count: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share."""
    if count == 0:
        return 0.0, 1.0
    z, share = 1.96, right / count
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z * math.sqrt(share * (1 - share) / count + z * z / (4 * count**2)) / (1 + z * z / count)
    return max(0.0, middle - half), min(1.0, middle + half)
