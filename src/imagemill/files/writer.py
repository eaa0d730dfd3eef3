"""A file that is written by pieces as they come, in threads; what is in it is known at the end."""

import hashlib
from pathlib import Path

from imagemill.threads import DISK

WRITTEN_BYTES = 2**20  # at a time


class Writer:
    """Opens its file, which must not be there, and is to be closed."""

    def __init__(self, path: Path) -> None:
        self._file, self._digest, self._held = path.open("xb"), hashlib.sha256(), bytearray()

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
        await DISK.run(self._write, held)

    def _write(self, held: bytes) -> None:
        self._digest.update(held)
        self._file.write(held)

    def close(self) -> None:
        self._file.close()
