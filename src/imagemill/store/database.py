"""The database: SQLite in the data folder, or PostgreSQL by URL; one code path for both.

SQLite is asked in the event loop itself. A statement takes a tenth of a millisecond, and handing it
to a thread takes ten times as long; what can take long, writing the log back into the file, is left
to a thread, and a file that another program locks is not waited for but asked again.

What goes wrong with the database itself is told as a `StoreFault`; what passes by itself is tried
again first.
"""

import asyncio
import logging
import secrets
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial, wraps
from pathlib import Path
from typing import Any, ParamSpec, Protocol, TypeVar

from sqlalchemy import (
    URL,
    ColumnElement,
    Connection,
    Double,
    Engine,
    Executable,
    NullPool,
    StaticPool,
    Table,
    cast,
    create_engine,
    delete,
    event,
    func,
    insert,
    literal,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import CursorResult
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from imagemill.errors import invalid
from imagemill.folders import touch_private
from imagemill.store.locks import Lock
from imagemill.store.opening import check_file, mark, migrate, telling
from imagemill.store.schema import SECRETS
from imagemill.store.troubles import Condition, StoreFault, Trouble, judged, of_database
from imagemill.store.urls import file_uri, resolved
from imagemill.threads import DISK

P = ParamSpec("P")
T = TypeVar("T")

log = logging.getLogger(__name__)

PRAGMAS = (
    "PRAGMA journal_mode=WAL",
    # A killed process loses nothing; a machine that loses power may lose the last moments.
    "PRAGMA synchronous=NORMAL",
    "PRAGMA busy_timeout=0",  # a wait would be everybody's
    "PRAGMA foreign_keys=ON",
)
PROBE = "probe"  # the name of a secret that is none
CHECKPOINT = "PRAGMA wal_checkpoint(PASSIVE)"  # waits for nobody
CHECKPOINT_EVERY = 2.0  # seconds
# Seconds from the beginning of a trouble for which a transaction is tried again before its caller
# is told, and the pauses between.
TRIED: Mapping[Trouble, float] = {Trouble.LOCKED: 30.0, Trouble.UNREACHABLE: 1.0}
FIRST_PAUSE, LONGEST_PAUSE = 0.01, 0.25
# Seconds that PostgreSQL may take for a connection and for a statement; a connection that is cut
# without a word would else be waited for without end.
CONNECTING, ANSWERING = 5.0, 10.0
CLOSING = 1.0  # seconds for what is still asked when it is closed


class Executor(Protocol):
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
    # The statement's, since an index is used for what does not change within a statement.
    return cast(func.extract("epoch", func.statement_timestamp()), Double)


class Database:
    """`reading()` and `writing()` give connections; a write is one transaction."""

    def __init__(self, url: str) -> None:
        self.url = resolved(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.working: set[asyncio.Task[Any]] = set()
        self.condition = Condition("database")
        self._checkpoints: asyncio.Task[None] | None = None
        self.clock: Clock = told_time if self.is_sqlite else server_time
        self.lock: Lock | None = None  # of who works with it, where it has one server at a time
        if self.is_sqlite:
            self._file = _file_of(self.url)
            self._sqlite = _sqlite(self.url)
            self.lock = Lock(self._file) if self._file else None
        else:
            self._postgres = _postgres(
                self.url,
                pool_pre_ping=True,  # one that was cut while nobody used it is not noticed else
                pool_timeout=ANSWERING,
                connect_args={"timeout": CONNECTING, "command_timeout": ANSWERING},
            )

    def insert(self, table: Table) -> Any:
        """A statement that may say what becomes of rows that are there already."""
        return (sqlite if self.is_sqlite else postgresql).insert(table)

    async def open(self, create: bool = True) -> None:
        """Brings the tables up to date; raises a Fault that tells the operator what is wrong.

        create: there may be no database yet.
        """
        self.condition.since = time.monotonic()
        with telling(self.url):
            if self.is_sqlite:
                await self.tried(partial(self._open_file, create))
            else:
                await self._open_server()

    async def _open_file(self, create: bool) -> None:
        if self._file:
            check_file(self._file, create)
        with judged(of_database), self._sqlite.begin() as connection:
            migrate(connection, known=self._file is not None and mark(self._file).exists())
        if self._file:
            touch_private(mark(self._file))
            self._checkpoints = asyncio.create_task(_checkpoints(self._file))

    async def _open_server(self) -> None:
        # Without the time-outs of the others: a new index may take long.
        engine = _postgres(self.url, poolclass=NullPool, connect_args={"timeout": CONNECTING})
        try:
            async with engine.begin() as connection:
                await connection.run_sync(migrate)
        finally:
            await engine.dispose()

    async def close(self) -> None:
        if self.working:
            await asyncio.wait(self.working, timeout=CLOSING)
        if self._checkpoints is not None:
            self._checkpoints.cancel()
            with suppress(asyncio.CancelledError):
                await self._checkpoints
        if self.is_sqlite:
            self._sqlite.dispose()
        else:
            with suppress(TimeoutError):
                async with asyncio.timeout(CLOSING):
                    await self._postgres.dispose()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Executor]:
        with self.condition.watched(of_database):
            if self.is_sqlite:
                with self._sqlite.connect() as connection:
                    yield Direct(connection.execution_options(reads=True))
            else:
                async with self._postgres.connect() as own:
                    yield own

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[Executor]:
        """Nothing may be waited for within but statements."""
        with self.condition.watched(of_database):
            if self.is_sqlite:
                with self._sqlite.begin() as connection:
                    yield Direct(connection)
            else:
                async with self._postgres.begin() as own:
                    yield own

    async def probe(self) -> None:
        """Writes something, where it is not known whether that is possible again."""
        if not self.condition.lasts:
            return
        row = {"name": PROBE, "value": secrets.token_bytes(1024)}
        try:
            async with self.writing() as connection:
                await connection.execute(delete(SECRETS).where(SECRETS.c.name == PROBE))
                await connection.execute(insert(SECRETS), [row])
        except StoreFault:
            return
        self.condition.note(None)

    async def tried(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """The result of a transaction, tried again while its trouble may pass in a moment."""
        pause = FIRST_PAUSE
        while True:
            try:
                return await work()
            except StoreFault as fault:
                lasted = time.monotonic() - self.condition.since
                if lasted >= TRIED.get(fault.trouble, 0.0):
                    raise
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)


def unbroken(method: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    """Finishes what it has begun, whoever hangs up: a connection that is left in the middle of a
    statement cannot be used again. For methods of one transaction, of what has a `_database`.
    """

    @wraps(method)
    async def whole(*args: P.args, **kwargs: P.kwargs) -> T:
        database: Database = args[0]._database  # type: ignore[attr-defined]
        work = database.tried(lambda: method(*args, **kwargs))
        if database.is_sqlite:  # which is left between two tries, never within one
            return await work
        task = asyncio.create_task(work)
        database.working.add(task)
        task.add_done_callback(database.working.discard)
        return await asyncio.shield(task)

    return whole


def _file_of(url: URL) -> Path | None:
    """None where a database is in memory."""
    return Path(url.database) if url.database not in (None, "", ":memory:") else None


def _postgres(url: URL, **options: Any) -> AsyncEngine:
    try:
        return create_async_engine(url, **options)
    except ModuleNotFoundError as error:
        message = f"PostgreSQL needs the package {error.name}, which is not installed"
        raise invalid("database", f"{message}; pip install 'imagemill[postgres]'") from None


def _sqlite(url: URL) -> Engine:
    engine = create_engine(url, poolclass=StaticPool, connect_args={"check_same_thread": False})
    event.listen(engine, "connect", _set_up)
    event.listen(engine, "begin", _begin)
    return engine


async def _checkpoints(file: Path) -> None:
    """Writes the log back into the file, away from the loop: it waits for the disk."""
    failed = ""
    while True:
        await asyncio.sleep(CHECKPOINT_EVERY)
        try:
            await DISK.run(_checkpoint, file)
            failed = ""
        except sqlite3.Error as error:
            if str(error) != failed:
                log.warning("the database's log could not be written back: %s", error)
            failed = str(error)


def _checkpoint(file: Path) -> None:
    # Never one that is made by this: the file may have been moved away.
    connection = sqlite3.connect(file_uri(str(file), "rw"), uri=True)
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
