"""Images as files: from pixels, with provenance written in. The same input gives the same bytes."""

import json
import re
from collections.abc import Callable, Mapping
from io import BytesIO
from xml.sax.saxutils import escape

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from imagemill.generation import Format
from imagemill.images.provenance import (
    KEY,
    PARAMETERS,
    SOFTWARE,
    Provenance,
    as_exif,
    as_json,
    as_parameters,
    fitting_jpeg,
)

Pixels = NDArray[np.uint8]  # (height, width, 3)

MEDIA_TYPES: Mapping[Format, str] = {
    "png": "image/png",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "svg": "image/svg+xml",
}
QUALITY = 92  # of JPEG and WebP files; a higher one would add nothing but bytes
THUMBNAIL_QUALITY = 80

_RUN_LENGTHS = 3  # zlib's Z_RLE

# How an SVG of ours begins; nothing else is read, for XML of strangers can be a trap.
SVG_HEAD = re.compile(
    rb'<svg xmlns="http://www\.w3\.org/2000/svg" width="(\d{1,5})" height="(\d{1,5})" [^<>]*>\n'
    rb'(?:<metadata id="imagemill">([^<]*)</metadata>\n)?'
)


def encode(pixels: Pixels, format: Format, provenance: Provenance) -> bytes:
    """One image as a file, with `provenance` as text chunks (PNG) or EXIF (JPEG, WebP).

    Not as SVG, which is traced first: see `encode_svg`.
    """
    buffer = BytesIO()
    _WRITERS[format](Image.fromarray(pixels), buffer, provenance)
    return buffer.getvalue()


def encode_svg(svg: str, provenance: Provenance) -> bytes:
    """A traced image as a file, with `provenance` as JSON in a metadata element."""
    data = svg.encode()
    head = SVG_HEAD.match(data)
    assert head is not None, "traced by `finishing`"
    # In ASCII: JSON can hold characters that XML cannot.
    facts = escape(json.dumps(json.loads(as_json(provenance)))).encode()
    element = b'<metadata id="imagemill">%s</metadata>\n' % facts
    return data[: head.end()] + element + data[head.end() :]


def encode_png(image: Image.Image) -> bytes:
    """A PNG of the pixels alone, written quickly: what it was read with is dropped."""
    image.info.clear()  # profiles, remarks and transparency keys would be written too
    buffer = BytesIO()
    image.save(buffer, "png", compress_level=1)
    return buffer.getvalue()


def thumbnail(pixels: Pixels, side: int) -> bytes:
    """A JPEG whose longer side has at most `side` px."""
    image = Image.fromarray(pixels)
    image.thumbnail((side, side))
    buffer = BytesIO()
    image.save(buffer, "jpeg", quality=THUMBNAIL_QUALITY)
    return buffer.getvalue()


def converted(jpeg: bytes, format: Format) -> bytes:
    """A JPEG in another format."""
    if format == "jpeg":
        return jpeg
    buffer = BytesIO()
    with Image.open(BytesIO(jpeg)) as image:
        image.save(buffer, format)
    return buffer.getvalue()


def compressed(content: bytes, format: Format, quality: int) -> bytes:
    """A JPEG or WebP file with less of its bytes; its provenance stays."""
    buffer = BytesIO()
    with Image.open(BytesIO(content)) as image:
        exif = image.info.get("exif", b"")
        image.save(buffer, format, quality=max(1, quality), exif=exif)
    return buffer.getvalue()


def _write_png(image: Image.Image, buffer: BytesIO, facts: Provenance) -> None:
    chunks = PngInfo()
    for key, value in ((KEY, as_json(facts)), (PARAMETERS, as_parameters(facts))):
        chunks.add_text(key, value)  # tEXt where Latin-1 will do: many read no iTXt
    chunks.add_text("Software", str(facts.get("software", SOFTWARE)))
    # Run lengths alone: what a decoder makes of flat colour is never quite flat, so a search for
    # longer matches finds none. 1024 px take 65 ms and 1.1 MB; by default 470 ms and 1.07 MB.
    image.save(buffer, "png", pnginfo=chunks, compress_level=1, compress_type=_RUN_LENGTHS)


def _write_jpeg(image: Image.Image, buffer: BytesIO, facts: Provenance) -> None:
    # Colour at full resolution: with halved chroma the edges of flat, saturated shapes bleed.
    exif = as_exif(fitting_jpeg(facts))
    image.save(buffer, "jpeg", quality=QUALITY, subsampling="4:4:4", exif=exif)


def _write_webp(image: Image.Image, buffer: BytesIO, facts: Provenance) -> None:
    # Method 0 takes a third of the default's time; the files grow by a tenth.
    image.save(buffer, "webp", quality=QUALITY, method=0, exif=as_exif(facts))


_WRITERS: Mapping[Format, Callable[[Image.Image, BytesIO, Provenance], None]] = {
    "png": _write_png,
    "jpeg": _write_jpeg,
    "webp": _write_webp,
}
