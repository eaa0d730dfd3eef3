"""Images as they come here: in base64, of the three formats that the page names."""

import re

from imagemill.errors import Fault, Kind
from imagemill.generation import DATA
from imagemill.images.data_uris import data_uri, unbroken
from imagemill.images.decode import open_image, open_mask
from imagemill.images.encode import encode_png
from imagemill.images.geometry import NEAREST, Size, stretched
from imagemill.jobs.input_files import IMAGE_BYTES, Inline

TAKEN = "give JPG, JPEG, PNG or WebP"

# By how they begin: what is taken, and its media type.
_FORMATS: tuple[tuple[bytes, str], ...] = (
    (rb"\x89PNG\r\n\x1a\n", "image/png"),
    (rb"\xff\xd8\xff", "image/jpeg"),
    (rb"RIFF....WEBP", "image/webp"),
)
# What else people send, some of which other dialects read.
_OTHERS: tuple[tuple[bytes, str], ...] = (
    (rb"GIF8[79]a", "a GIF picture"),
    (rb"BM", "a BMP picture"),
    (rb"II\*\0|MM\0\*", "a TIFF picture"),
    (rb"....ftyp", "an AVIF, HEIC or video file"),
    (rb"%PDF-", "a PDF document"),
    (rb"\s*<", "a web page or a drawing in XML"),
    (rb"\Z", "empty"),
    (rb"", "no picture"),
)


def image(text: str) -> tuple[Inline, Size]:
    """The image, and its size; raises a Fault where it is none."""
    image = _inline(text, "image")
    return image, open_image(image.content, "image").size


def mask(text: str, size: Size) -> Inline:
    """The mask, in the size of its image: each pixel is that of the nearest."""
    mask = _inline(text, "mask")
    grey = open_mask(mask.content, "mask")
    return mask if grey.size == size else Inline(encode_png(stretched(grey, size, NEAREST)))


def _inline(text: str, field: str) -> Inline:
    content = _decoded(unbroken(text), field)  # `base64` on the command line breaks lines
    for beginning, media_type in _FORMATS:
        if re.match(beginning, content, re.DOTALL):
            return Inline(content, media_type)
    what = next(name for how, name in _OTHERS if re.match(how, content, re.DOTALL))
    raise Fault(Kind.UNREADABLE, f"the {field} is {what}; {TAKEN}", field)


def _decoded(text: str, field: str) -> bytes:
    bare = text[: len(DATA)].lower() != DATA
    try:
        return data_uri(f"data:;base64,{text}" if bare else text, field, IMAGE_BYTES)[0]
    except Fault as fault:
        if not bare or fault.kind is not Kind.UNREADABLE:
            raise
        message = f"the {field} is not base64; send the file itself in base64, not its address"
        raise Fault(Kind.UNREADABLE, message, field) from None
