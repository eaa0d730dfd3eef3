"""Starting and ending: one server a folder, one sentence where it cannot start, one time to end."""

import asyncio
import os
import signal
import socket
import sqlite3
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url

from imagemill.app import create_app, exports, server_config
from imagemill.errors import Fault
from imagemill.files.identity import MARK
from imagemill.job import Status
from imagemill.jobs.lifecycle import ENDING
from imagemill.server import Server, bound_to
from imagemill.settings import Settings
from imagemill.store import Database, Jobs, dead_letters, opening
from imagemill.store.opening import mark, newest
from tests.databases import database_url, postgres
from tests.engines import PlainEngine
from tests.houses import opened, opened_backend
from tests.jobs.test_worker import Clock, make_waiting
from tests.store.test_jobs import make_job

__all__ = ["database_url", "postgres"]
pytestmark = pytest.mark.anyio
on_postgres = pytest.mark.parametrize("database_url", ["postgres"], indirect=True)


async def refusal(folder: Path, **settings: Any) -> str:
    """Why a server does not start."""
    with pytest.raises(Fault) as raised:
        async with opened(folder, PlainEngine(), **settings):
            pass
    assert len(raised.value.message.splitlines()) == 1
    return raised.value.message


@asynccontextmanager
async def running(
    folder: Path, engine: PlainEngine, **settings: Any
) -> AsyncIterator[tuple[Server, asyncio.Task[None]]]:
    """A whole server with a socket, that is told to end at the end."""
    given = Settings(data_dir=folder, **({"port": 0} | settings))
    app = create_app(given, engine)
    config = server_config(given, app)
    config.lifespan = "off"
    server = Server(config, app.state.backend.service, given.shutdown_time, given.lock_wait)
    task = asyncio.create_task(server._serve())
    try:
        yield server, task
    finally:
        server.handle_exit(signal.SIGTERM, None)
        await asyncio.gather(task, return_exceptions=True)


async def started(server: Server) -> str:
    """Its address, once it serves."""
    while not server.started:
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    return f"http://127.0.0.1:{port}"


# One server a folder


async def test_a_second_server_on_the_same_folder_refuses_to_start(tmp_path: Path) -> None:
    engine = PlainEngine(hold_at=1)
    async with opened(tmp_path, engine) as first:
        waiting = asyncio.create_task(first.wait_for(make_waiting("a cat")))
        await engine.reached("a cat", 1)
        told = await refusal(tmp_path)
        assert "another imagemill server works in the data folder" in told
        for way_out in ("stop that one", "--data-dir", "lock_wait"):
            assert way_out in told
        engine.gate.set()
        assert (await waiting).status is Status.SUCCEEDED
    async with opened(tmp_path, PlainEngine()):
        pass


