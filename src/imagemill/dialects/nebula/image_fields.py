"""Images as they come here: in base64, bare or as a data URI."""

from imagemill.errors import Fault, Kind
from imagemill.images.data_uris import as_uri, data_uri
from imagemill.images.decode import open_image, open_mask
from imagemill.images.encode import encode_png
from imagemill.images.geometry import NEAREST, Size, stretched
from imagemill.images.kinds import kind_of
from imagemill.jobs.input_files import IMAGE_BYTES, Inline
from imagemill.references import is_inline


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
    content = _decoded(text.strip(), field)
    kind = kind_of(content)
    return Inline(content) if kind is None else Inline(content, f"image/{kind.lower()}")


def _decoded(text: str, field: str) -> bytes:
    try:
        return data_uri(as_uri(text), field, IMAGE_BYTES)[0]
    except Fault as fault:
        if is_inline(text) or fault.kind is not Kind.UNREADABLE:
            raise
        message = f"the {field} is not base64; send the file itself in base64, not its address"
        raise Fault(Kind.UNREADABLE, message, field) from None
