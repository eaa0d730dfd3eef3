"""Inputs: what is read of a picture that somebody gave, whatever its declared type says.

Everything leaves as a plain PNG without metadata, so that nothing after this has to fear a file.
"""

import binascii
import re
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO

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
_STANDARD = bytes.maketrans(b"-_", b"+/")  # from the URL-safe alphabet of base64
_PIECE = 3 * 2**18  # bytes that are gone through at a time
_HEX = np.full(256, 16, np.uint8)  # by its code, what a digit says; 16 for what is none
_HEX[[*b"0123456789abcdef"]] = _HEX[[*b"0123456789ABCDEF"]] = range(16)

# One picture at a time: Python filters warnings for the whole process, not for a thread, and
# pictures of strangers must not fill the memory together.
_DECODING = threading.Lock()
_WHITE = " \t\r\n\v\f"
_NO_WHITE = str.maketrans("", "", _WHITE)


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
    if not any(blank in text for blank in _WHITE):
        return text
    pieces = (text[start : start + _PIECE] for start in range(0, len(text), _PIECE))
    return "".join(piece.translate(_NO_WHITE) for piece in pieces)


def data_uri(text: str, field: str, max_bytes: int) -> tuple[bytes, str]:
    """The content of a data URI and its declared media type."""
    head = _DATA.match(text, 0, _HEAD)
    if head is None:
        raise _unreadable(field, "is no data URI; write data:image/png;base64, and the content")
    escaped = len(text) - head.end() - 2 * text.count("%", head.end())
    _check_bytes(field, escaped if head[2] is None else escaped // 4 * 3 - 2, max_bytes)
    pieces = _pieces(text, head.end())
    try:
        content = b"".join(pieces if head[2] is None else _unbased(pieces))
    except ValueError:
        way_out = "write base64 in one line, or escape each byte as % and two hex digits"
        raise _unreadable(field, f"is a data URI with broken content; {way_out}") from None
    _check_bytes(field, len(content), max_bytes)
    return content, (head[1] or "text/plain").lower()


def as_data_uri(content: bytes, media_type: str) -> str:
    whole = memoryview(content)
    pieces = (whole[start : start + _PIECE] for start in range(0, len(whole), _PIECE))
    encoded = (binascii.b2a_base64(piece, newline=False).decode() for piece in pieces)
    return "".join([f"data:{media_type};base64,", *encoded])


def _check_bytes(field: str, count: int, limit: int) -> None:
    if count > limit:
        told = f"the {field} has {count} bytes; at most {limit} are read; scale it down"
        raise Fault(Kind.TOO_LARGE, told, field)


def _pieces(text: str, start: int) -> Iterator[bytes]:
    """What a URI says from `start` on, unescaped; raises ValueError.

    In pieces: a call that goes through many megabytes at once lets no other thread run meanwhile.
    """
    while start < len(text):
        stop = start + _PIECE
        if (cut := text.find("%", stop - 2, stop)) >= 0 and stop < len(text):
            stop = cut  # not within an escape
        yield _unescaped(text[start:stop].encode("ascii"))
        start = stop


def _unescaped(piece: bytes) -> bytes:
    if b"%" not in piece:
        return piece
    # With room behind, so that an escape which ends too early is one that is no hex.
    codes = np.frombuffer(piece + b"%%", np.uint8)
    at = np.flatnonzero(codes[:-2] == ord("%"))
    high, low = _HEX[codes[at + 1]], _HEX[codes[at + 2]]
    if (high | low).max() > 15:
        raise ValueError("an escape is no byte")
    found, kept = codes[:-2].copy(), np.ones(len(piece), bool)
    found[at] = high << 4 | low
    kept[at + 1] = kept[at + 2] = False
    return found[kept].tobytes()


def _unbased(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """What base64 says, of either alphabet, with or without the signs that fill its end."""
    left, ended = b"", False
    for piece in pieces:
        plain = left + piece.translate(_STANDARD)
        whole = len(plain) // 4 * 4
        plain, left = plain[:whole], plain[whole:]
        if ended and plain:
            raise ValueError("something follows the end")
        ended = plain.endswith(b"=")
        yield binascii.a2b_base64(plain, strict_mode=True)
    if left:
        if ended:
            raise ValueError("something follows the end")
        padding = b"" if left.endswith(b"=") else b"=" * (-len(left) % 4)
        yield binascii.a2b_base64(left + padding, strict_mode=True)


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