async def test_a_successor_takes_over_the_folder_and_the_port(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    old, new = PlainEngine(hold_at=1), PlainEngine()
    body = {"inputs": "a cat"}
    async with (
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as newcomer,
        running(tmp_path, old, port=port) as (first, ending),
    ):
        await started(first)
        painting = asyncio.create_task(client.post("/models/a/b", json=body))
        await old.reached("a cat", 1)
        async with running(tmp_path, new, port=port, lock_wait=60) as (second, _):
            first.handle_exit(signal.SIGTERM, None)
            while first.servers[0].is_serving() or await refused(port):
                await asyncio.sleep(0.01)
            # It waits for the predecessor's end, and is not turned away.
            next_one = asyncio.create_task(newcomer.post("/models/a/b", json={"inputs": "a dog"}))
            old.gate.set()
            assert (await painting).status_code == 200
            await ending
            assert (await next_one).status_code == 200
            assert second.started
            assert [each.prompt for each in new.submitted] == ["a dog"]


async def refused(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return True
    writer.close()
    return False


async def test_dead_webhooks_are_listed_beside_a_server(tmp_path: Path) -> None:
    async with opened(tmp_path, PlainEngine()):
        assert await dead_letters(None, tmp_path, (), time.time()) == ([], [])
    nowhere = tmp_path / "nowhere"
    with pytest.raises(Fault, match="there is no database"):
        await dead_letters(None, nowhere, (), time.time())
    assert not nowhere.exists()


# What may be wrong at the start


def emptied(file: Path) -> None:
    file.write_bytes(b"")


def begun_anew(file: Path) -> None:
    file.unlink()
    sqlite3.connect(file).execute("CREATE TABLE other (x)").connection.close()


def damaged(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[100:] = os.urandom(len(content) - 100)
    file.write_bytes(content)


def of_a_newer_version(file: Path) -> None:
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (emptied, "is empty, and there was one; put a copy of it in its place"),
        (Path.unlink, "is gone, and there was one; put a copy of it in its place"),
        (begun_anew, "is empty, and there was one"),
        (lambda file: file.write_bytes(b"no database" * 100), "is no database, or is damaged"),
        (damaged, "is no database, or is damaged"),
        (of_a_newer_version, "is of a newer imagemill; start that version"),
    ],
)
async def test_a_database_that_was_spoilt_is_told_and_never_begun_anew(
    tmp_path: Path, spoil: Any, told: str
) -> None:
    async with opened(tmp_path, PlainEngine()):
        pass
    file = tmp_path / "imagemill.db"
    spoil(file)
    assert told in await refusal(tmp_path)


async def test_tables_that_are_up_to_date_are_left_as_they_are(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Database(database_url)
    await first.open()
    async with first.reading() as connection:
        found = (await connection.execute(text("SELECT version_num FROM alembic_version"))).all()
    await first.close()
    assert [each.version_num for each in found] == [newest()]
    monkeypatch.setattr(opening, "MIGRATIONS", Path("none"))  # nothing could be done with them
    again = Database(database_url)
    await again.open()
    await again.close()


async def test_who_means_it_begins_anew(tmp_path: Path) -> None:
    async with opened(tmp_path, PlainEngine()):
        pass
    file = tmp_path / "imagemill.db"
    file.unlink()
    assert mark(file).name in await refusal(tmp_path)
    mark(file).unlink()
    async with opened(tmp_path, PlainEngine()) as service:
        assert await service.waiting() == 0


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("mysql://me:hush@h/d", "databases of the kind mysql are not known; give postgresql://"),
        ("hush", "the setting database is no URL; give postgresql://"),
        ("postgresql://me:hush@h:port/d", "the setting database is no URL"),
        ("postgresql://me:hush@127.0.0.1:{port}/d", "no PostgreSQL answers at 127.0.0.1:"),
        ("postgres://me:hush@127.0.0.1:{port}/d?sslmode=disable", "no PostgreSQL answers at"),
        ("postgresql+asyncpg://me:hush@127.0.0.1/d?colour=red", "unexpected keyword argument"),
    ],
)
async def test_a_database_that_cannot_be_reached_is_told(
    tmp_path: Path, url: str, told: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = url.format(port=port)
    message = await refusal(tmp_path, database=url)
    assert told in message
    assert "hush" not in message


@on_postgres
@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"database": "nosuch"}, 'database "nosuch" does not exist'),
        ({"username": "nobody"}, 'role "nobody" does not exist'),
    ],
)
async def test_what_postgresql_refuses_is_told(
    database_url: str, tmp_path: Path, changes: Any, told: str
) -> None:
    url = make_url(database_url).set(**changes).render_as_string(hide_password=False)
    message = await refusal(tmp_path, database=url)
    assert "does not let us in" in message
    assert told in message


async def test_a_data_folder_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "give another --data-dir" in await refusal(tmp_path / "file")
    assert "give another --data-dir" in await refusal(tmp_path / "file" / "folder")


async def test_a_place_for_files_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "give another as files" in await refusal(tmp_path, files=str(tmp_path / "file" / "x"))


async def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        async with running(tmp_path, PlainEngine(), port=taken.getsockname()[1]) as (_, task):
            with pytest.raises(Fault, match="address already in use; give another --port"):
                await task


async def test_a_name_with_several_addresses_is_listened_on_at_all(tmp_path: Path) -> None:
    async with running(tmp_path, PlainEngine(), host="localhost") as (server, _):
        await started(server)
        addresses = {each.sockets[0].getsockname()[0] for each in server.servers}
        assert "127.0.0.1" in addresses


# Several servers on one database


@on_postgres
async def test_servers_that_begin_at_once_on_an_empty_database_all_start(
    database_url: str,
) -> None:
    databases = [Database(database_url) for _ in range(4)]
    try:
        await asyncio.gather(*(each.open() for each in databases))
        await Jobs(databases[0]).add(make_job("a"))
        assert await Jobs(databases[1]).get("a") is not None
    finally:
        for each in databases:
            await each.close()


@on_postgres
async def test_servers_of_one_database_must_see_the_same_files(
    database_url: str, tmp_path: Path
) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    async with opened_backend(one, PlainEngine(), database=database_url) as first:
        file = await first.objects.put(b"x", "image/png")
        told = await refusal(other, database=database_url)
        assert "are not those of this database; set files to the place that all" in told
        known = (one / "files" / MARK).read_text()
        assert known in told
        async with opened_backend(
            other, PlainEngine(), database=database_url, files=str(one / "files")
        ) as second:
            assert await second.objects.read(file.key) == b"x"
    moved = tmp_path / "moved"
    (one / "files").rename(moved)
    async with opened_backend(
        other, PlainEngine(), database=database_url, files=str(moved)
    ) as second:
        assert await second.objects.read(file.key) == b"x"
    (other / "files" / MARK).write_text(known)  # as the refusal says, where files were lost
    async with opened(other, PlainEngine(), database=database_url):
        pass


