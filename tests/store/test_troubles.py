"""What the server stands on fails: nobody's job does, callers are told when to come again."""

import asyncio
import resource
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from imagemill.app import create_app
from imagemill.assembly import Backend
from imagemill.errors import Fault, Kind
from imagemill.files.contents import Contents
from imagemill.files.objects import open_store
from imagemill.job import Status
from imagemill.retries import outlasting
from imagemill.settings import Settings
from imagemill.store import Database, Jobs, at
from imagemill.store.troubles import StoreFault, Trouble
from tests.cables import cabled
from tests.databases import Opened, database, database_url, postgres
from tests.engines import PlainEngine
from tests.jobs.test_worker import Clock, gateway, make_submission, make_waiting
from tests.store.test_jobs import make_job

__all__ = ["database", "database_url", "postgres"]
pytestmark = pytest.mark.anyio
on_postgres = pytest.mark.parametrize("database_url", ["postgres"], indirect=True)

PROMPT = "猫" * 1500  # its job takes more than a page of the database
# Every door that paints, with the least that it takes.
CALLS: dict[str, dict[str, Any]] = {
    "/": {"inputs": PROMPT},
    "/models/a/b": {"inputs": PROMPT},
    "/fal/run/fal-ai/flux/dev": {"prompt": PROMPT},
    "/fal/queue/fal-ai/flux/dev": {"prompt": PROMPT},
    "/replicate/v1/models/black-forest-labs/flux-dev/predictions": {"input": {"prompt": PROMPT}},
    "/openai/v1/images/generations": {"prompt": PROMPT},
    "/together/v1/images/generations": {"model": "a/b", "prompt": PROMPT},
    "/nebius/v1/images/generations": {"model": "black-forest-labs/flux-dev", "prompt": PROMPT},
    "/nebula/api/v1/images/generation": {
        "model_name": "black-forest-labs/FLUX.1-schnell", "prompt": PROMPT,
        "width": 256, "height": 256, "num_steps": 2, "guidance_scale": 3,
    },
    "/sdapi/v1/txt2img": {"prompt": PROMPT},
}  # fmt: skip


async def ask(database: Database, *statements: str) -> None:
    async with database.writing() as connection:
        for statement in statements:
            await connection.execute(text(statement))


