"""Styles as filters of the finished picture; the same picture and seed give the same bytes."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from imagemill.pico import scene
from training.canvas import Picture

Field = NDArray[np.floating[Any]]  # (h, w)
GREY = np.array(scene.GREY, np.float32)
KINDS_OF_NOISE = 8  # kept per size


def _unit(picture: Picture) -> float:
    """Pixels of the picture per pixel of one with 512 of them."""
    side: int = min(picture.shape[:2])
    return side / 512


def blurred(picture: Picture, radius: float) -> Picture:
    image = Image.fromarray(picture).filter(ImageFilter.GaussianBlur(radius))
    return np.asarray(image)


@lru_cache(64)
def noise(h: int, w: int, cells: int, seed: int) -> Field:
    """Smooth noise, -1 to 1, with so many cells along the shorter side."""
    rng = np.random.default_rng(seed)
    k = cells / min(h, w)
    small = rng.uniform(-1, 1, (max(2, round(h * k)), max(2, round(w * k)))).astype(np.float32)
    return np.asarray(Image.fromarray(small).resize((w, h), Image.Resampling.BICUBIC))


def _noise(picture: Picture, cells: int, seed: int) -> Field:
    return noise(*picture.shape[:2], cells, seed % KINDS_OF_NOISE)


def strongest(colours: NDArray[Any]) -> NDArray[Any]:
    """The largest of three channels; numpy's `max` over so short an axis is slow."""
    out: NDArray[Any] = np.maximum(np.maximum(colours[..., 0], colours[..., 1]), colours[..., 2])
    return out


def lines(picture: Picture, strength: float = 1.0) -> Field:
    """Where contours are, 0 to 1."""
    soft = blurred(picture, 0.9 * _unit(picture)).astype(np.int16)
    step = max(1, round(_unit(picture)))
    across = np.zeros(soft.shape[:2], np.int16)
    down = np.zeros(soft.shape[:2], np.int16)
    across[:, step:-step] = strongest(np.abs(soft[:, 2 * step :] - soft[:, : -2 * step]))
    down[step:-step] = strongest(np.abs(soft[2 * step :] - soft[: -2 * step]))
    edge = np.maximum(across, down).astype(np.float32)
    strokes: Field = np.clip((edge - 26) * (strength / 46), 0, 1)
    return strokes


def _grey(picture: Picture) -> Field:
    return (picture.astype(np.float32) @ GREY) / np.float32(255)


def _shown(field: Field) -> Picture:
    """A field of greys, or one per colour, as a picture."""
    out = (np.clip(field, 0, 1) * np.float32(255) + np.float32(0.5)).astype(np.uint8)
    return np.repeat(out[..., None], 3, -1) if out.ndim == 2 else out


def modelled(picture: Picture, seed: int) -> Picture:
    return picture


def outline(picture: Picture, seed: int) -> Picture:
    return _shown(1 - lines(picture) * 0.93)


