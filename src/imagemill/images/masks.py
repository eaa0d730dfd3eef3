"""Masks, 8-bit grey and white where is painted: softened, filled in beneath, and pasted through."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter, ImageOps

from imagemill.errors import invalid
from imagemill.images.decode import open_png, size_of
from imagemill.images.encode import encode_png
from imagemill.images.geometry import Plane, Raster

RADII = (128, 32, 8, 2)  # px; colours flow into a hole from far away first, then from near by

Floats = NDArray[np.float32]  # (height, width)


def check_size(image: bytes, mask: bytes) -> None:
    """Raises a Fault where an encoded mask has another size than its image."""
    width, height = size_of(image)
    if size_of(mask) != (width, height):
        size = "x".join(map(str, size_of(mask)))
        raise invalid("mask", f"the mask has {size} pixels, its image {width}x{height}; give equal")


def inverted(mask: Raster) -> Raster:
    return ImageOps.invert(mask)


def blurred(mask: Raster, radius: float | tuple[float, float]) -> Raster:
    """radius: in px, or across and down."""
    return mask.filter(ImageFilter.GaussianBlur(radius))


def softened(mask: Plane, radius: float) -> Floats:
    """Shares from 0 to 1: the edge is soft on the white side alone, and black stays 0."""
    soft = np.asarray(blurred(Image.fromarray(mask), radius))
    shares: Floats = mask.astype(np.float32) * soft / 255**2
    return shares


def composite(painted: Raster, original: Raster, mask: Raster) -> Raster:
    """`painted` where the mask is white, `original` where it is black."""
    return Image.composite(painted, original, mask)


def opacity(image: Raster) -> Raster | None:
    """How opaque an image is, None where it is so everywhere."""
    alpha = image.getchannel("A") if image.mode == "RGBA" else None
    return None if alpha is None or alpha.getextrema() == (255, 255) else alpha


def filled(image: Raster, mask: Raster) -> Raster:
    """The image with what is masked replaced by the colours around it."""
    pixels = np.asarray(image, dtype=np.float32)
    kept = (np.asarray(mask) == 0).astype(np.float32)
    if not kept.any():
        return image
    flowed = np.broadcast_to(pixels[kept > 0].mean(axis=0), pixels.shape)
    for radius in RADII:
        share = _spread(kept, radius)[..., None]
        near = np.stack([_spread(pixels[..., i] * kept, radius) for i in range(3)], axis=-1)
        certain = np.minimum(1.0, share * 4)
        flowed = flowed * (1 - certain) + near / np.maximum(share, 1e-6) * certain
    whole = np.where(kept[..., None] > 0, pixels, flowed)
    return Image.fromarray(whole.clip(0, 255).round().astype(np.uint8))


def _spread(plane: Floats, radius: int) -> Floats:
    # Box blurs of floating point; Pillow's Gaussian knows no such images.
    length = 2 * radius + 1
    for axis in (0, 1):
        around = [(0, 0), (0, 0)]
        around[axis] = (radius + 1, radius)
        sums = np.cumsum(np.pad(plane, around, mode="constant"), axis=axis, dtype=np.float64)
        ends = np.take(sums, range(length, sums.shape[axis]), axis=axis)
        starts = np.take(sums, range(sums.shape[axis] - length), axis=axis)
        plane = ((ends - starts) / length).astype(np.float32)
    return plane


def clear_where_white(mask: bytes) -> bytes:
    """A PNG that is transparent where an encoded mask is white, and black elsewhere."""
    grey = open_png(mask, "mask").convert("L")
    black = Image.new("RGBA", grey.size)
    black.putalpha(ImageOps.invert(grey))
    return encode_png(black)


def black_where_white(mask: bytes) -> bytes:
    """An encoded mask for those who paint where it is black."""
    return encode_png(ImageOps.invert(open_png(mask, "mask").convert("L")))
