"""Objects: everything that has an address. Contents lie in an object store, their facts in a table.

An object is written before the row that tells of it, and removed before that row is. While it is
being written, the row of its upload knows it. So no crash leaves a file that is told of and not
there, nor anything that `prune` would not find.
"""

import asyncio
import hashlib
import hmac
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import replace
from pathlib import Path
from weakref import WeakValueDictionary

from obstore.exceptions import BaseError
from obstore.store import LocalStore, ObjectStore, from_url

from imagemill.errors import Fault, Kind, invalid
from imagemill.files import identity, keys
from imagemill.files.contents import Content, Contents, check_number
from imagemill.files.room import Room
from imagemill.folders import make_private
from imagemill.store.files import FileTable, StoredFile, Upload, charged
from imagemill.store.troubles import StoreFault

__all__ = ["Objects", "StoredFile", "Upload", "open_store"]

log = logging.getLogger(__name__)

STALE = 86_400.0  # seconds after which an upload is given up
BATCH = 500
SECRET = "uploads"  # the name of the secret that seals tickets

_GONE = Fault(Kind.NOT_FOUND, "there is no such upload, or no longer; begin a new one")


def open_store(url_or_folder: str) -> ObjectStore:
    """A folder of this machine, or a bucket: s3://, gs://, az://."""
    if "://" not in url_or_folder:
        folder = Path(url_or_folder).absolute()
        try:
            if not folder.exists():
                make_private(folder)
            return LocalStore(folder, mkdir=True, automatic_cleanup=True)
        except (BaseError, OSError):
            message = (
                f"files cannot be kept in {folder}; make it a folder that this user may write to"
            )
            raise invalid("files", f"{message}, or give another as files") from None
    try:
        return from_url(url_or_folder)
    except (BaseError, ValueError):  # tells the whole URL, which may hold a secret
        scheme = url_or_folder.partition("://")[0]
        message = f"files cannot be kept at {scheme:.20}://...; give a folder"
        raise invalid("files", f"{message}, or a bucket as s3://, gs:// or az://") from None


