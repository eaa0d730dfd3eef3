"""Draws the finished picture of a scene: the target that the network learns to draw.

picture = draw(scene, layout(scene, traits(), rng), seed, (512, 512))
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from imagemill.pico.backgrounds import background_of
from imagemill.pico.clusters import kind
from imagemill.pico.concepts import traits
from imagemill.pico.layout import GROUND, HORIZON, place_of
from imagemill.pico.scene import CLOSED, PAINTS, Placement, Scene
from imagemill.pico.sizes import ALOFT, FLYERS, SWIMMERS
from training.atlas import ATLAS, trimmed
from training.canvas import SIDE, TINT, Picture
from training.looks import Looks
from training.places import background
from training.styles import FILTERS, GREY, even

Sprite = NDArray[np.floating[Any]]  # (h, w, 4), premultiplied, colours 0..255 and alpha 0..1
Drawing = NDArray[np.uint8]  # (h, w, 4), premultiplied

FLAT_COLOURS = 7  # of a drawing without shading
LIGHTS = frozenset(
    # what glows in the dark
    [
        "street lamp",
        "lamp",
        "paper lantern",
        "candle",
        "light bulb",
        "fire",
        "jack-o'-lantern",
        "moon",
        "star",
        "sun",
        "crescent moon",
        "glowing star",
        "fireplace",
        "flashlight",
        "lighthouse",
        "fireworks",
        "sparkles",
        "oil lamp",
        "heart on fire",
        "phoenix",
        "shooting star",
        "half moon",
        "comet",
    ]
)
DRY = frozenset({"space", "sky", "sea"})  # places where nothing stands and throws a shadow


# --- drawings


@dataclass(frozen=True)
class Atlas:
    """Every drawing, in its square of 256 px."""

    cells: NDArray[np.uint8]  # (n, 256, 256, 4)
    index: dict[str, int]
    aspects: dict[str, float]

    def __hash__(self) -> int:
        return id(self)

    def __eq__(self, other: object) -> bool:
        return self is other

    @classmethod
    def shown(cls, looks: Looks) -> "Atlas":
        """What is left of the drawings in the table of looks."""
        codes = looks.encoder.codes * looks.encoder.scale
        drawn = looks.sketcher.drawings(codes.float()).permute(0, 2, 3, 1)
        cells = (255 * drawn).round().to(torch.uint8).numpy().repeat(4, 1).repeat(4, 2)
        return cls(cells[:, 1::3, 1::3], looks.index, {n: traits()[n][0] for n in looks.names})

    def drawing(self, concept: str) -> Drawing:
        return trimmed(self.cells[self.index[concept]], self.aspects[concept])


@cache
def shipped(folder: Path = ATLAS) -> Atlas:
    """The atlas that `training.atlas` wrote."""
    names = json.loads((folder / "names.json").read_text(encoding="utf-8"))
    cells = np.load(folder / "atlas.npy", mmap_mode="r")
    return Atlas(cells, {n: i for i, n in enumerate(names)}, {n: traits()[n][0] for n in names})


@lru_cache(2048)
def _even(atlas: Atlas, concept: str) -> Drawing:
    """A drawing in few colours."""
    drawing = atlas.drawing(concept)
    alpha = drawing[..., 3:].astype(np.float32) / 255
    rgb = np.clip(drawing[..., :3] / np.maximum(alpha, 1 / 255), 0, 255).astype(np.uint8)
    solid = np.where(alpha > 0.5, rgb, rgb[alpha[..., 0] > 0.5].mean(0).astype(np.uint8))
    colours = even(solid.astype(np.uint8), FLAT_COLOURS)
    return np.concatenate([(colours * alpha).astype(np.uint8), drawing[..., 3:]], -1)


@lru_cache(4096)
def shades(atlas: Atlas, concept: str) -> tuple[bool, float]:
    """Whether a drawing is colourful, and how light its colourful parts are."""
    drawing = atlas.drawing(concept)[::2, ::2]
    inside = drawing[drawing[..., 3] > 127].astype(np.float32)
    rgb = inside[:, :3] / inside[:, 3:]
    colourful = _saturated(rgb)
    vivid = bool(colourful.mean() > 0.2)
    weight = colourful + 1e-6 if vivid else np.ones(len(rgb), np.float32)
    return vivid, float(np.average(rgb @ GREY, weights=weight))


def _saturated(rgb: Sprite) -> Sprite:
    """How much of a colour a pixel has, 0 (grey) to 1."""
    r, g, b = rgb[..., 0], rgb[..., 1], rgb[..., 2]
    high, low = np.maximum(np.maximum(r, g), b), np.minimum(np.minimum(r, g), b)
    return np.clip(((high - low) / np.maximum(high, 1e-3) - 0.12) / 0.2, 0, 1)


def recoloured(sprite: Sprite, colour: str, vivid: bool, mid: float) -> Sprite:
    """The colourful parts take the colour's hue and keep their light and shade."""
    paint = np.array(PAINTS[colour], np.float32)
    alpha = sprite[..., 3:]
    rgb = sprite[..., :3] / np.maximum(alpha * 255, 1e-3)
    shade = np.clip((rgb @ GREY) / max(mid, 0.08), 0.25, 1.9)[..., None]
    light = paint + (1 - paint) * np.clip((shade - 1) / 1.4, 0, 1)
    new = np.where(shade <= 1, paint * (0.25 + 0.75 * shade), light)
    if vivid:
        new = rgb + (new - rgb) * _saturated(rgb)[..., None]
    return np.concatenate([np.clip(new, 0, 1) * (255 * alpha), alpha], -1)


