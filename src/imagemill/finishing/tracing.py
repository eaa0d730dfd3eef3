"""From pixels to SVG, by vtracer; small enough to be sent, however busy the picture."""

import re
from dataclasses import dataclass
from io import BytesIO

import numpy as np
import vtracer  # type: ignore[import-untyped]
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from imagemill.errors import Fault, Kind

MAX_BYTES = 2_000_000
_BUSY = 700_000  # borders between pixels of other colours: about three seconds of tracing
_SAMPLE = 256  # px per side
_HEAD = re.compile(r".*?<svg [^>]*>", re.DOTALL)


@dataclass(frozen=True)
class Detail:
    """How finely a picture is traced. shrink: its sides are so many times smaller before."""

    shrink: int
    colours: int
    speckle: int  # px: what is smaller is left out
    digits: int  # after the point, of coordinates


DETAILS = (
    Detail(1, 64, 4, 2),
    Detail(1, 32, 8, 1),
    Detail(2, 32, 8, 1),
    Detail(4, 16, 8, 1),
    Detail(8, 8, 8, 1),
)


def trace(pixels: NDArray[np.uint8]) -> str:
    """The picture as flat shapes with smooth outlines, below `MAX_BYTES`.

    A busy picture is traced more coarsely from the start: one of mere noise would take a minute.
    """
    height, width = pixels.shape[:2]
    for detail in DETAILS:
        flat = _flat(Image.fromarray(pixels), detail)
        if _borders(flat) > _BUSY:
            continue
        traced = convert(_bitmap(flat), detail)
        if len(traced) < MAX_BYTES:
            return _whole(traced, width, height, flat.size)
    raise Fault(Kind.FAILED, "the picture is too busy to be traced; ask for png, jpeg or webp")


def _flat(image: Image.Image, detail: Detail) -> Image.Image:
    """Of few colours: vtracer makes steps of a gradient only where it is given them."""
    if detail.shrink > 1:
        image = image.reduce(detail.shrink).filter(ImageFilter.MedianFilter(3))
    # A sample is enough; of a million different pixels the palette would take minutes.
    sample = image.resize([min(side, _SAMPLE) for side in image.size], Image.Resampling.NEAREST)
    coverage = Image.Quantize.MAXCOVERAGE  # which does not forget a colour that is rare
    palette = sample.quantize(detail.colours, coverage, kmeans=_SAMPLE**2 // 50)
    return image.quantize(palette=palette, dither=Image.Dither.NONE)


def _borders(flat: Image.Image) -> int:
    coded = np.asarray(flat).astype(np.int16)
    return sum(int(np.count_nonzero(np.diff(coded, axis=axis))) for axis in (0, 1))


def _bitmap(flat: Image.Image) -> bytes:
    buffer = BytesIO()
    flat.convert("RGB").save(buffer, "bmp")
    return buffer.getvalue()


def convert(bitmap: bytes, detail: Detail) -> str:
    """vtracer's own work on a BMP file."""
    try:
        svg: str = vtracer.convert_raw_image_to_svg(
            bitmap,
            img_format="bmp",
            color_precision=8,
            filter_speckle=detail.speckle,
            path_precision=detail.digits,
        )
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException:  # a panic in Rust is no Exception in Python
        message = "the picture could not be traced; ask for png, jpeg or webp"
        raise Fault(Kind.FAILED, message) from None
    return svg


def _whole(traced: str, width: int, height: int, size: tuple[int, int]) -> str:
    """With a viewBox, so that it scales; shapes traced at another `size` are stretched to it."""
    shapes = _HEAD.sub("", traced, count=1).replace("</svg>", "").strip()
    if size != (width, height):
        scale = f"scale({width / size[0]:.6g} {height / size[1]:.6g})"
        shapes = f'<g transform="{scale}">\n{shapes}\n</g>'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}">\n{shapes}\n</svg>\n'
    )