def pixel_art(picture: Picture, seed: int) -> Picture:
    h, w = picture.shape[:2]
    block = max(2, round(min(h, w) / 85))
    image = Image.fromarray(picture).resize((w // block, h // block), Image.Resampling.BOX)
    image = image.quantize(28, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).convert("RGB")
    whole = image.resize((w // block * block, h // block * block), Image.Resampling.NEAREST)
    out = np.asarray(whole)
    return np.pad(out, ((0, h - out.shape[0]), (0, w - out.shape[1]), (0, 0)), mode="edge")


def watercolour(picture: Picture, seed: int) -> Picture:
    """Colours that run and dry darker at their edges, on paper that shows at the rim."""
    h, w = picture.shape[:2]
    u = _unit(picture)
    y, x = np.mgrid[:h, :w].astype(np.float32)
    dy, dx = _noise(picture, 40, seed) * 4 * u, _noise(picture, 40, seed + 1) * 4 * u
    rows = np.clip(y + dy, 0, h - 1).astype(np.intp)
    columns = np.clip(x + dx, 0, w - 1).astype(np.intp)
    ran = blurred(picture, 1.3 * u)[rows, columns]
    wide = blurred(ran, 7 * u).astype(np.float32)
    a = ran.astype(np.float32)
    edge = np.clip(((wide - a) @ GREY)[..., None] / 255, 0, 0.3)
    a = a / 255
    a = a * (1 - 0.9 * edge)
    a = (
        1
        - (1 - a)
        * (0.8 + 0.16 * _noise(picture, 9, seed + 2) + 0.07 * _noise(picture, 60, seed))[..., None]
    )
    a += 0.02 * _noise(picture, 256, seed + 3)[..., None]
    border = np.minimum(np.minimum(y, h - 1 - y), np.minimum(x, w - 1 - x)) / u
    wet = np.clip((border - 14 - 9 * _noise(picture, 24, seed + 4)) / 5, 0, 1)[..., None]
    paper = np.array([0.99, 0.98, 0.95], np.float32)
    return _shown(paper + (a - paper) * wet)


def comic(picture: Picture, seed: int) -> Picture:
    """Few shades, dots in the middle ones, and thick contours."""
    h, w = picture.shape[:2]
    u = _unit(picture)
    a = blurred(picture, 0.8 * u).astype(np.float32) / 255
    light = strongest(a)[..., None]
    steps = (np.floor(light * 5 + 0.5) / 5) / np.maximum(light, 0.02)
    mean = (a @ GREY)[..., None]
    a = np.clip((mean + (a - mean) * 1.25) * steps, 0, 1)
    period = max(4, round(8 * u))
    y, x = np.mgrid[:h, :w]
    off = np.hypot((y + x) % period - period / 2, (y - x) % period - period / 2) < period * 0.26
    dots = off & (light[..., 0] > 0.45) & (light[..., 0] < 0.9)
    a = np.where(dots[..., None], a * 0.88, a)
    return _shown(a * (1 - lines(picture, 1.5) * 0.95)[..., None])


def oil(picture: Picture, seed: int) -> Picture:
    """Of four neighbouring squares the most even one's mean (Kuwahara), and strokes."""
    k = max(2, round(4 * _unit(picture)))
    means = np.asarray(Image.fromarray(picture).filter(ImageFilter.BoxBlur(k)))
    grey = _grey(picture)
    spread = _boxed(grey * grey, k) - _boxed(grey, k) ** 2
    best, out = np.roll(spread, (k, k), (0, 1)), np.roll(means, (k, k), (0, 1))
    for sy, sx in ((k, -k), (-k, k), (-k, -k)):
        other = np.roll(spread, (sy, sx), (0, 1))
        better = other < best
        out = np.where(better[..., None], np.roll(means, (sy, sx), (0, 1)), out)
        best = np.where(better, other, best)
    h, w = picture.shape[:2]
    strokes = noise(h, w // 5, 60, seed % KINDS_OF_NOISE)  # drawn wide
    along = np.asarray(Image.fromarray(strokes).resize((w, h), Image.Resampling.BICUBIC))
    return _shown(out.astype(np.float32) / 255 * (1 + 0.07 * along)[..., None])


def _boxed(field: Field, k: int) -> Field:
    """The mean of each square of 2k + 1."""
    n = 2 * k + 1
    for axis in (0, 1):
        pads = [(0, 0), (0, 0)]
        pads[axis] = (k + 1, k)
        sums = np.cumsum(np.pad(field, pads, mode="edge"), axis=axis)
        size = field.shape[axis]
        field = (sums.take(range(n, n + size), axis) - sums.take(range(size), axis)) / n
    return field


def pencil(picture: Picture, seed: int) -> Picture:
    u = _unit(picture)
    grey = _grey(picture)
    near = np.asarray(Image.fromarray(_shown(grey)[..., 0]).filter(ImageFilter.GaussianBlur(8 * u)))
    light = np.clip(grey / np.maximum(near.astype(np.float32) / 255, 0.05), 0, 1)
    h, w = grey.shape
    y, x = np.mgrid[:h, :w].astype(np.float32)
    hatch = 0.5 + 0.5 * np.sin((x + y) * (0.95 / u) + 3 * _noise(picture, 60, seed))
    tone = light - 0.34 * np.clip(0.92 - grey, 0, 1) * hatch - 0.05
    tone -= 0.55 * lines(picture, 0.8)
    return _shown(tone + 0.03 * _noise(picture, 256, seed))


def black_and_white(picture: Picture, seed: int) -> Picture:
    return _shown((_grey(picture) - 0.5) * 1.14 + 0.5)


def flat(picture: Picture, seed: int) -> Picture:
    """Even areas: few colours, no shades between. (Drawings were made even one by one before.)"""
    return picture


def even(rgb: Picture, colours: int) -> Picture:
    """A picture in so many colours, which are chosen on a smaller one."""
    image = Image.fromarray(rgb)
    small = image.reduce(max(1, min(image.size) // 100))
    palette = small.quantize(colours, Image.Quantize.MEDIANCUT, kmeans=1)
    out = image.quantize(palette=palette, dither=Image.Dither.NONE)
    return np.asarray(out.convert("RGB"))


FILTERS: dict[str, Callable[[Picture, int], Picture]] = {
    "3d": modelled, "flat": flat, "outline": outline, "pixel art": pixel_art,
    "watercolour": watercolour, "comic": comic, "oil": oil, "pencil": pencil,
    "black and white": black_and_white,
}  # fmt: skip
