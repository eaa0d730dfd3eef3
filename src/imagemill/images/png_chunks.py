"""Chunks of PNG files: what of a stranger's file is handed on to be decoded.

A picture is not refused for its remarks. Pillow refuses the whole file where a text or a profile
unpacks to more than a megabyte, or has a wrong checksum, and can be told otherwise for the whole
process alone.
"""

import struct
import zlib
from collections.abc import Callable, Iterator

from imagemill.errors import Fault, Kind

SIGNATURE = b"\x89PNG\r\n\x1a\n"
MAX_CHUNKS = 2**17  # of one file: each takes time, however short it is
MOST_TEXT = 2**20  # bytes that a text has when it is unpacked
MOST_TEXTS = 2**23  # bytes that all texts have together

_CRITICAL = frozenset({b"IHDR", b"PLTE", b"IDAT", b"IEND"})
_PIXELS = _CRITICAL | {b"tRNS", b"eXIf"}
_TEXTS = frozenset({b"tEXt", b"zTXt", b"iTXt"})
# Texts that may tell how a picture is turned: ImageMagick's, and XMP.
_TURNING = (b"Raw profile type exif\0", b"XML:com.adobe.xmp\0")

Chunk = tuple[bytes, memoryview]  # its name, and the whole of it


def pixels_alone(content: bytes, field: str) -> bytes:
    """The file without remarks, but for what tells how the picture is turned; raises a Fault for
    one of countless chunks.
    """
    return _kept(content, field, lambda text: text.startswith(_TURNING))


def with_texts(content: bytes, field: str) -> bytes:
    """The file with those of its texts that can be read."""
    return _kept(content, field, lambda _: True)


def _kept(content: bytes, field: str, wanted: Callable[[bytes], bool]) -> bytes:
    """The file with its pixels, and those texts that are wanted; itself where that is all."""
    room, pieces, dropped = MOST_TEXTS, [memoryview(SIGNATURE)], False
    for name, chunk in _chunks(content, field):
        if name in _TEXTS:
            text = bytes(chunk[8:-4])
            length = _length(name, text) if wanted(text) and _whole(chunk) else None
            kept = length is not None and length <= room
            room -= length if kept and length is not None else 0
        else:
            kept = not name or (name in _PIXELS and (name in _CRITICAL or _whole(chunk)))
        dropped |= not kept
        pieces += [chunk] if kept else []
    return b"".join(pieces) if dropped else content


def _chunks(content: bytes, field: str) -> Iterator[Chunk]:
    """In order; what is no chunk at the end has no name."""
    whole, at = memoryview(content), len(SIGNATURE)
    for _ in range(MAX_CHUNKS):
        if at + 12 > len(whole):
            break
        size, name = struct.unpack(">I4s", whole[at : at + 8])
        end = at + 12 + size
        if end > len(whole) or not name.isalpha():
            break
        yield name, whole[at:end]
        at = end
        if name == b"IEND":
            return
    else:
        what = f"is a PNG of more than {MAX_CHUNKS} chunks; save it anew"
        raise Fault(Kind.UNREADABLE, f"the {field} {what}", field)
    yield b"", whole[at:]  # which is for the decoder to judge


def _whole(chunk: memoryview) -> bool:
    return zlib.crc32(chunk[4:-4]) == int.from_bytes(chunk[-4:], "big")


def _length(name: bytes, text: bytes) -> int | None:
    """Bytes of a text, unpacked; None where it cannot be read, or is too long."""
    _, _, rest = text.partition(b"\0")
    if name == b"tEXt" or (name == b"iTXt" and rest[:1] in (b"", b"\0")):
        return len(text)
    method, packed = (rest[:1], rest[1:]) if name == b"zTXt" else (rest[1:2], _behind(rest))
    unpacking = zlib.decompressobj()
    try:
        length = len(unpacking.decompress(packed, MOST_TEXT))
    except zlib.error:
        return None
    return None if unpacking.unconsumed_tail or method != b"\0" else length


def _behind(rest: bytes) -> bytes:
    """Of an iTXt, what stands behind both of its flags, its language and its translated name."""
    return rest[2:].split(b"\0", 2)[-1]
