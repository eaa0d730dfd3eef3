"""What is in a file of weights, by its header alone. No torch, and nothing is read but the header.

Every complaint is one sentence for the operator: the file, what it seems to be, the way out. It
names the file without its folders, since callers hear it, too.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from imagemill.errors import Fault, Kind

LONGEST_HEADER = 100 * 2**20  # bytes, as the safetensors format has it
_PICKLE = "a pickle; of single files safetensors alone are read, so save it as such"
# What people take for weights, by how it begins.
NATURES: tuple[tuple[bytes, str], ...] = (
    (
        b"version https://git-lfs",
        "a pointer of git-lfs in place of the weights; run `git lfs pull`",
    ),
    (b"PK\x03\x04", _PICKLE),
    (b"\x80", _PICKLE),
    (b"<", "a web page in place of the weights; download it anew"),
    (b"{", "a JSON file; give the weights themselves"),
)
_BYTES = {"F64": 8, "I64": 8, "U64": 8, "F32": 4, "I32": 4, "U32": 4, "F16": 2, "BF16": 2}


@dataclass(frozen=True)
class Tensor:
    """dtype: as the file spells it, F16 for one."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def bytes(self) -> int:
        return math.prod(self.shape) * _BYTES.get(self.dtype, 1)


@dataclass(frozen=True)
class Header:
    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def bytes(self) -> int:
        return sum(each.bytes for each in self.tensors.values())

    def under(self, prefix: str) -> "Header":
        """The part of it whose names begin so, without the prefix."""
        inside = {
            name.removeprefix(prefix): each
            for name, each in self.tensors.items()
            if name.startswith(prefix)
        }
        return Header(inside, self.metadata)


def broken(message: str) -> Fault:
    """Of weights that cannot be used, for the operator; the caller can do nothing about it."""
    return Fault(Kind.FAILED, message)


def read(path: Path) -> Header:
    """Of a safetensors or GGUF file; raises a Fault where it is neither, or not whole."""
    try:
        with path.open("rb") as file:
            start = file.read(32)
            if start.startswith(b"GGUF"):
                return _gguf(path)
            size = path.stat().st_size
            length = int.from_bytes(start[:8], "little")
            if len(start) < 10 or start[8:9] != b"{" or length > LONGEST_HEADER:
                raise broken(f"{path.name} is {_nature(start)}")
            if 8 + length > size:
                raise _cut_off(path, 8 + length, size)
            file.seek(8)
            return _header(path, file.read(length), size)
    except OSError as error:
        raise broken(f"{path.name} cannot be read: {error.strerror}") from error


def _nature(start: bytes) -> str:
    if not start:
        return "empty; download it anew"
    natures = (nature for begin, nature in NATURES if start.startswith(begin))
    return next(natures, "no safetensors or GGUF file, or a damaged one; download it anew")


def _header(path: Path, content: bytes, size: int) -> Header:
    try:
        raw: dict[str, Any] = json.loads(content)
        metadata = raw.pop("__metadata__", None) or {}
        tensors = {name: Tensor(each["dtype"], tuple(each["shape"])) for name, each in raw.items()}
        end = max((int(each["data_offsets"][1]) for each in raw.values()), default=0)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise broken(f"{path.name} has a damaged header; download it anew") from error
    if (whole := 8 + len(content) + end) > size:
        raise _cut_off(path, whole, size)
    return Header(tensors, metadata)


def _cut_off(path: Path, whole: int, size: int) -> Fault:
    return broken(
        f"{path.name} ends after {size} of {whole} bytes: its download was cut off; fetch it anew"
    )


def _gguf(path: Path) -> Header:
    from gguf import GGUFReader  # takes a while

    try:
        read = GGUFReader(path)
    except Exception as error:  # of several kinds, by where the file ends
        raise broken(f"{path.name} is a GGUF file that is damaged or cut off; fetch it anew") from (
            error
        )
    tensors = {
        each.name: Tensor(each.tensor_type.name, tuple(int(side) for side in reversed(each.shape)))
        for each in read.tensors
    }
    return Header(tensors, {"format": "gguf"})
