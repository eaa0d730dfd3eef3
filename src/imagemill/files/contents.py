"""Contents: bytes by key, in a folder or a bucket. Whose they are and how long, `Objects` knows.

What goes wrong with the store itself is told as a `StoreFault`.
"""

import glob
import hashlib
import secrets
import shutil
from collections.abc import AsyncIterable, AsyncIterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path

import obstore
from obstore.exceptions import AlreadyExistsError, NotSupportedError
from obstore.store import LocalStore, ObjectStore

from imagemill.errors import Fault, Kind, invalid
from imagemill.store.troubles import Condition, StoreFault, of_files
from imagemill.threads import DISK

Content = bytes | AsyncIterable[bytes]

PIECE = 2**18  # bytes that are read at a time
WRITES = 2  # blocks of 5 MiB that are under way to the store at a time
MAX_PARTS = 10_000
PROBE, PROBED = "probe", 4096  # an object that tells whether there is room, and its bytes


class Contents:
    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self.condition = Condition("store of files")

    async def probe(self) -> None:
        """Writes something, where it is not known whether that is possible again."""
        if self.condition.lasts:
            with suppress(StoreFault):
                await self.write(PROBE, secrets.token_bytes(PROBED))
                await self.remove(PROBE)
                self.condition.note(None)

    async def write(self, key: str, content: Content) -> int:
        """Writes an object, all or nothing; its size."""
        if isinstance(content, bytes):
            with self._watched():
                await obstore.put_async(self._store, key, content)
            return len(content)
        size = 0

        async def counted() -> AsyncIterator[bytes]:
            nonlocal size
            async for piece in content:
                size += len(piece)
                yield piece

        with self._watched():
            await obstore.put_async(self._store, key, counted(), max_concurrency=WRITES)
        return size

    async def text(self, key: str) -> str | None:
        """A small object, None where there is none."""
        try:
            with self._watched():
                result = await obstore.get_async(self._store, key)
                return bytes(await result.bytes_async()).decode().strip()
        except FileNotFoundError:
            return None

    async def mark(self, key: str, text: str) -> str:
        """Writes a small object where there is none; the one that is there now."""
        with self._watched():
            try:
                await obstore.put_async(self._store, key, text.encode(), mode="create")
            except AlreadyExistsError:
                pass
            except (NotSupportedError, NotImplementedError):  # of a bucket that cannot tell
                await obstore.put_async(self._store, key, text.encode())
        return await self.text(key) or text

    async def holds_others(self, key: str) -> bool:
        """Whether there is anything besides one object."""
        with self._watched():
            async for some in obstore.list(self._store, chunk_size=2):
                if any(each["path"] != key for each in some):
                    return True
        return False

    async def read(self, key: str, span: tuple[int, int] | None) -> AsyncIterator[bytes]:
        """An object, or what lies from one byte to before another; in pieces."""
        try:
            with self._watched():
                if span is None:
                    result = await obstore.get_async(self._store, key)
                else:
                    result = await obstore.get_async(self._store, key, options={"range": span})
        except FileNotFoundError:
            raise Fault(Kind.NOT_FOUND, "there is no such file, or no longer") from None
        return result.stream(PIECE)

    async def remove(self, key: str) -> None:
        with suppress(FileNotFoundError), self._watched():
            await obstore.delete_async(self._store, key)

    async def write_part(self, id: str, number: int, content: Content) -> None:
        """Writes one part of an upload, an object of its own until all are joined."""
        await self.write(_part(id, number), content)

    async def part(self, id: str, number: int) -> tuple[str, int]:
        """The etag of a part, and its bytes."""
        with self._watched():
            result = await obstore.head_async(self._store, _part(id, number))
        return _etag(result), result["size"]

    async def joined(
        self, id: str, parts: Sequence[tuple[int, str]], limit: int | None
    ) -> AsyncIterator[bytes]:
        """The parts one after another, each if its etag is the one that is given with it."""
        size = 0
        for number, etag in parts:
            try:
                with self._watched():
                    result = await obstore.get_async(self._store, _part(id, number))
            except FileNotFoundError:
                text = f"part {number} was not uploaded; send it, then complete again"
                raise invalid("parts", text) from None
            if etag.strip('"') != _etag(result.meta):
                text = (
                    f"part {number} has another etag than {etag!r:.80}; name the one it was given"
                )
                raise invalid("parts", text)
            size += result.meta["size"]
            if limit is not None and size > limit:
                raise Fault(Kind.TOO_LARGE, f"the parts are larger than {limit} bytes together")
            async for piece in result.stream(PIECE):
                yield piece

    async def remove_parts(self, id: str) -> None:
        with self._watched():
            parts = await obstore.list(self._store, _folder(id)).collect_async()
        for part in parts:
            await self.remove(part["path"])

    def _watched(self) -> AbstractContextManager[None]:
        return self.condition.watched(of_files)

    async def sweep(self, id: str, key: str) -> None:
        """Removes what a writer that was killed has left in a folder, where no list shows it.

        A bucket needs a rule of its own for uploads that were not completed.
        """
        if isinstance(self._store, LocalStore) and self._store.prefix is not None:
            root = self._store.prefix
            await DISK.run(_sweep, root / key, root / _folder(id))


def check_number(number: int) -> None:
    """Raises a Fault where no part is numbered so."""
    if not 1 <= number <= MAX_PARTS:
        raise invalid("parts", f"part {number} is out of range; number them 1 to {MAX_PARTS}")


def _folder(id: str) -> str:
    return f"uploads/{id}"


def _part(id: str, number: int) -> str:
    return f"{_folder(id)}/{number:05d}"


def _etag(meta: Mapping[str, object]) -> str:
    """Our own: those of a folder tell of its file system, and some stores give none."""
    content = f"{meta['e_tag'] or meta['last_modified']} {meta['size']}"
    return hashlib.sha256(content.encode()).hexdigest()[:32]


def _sweep(file: Path, parts: Path) -> None:
    for left in file.parent.glob(f"{glob.escape(file.name)}#*"):
        left.unlink(missing_ok=True)
    shutil.rmtree(parts, ignore_errors=True)
    with suppress(OSError):  # there is another file in it, or it is gone
        file.parent.rmdir()
