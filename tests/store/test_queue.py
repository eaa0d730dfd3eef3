"""The order of the queue, on both databases: fair between callers, bounded between priorities."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Select, text
from sqlalchemy.dialects import sqlite

from imagemill.job import Priority, Status
from imagemill.store import Database, Jobs, at, queue
from imagemill.store.schema import JOBS
from tests.databases import Opened, database, database_url, old, old_job, postgres
from tests.store.test_jobs import GENERATION, claimed, make_job

__all__ = ["database", "database_url", "postgres"]
pytestmark = pytest.mark.anyio

USUAL = replace(GENERATION, width=512, height=512)
LONG = replace(USUAL, steps=150)


async def add(jobs: Jobs, name: str, count: int, **changes: Any) -> None:
    """So many jobs of one caller, who has their name where no other is given."""
    for number in range(count):
        submitted = {"generation": USUAL, "caller": name, **changes}
        await jobs.add(make_job(f"{name}{number:03}", **submitted))


async def test_callers_take_turns_whoever_came_first_with_however_many(database: Opened) -> None:
    async with database() as db:
        jobs = Jobs(db)
        await add(jobs, "many", 30)
        await add(jobs, "few", 3)
        assert (await claimed(jobs, 6))[1::2] == ["many000", "many001", "many002"]
        # What was painted before does not count against anybody.
        await add(jobs, "late", 2)
        assert sorted(await claimed(jobs, 4)) == ["late000", "late001", "many003", "many004"]
        assert await claimed(jobs, 1) == ["many005"]


async def test_a_caller_s_first_job_stands_near_the_front_of_a_long_queue(database: Opened) -> None:
    async with database() as db:
        jobs = Jobs(db)
        await add(jobs, "many", 50)
        await claimed(jobs, 1)
        await add(jobs, "other", 1)
        first = await jobs.get("other000")
        assert first is not None
        assert await jobs.position(first) == 1
        assert "other000" in await claimed(jobs, 2)
        assert await jobs.position(first) == 0


async def test_servers_on_one_database_make_one_queue(database: Opened) -> None:
    async with database() as db:
        one, other = Jobs(db), Jobs(db)
        await add(one, "a", 4)
        await add(other, "b", 2)
        await add(other, "more", 1, caller="a")
        got = [await claimed(one, 2), await claimed(other, 2, worker="v"), await claimed(one)]
        assert list(map(sorted, got)) == [["a000", "b000"], ["a001", "b001"],
                                          ["a002", "a003", "more000"]]  # fmt: skip


async def test_a_caller_s_short_jobs_do_not_wait_for_their_long_ones(database: Opened) -> None:
    async with database() as db:
        jobs = Jobs(db)
        await add(jobs, "long", 9, caller="me", generation=LONG)
        await add(jobs, "short", 2, caller="me", generation=replace(USUAL, steps=1))
        assert await claimed(jobs, 2) == ["short000", "short001"]


async def test_jobs_that_nobody_waits_for_have_their_part_beside_those_who_wait(
    database: Opened,
) -> None:
    async with database() as db:
        jobs = Jobs(db)
        await add(jobs, "low", 2, priority=Priority.LOW)
        await add(jobs, "queued", 5)
        got = list[str]()
        for number in range(50):
            await add(jobs, f"w{number:02}-", 1, priority=Priority.INTERACTIVE)
            got += await claimed(jobs, 1)
        assert [number for number, id in enumerate(got) if id.startswith("queued")] == [
            4, 9, 14, 20, 25,
        ]  # fmt: skip
        assert got.index("low000") == 16


async def test_one_that_went_back_to_the_queue_is_the_first_again(database: Opened) -> None:
    async with database() as db:
        jobs = Jobs(db)
        await add(jobs, "a", 5)
        await add(jobs, "b", 5)
        (first,) = await claimed(jobs, 1)
        await claimed(jobs, 3)
        await jobs.finish(first, "w", Status.QUEUED, 201.0)
        assert (await claimed(jobs, 2))[0] == first


@pytest.mark.parametrize(
    ("asked", "index"),
    [
        (queue._waiting("", Priority.NORMAL, [JOBS.c.ready], 1),
         "ix_jobs_queue (status=? AND priority=? AND upstream=? AND ready=?)"),
        (queue._waiting("", Priority.NORMAL, [~JOBS.c.ready], 1),
         "ix_jobs_queue (status=? AND priority=? AND upstream=? AND ready=?)"),
        (queue._last(1).selects[0].params(flow0="x"), "ix_jobs_flow (flow=? AND status=?)"),
        (queue._last_begun("", Priority.NORMAL), "ix_jobs_begun (upstream=? AND priority=?)"),
    ],
)  # fmt: skip
async def test_what_the_queue_asks_is_answered_by_an_index(
    tmp_path: Path, asked: Select[Any], index: str
) -> None:
    """However many jobs wait, or are kept; nothing is sorted."""
    statement = asked.compile(dialect=sqlite.dialect(), compile_kwargs={"literal_binds": True})
    db = Database(at(tmp_path))
    await db.open()
    async with db.reading() as connection:
        plan = list(await connection.execute(text(f"EXPLAIN QUERY PLAN {statement}")))
    await db.close()
    assert [index in row.detail for row in plan] == [True], plan


async def test_an_old_database_opens_with_its_queue_in_order(tmp_path: Path) -> None:
    waiting = [
        make_job("late", 300.0),
        make_job("long", 100.0, generation=LONG),
        make_job("soon", 200.0),
        make_job("first", 900.0, priority=Priority.LOW),
        make_job("second", 950.0, priority=Priority.LOW),
    ]
    old(tmp_path, "0002", jobs=list(map(old_job, waiting)))
    db = Database(at(tmp_path))
    await db.open()
    jobs = Jobs(db)
    await add(jobs, "new", 1, created=400.0)
    assert await claimed(jobs) == ["long", "soon", "late", "new000", "first", "second"]
    await db.close()