def sprite(atlas: Atlas, p: Placement, size: tuple[int, int], style: str) -> Sprite:
    """A placed drawing in its size and colour."""
    lettering = p.concept.startswith("letter:")
    drawing = (
        _even(atlas, p.concept) if style == "flat" and not lettering else atlas.drawing(p.concept)
    )
    if p.flip:
        drawing = drawing[:, ::-1]
    image = Image.frombytes("RGBa", drawing.shape[1::-1], np.ascontiguousarray(drawing).tobytes())
    image = image.resize(
        size, Image.Resampling.LANCZOS if style != "flat" else Image.Resampling.BICUBIC
    )
    out = np.frombuffer(image.tobytes(), np.uint8).reshape(size[1], size[0], 4).astype(np.float32)
    out[..., 3] /= 255
    np.minimum(out[..., :3], out[..., 3:] * 255, out=out[..., :3])
    if p.colour and lettering:
        out[..., :3] *= np.array(PAINTS[p.colour], np.float32)
    elif p.colour:
        out = recoloured(out, p.colour, *shades(atlas, p.concept))
    return out


# --- where they stand


@dataclass(frozen=True)
class Spot:
    """A placement in pixels."""

    left: int
    top: int
    width: int
    height: int

    @property
    def bottom(self) -> int:
        return self.top + self.height

    @property
    def middle(self) -> float:
        return self.left + self.width / 2


def spot(p: Placement, size: tuple[int, int]) -> Spot:
    w, h = size
    side = min(size)
    x, y = p.anchor_x * w + p.dx * side, p.anchor_y * h + p.dy * side
    wide, high = max(2, round(p.width * side)), max(2, round(p.height * side))
    return Spot(round(x - wide / 2), round(y - high / 2), wide, high)


def _held(k: int, spots: Sequence[Spot], placements: Sequence[Placement]) -> bool:
    """Whether something else reaches from above its foot to below it: it rides, sits or is worn."""
    own = spots[k]
    for i, other in enumerate(spots):
        if i != k and not placements[i].concept.startswith("letter:"):
            across = other.left < own.middle < other.left + other.width
            if (
                across
                and other.top < own.bottom - 2
                and other.bottom > own.bottom + 0.04 * other.height
            ):
                return True
    return False


def standing(
    placements: Sequence[Placement], spots: Sequence[Spot], place: str, height: int
) -> list[bool]:
    """Which of the placements stand on the ground themselves."""
    line = (HORIZON[place] - 0.02) * height
    return [
        not p.concept.startswith("letter:")
        and kind(p.concept) != "sky"
        and p.concept not in ALOFT
        and spots[k].bottom >= line
        and not (p.concept in FLYERS and spots[k].bottom < (GROUND[place] - 0.12) * height)
        and not _held(k, spots, placements)
        for k, p in enumerate(placements)
    ]


# --- painting


def paste(picture: NDArray[np.float32], s: Sprite, at: Spot) -> None:
    h, w = picture.shape[:2]
    y0, x0 = max(0, at.top), max(0, at.left)
    y1, x1 = min(h, at.bottom), min(w, at.left + at.width)
    if y1 > y0 and x1 > x0:
        part = s[y0 - at.top : y1 - at.top, x0 - at.left : x1 - at.left]
        under = picture[y0:y1, x0:x1]
        under *= 1 - part[..., 3:]
        under += part[..., :3]


def _oval(
    picture: NDArray[np.float32], y: float, x: float, ry: float, rx: float
) -> tuple[tuple[slice, slice], NDArray[np.float32]]:
    """A box of the picture, and how far its pixels are from the middle of an oval."""
    h, w = picture.shape[:2]
    y0, y1 = max(0, int(y - 1.3 * ry)), min(h, int(y + 1.3 * ry) + 2)
    x0, x1 = max(0, int(x - 1.3 * rx)), min(w, int(x + 1.3 * rx) + 2)
    rows = ((np.arange(y0, max(y0, y1), dtype=np.float32) - y) / ry) ** 2
    columns = ((np.arange(x0, max(x0, x1), dtype=np.float32) - x) / rx) ** 2
    far = np.sqrt(rows[:, None] + columns[None])
    return (slice(y0, max(y0, y1)), slice(x0, max(x0, x1))), far