async def read_only(database: Database, value: str) -> None:
    async with database.reading() as connection:
        await connection.execute(text(f"PRAGMA query_only = {value}"))


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Another program writes to the SQLite database in a folder."""
    other = sqlite3.connect(folder / "imagemill.db", isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
        yield
    finally:
        other.close()


async def full(database: Database) -> None:
    """No page can be added any more: what SQLite says is what it says of a full disk."""
    await ask(database, "PRAGMA max_page_count = 1", "CREATE TABLE filler (x)")


def key(path: str) -> dict[str, str]:
    if path.startswith("/sdapi/"):
        return {}
    return {"authorization": "Key a:b" if path.startswith("/fal/") else "Bearer hf_abc"}


@asynccontextmanager
async def served(folder: Path, engine: PlainEngine) -> AsyncIterator[tuple[httpx.AsyncClient, Any]]:
    app = create_app(Settings(data_dir=folder, host="127.0.0.1"), engine)
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client,
    ):
        yield client, app.state.backend


async def test_a_statement_that_is_wrong_is_no_trouble_of_the_database(database: Opened) -> None:
    async with database() as db:
        await Jobs(db).add(make_job("a"))
        twice = "INSERT INTO secrets (name, value) VALUES ('a', 'b'), ('a', 'b')"
        with pytest.raises(IntegrityError):
            await ask(db, twice)
        assert db.condition.trouble is None


@on_postgres
@pytest.mark.parametrize(
    ("code", "trouble", "kind"),
    [
        ("53100", Trouble.FULL, Kind.FULL),
        ("53300", Trouble.UNREACHABLE, Kind.UNAVAILABLE),
        ("57P01", Trouble.UNREACHABLE, Kind.UNAVAILABLE),
        ("25006", Trouble.READ_ONLY, Kind.UNAVAILABLE),
        ("28P01", Trouble.REFUSED, Kind.UNAVAILABLE),
        ("XX001", Trouble.DAMAGED, Kind.UNAVAILABLE),
        ("42P01", Trouble.FAILING, Kind.UNAVAILABLE),
    ],
)
async def test_postgresql_s_codes_are_understood(
    database: Opened, code: str, trouble: Trouble, kind: Kind
) -> None:
    async with database() as db:
        raising = f"DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '{code}'; END $$"
        with pytest.raises(StoreFault) as raised:
            await ask(db, raising)
        assert (raised.value.trouble, raised.value.kind) == (trouble, kind)
        assert raised.value.retry_after is not None
        assert db.condition.trouble is trouble
        await db.probe()
        await ask(db, "SELECT 1")
        assert db.condition.trouble is None


async def test_sqlite_s_codes_are_understood(tmp_path: Path) -> None:
    database = Database(at(tmp_path))
    await database.open()
    try:
        with pytest.raises(StoreFault) as raised:
            await full(database)
        assert (raised.value.trouble, raised.value.kind) == (Trouble.FULL, Kind.FULL)
        async with database.reading() as connection:
            await connection.execute(text("SELECT 1"))
        assert database.condition.trouble is Trouble.FULL  # what can be read may still be full
        await ask(database, "PRAGMA max_page_count = 100000")
        await database.probe()
        assert database.condition.trouble is None
        await read_only(database, "ON")
        with pytest.raises(StoreFault) as raised:
            await ask(database, "CREATE TABLE another (x)")
        assert raised.value.trouble is Trouble.READ_ONLY
    finally:
        await database.close()


async def test_a_lock_of_another_program_is_waited_for_without_holding_up_anybody(
    tmp_path: Path,
) -> None:
    database = Database(at(tmp_path))
    await database.open()
    jobs = Jobs(database)
    try:
        with locked(tmp_path):
            adding = asyncio.create_task(jobs.add(make_job("a")))
            while database.condition.trouble is not Trouble.LOCKED:
                await asyncio.sleep(0)
            assert await jobs.get("a") is None
        await adding
        assert await jobs.get("a") is not None
    finally:
        await database.close()


async def test_one_job_that_cannot_be_written_takes_no_other_with_it(database: Opened) -> None:
    async with database() as db:
        jobs = Jobs(db)
        wrong = make_job("b", dialect_state={"not JSON": object()})
        added = await asyncio.gather(
            *(jobs.add(job) for job in (make_job("a"), wrong, make_job("c"))),
            return_exceptions=True,
        )
        assert [error is None for error in added] == [True, False, True]


@on_postgres
async def test_names_that_postgresql_cannot_hold_are_looked_up_all_the_same(
    database: Opened,
) -> None:
    async with database() as db:
        jobs = Jobs(db)
        for id in ("a\0b", "a\ud800b"):
            assert await jobs.get(id) is None
        await jobs.add(make_job("1", webhook_url="http://a/\0", source="a\0b"))
        kept = await jobs.get("1")
        assert kept is not None
        assert kept.submission.source == "a\ufffdb"


def broken(backend: Backend) -> Callable[[], Awaitable[None]]:
    """Makes an end of all connections of a database, from outside."""

    async def kill() -> None:
        others = "pid <> pg_backend_pid() AND datname = current_database()"
        kill = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}"
        outside = Database(str(backend.database._postgres.url.render_as_string(False)))
        try:
            await ask(outside, kill)
        finally:
            await outside.close()

    return kill


@on_postgres
async def test_no_job_fails_for_connections_that_are_killed(
    database_url: str, tmp_path: Path
) -> None:
    engine = PlainEngine()
    async with gateway(tmp_path, database_url, engine, Clock()) as backend:
        service = backend.service
        jobs = [await service.submit(make_submission(f"cat {number}")) for number in range(12)]
        ended = [asyncio.create_task(service.ended(job.id)) for job in jobs]
        kill = broken(backend)
        while not all(each.done() for each in ended):
            await kill()
            await asyncio.wait(ended, timeout=0.05)
        assert {(await each).status for each in ended} == {Status.SUCCEEDED}


@on_postgres
async def test_a_database_that_is_away_loses_nothing_and_sends_no_waiting_caller_away(
    database_url: str, tmp_path: Path
) -> None:
    engine = PlainEngine(hold_at=1)
    async with (
        cabled(database_url) as (cable, url),
        gateway(tmp_path, url, engine, Clock()) as backend,
    ):
        service = backend.service
        waiting = asyncio.create_task(service.wait_for(make_waiting("a cat")))
        await engine.reached("a cat", 1)
        await cable.cut()
        with pytest.raises(Fault) as raised:
            await service.submit(make_submission("a dog"))
        assert raised.value.kind is Kind.UNAVAILABLE
        assert service.health().stores == {"database": Trouble.UNREACHABLE, "files": None}
        engine.gate.set()
        await engine.reached("a cat", 4)
        with pytest.raises(Fault):
            await backend.worker.renew()
        await cable.mend()
        assert (await waiting).status is Status.SUCCEEDED
        assert len(engine.submitted) == 1
        assert service.health().stores["database"] is None


async def test_what_was_painted_is_held_while_nothing_can_be_written(tmp_path: Path) -> None:
    engine = PlainEngine(hold_at=1)
    async with gateway(tmp_path, at(tmp_path), engine, Clock()) as backend:
        service = backend.service
        job = await service.submit(make_submission("a cat"))
        await engine.reached("a cat", 1)
        await read_only(backend.database, "ON")
        engine.gate.set()
        while service.health().stores["database"] is None:
            await asyncio.sleep(0.01)
        await read_only(backend.database, "OFF")
        assert (await service.ended(job.id)).status is Status.SUCCEEDED
        assert len(engine.submitted) == 1


async def test_every_door_says_that_there_is_no_room_and_health_does(tmp_path: Path) -> None:
    async with served(tmp_path, PlainEngine()) as (client, backend):
        with pytest.raises(StoreFault):
            await full(backend.database)
        for path, body in CALLS.items():
            reply = await client.post(path, json=body, headers=key(path))
            assert reply.status_code == 507, (path, reply.text)
            assert reply.headers["retry-after"] == "60"
            assert "no room left" in reply.text
        health = await client.get("/health")
        assert (health.status_code, health.json()["database"]) == (503, "full")
        await ask(backend.database, "PRAGMA max_page_count = 100000")
        await backend.worker.renew()
        assert (await client.get("/health")).json()["database"] == "ready"


async def test_every_door_says_when_to_come_again(tmp_path: Path) -> None:
    async with served(tmp_path, PlainEngine()) as (client, backend):
        await read_only(backend.database, "ON")
        for path, body in CALLS.items():
            reply = await client.post(path, json=body, headers=key(path))
            assert reply.status_code == 503, (path, reply.text)
            assert reply.headers["retry-after"] == "30"
        assert (await client.get("/health")).json()["database"] == "read-only"


async def test_a_full_disk_is_told_by_the_store_of_files_too(tmp_path: Path) -> None:
    contents = Contents(open_store(str(tmp_path)))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, hard))
    try:
        with pytest.raises(StoreFault) as raised:
            await contents.write("files/a", b"x" * 2**21)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (raised.value.trouble, raised.value.kind) == (Trouble.FULL, Kind.FULL)
    assert str(tmp_path) not in raised.value.message
    await contents.probe()
    assert contents.condition.trouble is None


async def test_what_passes_is_tried_until_patience_ends_or_it_hurries() -> None:
    tries, clock, hurry = [], Clock(), asyncio.Event()

    async def fails() -> None:
        tries.append(clock.now)
        clock.now += 40
        raise Fault(Kind.UNAVAILABLE, "away")

    with pytest.raises(Fault, match="away"):
        await outlasting(fails, 60, clock=clock)
    assert len(tries) == 2
    hurry.set()
    with pytest.raises(Fault, match="away"):
        await outlasting(fails, 1e9, hurry, clock)
    assert len(tries) == 3


async def test_other_faults_are_not_tried_again() -> None:
    async def fails() -> None:
        raise Fault(Kind.INVALID, "wrong")

    with pytest.raises(Fault, match="wrong"):
        await outlasting(fails, 1e9)
