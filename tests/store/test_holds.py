"""Holds: inputs are gathered for jobs that wait. One contract for both databases."""

from dataclasses import replace
from typing import Any

import pytest

from imagemill.errors import Fault, Kind
from imagemill.generation import Generation
from imagemill.job import Job, Priority, Status
from imagemill.store import Holds, Jobs
from imagemill.store.records import FORGOTTEN
from tests.databases import Opened, database, database_url, postgres
from tests.store.test_jobs import NAMING, claimed, filled

__all__ = ["database", "database_url", "postgres"]
pytestmark = pytest.mark.anyio

LAPSED = -1.0  # seconds; a lease that has run out already


async def naming(jobs: Jobs, *ids: str, **changes: Any) -> None:
    """Jobs that need inputs."""
    await filled(jobs, *ids, **{"generation": NAMING, **changes})


async def held(
    holds: Holds, limit: int = 10, worker: str = "w", lease: float = 10, **busy: Any
) -> list[str]:
    return [job.id for job in await holds.take(worker, limit, 200.0, lease, **busy)]


async def found(jobs: Jobs, id: str) -> Job:
    job = await jobs.get(id)
    assert job is not None
    return job


async def test_a_job_that_needs_inputs_is_claimed_once_they_are_gathered(
    database: Opened,
) -> None:
    async with database() as db:
        jobs, holds = Jobs(db), Holds(db)
        await naming(jobs, "a", "b")
        await filled(jobs, "plain")
        assert await claimed(jobs) == ["plain"]
        assert await held(holds) == ["a", "b"]
        assert await held(holds, worker="other") == []
        assert await claimed(jobs) == []
        assert await holds.ready("b", "w")
        assert await claimed(jobs, worker="other") == []
        assert (await found(jobs, "b")).status is Status.QUEUED
        assert await claimed(jobs) == ["b"]
        assert (await found(jobs, "b")).attempts == 1
        assert await holds.renew("w", ["a", "b"], 205.0, 10) == {"a"}


async def test_what_is_gathered_keeps_its_turn(database: Opened) -> None:
    async with database() as db:
        jobs, holds = Jobs(db), Holds(db)
        await naming(jobs, "first")
        await filled(jobs, "second", "third")
        await naming(jobs, "urgent", priority=Priority.INTERACTIVE)
        assert await held(holds, 1) == ["urgent"]
        assert await held(holds, 1) == ["first"]
        assert await claimed(jobs, 1) == ["second"]
        await holds.ready("first", "w")
        assert await claimed(jobs) == ["first", "third"]


async def test_busy_callers_and_hosts_are_left_for_later(database: Opened) -> None:
    async with database() as db:
        jobs, holds = Jobs(db), Holds(db)
        await naming(jobs, "a", caller="me")
        await naming(jobs, "b", generation=_from("http://User:x@Slow.example:8000/x.png"))
        await naming(jobs, "c", generation=_from("https://[::1]/x.png"))
        assert await held(holds, callers=["me"], hosts=["slow.example", "[::1]"]) == []
        assert await held(holds, callers=["me"], hosts=["slow.example"]) == ["c"]
        assert await held(holds, callers=["you"], hosts=["other.example"]) == ["a", "b"]


@pytest.mark.parametrize("ready", [True, False])
async def test_what_a_dead_worker_held_is_gathered_anew(database: Opened, ready: bool) -> None:
    async with database() as db:
        jobs, holds = Jobs(db), Holds(db)
        await naming(jobs, "a")
        await held(holds)
        if ready:
            await holds.ready("a", "w")
        assert await jobs.recover("w", 201.0) == []
        assert await held(holds, worker="other") == []
        assert await holds.renew("w", ["a"], 201.0, LAPSED) == {"a"}
        assert await jobs.recover("other", 202.0) == []  # it waits still, and nobody needs to know
        assert await claimed(jobs) == []
        assert await held(holds, worker="other") == ["a"]
        assert await holds.renew("w", ["a"], 203.0, 10) == frozenset()
        assert not await holds.ready("a", "w")
        assert (await found(jobs, "a")).attempts == 0


async def test_what_is_released_is_held_by_the_next(database: Opened) -> None:
    async with database() as db:
        jobs, holds = Jobs(db), Holds(db)
        await naming(jobs, "a", "b", "c")
        await held(holds)
        await holds.ready("a", "w")
        await holds.release("w", ["a", "b"])
        await holds.release("other", ["c"])
        assert await held(holds, worker="other") == ["a", "b"]


async def test_a_claim_that_goes_back_needs_its_inputs_again(database: Opened) -> None:
    async with database() as db:
        jobs, holds = Jobs(db), Holds(db)
        await naming(jobs, "a", "b")
        await held(holds)
        for id in "ab":
            await holds.ready(id, "w")
        claims = await jobs.claim("w", 10, 200.0, LAPSED)
        assert [job.id for job in claims] == ["a", "b"]
        await jobs.finish("a", "w", Status.QUEUED, 201.0)
        await jobs.recover("other", 300.0)
        assert await claimed(jobs, worker="other") == []
        assert await held(holds, worker="other") == ["a", "b"]


async def test_a_job_whose_inputs_cannot_be_had_has_failed(database: Opened) -> None:
    async with database() as db:
        jobs, holds = Jobs(db), Holds(db)
        await naming(jobs, "a", retain_prompt=False)
        await held(holds)
        fault = Fault(Kind.UNREACHABLE, "no such host", "image")
        await jobs.finish("a", "w", Status.FAILED, 201.0, fault=fault)
        job = await found(jobs, "a")
        assert (job.status, job.started, job.attempts) == (Status.FAILED, None, 0)
        assert (job.generation.prompt, job.generation.image) == (FORGOTTEN, None)
        assert job.fault is not None
        assert job.fault.message == "no such host"


async def test_what_is_held_can_be_cancelled_and_comes_too_late_like_all_that_waits(
    database: Opened,
) -> None:
    async with database() as db:
        jobs, holds = Jobs(db), Holds(db)
        await naming(jobs, "cancelled", "late", begin_within=50.0)
        await held(holds)
        cancelled = await jobs.cancel("cancelled", 201.0)
        assert cancelled is not None
        assert cancelled.status is Status.CANCELLED
        assert [job.id for job in await jobs.recover("w", 206.0)] == ["late"]
        assert await holds.renew("w", ["cancelled", "late"], 207.0, 10) == frozenset()
        assert not await holds.ready("late", "w")


def _from(url: str) -> Generation:
    return replace(NAMING, image="file:x", mask=url)
