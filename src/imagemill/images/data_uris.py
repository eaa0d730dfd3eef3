"""Data URIs: what comes within a request as text, into bytes and back."""

import binascii
import re
from collections.abc import Iterable, Iterator

import numpy as np

from imagemill.errors import Fault, Kind
from imagemill.references import is_inline

_HEAD = 1024  # characters that its declared type has at most
_DATA = re.compile(r"\s*data:([^;,]*)((?:;[^;,]*)*),", re.IGNORECASE)
_TYPE = re.compile(r"[\w.+-]+/[\w.+-]+", re.ASCII)
_BASE64 = re.compile(r";\s*base64\s*(?:;|$)", re.IGNORECASE)
_STANDARD = bytes.maketrans(b"-_", b"+/")  # from the URL-safe alphabet of base64
_WHITE = b" \t\r\n\v\f"  # breaks base64 into lines
_PIECE = 3 * 2**18  # bytes that are gone through at a time
_HEX = np.full(256, 16, np.uint8)  # by its code, what a digit says; 16 for what is none
_HEX[[*b"0123456789abcdef"]] = _HEX[[*b"0123456789ABCDEF"]] = range(16)


def data_uri(text: str, field: str, max_bytes: int) -> tuple[bytes, str]:
    """The content of a data URI and its declared media type.

    Clients write them in many ways, all of which are read: in any case, base64 broken into lines,
    without the signs that fill its end, in either alphabet, with other parameters before or behind.
    """
    head = _DATA.match(text, 0, _HEAD)
    if head is None:
        raise _unreadable(field, "is no data URI; write data:image/png;base64, and the content")
    start, based = head.end(), _BASE64.search(head[2]) is not None
    check_bytes(field, _least(text, start, based), max_bytes)
    pieces = _pieces(text, start)
    try:
        content = b"".join(_unbased(pieces) if based else pieces)
    except ValueError:
        way_out = "write base64 alone, or escape each byte as % and two hex digits"
        raise _unreadable(field, f"is a data URI with broken content; {way_out}") from None
    check_bytes(field, len(content), max_bytes)
    declared = head[1].strip().lower()
    return content, declared if _TYPE.fullmatch(declared) else "text/plain"


def as_uri(text: str) -> str:
    """The data URI of what may be bare base64."""
    start = text.lstrip()
    return start if is_inline(start) else f"data:image/png;base64,{start}"


def as_data_uri(content: bytes, media_type: str) -> str:
    whole = memoryview(content)
    pieces = (whole[start : start + _PIECE] for start in range(0, len(whole), _PIECE))
    encoded = (binascii.b2a_base64(piece, newline=False).decode() for piece in pieces)
    return "".join([f"data:{media_type};base64,", *encoded])


def check_bytes(field: str, count: int, limit: int) -> None:
    """Raises a Fault where there are more bytes than are read."""
    if count > limit:
        message = f"the {field} has {count} bytes; at most {limit} are read; scale it down"
        raise Fault(Kind.TOO_LARGE, message, field)


def _least(text: str, start: int, based: bool) -> int:
    """How many bytes a URI has at least."""
    signs = len(text) - start - 2 * text.count("%", start)
    if not based:
        return signs
    return (signs - sum(text.count(blank, start) for blank in " \r\n\t")) // 4 * 3 - 2


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
    values, kept = codes[:-2].copy(), np.ones(len(piece), bool)
    values[at] = high << 4 | low
    kept[at + 1] = kept[at + 2] = False
    return values[kept].tobytes()


def _unbased(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """What base64 says, of either alphabet, with or without the signs that fill its end."""
    left, ended = b"", False
    for piece in pieces:
        plain = left + piece.translate(_STANDARD, _WHITE)
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


def _unreadable(field: str, what: str) -> Fault:
    return Fault(Kind.UNREADABLE, f"the {field} {what}", field)
