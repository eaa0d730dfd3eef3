"""The store of jobs: one contract for both databases."""

import asyncio
import time
from dataclasses import fields, replace
from typing import Any

import pytest

from imagemill.conditions import Control, ImagePrompt, Swatch
from imagemill.errors import Fault, Kind
from imagemill.generation import Generation, Lora
from imagemill.job import File, Job, Line, Priority, Result, Status, Submission
from imagemill.store import Database, Jobs, begun
from imagemill.store.deliveries import DeliveryTable, Lane
from imagemill.store.records import FORGOTTEN
from imagemill.store.servers import ABSENT
from tests.databases import Opened, database, database_url, postgres

__all__ = ["database", "database_url", "postgres"]
pytestmark = pytest.mark.anyio

GENERATION = Generation(
    "a red cat", "a/b", 512, 384, 20, 4.0, 2**64 - 1, palette=(Swatch(1, 2, 3),)
)
NAMING = replace(
    GENERATION,
    image="file:x",
    mask="file:y",
    control=Control("file:c", "canny", scale=0.5, end=0.75),
    ip_adapter=ImagePrompt("file:d", "owner/name", mask="file:e", scale=0.5),
    references=("file:f", "file:g"),
    style_images=("file:h",),
    keep_foreground=True,
    loras=(Lora("file:z", 0.5),),
)
RESULT = Result(
    (File("files/b/1/x.png", "image/png", 10, 64, 64),), "a red cat", 0.5, "pico", ("x",)
)


def make_job(id: str = "1", created: float = 100.0, **changes: Any) -> Job:
    """changes: of the job, or of what was submitted."""
    of_job = {each.name for each in fields(Job)} & changes.keys()
    submitted = {name: value for name, value in changes.items() if name not in of_job}
    submission = replace(Submission(GENERATION, "pico", dialect="fal"), **submitted)
    return replace(Job(id, submission, created), **{name: changes[name] for name in of_job})


async def filled(jobs: Jobs, *ids: str, **changes: Any) -> None:
    for number, id in enumerate(ids):
        await jobs.add(make_job(id, 100.0 + number, **changes))


async def claimed(jobs: Jobs, limit: int = 10, now: float = 200.0, worker: str = "w") -> list[str]:
    return [job.id for job in await jobs.claim(worker, limit, now, lease=10)]


async def test_a_job_comes_back_as_it_went_in(database: Opened) -> None:
    async with database() as db:
        jobs = Jobs(db)
        job = make_job(
            dialect_state={"app": "x", "n": [1]}, ttl_seconds=5.0, webhook_url="http://a/b",
            priority=Priority.LOW, begin_within=300.0, caller="me", public=False,
            cancel_on_disconnect=True, generation=NAMING,
        )  # fmt: skip
        await jobs.add(job)
        assert await jobs.get("1") == job
        assert await jobs.get("2") is None


async def test_jobs_are_claimed_by_priority_then_turn(database: Opened) -> None:
    async with database() as db:
        jobs = Jobs(db)
        short = replace(GENERATION, steps=1)
        await jobs.add(make_job("low", 1.0, priority=Priority.LOW))
        await jobs.add(make_job("long", 100.0, generation=replace(GENERATION, steps=150)))
        await jobs.add(make_job("short", 100.5, generation=short))
        await jobs.add(make_job("waited for", 200.0, priority=Priority.INTERACTIVE))
        late = make_job("later", 300.0, generation=short)
        await jobs.add(late)
        assert await jobs.position(late) == 3
        assert await jobs.waiting() == 5
        assert await claimed(jobs) == ["waited for", "short", "long", "later", "low"]


async def test_a_claim_is_one_worker_s_alone(database: Opened) -> None:
    async with database() as db:
        jobs = Jobs(db)
        await filled(jobs, *"abcdefgh")
        got = await asyncio.gather(*(claimed(jobs, 3, worker=f"w{n}") for n in range(4)))
        assert sorted(id for ids in got for id in ids) == list("abcdefgh")
        assert (await jobs.renew("w0", got[0], 201, 10)).held == frozenset(got[0])
        assert await jobs.finish("a", "nobody", Status.SUCCEEDED, 201, RESULT) is None


async def test_an_end_is_written_with_its_log_and_its_webhook(database: Opened) -> None:
    async with database() as db:
        jobs = Jobs(db)
        await filled(jobs, "a", webhook_url="http://a/b")
        await claimed(jobs)
        lines = [Line(1, 201.0, "step 1")]
        job = await jobs.finish("a", "w", Status.SUCCEEDED, 202.0, RESULT, lines=lines)
        assert job == await jobs.get("a")
        assert job is not None
        assert (job.result, job.started, job.finished) == (RESULT, 200.0, 202.0)
        assert await jobs.lines("a") == lines
        assert await jobs.lines("a", after=2) == []
        delivery = await DeliveryTable(db).get("a")
        assert delivery is not None
        assert delivery.url == "http://a/b"
        assert await jobs.finish("a", "w", Status.FAILED, 203.0) is None


