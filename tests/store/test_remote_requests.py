"""What upstreams do is kept as long as it matters, and their jobs wait in queues of their own."""

from dataclasses import replace

import pytest

from imagemill.errors import Fault, Kind
from imagemill.job import RemoteRequest, Status
from imagemill.store import Holds, Jobs
from imagemill.store.remote_requests import RemoteRequestTable
from tests.databases import Opened, database, database_url, postgres
from tests.store.test_jobs import NAMING, make_job

__all__ = ["database", "database_url", "postgres"]
pytestmark = pytest.mark.anyio

THERE = "upstream:one/a/b"
GONE = Fault(Kind.FAILED, "there is no such upstream")


async def test_jobs_of_an_upstream_wait_for_themselves_alone(database: Opened) -> None:
    async with database() as db:
        jobs = Jobs(db)
        for number in range(3):
            await jobs.add(make_job(f"there{number}", 100.0 + number, source=THERE))
        await jobs.add(make_job("here", 200.0))
        here = await jobs.claim("w", 10, 300.0, 10)
        there = await jobs.claim("w", 2, 300.0, 10, upstream="one")
        last = await jobs.get("there2")
        assert last is not None
        assert await jobs.position(last) == 0, "the job of the engine is not before it"
        await jobs.add(make_job("later", 400.0))
        assert [job.id for job in here] == ["here"]
        assert [job.id for job in there] == ["there0", "there1"]
        assert await jobs.claim("w", 10, 300.0, 10, upstream="other") == []


async def test_inputs_of_an_upstream_s_jobs_are_gathered_for_themselves_alone(
    database: Opened,
) -> None:
    async with database() as db:
        jobs, holds = Jobs(db), Holds(db)
        await jobs.add(make_job("here", generation=NAMING))
        await jobs.add(make_job("there", generation=NAMING, source=THERE))
        assert [job.id for job in await holds.take("w", 9, 1.0, 9.0)] == ["here"]
        held = await holds.take("w", 9, 1.0, 9.0, upstream="one")
        assert [job.id for job in held] == ["there"]


async def test_what_waits_for_an_upstream_that_is_not_there_has_failed(database: Opened) -> None:
    async with database() as db:
        jobs = Jobs(db)
        for name, source in (("here", "pico"), ("one", THERE), ("two", "upstream:two/c")):
            await jobs.add(make_job(name, source=source))
        assert [job.id for job in await jobs.strand(["one"], GONE, 300.0)] == ["two"]
        failed = await jobs.get("two")
        assert failed is not None
        assert (failed.status, failed.fault) == (Status.FAILED, failed.fault)
        assert failed.fault is not None
        assert failed.fault.message == GONE.message
        assert await jobs.waiting() == 2


async def test_a_request_is_kept_until_its_job_is_over_and_forgotten(database: Opened) -> None:
    async with database() as db:
        jobs, table = Jobs(db), RemoteRequestTable(db)
        sent = RemoteRequest("1", THERE, "", 100.0)
        await jobs.add(make_job("1", source=THERE))
        assert await table.get("1") is None
        await table.put(sent)
        await table.put(replace(sent, id="r1"))
        assert await table.get("1") == replace(sent, id="r1")
        assert await table.over() == []
        await jobs.cancel("1", 200.0)
        assert await table.over() == [(replace(sent, id="r1"), Status.CANCELLED)]
        await table.forget("1")
        assert await table.over() == []


async def test_a_request_whose_job_is_forgotten_is_over(database: Opened) -> None:
    async with database() as db:
        jobs, table = Jobs(db), RemoteRequestTable(db)
        await jobs.add(make_job("1", source=THERE))
        await table.put(RemoteRequest("1", THERE, "r1", 100.0))
        await jobs.cancel("1", 200.0)
        await jobs.prune(300.0)
        ((request, status),) = await table.over()
        assert (request.id, status) == ("r1", Status.FAILED)
