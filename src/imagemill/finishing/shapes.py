"""Filters that give shapes a body: relief, shadows, blocks, patterns."""

from functools import reduce

import numpy as np
from PIL import Image

from imagemill.finishing.planes import (
    Colour,
    Picture,
    Plane,
    blur,
    figure,
    figure_colours,
    filled,
    from_bytes,
    grid,
    ground,
    length,
    luminance,
    over,
    ramp,
    shift,
    to_bytes,
)

WHITE: Colour = (1.0, 1.0, 1.0)
NAVY: Colour = (0.13, 0.15, 0.27)


def paper(picture: Picture, shown: Plane) -> Colour:
    """White, or navy where much of what is shown would vanish on white."""
    pale = float((ramp(luminance(picture), 0.8, 0.92) * shown).sum())
    return NAVY if pale > 0.3 * max(float(shown.sum()), 1.0) else WHITE


def on_paper(picture: Picture) -> Picture:
    """Only what the picture shows, on paper."""
    shown = figure(picture)
    own = figure_colours(picture, shown, 0.01)
    return over(filled(picture, paper(picture, shown)), own, shown)


def relief(picture: Picture, roundness: float, amount: float, shine: float = 0.0) -> Picture:
    """What is shown swells, and is lit from the top left; `shine` adds a highlight."""
    shown = figure(picture)
    radius = length(picture, roundness)
    height = sum((blur(shown, radius * each) for each in (0.35, 0.7, 1.4)), start=shown * 0) / 3
    step = max(1, radius // 3)
    slope = shift(height, -step, -step) - shift(height, step, step)
    body = picture + (slope * amount)[..., None]
    lit = over(body, WHITE, ramp(slope, 0.18, 0.5) * shine)
    return np.clip(over(picture, lit, shown), 0, 1)


def shadow(picture: Picture, reach: float, softness: float, amount: float) -> Picture:
    """What is shown throws a soft shadow on the ground, down to the right."""
    shown, step = figure(picture), length(picture, reach)
    cast = blur(shift(shown, step, step), length(picture, softness)) * (1 - shown)
    return over(picture, _shade(picture, 0.75), cast * amount)


def long_shadow(picture: Picture, reach: float, amount: float) -> Picture:
    """A hard shadow that runs on diagonally, as in flat design."""
    shown, step = figure(picture), 1
    cast = shown
    while step < length(picture, reach):
        cast, step = np.maximum(cast, shift(cast, step, step)), step * 2
    return over(picture, _shade(picture, 0.45), cast * (1 - shown) * amount)


def _shade(picture: Picture, amount: float) -> Picture:
    """Darker; but on a ground that is nearly black nothing is, so it is lighter there."""
    dark = float(ground(picture).max()) < 0.25
    return picture + (1 - picture) * (amount * 0.4) if dark else picture * (1 - amount)


def halves(picture: Picture, amount: float) -> Picture:
    """The right half of what is shown lies in a flat shade."""
    shown = figure(picture)
    _, right = grid(picture)
    middle = float((right * shown).sum() / max(float(shown.sum()), 1.0))
    return over(picture, picture * (1 - amount), shown * np.clip(right - middle, 0, 1))


def backdrop(picture: Picture, light: Colour, dark: Colour, amount: float) -> Picture:
    """The ground runs from `light` behind the middle to `dark` far from it."""
    down, right = grid(picture)
    height, width = picture.shape[:2]
    away = np.hypot((down / height - 0.45) * 1.2, right / width - 0.5)
    wall = over(filled(picture, light), dark, ramp(away, 0.05, 0.75))
    return over(picture, picture * (1 - amount) + wall * amount, 1 - figure(picture))


def sticker(picture: Picture, width: float) -> Picture:
    """A white border round what is shown, lifted off the ground."""
    shown = figure(picture)
    cut = ramp(blur(shown, length(picture, width)), 0.02, 0.12)
    lifted = over(picture, picture * 0.55, blur(cut, length(picture, width)) * (1 - cut))
    return over(over(lifted, WHITE, cut), picture, shown)


def frame(picture: Picture, width: float, colour: Colour) -> Picture:
    """An even border, as of a print."""
    down, right = grid(picture)
    height, wide = picture.shape[:2]
    near = np.minimum(np.minimum(down, height - 1 - down), np.minimum(right, wide - 1 - right))
    return over(picture, colour, (near < length(picture, width)).astype(np.float32))


def pixelate(picture: Picture, blocks: int, colours: int) -> Picture:
    """At most `blocks` squares along the shorter side, in a palette of `colours`."""
    small = Image.fromarray(_cells(picture, blocks)).quantize(
        colours, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE
    )
    return _enlarged(from_bytes(np.asarray(small.convert("RGB"))), picture)


def voxels(picture: Picture, blocks: int) -> Picture:
    """Blocks with lit upper and left faces and shaded lower and right ones."""
    built = _enlarged(from_bytes(_cells(picture, blocks)), picture)
    y, x = _within(picture, blocks)
    lit = ramp(np.minimum(x, y), 0.2, 0.12)
    shaded = ramp(np.maximum(x, y), 0.82, 0.9)
    return over(over(built, WHITE, lit * 0.35), built * 0.55, shaded * (1 - lit))


def circuit(picture: Picture, blocks: int, ink: Colour) -> Picture:
    """The outline of what is shown as tracks at right angles, with a node at each turn."""
    cells = from_bytes(_cells(np.repeat(figure(picture)[..., None], 3, 2), blocks))[..., 0] > 0.5
    rows, columns = cells.shape
    y, x = _within(picture, blocks)
    down, right = _cell_of(picture.shape[0], rows), _cell_of(picture.shape[1], columns)
    padded = np.pad(cells, 1, mode="edge")
    line = np.zeros(picture.shape[:2], np.float32)
    for near, dy, dx in ((x, 0, -1), (1 - x, 0, 1), (y, -1, 0), (1 - y, 1, 0)):
        other = padded[1 + dy : 1 + dy + rows, 1 + dx : 1 + dx + columns]
        line = np.maximum(line, (cells != other)[down][:, right] * ramp(near, 0.17, 0.1))
    corners = reduce(
        np.logical_xor, (padded[i:, j:][: rows + 1, : columns + 1] for i in (0, 1) for j in (0, 1))
    )
    nearest = corners[(down[:, None] + (y > 0.5)), (right[None] + (x > 0.5))]
    off = np.hypot(np.minimum(x, 1 - x), np.minimum(y, 1 - y))
    ring = nearest * ramp(off, 0.4, 0.33)
    drawn = over(filled(picture, WHITE), ink, np.maximum(line, ring))
    return over(drawn, WHITE, nearest * ramp(off, 0.22, 0.15))


def _cells(picture: Picture, blocks: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    height, width = picture.shape[:2]
    count = min(blocks, min(height, width) // 4)  # blocks of 4 px at least, or none would be seen
    size = round(width * count / min(height, width)), round(height * count / min(height, width))
    return np.asarray(Image.fromarray(to_bytes(picture)).resize(size, Image.Resampling.BOX))


def _cell_of(pixels: int, cells: int) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    return (np.arange(pixels) * 2 + 1) * cells // (2 * pixels)


def _enlarged(small: Picture, like: Picture) -> Picture:
    down = _cell_of(like.shape[0], small.shape[0])
    right = _cell_of(like.shape[1], small.shape[1])
    return small[down][:, right]


def _within(picture: Picture, blocks: int) -> tuple[Plane, Plane]:
    """How far down and right in its block each pixel lies, 0 to 1."""
    rows, columns = _cells(picture, blocks).shape[:2]
    down, right = grid(picture)
    height, width = picture.shape[:2]
    return (down + 0.5) * rows / height % 1, (right + 0.5) * columns / width % 1


def seamless(picture: Picture, margin: float, copy: float) -> Picture:
    """A tile: smaller copies of what is shown lie in its corners, and opposite edges are equal.

    The copies are those of the neighbouring tiles, half a tile away, as on wallpaper.
    """
    height, width = picture.shape[:2]
    size = round(width * copy), round(height * copy)
    small = from_bytes(np.asarray(Image.fromarray(to_bytes(picture)).resize(size)))
    layer, mask = np.zeros_like(picture), np.zeros(picture.shape[:2], np.float32)
    layer[: size[1], : size[0]] = small
    mask[: size[1], : size[0]] = figure(small)
    back = (-(size[1] // 2), -(size[0] // 2))
    layer, mask = np.roll(layer, back, (0, 1)), np.roll(mask, back, (0, 1))
    free = 1 - ramp(blur(figure(picture), length(picture, 0.02)), 0.05, 0.3)
    tiled = over(picture, layer, mask * free)
    return _wrapped(
        _wrapped(tiled, length(picture, margin)).swapaxes(0, 1), length(picture, margin)
    ).swapaxes(0, 1)


def _wrapped(picture: Picture, margin: int) -> Picture:
    """Top and bottom blend into one another, fully at the edge itself."""
    rows = picture.shape[0]
    near = np.minimum(np.arange(rows), np.arange(rows)[::-1]).astype(np.float32)
    share = ramp(near, margin, 0)[:, None, None] / 2
    return picture * (1 - share) + picture[::-1] * share
