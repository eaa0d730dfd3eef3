"""The database: SQLite in the data folder, or PostgreSQL by URL; one code path for both.

SQLite is asked in the event loop itself. A statement takes a tenth of a millisecond, and handing it
to a thread takes ten times as long; what can take long, writing the log back into the file, is left
to a thread.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, Protocol, TypeVar

from alembic import command
from alembic.config import Config
from sqlalchemy import (
    ColumnElement,
    Connection,
    Double,
    Engine,
    Executable,
    StaticPool,
    cast,
    create_engine,
    event,
    func,
    literal,
    make_url,
)
from sqlalchemy.engine import CursorResult
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from imagemill.folders import touch_private
from imagemill.threads import DISK

P = ParamSpec("P")
T = TypeVar("T")

BUSY = 30_000  # ms that SQLite waits for another process to finish writing
PRAGMAS = (
    "PRAGMA journal_mode=WAL",
    # A killed process loses nothing; a machine that loses power may lose the last moments.
    "PRAGMA synchronous=NORMAL",
    f"PRAGMA busy_timeout={BUSY}",
    "PRAGMA foreign_keys=ON",
)
CHECKPOINT = "PRAGMA wal_checkpoint(PASSIVE)"  # waits for nobody
CHECKPOINT_EVERY = 2.0  # seconds


class Asked(Protocol):
    """What a statement is put to."""

    async def execute(self, statement: Executable, parameters: Any = None, /) -> Any: ...


class Direct:
    """A connection that answers at once."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def execute(self, statement: Executable, parameters: Any = None, /) -> CursorResult[Any]:
        return self._connection.execute(statement, parameters)


# What the time is, in SQL, by the clock that all go by who share a database.
Clock = Callable[[float], ColumnElement[float]]


def told_time(now: float) -> ColumnElement[float]:
    """The time that the only process told which uses the database."""
    return literal(now, Double)


def server_time(_: float) -> ColumnElement[float]:
    """The time by the clock of the database, whatever the processes think that share it."""
    return cast(func.extract("epoch", func.clock_timestamp()), Double)


class Database:
    """`reading()` and `writing()` give connections; a write is one transaction."""

    def __init__(self, url: str) -> None:
        where = make_url(url)
        self.is_sqlite = where.get_backend_name() == "sqlite"
        self.working: set[asyncio.Task[Any]] = set()
        self._checkpoints: asyncio.Task[None] | None = None
        self.clock: Clock = told_time if self.is_sqlite else server_time
        if self.is_sqlite:
            self._file = where.database
            self._sqlite = _sqlite(url)
        else:
            self._postgres: AsyncEngine = create_async_engine(where)

    async def open(self) -> None:
        """Brings the tables up to date."""
        if self.is_sqlite:
            if self._file and self._file != ":memory:":
                touch_private(Path(self._file))  # the log beside it gets the same mode
            with self._sqlite.begin() as connection:
                _migrate(connection)
            self._checkpoints = asyncio.create_task(_checkpoints(self._file))
            return
        async with self._postgres.begin() as asked:
            await asked.run_sync(_migrate)

    async def close(self) -> None:
        await asyncio.gather(*self.working, return_exceptions=True)
        if self._checkpoints is not None:
            self._checkpoints.cancel()
            with suppress(asyncio.CancelledError):
                await self._checkpoints
        if self.is_sqlite:
            self._sqlite.dispose()
        else:
            await self._postgres.dispose()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Asked]:
        if self.is_sqlite:
            with self._sqlite.connect() as connection:
                yield Direct(connection.execution_options(reads=True))
        else:
            async with self._postgres.connect() as asked:
                yield asked

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[Asked]:
        """Nothing may be waited for within but statements."""
        if self.is_sqlite:
            with self._sqlite.begin() as connection:
                yield Direct(connection)
        else:
            async with self._postgres.begin() as asked:
                yield asked


def unbroken(method: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    """Finishes what it has begun, whoever hangs up: a connection that is left in the middle of a
    statement cannot be used again. For methods of what has a `_database`.
    """

    @wraps(method)
    async def whole(*args: P.args, **kwargs: P.kwargs) -> T:
        database: Database = args[0]._database  # type: ignore[attr-defined]
        if database.is_sqlite:  # which is never left
            return await method(*args, **kwargs)
        task = asyncio.create_task(method(*args, **kwargs))
        database.working.add(task)
        task.add_done_callback(database.working.discard)
        return await asyncio.shield(task)

    return whole


def at(folder: Path) -> str:
    """The URL of the database in a data folder."""
    return f"sqlite:///{folder / 'imagemill.db'}"


def _sqlite(url: str) -> Engine:
    engine = create_engine(url, poolclass=StaticPool, connect_args={"check_same_thread": False})
    event.listen(engine, "connect", _set_up)
    event.listen(engine, "begin", _begin)
    return engine


async def _checkpoints(file: str | None) -> None:
    """Writes the log back into the file, away from the loop: it waits for the disk."""
    while True:
        await asyncio.sleep(CHECKPOINT_EVERY)
        if file:
            await DISK.run(_checkpoint, file)


def _checkpoint(file: str) -> None:
    connection = sqlite3.connect(file)
    try:
        connection.execute(CHECKPOINT)
    finally:
        connection.close()


def _set_up(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # transactions are begun by `_begin` alone
    connection.execute("PRAGMA wal_autocheckpoint=0")
    cursor = connection.cursor()
    for pragma in PRAGMAS:
        cursor.execute(pragma)
    cursor.close()


def _begin(connection: Connection) -> None:
    if not connection.get_execution_options().get("reads"):
        # A plain one that reads first would fail where another process wrote before it writes.
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _migrate(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