async def test_what_a_dead_worker_had_is_claimed_again(database: Opened) -> None:
    async with database() as db:
        jobs = Jobs(db)
        await filled(jobs, "a")
        for attempt in range(begun.MOST):
            assert await claimed(jobs, now=200.0 + 100 * attempt) == ["a"]
            await jobs.count_begun("w", ["a"])
            assert await jobs.recover("w", 300.0 + 100 * attempt) == []
            if not jobs.alone:  # else there is no other while this one lives
                assert await jobs.recover("other", 209.0 + 100 * attempt) == []
            (moved,) = await jobs.recover("other", 211.0 + 100 * attempt)
        assert (moved.status, moved.attempts) == (Status.FAILED, begun.MOST)
        assert moved.fault is not None
        assert f"the server ended {begun.MOST} times" in moved.fault.message
        assert await jobs.finish("a", "w", Status.SUCCEEDED, 900.0, RESULT) is None


async def test_claims_that_were_never_begun_are_not_counted(database: Opened) -> None:
    async with database() as db:
        jobs = Jobs(db)
        await filled(jobs, "a")
        for attempt in range(3 * begun.MOST):
            assert await claimed(jobs, now=200.0 + 100 * attempt) == ["a"]
            (moved,) = await jobs.recover("other", 211.0 + 100 * attempt)
        assert (moved.status, moved.begun) == (Status.QUEUED, 0)


async def test_what_the_engine_gave_back_in_order_is_not_counted(database: Opened) -> None:
    async with database() as db:
        jobs = Jobs(db)
        await filled(jobs, "a")
        for attempt in range(begun.MOST):
            assert await claimed(jobs, now=200.0 + attempt) == ["a"]
            await jobs.count_begun("w", ["a"])
            await jobs.count_begun("w", ["a"], by=-1)
            await jobs.finish("a", "w", Status.QUEUED, 200.5 + attempt)
        kept = await jobs.get("a")
        assert kept is not None
        assert (kept.status, kept.begun) == (Status.QUEUED, 0)


async def test_what_another_has_by_now_is_not_counted(database: Opened) -> None:
    async with database() as db:
        jobs = Jobs(db)
        await filled(jobs, "a")
        await claimed(jobs)
        await jobs.count_begun("late", ["a", "gone"])
        kept = await jobs.get("a")
        assert kept is not None
        assert kept.begun == 0


async def test_jobs_at_which_servers_ended_twice_are_claimed_one_at_a_time(
    database: Opened,
) -> None:
    async with database() as db:
        jobs = Jobs(db)
        await filled(jobs, *"abcd")
        for death in range(2):
            assert await claimed(jobs, 4, 200.0 + 100 * death) == list("abcd")
            await jobs.count_begun("w", list("abcd"))
            await jobs.recover("other", 299.0 + 100 * death)
        await filled(jobs, "new")
        assert await claimed(jobs, 4, 400.0) == ["a", "new"]
        assert await claimed(jobs, 4, 400.0) == []
        assert await claimed(jobs, 4, 400.0, worker="other") == ["b"]
        await jobs.finish("a", "w", Status.SUCCEEDED, 401.0, RESULT)
        assert await claimed(jobs, 4, 402.0) == ["c"]


async def test_nobody_paints_for_a_connection_that_died_with_its_server(database: Opened) -> None:
    async with database() as db:
        jobs = Jobs(db)
        await jobs.renew("gone", [], 200.0, 10)
        await filled(jobs, "a", "b", cancel_on_disconnect=True, server="gone")
        await filled(jobs, "c")
        await jobs.renew("here", [], 300.0, 10)
        await filled(jobs, "d", cancel_on_disconnect=True, server="here")
        assert await claimed(jobs, 1, worker="gone") == ["a"]
        moved = await jobs.recover("here", 201.0 + ABSENT)
        ended = {job.id for job in moved if job.status is Status.CANCELLED}
        assert ended == {"a", "b"}
        assert set(await claimed(jobs, now=302.0, worker="here")) == {"c", "d"}


