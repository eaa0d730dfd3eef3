"""How a thing is drawn: as a flat silhouette, as its outline, or of large pixels."""

from functools import cache, lru_cache
from typing import Literal

import numpy as np
from PIL import Image, ImageFilter

from training import icons

Style = Literal["flat", "outline", "pixel"]
STYLES: tuple[Style, ...] = ("flat", "outline", "pixel")
PARTS = 16  # of a thing's side: an outline is as thick, a large pixel as wide
LEAST: dict[Style, int] = {"flat": 1, "outline": 4, "pixel": 8}  # px of the same
SHOWN = 96  # px: the side from which on a style survives the autoencoder
KEPT = 192  # px: larger masks are rarely drawn and take most of the memory


def mask(name: str, side: int, style: Style = "flat", scale: int = 1) -> icons.Mask:
    """The object at `scale` times `side` px: 1 where there is ink, 0 elsewhere."""
    return (_small if side * scale <= KEPT else _large)(name, side, style, scale)


@cache
def _small(name: str, side: int, style: Style, scale: int) -> icons.Mask:
    return _make(name, side, style, scale)


@lru_cache(64)
def _large(name: str, side: int, style: Style, scale: int) -> icons.Mask:
    return _make(name, side, style, scale)


def _make(name: str, side: int, style: Style, scale: int) -> icons.Mask:
    parts = min(PARTS, side // LEAST[style])
    if style == "pixel":
        coarse = icons.scaled(icons.atlas()[name], parts) >= 0.5
        return (
            coarse.astype(np.float32)
            .repeat(side // parts * scale, 0)
            .repeat(side // parts * scale, 1)
        )
    whole = icons.atlas()[name] if style == "flat" else _outline(name, parts)
    return icons.scaled(whole, side * scale)


@cache
def _outline(name: str, parts: int) -> Image.Image:
    """The silhouette without what lies deeper in it than its side through `parts`."""
    silhouette = icons.atlas()[name]
    wide = Image.new("L", (icons.SIDE + 2, icons.SIDE + 2))
    wide.paste(silhouette, (1, 1))
    for step in range(icons.SIDE // parts):
        wide = wide.filter(ImageFilter.MinFilter(3)) if step % 2 else _shrink(wide)
    inner = np.asarray(wide, np.int16)[1:-1, 1:-1]
    return Image.fromarray((np.asarray(silhouette, np.int16) - inner).clip(0).astype(np.uint8))


def _shrink(picture: Image.Image) -> Image.Image:
    """By a pixel to the four sides, not to the corners: both in turn make round corners."""
    pixels = np.pad(np.asarray(picture), 1)
    middle = pixels[1:-1, 1:-1]
    beside = (pixels[:-2, 1:-1], pixels[2:, 1:-1], pixels[1:-1, :-2], pixels[1:-1, 2:])
    return Image.fromarray(np.minimum.reduce([middle, *beside]))


@cache
def thick(name: str) -> bool:
    """Whether its outline is not nearly all of it, as a key's is."""
    return bool(mask(name, 64, "outline").mean() < 0.75 * mask(name, 64).mean())


@cache
def broad(name: str) -> bool:
    """Whether there is room for another thing inside."""
    return bool(mask(name, 64)[16:48, 16:48].mean() >= 0.8)
