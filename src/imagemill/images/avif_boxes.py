"""Boxes of AVIF files: how large the frames within are, before they are decoded.

A file says its size outside of the frame, and decoders unfold the frame whatever was said: a few
kilobytes that call themselves 64 px can hold 268 megapixels. What is not plain is not read.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

MOST_PIXELS = 2**26  # of a frame
MOST_PARTS = 1000  # of a file and of a frame: each takes time, however short it is
_SEQUENCE = 1  # the type of the unit that says how large frames may be

_NEEDED = frozenset({b"ftyp", b"meta", b"iinf", b"iloc", b"pitm"})

Boxes = Mapping[bytes, memoryview]


class NotPlain(ValueError):
    """The file is of a kind that is not read, or is broken."""


@dataclass
class Bits:
    """A reader of numbers of some bits each. data: from the highest bit of its first byte on."""

    data: bytes
    at: int = 0

    def take(self, count: int) -> int:
        """The next number; raises NotPlain at the end."""
        start, self.at = self.at, self.at + count
        end = -(-self.at // 8)
        if end > len(self.data):
            raise NotPlain
        whole = int.from_bytes(self.data[start // 8 : end], "big")
        return whole >> 8 * end - self.at & (1 << count) - 1


@dataclass
class _Items:
    """types: by id. extents: by id, places within the file and lengths."""

    types: dict[int, bytes] = field(default_factory=dict)
    extents: dict[int, list[tuple[int, int]]] = field(default_factory=dict)


def check_frames(content: bytes) -> None:
    """Raises NotPlain for all but a still picture of one frame, with others for its alpha and the
    like, that may have MOST_PIXELS at most; other errors of Python's for what is broken.
    """
    file = _boxes(memoryview(content))
    if b"moov" in file or bytes(file[b"ftyp"][:4]) == b"avis":
        raise NotPlain
    items, meta = _Items(), _boxes(file[b"meta"][4:])
    _types(meta[b"iinf"], items)
    _extents(meta[b"iloc"], items)
    primary = meta[b"pitm"]
    if items.types.get(int.from_bytes(primary[4:], "big")) != b"av01":
        raise NotPlain
    frames = [id for id, type in items.types.items() if type == b"av01"]
    for id in frames:
        if max(_frame(content, items.extents.get(id, []))) > MOST_PIXELS:
            raise NotPlain


def _boxes(data: memoryview) -> Boxes:
    """What the boxes hold, by type; only the unneeded may come twice."""
    boxes, at = dict[bytes, memoryview](), 0
    while at < len(data):
        size, type, start = (
            int.from_bytes(data[at : at + 4], "big"),
            bytes(data[at + 4 : at + 8]),
            8,
        )
        if size == 1:
            size, start = int.from_bytes(data[at + 8 : at + 16], "big"), 16
        size = size or len(data) - at
        if size < start or at + size > len(data) or (type in boxes and type in _NEEDED):
            raise NotPlain
        boxes[type] = data[at + start : at + size]
        at += size
    return boxes


def _types(box: memoryview, items: _Items) -> None:
    wide = 2 if box[0] == 0 else 4
    for entry in _entries(box[4 + wide :]):
        id = 2 if entry[0] == 2 else 4
        items.types[int.from_bytes(entry[4 : 4 + id], "big")] = bytes(entry[6 + id : 10 + id])


def _entries(data: memoryview) -> Iterator[memoryview]:
    at = 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        if size < 8 or at + size > len(data) or bytes(data[at + 4 : at + 8]) != b"infe":
            raise NotPlain
        yield data[at + 8 : at + size]
        at += size


def _few(count: int) -> int:
    if count > MOST_PARTS:
        raise NotPlain
    return count


def _extents(box: memoryview, items: _Items) -> None:
    version, bits = box[0], Bits(bytes(box[4:]))
    offset, length, base, index = (8 * bits.take(4) for _ in range(4))
    wide = 32 if version == 2 else 16
    for _ in range(_few(bits.take(wide))):
        id = bits.take(wide)
        method = bits.take(16) & 15 if version else 0
        bits.take(16)  # of which file: this one
        start = bits.take(base)
        for _ in range(_few(bits.take(16))):
            bits.take(index if version else 0)
            place = start + bits.take(offset), bits.take(length)
            if method == 0:
                items.extents.setdefault(id, []).append(place)


def _frame(content: bytes, extents: list[tuple[int, int]]) -> Iterator[int]:
    """The most px of a frame by each of its headers; raises NotPlain where it has none."""
    if not extents or not all(length for _, length in extents):
        raise NotPlain
    data = b"".join(content[start : start + length] for start, length in extents)
    at, sized = 0, False
    for _ in range(MOST_PARTS):
        if at >= len(data):
            break
        header = data[at]
        at += 2 if header & 4 else 1
        length, at = _length(data, at) if header & 2 else (len(data) - at, at)
        if header >> 3 & 15 == _SEQUENCE:
            sized = True
            yield _sequence(Bits(data[at : at + length]))
        at += length
    if not sized or at != len(data):
        raise NotPlain


def _length(data: bytes, at: int) -> tuple[int, int]:
    """A number of 7 bits a byte, the lowest first, and where it ends."""
    value = 0
    for index, byte in enumerate(data[at : at + 8]):
        value |= (byte & 127) << 7 * index
        if byte < 128:
            return value, at + index + 1
    raise NotPlain


def _sequence(bits: Bits) -> int:
    """The most px that a frame may have: its sides come in so many bits, whatever is said else."""
    bits.take(4)  # profile; whether it is a still picture
    if bits.take(1):
        bits.take(5)  # its level
    elif bits.take(1):
        raise NotPlain  # with times, as moving pictures have
    else:
        delayed = bits.take(1)
        for _ in range(bits.take(5) + 1):
            bits.take(12)
            if bits.take(5) > 7:  # the level, above which a tier follows
                bits.take(1)
            if delayed and bits.take(1):
                bits.take(4)
    return 1 << bits.take(4) + 1 + bits.take(4) + 1