@on_postgres
async def test_the_files_of_one_database_are_not_another_s(
    database_url: str, tmp_path: Path
) -> None:
    async with opened_backend(tmp_path, PlainEngine()) as backend:
        await backend.objects.put(b"x", "image/png")
    told = await refusal(tmp_path, database=database_url)
    assert "belong to another database; give that one as the setting database" in told
    (tmp_path / "files" / MARK).unlink()
    async with opened(tmp_path, PlainEngine(), database=database_url):
        pass


# Ending


async def test_nothing_is_claimed_from_the_signal_on_and_who_waits_in_the_queue_is_told(
    tmp_path: Path,
) -> None:
    engine = PlainEngine(hold_at=1)
    async with (
        running(tmp_path, engine, running=1) as (server, ending),
        httpx.AsyncClient(base_url=await started(server), timeout=60) as client,
    ):
        painting = asyncio.create_task(client.post("/models/a/b", json={"inputs": "a cat"}))
        await engine.reached("a cat", 1)
        waiting = asyncio.create_task(client.post("/models/a/b", json={"inputs": "a dog"}))
        headers = {"authorization": "Key a:b"}
        queued = await client.post(
            "/fal/queue/fal-ai/flux/dev", json={"prompt": "a bird"}, headers=headers
        )
        while await server.service.waiting() < 2:
            await asyncio.sleep(0.01)
        server.handle_exit(signal.SIGTERM, None)
        assert (await waiting).status_code == 503
        assert not painting.done()
        engine.gate.set()
        assert (await painting).status_code == 200
        await ending
    assert [each.prompt for each in engine.submitted] == ["a cat"]
    async with opened(tmp_path, PlainEngine()) as service:
        job = await service.ended(queued.json()["request_id"])
        assert job.status is Status.SUCCEEDED


async def test_a_shutdown_has_one_time_for_all(tmp_path: Path) -> None:
    """For the requests that are answered first, and for what is behind them."""
    engine, clock = PlainEngine(hold_at=1), Clock()
    async with (
        running(tmp_path, engine, shutdown_time=30) as (server, ending),
        httpx.AsyncClient(base_url=await started(server), timeout=60) as client,
    ):
        app: Any = server.config.app
        app.state.backend.lifecycle.clock = clock
        painting = asyncio.create_task(client.post("/models/a/b", json={"inputs": "a cat"}))
        await engine.reached("a cat", 1)
        server.service.drain(30)
        clock.now += 20
        assert server.service.seconds_left() == pytest.approx(30 - 20 - ENDING)
        clock.now += 20
        server.handle_exit(signal.SIGTERM, None)  # which does not begin anew
        assert (await painting).status_code == 503
        await ending
    assert engine.closed


async def test_a_stop_while_a_server_still_starts_leaves_nothing(tmp_path: Path) -> None:
    engine = PlainEngine()
    async with (
        opened(tmp_path, PlainEngine()),
        running(tmp_path, engine, lock_wait=60) as (server, task),
    ):
        while server._opening is None:
            await asyncio.sleep(0.01)
        server.handle_exit(signal.SIGTERM, None)
        await task
        assert not server.started
        assert engine.closed


# Addresses of IPv6


async def test_a_server_on_ipv6_did_not_start_with_tls(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, host="::1", tls=True)
    assert f"export FAL_RUN_HOST='[::1]:{settings.port}/fal/run'" in exports(settings)
    async with running(tmp_path, PlainEngine(), host="::1", tls=True) as (server, _):
        port = int((await started(server)).rpartition(":")[2])
        trusted = ssl.create_default_context(cafile=tmp_path / "tls" / "ca.pem")
        async with httpx.AsyncClient(verify=trusted) as client:
            reply = await client.get(f"https://[::1]:{port}/fal/api/v1/models?limit=1")
    assert f"https://[::1]:{port}/" in reply.text


async def test_the_address_that_is_logged_has_brackets(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    async with running(tmp_path, PlainEngine(), host="::1") as (server, _):
        port = (await started(server)).rpartition(":")[2]
    assert f"running on http://[::1]:{port} " in caplog.text


def test_a_free_port_is_the_same_on_every_address_of_a_name() -> None:
    """localhost is of both kinds on most machines; where one kind is missing, the other serves."""
    both = [
        (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", 0, 0, 0)),
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0)),
    ]
    bound = bound_to(both, 0)
    try:
        assert [each.family for each in bound] == [socket.AF_INET6, socket.AF_INET]
        assert len({each.getsockname()[1] for each in bound}) == 1
    finally:
        for each in bound:
            each.close()
    elsewhere = (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("2001:db8::1", 0, 0, 0))
    [only] = bound_to([elsewhere, both[1]], 0)
    only.close()
