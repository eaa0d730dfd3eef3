"""The pictures of img2img: fitted to the size, masked, cropped to what is painted, and put back."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter, ImageOps

from imagemill import images, inputs
from imagemill.errors import invalid
from imagemill.generation import Format

LANCZOS = Image.Resampling.LANCZOS
MAX_BLUR = 256.0  # px
RADII = (128, 32, 8, 2)  # px; colours flow into a hole from far away first, then from near by
BRUSHED = 128  # the opacity from which a mask that is drawn on nothing counts

Size = tuple[int, int]
Box = tuple[int, int, int, int]
Plane = NDArray[np.float32]


@dataclass(frozen=True)
class Brush:
    """How a mask is meant. fill: what lies beneath it is replaced by the colours around. padding:
    px around what is masked that are painted along with it, where only that is painted; None where
    the whole picture is.
    """

    invert: bool = False
    rounded: bool = True
    blur: tuple[float, float] = (4.0, 4.0)  # px, across and down
    fill: bool = False
    padding: int | None = None


@dataclass(frozen=True)
class Patch:
    """Where a painted part belongs in the picture that it was cut from."""

    original: Image.Image
    mask: Image.Image
    box: Box

    @property
    def memory(self) -> int:
        """Bytes."""
        width, height = self.original.size
        return width * height * (len(self.original.getbands()) + 1)

    def paste(self, painted: Image.Image) -> Image.Image:
        left, top, right, bottom = self.box
        whole = self.original.copy()
        whole.paste(painted.resize((right - left, bottom - top), LANCZOS), (left, top))
        return Image.composite(whole, self.original, self.mask)


@dataclass(frozen=True)
class Canvas:
    """What is painted over: PNGs of one size. patch: None where that is the whole picture."""

    image: bytes
    mask: bytes | None = None
    patch: Patch | None = None

    def lightened(self) -> "Canvas":
        """What `finished` and `unfinished` need of it."""
        return Canvas(b"", None, self.patch)


def prepared(image: bytes, mask: bytes | None, size: Size, mode: int, brush: Brush) -> Canvas:
    """Raises a Fault of kind UNREADABLE for what is no picture."""
    fit = FITS[mode]
    given = _flat(_open(inputs.read_image(image, "image")))
    if mask is None:
        return Canvas(_png(fit(given, size)))
    drawn = _blurred(_mask(inputs.read_image(mask, "mask"), brush), brush.blur)
    if drawn.size != given.size:
        drawn = drawn.resize(given.size, Image.Resampling.BILINEAR)
    box = None if brush.padding is None else _box(drawn, brush.padding, size)
    if box is None:
        patch, shown, masked = None, fit(given, size), fit(drawn, size)
    else:
        patch = Patch(given, drawn, box)
        shown = given.crop(box).resize(size, LANCZOS)
        masked = drawn.crop(box).resize(size, Image.Resampling.BILINEAR)
    return Canvas(_png(_filled(shown, masked) if brush.fill else shown), _png(masked), patch)


def size_of(image: bytes) -> Size:
    return _open(inputs.read_image(image, "image")).size


def finished(picture: bytes, canvas: Canvas | None, format: Format) -> bytes:
    """What was painted, in its place; its text says how it was made, as before."""
    if canvas is None or canvas.patch is None:
        return picture
    whole = canvas.patch.paste(_open(picture).convert("RGB"))
    facts = images.provenance_of(picture) | {"size": f"{whole.width}x{whole.height}"}
    return images.encode(np.asarray(whole), format, facts)


def unfinished(
    preview: bytes, size: Size, canvas: Canvas | None, format: Format, facts: images.Provenance
) -> bytes:
    """A picture on its way, in the size of the finished one."""
    shown = _open(preview).convert("RGB").resize(size, LANCZOS)
    if canvas is not None and canvas.patch is not None:
        shown = canvas.patch.paste(shown)
    return images.encode(np.asarray(shown), format, facts)


def as_png(picture: bytes) -> bytes:
    return _png(_open(picture).convert("RGB"))


def _stretched(image: Image.Image, size: Size) -> Image.Image:
    return image.resize(size, LANCZOS)


def _cropped(image: Image.Image, size: Size) -> Image.Image:
    return ImageOps.fit(image, size, LANCZOS)


def _padded(image: Image.Image, size: Size) -> Image.Image:
    """The whole in the middle, its edges continued."""
    inner = ImageOps.contain(image, size, LANCZOS)
    left, top = (size[0] - inner.width) // 2, (size[1] - inner.height) // 2
    around = [(top, size[1] - inner.height - top), (left, size[0] - inner.width - left)]
    pixels = np.asarray(inner)
    return Image.fromarray(np.pad(pixels, [*around, *[(0, 0)] * (pixels.ndim - 2)], mode="edge"))


# By resize_mode. The last is A1111's name for scaling latents, which are made of the picture here.
FITS: Mapping[int, Callable[[Image.Image, Size], Image.Image]] = {
    0: _stretched,
    1: _cropped,
    2: _padded,
    3: _stretched,
}


def _mask(content: bytes, brush: Brush) -> Image.Image:
    """White where is painted. Of a mask that is drawn on nothing, what is drawn counts."""
    mask = _open(content)
    opacity = mask.getchannel("A") if mask.mode == "RGBA" else None
    if opacity is not None and opacity.getextrema() != (255, 255):
        rounded = opacity.point([255 * (value > BRUSHED) for value in range(256)])
        mask = rounded if brush.rounded else opacity
    mask = mask.convert("L")
    return ImageOps.invert(mask) if brush.invert else mask


def _blurred(mask: Image.Image, blur: tuple[float, float]) -> Image.Image:
    for value in blur:
        if not 0 <= value <= MAX_BLUR:
            raise invalid("mask_blur", f"mask_blur {value} is out of range; give 0 to {MAX_BLUR}")
    return mask.filter(ImageFilter.GaussianBlur(blur)) if any(blur) else mask


def _box(mask: Image.Image, padding: int, size: Size) -> Box | None:
    """What is masked and some px around, grown to the shape of `size`; None where nothing is."""
    found = mask.getbbox()
    if found is None:
        return None
    wide, high = mask.size
    left, top = max(0, found[0] - padding), max(0, found[1] - padding)
    right, bottom = min(wide, found[2] + padding), min(high, found[3] + padding)
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


def _filled(image: Image.Image, mask: Image.Image) -> Image.Image:
    """The hole filled with the colours around it."""
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


def _spread(plane: Plane, radius: int) -> Plane:
    # Box blurs of floating point; Pillow's Gaussian knows no such pictures.
    length = 2 * radius + 1
    for axis in (0, 1):
        around = [(0, 0), (0, 0)]
        around[axis] = (radius + 1, radius)
        sums = np.cumsum(np.pad(plane, around, mode="constant"), axis=axis, dtype=np.float64)
        ends = np.take(sums, range(length, sums.shape[axis]), axis=axis)
        starts = np.take(sums, range(sums.shape[axis] - length), axis=axis)
        plane = ((ends - starts) / length).astype(np.float32)
    return plane


def _flat(image: Image.Image) -> Image.Image:
    if image.mode != "RGBA":
        return image.convert("RGB")
    ground = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(ground, image).convert("RGB")


def _open(content: bytes) -> Image.Image:
    return Image.open(BytesIO(content))


def _png(image: Image.Image) -> bytes:
    buffer = BytesIO()
    image.save(buffer, "png", compress_level=1)
    return buffer.getvalue()