def shadow(picture: NDArray[np.float32], s: Sprite, at: Spot, strength: float) -> None:
    """A soft oval below the foot."""
    foot = (s[-max(2, at.height // 12) :, :, 3] > 0.4).any(0)
    columns = np.flatnonzero(foot)
    half = (np.ptp(columns) / 2 + 2) if len(columns) else at.width / 3
    x = at.left + (float(columns.mean()) if len(columns) else at.width / 2)
    box, far = _oval(picture, at.bottom - 1, x, max(3.0, half * 0.2), half * 1.2)
    picture[box] *= (1 - strength * np.clip(1.2 - far, 0, 1))[..., None]


def glow(picture: NDArray[np.float32], at: Spot) -> None:
    """Light about a lamp in the dark."""
    r = 0.9 * max(at.width, at.height)
    box, far = _oval(picture, at.top + 0.4 * at.height, at.middle, r, r)
    part = picture[box]
    part += (
        (255 - part)
        * (0.4 * np.clip(1 - far, 0, 1) ** 2)[..., None]
        * np.array((1, 0.82, 0.5), np.float32)
    )


def dipped(s: Sprite, at: Spot) -> Sprite:
    """With its lowest part under the water."""
    deep = max(3, at.height // 9)
    wave = (
        0.25 * deep * np.sin(np.arange(at.width, dtype=np.float32) * (6.3 / max(12, at.width / 4)))
    )
    rows = np.arange(at.height, dtype=np.float32)[:, None]
    below = np.clip(rows - (at.height - deep + wave[None]), 0, 1)
    wet: Sprite = s * (1 - 0.72 * below)[..., None]
    return wet


def tint(scene: Scene, place: str) -> NDArray[np.float32]:
    """What the light makes of a thing's colours."""
    share = 0.25 if place in CLOSED else 0.6
    colour = np.array(TINT[scene.time], np.float32)
    if place in ("space", "moon", "stage"):
        return np.ones(3, np.float32)
    if scene.weather in ("rain", "storm") and place not in CLOSED:
        colour = colour * np.float32(0.85)
    return 1 + (colour - 1) * np.float32(share)


@lru_cache(64)
def falling(weather: str, size: tuple[int, int], seed: int) -> Sprite:
    """Rain or snow: how much of each pixel it covers, (h, w, 1)."""
    w, h = size
    u = min(size) / SIDE
    rng = np.random.default_rng(seed)
    image = Image.new("L", (2 * w, 2 * h))
    pen = ImageDraw.Draw(image)
    for _ in range(int((150 if weather != "snow" else 130) * w * h / min(size) ** 2)):
        x, y, r = rng.uniform(0, 2 * w), rng.uniform(-40, 2 * h), rng.uniform(1.6, 6) * u
        if weather == "snow":
            pen.ellipse((x - r, y - r, x + r, y + r), 235)
        else:
            long = rng.uniform(26, 50) * u * (1.3 if weather == "storm" else 1)
            slant = 0.4 if weather == "storm" else 0.2
            pen.line((x, y, x - slant * long, y + long), 120, max(2, round(2.6 * u)))
    return np.asarray(image.reduce(2), np.float32)[..., None] / 255


def draw(
    scene: Scene,
    placements: Sequence[Placement],
    seed: int,
    size: tuple[int, int] = (SIDE, SIDE),
    *,
    atlas: Atlas | None = None,
    empty: Picture | None = None,
) -> Picture:
    """The finished picture, (h, w, 3) for a size (w, h). `empty` is its background, if that was
    drawn before; the same arguments give the same bytes.
    """
    atlas = atlas or shipped()
    behind = background_of(scene)
    if empty is None:
        empty = background(*behind, seed, size)
    if scene.style == "flat":
        empty = even(empty, 20)
    picture = empty.astype(np.float32)
    paint(picture, scene, placements, atlas)
    if behind.weather in ("rain", "storm", "snow"):
        picture += (np.float32(240) - picture) * falling(behind.weather, size, seed % 16)
    done = np.clip(picture + np.float32(0.5), 0, 255).astype(np.uint8)
    return FILTERS[scene.style](done, seed)


def paint(
    picture: NDArray[np.float32], scene: Scene, placements: Sequence[Placement], atlas: Atlas
) -> None:
    """The things of a scene, back to front, into its empty place."""
    h, w = picture.shape[:2]
    place = place_of(scene)
    spots = [spot(p, (w, h)) for p in placements]
    stand = standing(placements, spots, place, h)
    light = tint(scene, place)
    for k, (p, at) in enumerate(zip(placements, spots, strict=True)):
        s = sprite(atlas, p, (at.width, at.height), scene.style)
        if not p.concept.startswith("letter:") and p.concept not in LIGHTS:
            s[..., :3] *= light
        if stand[k] and (place == "sea" or (p.concept in SWIMMERS and place in ("lake", "beach"))):
            s = dipped(s, at)
        elif stand[k] and place not in DRY and not scene.closeup:
            shadow(picture, s, at, 0.3 if scene.style == "flat" else 0.42)
        if p.concept in LIGHTS and scene.time in ("night", "twilight"):
            glow(picture, at)
        paste(picture, s, at)
