"""Sizes: an image scaled, fitted into another size, or continued beyond its edges."""

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from imagemill.generation import MAX_SIDE, MIN_SIDE

Raster = Image.Image  # an image in memory
Plane = NDArray[np.uint8]  # (height, width) or (height, width, channels)
Size = tuple[int, int]  # width and height in px

NEAREST = Image.Resampling.NEAREST
BILINEAR = Image.Resampling.BILINEAR
BICUBIC = Image.Resampling.BICUBIC
LANCZOS = Image.Resampling.LANCZOS


def stretched(image: Raster, size: Size, by: Image.Resampling = LANCZOS) -> Raster:
    """The whole image, each side scaled by itself."""
    return image.resize(size, by)


def scaled(pixels: Plane, size: Size, by: Image.Resampling = LANCZOS) -> Plane:
    """The same of an array; its own pixels where it has the size."""
    if pixels.shape[1::-1] == size:
        return pixels
    return np.asarray(Image.fromarray(pixels).resize(size, by))


def covering(image: Raster, size: Size, by: Image.Resampling = LANCZOS) -> Raster:
    """As large as fills the size, with what stands over cut off on both sides."""
    return ImageOps.fit(image, size, by)


def paintable_scale(size: Size) -> float:
    """What an image that decides the size is scaled by, so that its sides may be painted; a very
    thin one has a side that is too long even then.
    """
    return max(min(1.0, MAX_SIDE / max(size)), MIN_SIDE / min(size))


def inside(size: Size, room: Size) -> Size:
    """The largest size of the same shape within a room, a pixel at least."""
    scale = min(room[0] / size[0], room[1] / size[1])
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def margins(pixels: Plane, size: Size) -> tuple[Size, Size]:
    """Around what lies in the middle: rows above and below, columns before and behind."""
    height, width = pixels.shape[:2]
    top, left = (size[1] - height) // 2, (size[0] - width) // 2
    return (top, size[1] - height - top), (left, size[0] - width - left)


def continued(pixels: Plane, size: Size) -> Plane:
    """In the middle of a larger size, the edges continued outwards."""
    channels = [(0, 0)] * (pixels.ndim - 2)
    return np.pad(pixels, [*margins(pixels, size), *channels], mode="edge")


def surrounded(mask: Plane, size: Size, value: int) -> Plane:
    """In the middle of a larger size, one value around it."""
    return np.pad(mask, margins(mask, size), constant_values=value)


def contained(image: Raster, size: Size) -> Raster:
    """The whole image in the middle of the size, its edges continued."""
    # Pillow rounds half a pixel its own way, on which replies rely to the byte.
    inner = ImageOps.contain(image, size, LANCZOS)
    if 0 in inner.size:
        inner = image.resize(inside(image.size, size), LANCZOS)
    return Image.fromarray(continued(np.asarray(inner), size))


def outpainted(image: Raster, size: Size) -> tuple[Raster, Raster]:
    """The whole image in the middle of a canvas, its edges continued; and a mask of what is new."""
    inner = np.asarray(flattened(image).resize(inside(image.size, size), LANCZOS))
    mask = surrounded(np.zeros(inner.shape[:2], np.uint8), size, 255)
    return Image.fromarray(continued(inner, size)), Image.fromarray(mask)


def flattened(image: Raster) -> Raster:
    """RGB, on white where it is transparent: no model here paints transparency."""
    if not image.has_transparency_data:
        return image.convert("RGB")
    ground = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(ground, image.convert("RGBA")).convert("RGB")


class Collage:
    """Several images as one, side by side in rows, each filling its field.

    Each is made small as it comes: together they would fill the memory. size: None for that of the
    first.
    """

    def __init__(self, count: int, size: Size | None) -> None:
        self.count, self.added = count, 0
        self.columns = math.ceil(math.sqrt(count))
        self.sheet = None if size is None else Image.new("RGB", size, "white")

    def add(self, image: Raster) -> None:
        self.sheet = self.sheet or Image.new("RGB", image.size, "white")
        left, top, right, bottom = self._field(*self.sheet.size)
        shown = covering(image, (right - left, bottom - top), BICUBIC)
        self.sheet.paste(shown, (left, top), shown if shown.mode == "RGBA" else None)
        self.added += 1

    @property
    def whole(self) -> Raster:
        """What there is once all have been added."""
        assert self.sheet is not None
        return self.sheet

    def _field(self, width: int, height: int) -> tuple[int, int, int, int]:
        """Of the next one."""
        rows = math.ceil(self.count / self.columns)
        row, column = divmod(self.added, self.columns)
        in_row = min(self.columns, self.count - row * self.columns)  # the last row may have fewer
        left, right = (width * at // in_row for at in (column, column + 1))
        top, bottom = (height * at // rows for at in (row, row + 1))
        return left, top, right, bottom