async def test_who_was_silent_takes_up_again_what_no_other_has_claimed(database: Opened) -> None:
    async with database() as db:
        jobs = Jobs(db)
        await filled(jobs, "a", "b", "c")
        assert await claimed(jobs) == ["a", "b", "c"]
        assert len(await jobs.recover("other", 300.0)) == 3
        assert await claimed(jobs, 1, now=300.0, worker="other") == ["a"]
        ended = await jobs.finish("b", "w", Status.SUCCEEDED, 301.0, RESULT)
        assert ended is not None
        assert await jobs.finish("a", "w", Status.SUCCEEDED, 301.0, RESULT) is None
        assert (await jobs.renew("w", ["a", "c"], 301.0, 10)).held == {"c"}
        assert await claimed(jobs, now=302.0, worker="other") == []


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
async def test_the_callers_of_a_silent_server_are_neither_painted_for_nor_cancelled(
    database: Opened,
) -> None:
    async with database() as db:
        jobs = Jobs(db)
        await jobs.renew("silent", [], 200.0, 10)
        await filled(jobs, "a", "b", cancel_on_disconnect=True, server="silent")
        assert await claimed(jobs, 1, worker="silent") == ["a"]
        (requeued,) = await jobs.recover("other", 300.0)
        assert requeued.status is Status.QUEUED
        assert await claimed(jobs, now=300.0, worker="other") == []
        assert (await jobs.renew("silent", ["a"], 301.0, 10)).held == {"a"}
        assert await claimed(jobs, now=302.0, worker="other") == ["b"]


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
async def test_leases_go_by_the_database_s_clock_whatever_the_workers_think(
    database_url: str,
) -> None:
    database = Database(database_url)
    await database.open()
    jobs = Jobs(database)
    try:
        await filled(jobs, "a", "b", begin_within=time.time() + 3600)
        assert await claimed(jobs, 1, now=0.0, worker="slow") == ["a"]
        assert await claimed(jobs, 1, now=9e9, worker="fast") == ["b"]
        for worker, now in (("fast", 9e9), ("slow", 0.0), ("third", 5e9)):
            assert await jobs.recover(worker, now) == []
    finally:
        await database.close()


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
async def test_webhooks_go_by_the_database_s_clock_too(database_url: str) -> None:
    database = Database(database_url)
    await database.open()
    jobs, deliveries = Jobs(database), DeliveryTable(database)
    try:
        await filled(jobs, "a", webhook_url="http://a/b")
        await claimed(jobs)
        await jobs.finish("a", "w", Status.SUCCEEDED, 9e9, RESULT)  # by a clock that is far ahead
        (sent,) = await deliveries.due(Lane.FIRST, 0.0, 1, lambda _: 60.0)
        assert sent.job == "a"
        assert await deliveries.due(Lane.FIRST, 9e9, 1, lambda _: 60.0) == []
        wait = await deliveries.next_due(Lane.FIRST, 0.0)
        assert wait is not None
        assert 0 < wait <= 60
    finally:
        await database.close()


async def test_a_job_that_was_not_begun_in_time_has_failed(database: Opened) -> None:
    async with database() as db:
        jobs = Jobs(db)
        await filled(jobs, "a", begin_within=50.0)
        assert await jobs.recover("w", 149.0) == []
        (late,) = await jobs.recover("w", 151.0)
        assert late.fault is not None
        assert (late.status, late.fault.kind) == (Status.FAILED, Kind.TIMEOUT)


async def test_cancelling_ends_what_waits_and_marks_what_runs(database: Opened) -> None:
    async with database() as db:
        jobs = Jobs(db)
        await filled(jobs, "a", "b")
        await claimed(jobs, 1)
        running, queued = await jobs.cancel("a", 201.0), await jobs.cancel("b", 201.0)
        assert running is not None
        assert queued is not None
        assert (running.status, queued.status) == (Status.RUNNING, Status.CANCELLED)
        assert (await jobs.renew("w", ["a"], 202.0, 10)).unwanted == {"a"}
        (ended,) = await jobs.recover("other", 300.0)
        assert ended.status is Status.CANCELLED
        assert await jobs.cancel("c", 301.0) is None


async def test_what_is_given_back_is_claimed_by_the_next(database: Opened) -> None:
    async with database() as db:
        jobs = Jobs(db)
        await filled(jobs, "a")
        await claimed(jobs)
        await jobs.finish("a", "w", Status.QUEUED, 201.0)
        assert await claimed(jobs, worker="other") == ["a"]


async def test_a_prompt_that_was_not_to_be_kept_is_forgotten_at_the_end(database: Opened) -> None:
    async with database() as db:
        jobs = Jobs(db)
        await filled(jobs, "a", retain_prompt=False)
        await claimed(jobs)
        await jobs.finish("a", "w", Status.FAILED, 201.0, fault=Fault(Kind.FAILED, "x", "y", 2.0))
        job = await jobs.get("a")
        assert job is not None
        assert (job.generation.prompt, job.generation.image) == (FORGOTTEN, None)
        assert job.fault is not None
        assert (job.fault.message, job.fault.field, job.fault.retry_after) == ("x", "y", 2.0)


async def test_old_jobs_are_forgotten_once_their_webhooks_are_settled(database: Opened) -> None:
    async with database() as db:
        jobs, deliveries = Jobs(db), DeliveryTable(db)
        await filled(jobs, "a", "b", webhook_url="http://a/b")
        await filled(jobs, "c")
        await claimed(jobs)
        for id in "abc":
            await jobs.finish(id, "w", Status.SUCCEEDED, 300.0, RESULT, lines=[Line(0, 1.0, "x")])
        await deliveries.delivered("b", 301.0)
        assert await jobs.prune(299.0) == 0
        assert await jobs.prune(301.0) == 2
        assert [await jobs.get(id) is None for id in "abc"] == [False, True, True]
        assert await jobs.lines("b") == []
