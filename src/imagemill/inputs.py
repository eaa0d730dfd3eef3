"""Inputs: what is read of a picture that somebody gave, whatever its declared type says.

Everything leaves as a plain PNG without metadata, so that nothing after this has to fear a file.
"""

import binascii
import re
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from urllib.parse import unquote_to_bytes

import numpy as np
from PIL import ExifTags, Image
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from imagemill.errors import Fault, Kind

MAX_PIXELS = 2**24
MIN_SIDE, MAX_SIDE = 16, 8192  # px
MAX_SCANS = 100  # of a progressive JPEG: a few bytes each, and each a pass over every pixel

# Opened by class rather than by Image.open, which refuses large sizes without telling them.
_READERS: Mapping[str, tuple[bytes, Callable[[BytesIO], ImageFile]]] = {
    "PNG": (rb"\x89PNG\r\n\x1a\n", PngImageFile),
    "JPEG": (rb"\xff\xd8\xff", JpegImageFile),
    "WebP": (rb"RIFF....WEBP", WebPImageFile),
    "GIF": (rb"GIF8[79]a", GifImageFile),
    "BMP": (rb"BM", BmpImageFile),
}
_READ = "PNG, JPEG, WebP, GIF or BMP"

# What people send in place of a picture, by how it begins; in lower case.
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

_DATA = re.compile(
    r"data:([\w.+-]+/[\w.+-]+)?(?:;[\w.+-]+=[^;,]*)*(;base64)?,", re.ASCII | re.IGNORECASE
)
_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_STANDARD = str.maketrans("-_", "+/")  # from the URL-safe alphabet of base64

# One picture at a time: Python filters warnings for the whole process, not for a thread, and
# pictures of strangers must not fill the memory together.
_DECODING = threading.Lock()
_WHITE = b" \t\r\n\v\f"


def read_image(content: bytes, field: str) -> bytes:
    """A PNG, RGB, or RGBA where there is transparency, upright; of a GIF the first frame."""
    with _decoded(content, field) as image:
        return _png(image.convert("RGBA" if image.has_transparency_data else "RGB"))


def read_mask(content: bytes, field: str) -> bytes:
    """A PNG in 8-bit grey, upright; what is transparent becomes black, which masks leave alone."""
    with _decoded(content, field) as image:
        if image.has_transparency_data:
            black = Image.new("RGBA", image.size, "black")
            return _png(Image.alpha_composite(black, image.convert("RGBA")).convert("L"))
        return _png(image.convert("L"))


def read_alpha(content: bytes, field: str) -> bytes | None:
    """A mask, a PNG in 8-bit grey, white where a picture is transparent; None where it is not."""
    with _decoded(content, field) as image:
        if not image.has_transparency_data:
            return None
        alpha = image.convert("RGBA").getchannel("A")
        clear = alpha.point([255 - value for value in range(256)])
        return _png(clear) if clear.getbbox() is not None else None


def unbroken(text: str) -> str:
    """Without white space, which breaks base64 into lines."""
    return text.encode("utf-8", "surrogatepass").translate(None, _WHITE).decode("utf-8", "replace")


def data_uri(text: str, field: str, max_bytes: int) -> tuple[bytes, str]:
    """The content of a data URI and its declared media type."""
    head = _DATA.match(text)
    if head is None:
        raise _unreadable(field, "is no data URI; write data:image/png;base64, and the content")
    payload = text[head.end() :]
    try:
        content = (_unescape if head[2] is None else _unbase)(payload)
    except ValueError:
        way_out = "write base64 in one line, or escape each byte as % and two hex digits"
        raise _unreadable(field, f"is a data URI with broken content; {way_out}") from None
    if len(content) > max_bytes:
        told = f"the {field} has {len(content)} bytes; at most {max_bytes} are read; scale it down"
        raise Fault(Kind.TOO_LARGE, told, field)
    return content, (head[1] or "text/plain").lower()


def _unescape(payload: str) -> bytes:
    if _BROKEN_ESCAPE.search(payload):
        raise ValueError
    return unquote_to_bytes(payload.encode("ascii"))


def _unbase(payload: str) -> bytes:
    plain = (_unescape(payload) if "%" in payload else payload.encode("ascii")).decode("ascii")
    padding = "" if plain.endswith("=") else "=" * (-len(plain) % 4)
    return binascii.a2b_base64(plain.translate(_STANDARD) + padding, strict_mode=True)


@contextmanager
def _decoded(content: bytes, field: str) -> Iterator[Image.Image]:
    """The whole picture, upright and in 8 bits; a Fault where that cannot be had."""
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
    what = next((told for how, told in _OTHERS if re.match(how, head, re.DOTALL)), "unknown data")
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
    # Within the picture's data the marker cannot occur: there, 0xFF is always followed by 0x00.
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
    """How the picture has to be turned to stand upright."""
    try:
        return _TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # a picture is not refused for broken remarks about it
        return None


def _png(image: Image.Image) -> bytes:
    image.info.clear()  # profiles, remarks and transparency keys would be written too
    buffer = BytesIO()
    image.save(buffer, "png", compress_level=1)
    return buffer.getvalue()


def _unreadable(field: str, what: str) -> Fault:
    return Fault(Kind.UNREADABLE, f"the {field} {what}", field)
