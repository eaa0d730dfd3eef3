"""Files and uploads: what is kept under which key, whose it is, and until when."""

from collections import Counter
from dataclasses import asdict, dataclass

from sqlalchemy import case, delete, func, select, update

from imagemill.store.database import Database, Executor, unbroken
from imagemill.store.schema import FILES, PARTS, UPLOADS
from imagemill.store.secrets import SecretTable

BLOCK = 4096  # bytes


@dataclass(frozen=True)
class StoredFile:
    """A file that is kept. Times are unix seconds.

    job: that made it, None where it was uploaded. caller: whose it is. size: in bytes. expires:
    when it is gone, None for never. public: whether everybody may read it who knows its key.
    """

    key: str
    job: str | None
    caller: str
    name: str
    content_type: str
    size: int
    created: float
    expires: float | None
    public: bool

    def lives(self, now: float) -> bool:
        return self.expires is None or now < self.expires

    def open_to(self, caller: str) -> bool:
        return self.public or (caller != "" and caller == self.caller)


@dataclass(frozen=True)
class Upload:
    """A file that is announced. id: unguessable, and all that is asked of who brings the content.

    keep: seconds that the file will live, None for ever. parts: it comes in several. held: bytes
    that it takes until it is done, its parts and `charged(0)` for itself.
    """

    id: str
    key: str
    caller: str
    name: str
    content_type: str
    created: float
    keep: float | None
    public: bool
    parts: bool
    held: int = 0


def charged(size: int) -> int:
    """Bytes that a file takes: even an empty one has a row, and a block on a disk."""
    return max(size, BLOCK)


class FileTable:
    def __init__(self, database: Database) -> None:
        self._database = database
        self.secrets = SecretTable(database)
        self._insert = database.insert

    @unbroken
    async def add(self, file: StoredFile) -> None:
        """A file of the same key is replaced."""
        async with self._database.writing() as connection:
            await self._add(connection, file)

    @unbroken
    async def get(self, key: str) -> StoredFile | None:
        async with self._database.reading() as connection:
            row = (await connection.execute(select(FILES).where(FILES.c.key == key))).first()
        return None if row is None else StoredFile(**row._asdict())

    @unbroken
    async def delete(self, *keys: str) -> None:
        async with self._database.writing() as connection:
            await connection.execute(delete(FILES).where(FILES.c.key.in_(keys)))

    @unbroken
    async def expired(self, now: float, limit: int) -> list[StoredFile]:
        """The longest expired first."""
        wanted = select(FILES).where(FILES.c.expires <= now).order_by(FILES.c.expires).limit(limit)
        async with self._database.reading() as connection:
            return [StoredFile(**row._asdict()) for row in await connection.execute(wanted)]

    @unbroken
    async def of_job(self, job: str) -> list[StoredFile]:
        wanted = select(FILES).where(FILES.c.job == job).order_by(FILES.c.created, FILES.c.key)
        async with self._database.reading() as connection:
            return [StoredFile(**row._asdict()) for row in await connection.execute(wanted)]

    @unbroken
    async def add_upload(self, upload: Upload) -> None:
        async with self._database.writing() as connection:
            await connection.execute(self._insert(UPLOADS).values(asdict(upload)))

    @unbroken
    async def get_upload(self, id: str) -> Upload | None:
        async with self._database.reading() as connection:
            row = (await connection.execute(select(UPLOADS).where(UPLOADS.c.id == id))).first()
        return None if row is None else Upload(**row._asdict())

    @unbroken
    async def finish_upload(self, id: str, file: StoredFile, forget: bool) -> bool:
        """Adds the file of an upload; False where the upload is gone.

        forget: nobody will ask for the upload again.
        """
        mine = select(UPLOADS.c.id).where(UPLOADS.c.id == id).with_for_update()
        async with self._database.writing() as connection:
            if (await connection.execute(mine)).first() is None:
                return False
            await self._add(connection, file)
            done = delete(UPLOADS) if forget else update(UPLOADS).values(held=0)
            await connection.execute(done.where(UPLOADS.c.id == id))
            await connection.execute(delete(PARTS).where(PARTS.c.upload == id))
        return True

    @unbroken
    async def part(self, id: str, number: int) -> int:
        """Bytes that a part of an unfinished upload takes."""
        async with self._database.reading() as connection:
            return await _part(connection, id, number)

    @unbroken
    async def hold(self, id: str, number: int, size: int) -> int:
        """Writes how many bytes a part of an unfinished upload takes; by how many it is more."""
        mine, row = UPLOADS.c.id == id, {"upload": id, "number": number, "size": size}
        async with self._database.writing() as connection:
            wanted = select(UPLOADS.c.held).where(mine).with_for_update()
            held = (await connection.execute(wanted)).scalar_one_or_none()
            if held is None:
                return 0
            more = size - await _part(connection, id, number)
            await connection.execute(
                self._insert(PARTS)
                .values(row)
                .on_conflict_do_update(index_elements=["upload", "number"], set_=row)
            )
            await connection.execute(update(UPLOADS).where(mine).values(held=held + more))
        return more

    @unbroken
    async def held(self) -> dict[str, int]:
        """Bytes that callers keep, by caller, besides what was painted for them."""
        size = func.sum(case((FILES.c.size < BLOCK, BLOCK), else_=FILES.c.size))
        files = select(FILES.c.caller, size).where(FILES.c.job.is_(None)).group_by(FILES.c.caller)
        uploads = select(UPLOADS.c.caller, func.sum(UPLOADS.c.held)).group_by(UPLOADS.c.caller)
        sizes = Counter[str]()
        async with self._database.reading() as connection:
            for wanted in (files, uploads):
                for caller, held in await connection.execute(wanted):
                    sizes[caller] += int(held)
        return sizes

    @unbroken
    async def bound(self, expires: float) -> None:
        """Gives an end to uploads that were to be kept for ever."""
        endless = FILES.c.job.is_(None) & FILES.c.expires.is_(None)
        async with self._database.writing() as connection:
            await connection.execute(update(FILES).where(endless).values(expires=expires))

    @unbroken
    async def delete_upload(self, id: str) -> None:
        async with self._database.writing() as connection:
            await connection.execute(delete(UPLOADS).where(UPLOADS.c.id == id))
            await connection.execute(delete(PARTS).where(PARTS.c.upload == id))

    @unbroken
    async def stale_uploads(self, before: float, limit: int) -> list[Upload]:
        """Those that were announced before a time, finished or not."""
        wanted = select(UPLOADS).where(UPLOADS.c.created < before).order_by(UPLOADS.c.created)
        async with self._database.reading() as connection:
            rows = await connection.execute(wanted.limit(limit))
            return [Upload(**row._asdict()) for row in rows]

    async def _add(self, connection: Executor, file: StoredFile) -> None:
        row = asdict(file)
        await connection.execute(
            self._insert(FILES).values(row).on_conflict_do_update(index_elements=["key"], set_=row)
        )


async def _part(connection: Executor, id: str, number: int) -> int:
    wanted = select(PARTS.c.size).where(PARTS.c.upload == id, PARTS.c.number == number)
    return int((await connection.execute(wanted)).scalar_one_or_none() or 0)
