"""The images of img2img: fitted to the size, masked, cropped to what is painted, and put back."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from imagemill.errors import invalid
from imagemill.generation import Format
from imagemill.images.decode import open_file, open_image, provenance_of
from imagemill.images.encode import encode, encode_png
from imagemill.images.geometry import (
    BILINEAR,
    Raster,
    Size,
    contained,
    covering,
    flattened,
    stretched,
)
from imagemill.images.masks import blurred, composite, filled, inverted, opacity
from imagemill.images.provenance import Provenance

MAX_BLUR = 256.0  # px
BRUSHED = 128  # the opacity from which a mask that is drawn on nothing counts

Box = tuple[int, int, int, int]

# By resize_mode. The last is A1111's name for scaling latents, which are made of the image here.
FITS: Mapping[int, Callable[[Raster, Size], Raster]] = {
    0: stretched,
    1: covering,
    2: contained,
    3: stretched,
}


@dataclass(frozen=True)
class Brush:
    """How a mask is meant."""

    #: what is masked is painted around, and not within
    invert: bool = False
    #: a mask that is drawn on nothing counts wholly or not at all, pixel by pixel
    rounded: bool = True
    #: px across and down, 0 to MAX_BLUR
    blur: tuple[float, float] = (4.0, 4.0)
    #: what lies beneath the mask is replaced by the colours around it
    fill: bool = False
    #: px around what is masked that are painted along with it, where only that is painted; None
    #: where the whole image is
    padding: int | None = None


@dataclass(frozen=True)
class Patch:
    """Where a painted part belongs in the image that it was cut from."""

    #: the whole image, as it was given
    original: Raster
    #: of the same size, white where is painted
    mask: Raster
    #: the part that is painted: left, top, right and bottom, in px
    box: Box

    @property
    def memory(self) -> int:
        """Bytes."""
        width, height = self.original.size
        return width * height * (len(self.original.getbands()) + 1)

    def paste(self, painted: Raster) -> Raster:
        left, top, right, bottom = self.box
        whole = self.original.copy()
        whole.paste(stretched(painted, (right - left, bottom - top)), (left, top))
        return composite(whole, self.original, self.mask)


@dataclass(frozen=True)
class Canvas:
    """What is painted over."""

    #: a PNG
    image: bytes
    #: a PNG of the same size, white where is painted; None where all is
    mask: bytes | None = None
    #: None where the image is the whole
    patch: Patch | None = None

    def lightened(self) -> "Canvas":
        """What `finished` and `unfinished` need of it."""
        return Canvas(b"", None, self.patch)


def prepared(
    image: bytes | Raster, mask: bytes | None, size: Size, mode: int, brush: Brush
) -> Canvas:
    """Raises a Fault of kind UNREADABLE for what is no image. image: opened, where it is."""
    fit = FITS[mode]
    original = flattened(open_image(image, "image") if isinstance(image, bytes) else image)
    if mask is None:
        return Canvas(encode_png(fit(original, size)))
    drawn = _blurred(_mask(open_image(mask, "mask"), brush), brush.blur)
    if drawn.size != original.size:
        drawn = stretched(drawn, original.size, BILINEAR)
    box = None if brush.padding is None else _box(drawn, brush.padding, size)
    if box is None:
        patch, shown, masked = None, fit(original, size), fit(drawn, size)
    else:
        patch = Patch(original, drawn, box)
        shown = stretched(original.crop(box), size)
        masked = stretched(drawn.crop(box), size, BILINEAR)
    shown = filled(shown, masked) if brush.fill else shown
    return Canvas(encode_png(shown), encode_png(masked), patch)


def finished(image: bytes, canvas: Canvas | None, format: Format) -> bytes:
    """What was painted, in its place; its text says how it was made, as before."""
    if canvas is None or canvas.patch is None:
        return image
    whole = canvas.patch.paste(open_file(image).convert("RGB"))
    facts = provenance_of(image) | {"size": f"{whole.width}x{whole.height}"}
    return encode(np.asarray(whole), format, facts)


def unfinished(
    preview: bytes, size: Size, canvas: Canvas | None, format: Format, facts: Provenance
) -> bytes:
    """An image on its way, in the size of the finished one."""
    shown = stretched(open_file(preview).convert("RGB"), size)
    if canvas is not None and canvas.patch is not None:
        shown = canvas.patch.paste(shown)
    return encode(np.asarray(shown), format, facts)


def as_png(preview: bytes) -> bytes:
    return encode_png(open_file(preview).convert("RGB"))


def _mask(mask: Raster, brush: Brush) -> Raster:
    """White where is painted. Of a mask that is drawn on nothing, what is drawn counts."""
    alpha = opacity(mask)
    if alpha is not None:
        rounded = alpha.point([255 * (value > BRUSHED) for value in range(256)])
        mask = rounded if brush.rounded else alpha
    mask = mask.convert("L")
    return inverted(mask) if brush.invert else mask


def _blurred(mask: Raster, blur: tuple[float, float]) -> Raster:
    for value in blur:
        if not 0 <= value <= MAX_BLUR:
            raise invalid("mask_blur", f"mask_blur {value} is out of range; give 0 to {MAX_BLUR}")
    return blurred(mask, blur) if any(blur) else mask


def _box(mask: Raster, padding: int, size: Size) -> Box | None:
    """What is masked and some px around, grown to the shape of `size`; None where nothing is."""
    masked = mask.getbbox()
    if masked is None:
        return None
    wide, high = mask.size
    left, top = max(0, masked[0] - padding), max(0, masked[1] - padding)
    right, bottom = min(wide, masked[2] + padding), min(high, masked[3] + padding)
    shape = size[0] / size[1]
    across = max(right - left, round((bottom - top) * shape))
    down = max(bottom - top, round((right - left) / shape))
    left, right = _grown(left, right, across, wide)
    top, bottom = _grown(top, bottom, down, high)
    return left, top, right, bottom


def _grown(start: int, end: int, length: int, limit: int) -> tuple[int, int]:
    """As near to `length` as the limit lets it be, around the same middle where it can."""
    length = min(length, limit)
    start = min(max(0, start - (length - (end - start)) // 2), limit - length)
    return start, start + length
