"""Images from files: strangers' files as pixels, and our own files' sizes and texts.

What a stranger gave is read whatever its declared type says, and leaves as a plain PNG or as pixels
without metadata, so that nothing after this has to fear a file.
"""

import json
import re
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from xml.sax.saxutils import unescape

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from imagemill.errors import Fault, Kind, invalid
from imagemill.images.encode import SVG_HEAD, encode_png
from imagemill.images.provenance import COMMENT, KEY, PARAMETERS

MAX_PIXELS = 2**24
MIN_SIDE, MAX_SIDE = 16, 8192  # px
MAX_SCANS = 100  # of a progressive JPEG: a few bytes each, and each a pass over every pixel

# Opened by class rather than by Image.open, which refuses large sizes without saying them.
_READERS: Mapping[str, tuple[bytes, Callable[[BytesIO], ImageFile]]] = {
    "PNG": (rb"\x89PNG\r\n\x1a\n", PngImageFile),
    "JPEG": (rb"\xff\xd8\xff", JpegImageFile),
    "WebP": (rb"RIFF....WEBP", WebPImageFile),
    "GIF": (rb"GIF8[79]a", GifImageFile),
    "BMP": (rb"BM", BmpImageFile),
}
_READ = "PNG, JPEG, WebP, GIF or BMP"

# What people send in place of an image, by how it begins; in lower case.
_OTHERS: tuple[tuple[bytes, str], ...] = (
    (rb".*(<!doctype html|<html|<head)", "a web page (HTML)"),
    (rb".*<svg", "an SVG drawing"),
    (rb"%pdf-", "a PDF document"),
    (rb"....ftyp", "an AVIF, HEIC or video file"),
    (rb"ii\*\0|mm\0\*", "a TIFF picture"),
    (rb"[\t\r\n -~]+\Z", "text"),
    (rb"\Z", "empty"),
)
_HEAD = 1024  # bytes that are searched for the above

# What each EXIF orientation but 1 asks for.
_TURNS: Mapping[int, Image.Transpose] = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# One image at a time: Python filters warnings for the whole process, not for a thread, and
# images of strangers must not fill the memory together.
_DECODING = threading.Lock()


def open_image(content: bytes, field: str) -> Image.Image:
    """The pixels, RGB, or RGBA where there is transparency, upright; of a GIF the first frame."""
    with _decoded(content, field) as image:
        return _plain(image)


def open_mask(content: bytes, field: str) -> Image.Image:
    """8-bit grey, upright; what is transparent becomes black, which masks leave alone."""
    with _decoded(content, field) as image:
        return _grey(image)


def read_image(content: bytes, field: str) -> bytes:
    """What `open_image` gives, as a PNG."""
    with _decoded(content, field) as image:
        return encode_png(_plain(image))


def read_mask(content: bytes, field: str) -> bytes:
    """What `open_mask` gives, as a PNG."""
    with _decoded(content, field) as image:
        return encode_png(_grey(image))


def read_alpha(content: bytes, field: str) -> bytes | None:
    """A mask, a PNG in 8-bit grey, white where an image is transparent; None where it is not."""
    with _decoded(content, field) as image:
        if not image.has_transparency_data:
            return None
        alpha = image.convert("RGBA").getchannel("A")
        clear = alpha.point([255 - value for value in range(256)])
        return encode_png(clear) if clear.getbbox() is not None else None


def size_of(content: bytes) -> tuple[int, int]:
    """Width and height in px of a file of ours."""
    if head := SVG_HEAD.match(content):
        return int(head[1]), int(head[2])
    return open_file(content).size


def open_file(content: bytes) -> Image.Image:
    """A PNG, JPEG or WebP of ours, not yet decoded; raises a Fault where it is none."""
    try:
        return Image.open(BytesIO(content), formats=["PNG", "JPEG", "WEBP"])
    except UnidentifiedImageError:
        raise invalid("image", "the file is no PNG, JPEG or WebP image") from None


def open_png(content: bytes, field: str) -> Image.Image:
    """The pixels of a PNG that was read before; raises a Fault where it is none."""
    try:
        image = Image.open(BytesIO(content), formats=["PNG"])
        image.load()
    except (OSError, SyntaxError, ValueError):  # what Pillow raises for broken files
        raise Fault(Kind.UNREADABLE, f"the {field} is no whole PNG file", field) from None
    return image


def provenance_of(content: bytes) -> dict[str, str | int | float]:
    """What was written into a file; empty where it was not ours."""
    try:
        facts = json.loads(_text_of(content) or "{}")
    except ValueError:
        return {}
    return facts if isinstance(facts, dict) else {}


