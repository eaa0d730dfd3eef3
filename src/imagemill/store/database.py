"""The database: SQLite in the data folder, or PostgreSQL by URL; one code path for both."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, event
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

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


class Database:
    """`reading()` and `writing()` give connections; a write is one transaction."""

    def __init__(self, url: str) -> None:
        self.engine: AsyncEngine = create_async_engine(url)
        self.is_sqlite = self.engine.dialect.name == "sqlite"
        self.working: set[asyncio.Task[Any]] = set()
        self._writer = asyncio.Lock()  # SQLite has one writer: wait here, and not in the file
        if self.is_sqlite:
            event.listen(self.engine.sync_engine, "connect", _set_up)
            event.listen(self.engine.sync_engine, "begin", _begin)

    async def open(self) -> None:
        """Brings the tables up to date."""
        async with self.engine.connect() as connection:
            await connection.run_sync(_migrate)
            await connection.commit()

    async def close(self) -> None:
        await asyncio.gather(*self.working, return_exceptions=True)
        await self.engine.dispose()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        async with self.engine.connect() as connection:
            yield connection

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        if not self.is_sqlite:
            async with self.engine.begin() as connection:
                yield connection
            return
        async with self._writer, self.engine.connect() as connection:
            await connection.execution_options(writes=True)
            async with connection.begin():
                yield connection


def unbroken(method: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    """Finishes what it has begun, whoever hangs up: a connection that is left in the middle of a
    statement cannot be used again. For methods of what has a `_database`.
    """

    @wraps(method)
    async def whole(*args: P.args, **kwargs: P.kwargs) -> T:
        working: set[asyncio.Task[Any]] = args[0]._database.working  # type: ignore[attr-defined]
        task = asyncio.create_task(method(*args, **kwargs))
        working.add(task)
        task.add_done_callback(working.discard)
        return await asyncio.shield(task)

    return whole


def at(folder: Path) -> str:
    """The URL of the database in a data folder."""
    return f"sqlite+aiosqlite:///{folder / 'imagemill.db'}"


def _set_up(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # transactions are begun by `_begin` alone
    cursor = connection.cursor()
    for pragma in PRAGMAS:
        cursor.execute(pragma)
    cursor.close()


def _begin(connection: Connection) -> None:
    # A transaction that reads first and then writes would fail where another one wrote between.
    writes = connection.get_execution_options().get("writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _migrate(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
