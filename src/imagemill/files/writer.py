"""A file that is written by pieces as they come, in threads; what is in it is known at the end."""

import hashlib
from pathlib import Path
from typing import BinaryIO, Self

from imagemill.threads import DISK

WRITTEN_BYTES = 2**20  # at a time


class Writer:
    """An `async with` closes the file at its end, however it is cut off.

    The file must not be there; it is there with the first write.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._digest, self._held = path, hashlib.sha256(), bytearray()
        self._file: BinaryIO | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._file is not None:
            await DISK.finish(self._file.close)

    async def write(self, chunk: bytes) -> None:
        self._held += chunk
        if len(self._held) >= WRITTEN_BYTES:
            await self._flush()

    async def digest(self) -> str:
        """SHA-256 of all that was written, in hexadecimal."""
        await self._flush()
        return self._digest.hexdigest()

    async def _flush(self) -> None:
        held, self._held = bytes(self._held), bytearray()
        await DISK.finish(self._write, held)

    def _write(self, held: bytes) -> None:
        if self._file is None:
            self._file = self._path.open("xb")
        self._digest.update(held)
        self._file.write(held)