def texts_of(content: bytes, field: str) -> tuple[str, dict[str, str]]:
    """The parameters in a file, and its other texts; raises a Fault for what is no image."""
    open_image(content, field)
    try:
        with Image.open(BytesIO(content), formats=["PNG", "JPEG", "WEBP"]) as image:
            image.load()  # texts may stand behind the pixels
            texts = {
                str(name): value for name, value in image.info.items() if isinstance(value, str)
            }
            parameters = texts.pop(PARAMETERS, None) or _comment(image)
    except Exception:  # decoders raise whatever they stumble over
        message = "the image is no PNG, JPEG or WebP that can be read; send one in base64"
        raise Fault(Kind.UNREADABLE, message, field) from None
    return parameters, texts


def _text_of(content: bytes) -> str | None:
    if head := SVG_HEAD.match(content):
        return unescape(head[3].decode("utf-8", "replace")) if head[3] else None
    image = open_file(content)
    return image.info.get(KEY) if image.format == "PNG" else _description(image)


def _description(image: Image.Image) -> str | None:
    # UTF-8, which Pillow reads as Latin-1.
    text = image.getexif().get(ExifTags.Base.ImageDescription)
    return text.encode("latin-1").decode("utf-8", "replace") if isinstance(text, str) else None


def parameters_of(content: bytes) -> str:
    """What a PNG, JPEG or WebP of ours says in the lines of A1111; empty where it says nothing."""
    image = open_file(content)
    return str(image.info.get(PARAMETERS) or _comment(image))


def _comment(image: Image.Image) -> str:
    comment = image.getexif().get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.UserComment, b"")
    if not isinstance(comment, bytes) or not comment.startswith(COMMENT):
        return ""
    return comment.removeprefix(COMMENT).decode("utf-16-be", "replace")


def _plain(image: Image.Image) -> Image.Image:
    plain = image.convert("RGBA" if image.has_transparency_data else "RGB")
    plain.info.clear()
    return plain


def _grey(image: Image.Image) -> Image.Image:
    if not image.has_transparency_data:
        grey = image.convert("L")
    else:
        black = Image.new("RGBA", image.size, "black")
        grey = Image.alpha_composite(black, image.convert("RGBA")).convert("L")
    grey.info.clear()
    return grey


@contextmanager
def _decoded(content: bytes, field: str) -> Iterator[Image.Image]:
    """The whole image, upright and in 8 bits; a Fault where that cannot be had."""
    kind, reader = _reader(content, field)
    with _DECODING, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with reader(BytesIO(content)) as image:
                _check_size(field, *image.size)
                image.load()
                plain, turn = _eight_bits(image), _turn(image)
                yield plain if turn is None else plain.transpose(turn)
        except (Fault, MemoryError):
            raise
        except Image.DecompressionBombError:
            raise _unreadable(field, f"has far more than {MAX_PIXELS} pixels; scale it") from None
        except Exception:  # decoders raise whatever they stumble over
            what = f"is a broken or truncated {kind} file; send it again, whole"
            raise _unreadable(field, what) from None


def _reader(content: bytes, field: str) -> tuple[str, Callable[[BytesIO], ImageFile]]:
    for kind, (beginning, reader) in _READERS.items():
        if re.match(beginning, content, re.DOTALL):
            _check_scans(content, kind, field)
            return kind, reader
    head = content[:_HEAD].lower()
    what = next((name for how, name in _OTHERS if re.match(how, head, re.DOTALL)), "unknown data")
    raise _unreadable(field, f"is {what}, no picture that is read; give {_READ}")


def _check_size(field: str, width: int, height: int) -> None:
    if (
        width * height <= MAX_PIXELS
        and MIN_SIDE <= min(width, height) <= max(width, height) <= MAX_SIDE
    ):
        return
    raise _unreadable(
        field,
        f"has {width}x{height} pixels; {MIN_SIDE} to {MAX_SIDE} a side and {MAX_PIXELS} in all "
        "are read; scale it",
    )


def _check_scans(content: bytes, kind: str, field: str) -> None:
    # Within the image's data the marker cannot occur: there, 0xFF is always followed by 0x00.
    scans = content.count(b"\xff\xda") if kind == "JPEG" else 0
    if scans > MAX_SCANS:
        what = f"is a JPEG of {scans} scans; at most {MAX_SCANS} are read; save it anew"
        raise _unreadable(field, what)


def _eight_bits(image: Image.Image) -> Image.Image:
    """The same in 8 bits a channel: Pillow would clip 16-bit grey where it should scale it."""
    if not image.mode.startswith("I"):
        return image
    pixels = np.asarray(image)
    grey = Image.fromarray((pixels // 257).astype(np.uint8))
    if "transparency" in image.info:
        opaque = pixels != image.info["transparency"]
        grey.putalpha(Image.fromarray(opaque.astype(np.uint8) * 255))
    return grey


def _turn(image: Image.Image) -> Image.Transpose | None:
    """How the image has to be turned to stand upright."""
    try:
        return _TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # an image is not refused for broken remarks about it
        return None


def _unreadable(field: str, what: str) -> Fault:
    return Fault(Kind.UNREADABLE, f"the {field} {what}", field)