class Objects:
    """longest: seconds that callers' files live at most; None for ever."""

    def __init__(
        self,
        store: ObjectStore,
        table: FileTable,
        clock: Callable[[], float],
        room: Room | None = None,
        longest: float | None = None,
    ) -> None:
        self.contents, self._table, self.clock = Contents(store), table, clock
        self._room, self._longest = room or Room(table), longest
        self._secret: bytes | None = None
        self._counting = WeakValueDictionary[str, asyncio.Lock]()  # by upload

    async def settle(self, place: str) -> None:
        """Sees that the contents are those that the table tells of; a Fault where they are not."""
        await identity.settle(self.contents, self._table.secrets, place)

    async def put(
        self,
        content: Content,
        content_type: str,
        name: str = "",
        *,
        job: str | None = None,
        caller: str = "",
        keep: float | None = None,
        public: bool = True,
        listed: bool = False,
        shelf: str | None = None,
        key: str | None = None,
    ) -> StoredFile:
        """Keeps a file, for `keep` seconds. Who gives a key puts the same again after a crash.

        listed: strangers may know that a private file exists. shelf: of its key, where it is not
        one of the usual two.
        """
        keep = keep if job is not None else self.bounded(keep)
        shelf = shelf or _shelf(public, listed)
        upload = self._announced(content_type, name, caller, keep, public, shelf)
        if job is not None:
            return await self._put(upload, content, job, key)
        await self._room.ready()
        with self._room.writing(caller) as claim:
            before = None if key is None else await self._table.get(key)
            file = await self._put(upload, claim.metered(content), job, key)
            self._freed(before)
            self._room.keep(caller, charged(file.size))
        return file

    async def _put(
        self, upload: Upload, content: Content, job: str | None, key: str | None
    ) -> StoredFile:
        if key is not None:
            file = await self._file(replace(upload, key=key), content, job)
            await self._table.add(file)
            return file
        await self._table.add_upload(upload)
        return await self._finish(upload, await self._file(upload, content, job), forget=True)

    def bounded(self, keep: float | None) -> float | None:
        """Seconds that a caller's file is kept who wishes for `keep`, None for ever."""
        if self._longest is None:
            return keep
        return self._longest if keep is None else min(keep, self._longest)

    def _freed(self, *files: StoredFile | None) -> None:
        for file in files:
            if file is not None and file.job is None:
                self._room.keep(file.caller, -charged(file.size))

    async def get(self, key: str) -> StoredFile | None:
        file = await self._table.get(key)
        return file if file is not None and file.lives(self.clock()) else None

    async def read(self, key: str, start: int = 0, end: int | None = None) -> bytes:
        """The content from `start` to before `end`; a Fault where there is no such file."""
        file = await self.get(key)
        if file is None:
            raise Fault(Kind.NOT_FOUND, "there is no such file, or no longer")
        return b"".join([piece async for piece in await self.stream(file, start, end)])

    async def stream(
        self, file: StoredFile, start: int = 0, end: int | None = None
    ) -> AsyncIterator[bytes]:
        """The same in pieces."""
        end = file.size if end is None else end
        span = None if (start, end) == (0, file.size) else (start, end)
        return await self.contents.read(file.key, span)

    async def delete(self, key: str) -> None:
        file = await self._table.get(key)
        await self.contents.remove(key)
        await self._table.delete(key)
        self._freed(file)

    async def prune(self, now: float) -> int:
        """Removes files that have expired, and uploads that grew stale; how many files."""
        pruned = 0
        if self._longest is not None:
            await self._table.bound(now + self._longest)
        while files := await self._table.expired(now, BATCH):
            gone = [file.key for file in files if await _try(self.contents.remove(file.key))]
            await self._table.delete(*gone)
            pruned += len(gone)
            if len(gone) < BATCH:
                break
        for upload in await self._table.stale_uploads(now - STALE, BATCH):
            await _try(self._discard(upload))
        await self._room.count()
        return pruned

    async def begin(
        self,
        content_type: str,
        name: str = "",
        *,
        caller: str = "",
        keep: float | None = None,
        public: bool = True,
        listed: bool = False,
        parts: bool = True,
    ) -> Upload:
        """Announces a file, whose content comes by `fill`, or by `put_part` and `complete`."""
        keep = self.bounded(keep)
        shelf = _shelf(public, listed)
        upload = self._announced(content_type, name, caller, keep, public, shelf, parts)
        upload = replace(upload, held=charged(0))
        await self._room.ready()
        with self._room.writing(caller) as claim:
            claim.take(upload.held)
            await self._table.add_upload(upload)
            self._room.keep(caller, upload.held)
        return upload

    async def upload(self, id: str) -> Upload:
        """What was announced under an id; a Fault where nothing was, or too long ago."""
        upload = await self._table.get_upload(id)
        if upload is None or upload.created < self.clock() - STALE:
            raise _GONE
        return upload

    async def fill(self, id: str, content: Content) -> StoredFile:
        """Content once given is not replaced: who comes again has missed the answer."""
        upload = await self._kind(id, parts=False)
        done = await self._table.get(upload.key)
        if done is None:
            await self._room.ready()
            with self._room.writing(upload.caller, upload.held) as claim:
                file = await self._file(upload, claim.metered(content))
                return self._done(upload, await self._finish(upload, file))
        if not isinstance(content, bytes):
            async for _ in content:
                pass
        return done

    async def put_part(self, id: str, number: int, content: Content) -> str:
        """Takes one part, in any order, again if need be; its etag."""
        upload = await self._kind(id, parts=True)
        await self._room.ready()
        check_number(number)
        with self._room.writing(upload.caller) as claim:
            await self.contents.write_part(id, number, claim.metered(content))
            # One after the other, so that of two writers of a part the last one is counted.
            async with self._counting.setdefault(id, asyncio.Lock()):
                try:
                    etag, size = await self.contents.part(id, number)
                except FileNotFoundError:  # taken away meanwhile, by an end of the upload
                    raise _GONE from None
                self._room.keep(upload.caller, await self._table.hold(id, number, size))
        return etag

    async def held(self, id: str, besides: int) -> int:
        """Bytes in the parts of an upload, besides one."""
        upload = await self._kind(id, parts=True)
        check_number(besides)
        return upload.held - charged(0) - await self._table.part(id, besides)

    async def complete(
        self, id: str, parts: Iterable[tuple[int, str]], limit: int | None = None
    ) -> StoredFile:
        """Joins parts, given by number and etag, in the order of their numbers."""
        upload, ordered = await self._kind(id, parts=True), sorted(parts)
        if not ordered or len({number for number, _ in ordered}) < len(ordered):
            raise invalid("parts", f"{len(ordered)} parts are named; name each once")
        done = await self._table.get(upload.key)
        if done is None:
            try:
                file = await self._file(upload, self.contents.joined(id, ordered, limit))
                upload = await self.upload(id)  # as it is once all parts are there
                done = self._done(upload, await self._finish(upload, file))
            except Fault:
                done = await self._table.get(upload.key)
                if done is None:
                    raise
                # A twin of this call was faster, and took the parts away.
        await self.contents.remove_parts(id)
        return done

    async def abort(self, id: str) -> None:
        upload = await self._table.get_upload(id)
        if upload is not None:
            await self._discard(upload)

    async def ticket(self, caller: str, ends: int) -> str:
        """What lets its holder upload as a caller until a time."""
        content = f"{caller}.{ends}"
        return f"{content}.{await self._seal(content)}"

    async def holder(self, ticket: str) -> str | None:
        """Whose ticket it is; None where it is none of ours, or has ended."""
        content, _, seal = ticket.rpartition(".")
        if not hmac.compare_digest(seal.encode(), (await self._seal(content)).encode()):
            return None
        caller, _, ends = content.rpartition(".")
        return caller if self.clock() < int(ends) else None

    async def _seal(self, content: str) -> str:
        if self._secret is None:
            self._secret = await self._table.secrets.secret(SECRET, secrets.token_bytes(32))
        return hmac.digest(self._secret, content.encode(), hashlib.sha256).hex()

    def _announced(
        self,
        content_type: str,
        name: str,
        caller: str,
        keep: float | None,
        public: bool,
        shelf: str,
        parts: bool = False,
    ) -> Upload:
        key = keys.new_key(name, content_type, shelf)
        return Upload(
            id=secrets.token_urlsafe(16),
            key=key,
            caller=caller,
            name=keys.title(name),
            content_type=keys.media_type(content_type),
            created=self.clock(),
            keep=keep,
            public=public,
            parts=parts,
        )

    async def _kind(self, id: str, parts: bool) -> Upload:
        upload = await self.upload(id)
        if upload.parts != parts:
            ways = ("its content at once", "numbered parts")
            raise invalid("upload", f"this upload takes {ways[upload.parts]}, not {ways[parts]}")
        return upload

    async def _file(self, upload: Upload, content: Content, job: str | None = None) -> StoredFile:
        """Writes the content; what is to be told of it."""
        size, now = await self.contents.write(upload.key, content), self.clock()
        return StoredFile(
            key=upload.key,
            job=job,
            caller=upload.caller,
            name=upload.name or upload.key.rpartition("/")[2],
            content_type=upload.content_type,
            size=size,
            created=now,
            expires=None if upload.keep is None else now + upload.keep,
            public=upload.public,
        )

    async def _finish(self, upload: Upload, file: StoredFile, forget: bool = False) -> StoredFile:
        if not await self._table.finish_upload(upload.id, file, forget):
            await self.contents.remove(file.key)  # it was given up in the meantime
            raise _GONE
        return file

    def _done(self, upload: Upload, file: StoredFile) -> StoredFile:
        """An upload takes the room of its file from now on."""
        self._room.keep(upload.caller, charged(file.size) - upload.held)
        return file

    async def _discard(self, upload: Upload) -> None:
        """Removes all that an upload has left, but for the file that it became."""
        await self.contents.remove_parts(upload.id)
        if await self._table.get(upload.key) is None:
            await self.contents.remove(upload.key)
        await self.contents.sweep(upload.id, upload.key)
        await self._table.delete_upload(upload.id)
        self._room.keep(upload.caller, -upload.held)


def _shelf(public: bool, listed: bool) -> str:
    return keys.GUARDED if listed and not public else keys.OPEN


async def _try(removal: Awaitable[None]) -> bool:
    """Whether it went well; if not, the next `prune` tries again."""
    try:
        await removal
    except (StoreFault, OSError):
        log.warning("a file could not be removed; it is tried again", exc_info=True)
        return False
    return True
