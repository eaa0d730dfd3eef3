"""The clock jumps, the database is locked by others, the disk is full."""

import asyncio
import resource
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from resilience.calls import CALLS, JOBS, QUEUE, Caller, caller, painting, until_async
from resilience.conftest import Watching
from resilience.servers import Server

pytestmark = pytest.mark.anyio

HOUR = 3600.0
LOCKED = 4.0  # seconds
TRIES = 200  # of jobs that are sent, until one finds no room
AWAY = (503, 507)
ALL = f"all {JOBS} jobs being painted and all {CALLS} calls that waited were finished"


def clocks() -> Iterator[object]:
    for fixture, store in (("plain", "SQLite"), ("on_postgres", "PostgreSQL")):
        for seconds, where in ((HOUR, "forward"), (-HOUR, "back")):
            name = f"The server's clock is put an hour {where} while it paints ({store})"
            yield pytest.param(fixture, seconds, marks=pytest.mark.fault(name))


@pytest.mark.parametrize(("fixture", "seconds"), [*clocks()])
async def test_clock(
    fixture: str, seconds: float, request: pytest.FixtureRequest, watched: Watching
) -> None:
    server: Server = request.getfixturevalue(fixture)
    async with caller(server, num_inference_steps=30) as someone:
        try:
            with watched(server) as watch:
                ids, calls = await painting(server, someone)
                server.turn_clock(seconds)
                later = await someone.submit(1)
                await someone.all_answered(ids + later, calls)
                watch.happened = f"{ALL.capitalize()}, and so was a job sent afterwards."
        finally:
            server.turn_clock(0)


@contextmanager
def locked(server: Server) -> Iterator[None]:
    """Writes to the server's SQLite file, and does not come to an end."""
    connection = sqlite3.connect(server.data / "imagemill.db", isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        connection.close()


@pytest.mark.fault(f"Another process locks the SQLite file for {LOCKED:.0f} s")
async def test_locked(plain: Server, watched: Watching) -> None:
    async with caller(plain, num_inference_steps=30) as someone:
        with watched(plain) as watch:
            ids, calls = await painting(plain, someone)
            with locked(plain):
                late = asyncio.create_task(someone.client.post(QUEUE, json=someone.fields))
                await asyncio.sleep(LOCKED)  # this is the fault
            await someone.all_answered(ids, calls)
            reply = await late
            if reply.status_code == 200:
                assert await someone.all_painted([reply.json()["request_id"]]) == 1
            told = accepted_or_away(reply)
            watch.happened = f"{ALL.capitalize()}; a job sent meanwhile {told}."


def accepted_or_away(reply: httpx.Response) -> str:
    if reply.status_code == 200:
        return "was accepted once it could be written"
    assert reply.status_code in AWAY, reply.text
    assert int(reply.headers["retry-after"]) >= 1
    return f"was answered {reply.status_code} with `retry-after`"


@contextmanager
def no_page_more(server: Server) -> Iterator[None]:
    full = server.folder / "full"
    full.touch()
    try:
        yield
    finally:
        full.unlink()


@contextmanager
def no_file_larger(server: Server) -> Iterator[None]:
    limits = resource.prlimit(server.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        yield
    finally:
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, limits)


FULL = {
    "The database has no room (SQLite's `max_page_count`)": no_page_more,
    "No file may grow (`RLIMIT_FSIZE`)": no_file_larger,
}


@pytest.mark.parametrize(
    "fault", [pytest.param(fault, marks=pytest.mark.fault(fault)) for fault in FULL]
)
async def test_full(fault: str, plain: Server, watched: Watching) -> None:
    async with caller(plain, num_inference_steps=30) as someone:
        with watched(plain) as watch:
            ids, calls = await painting(plain, someone)
            with FULL[fault](plain):
                accepted, reply = await until_refused(someone)
                told = accepted_or_away(reply)
                why = complaint(plain)
            await until_async(lambda: plain.health()["ready"])
            await someone.all_answered(ids + accepted, calls)
            assert await someone.all_painted(await someone.submit(1)) == 1
            watch.happened = (
                f"A new job {told}; `/health`: “{why}”. Once there was room again "
                f"{ALL}, and so was what had been accepted."
            )


def complaint(server: Server) -> str:
    """What `/health` has to say of the database or the files."""
    health = server.health()
    assert not health["ready"], health
    told = [health[store] for store in ("database", "files") if health[store] != "ready"]
    assert told, health
    return "; ".join(told)


async def until_refused(someone: Caller) -> tuple[list[str], httpx.Response]:
    """What was accepted before, and the refusal."""
    accepted = list[str]()
    for seed in range(TRIES):
        reply = await someone.client.post(QUEUE, json=someone.fields | {"seed": seed})
        if reply.status_code != 200:
            return accepted, reply
        accepted.append(reply.json()["request_id"])
    raise AssertionError(f"{TRIES} jobs found room")
