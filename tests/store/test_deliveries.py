"""The table of deliveries: who may send what, and what becomes of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, text
from sqlalchemy.dialects import sqlite

from imagemill.generation import Generation
from imagemill.job import Job, Submission
from imagemill.store import Database, at, deliveries
from imagemill.store.deliveries import (
    Delivery,
    DeliveryTable,
    Lane,
    delivery_row,
    receiver_of,
)
from imagemill.store.jobs import Jobs
from imagemill.store.schema import DELIVERIES
from tests.databases import old, old_job

pytestmark = pytest.mark.anyio

NOW = 1_000.0
LEASE = 150.0
URL, RECEIVER = "https://receiver.example/hook?job=1", "https://receiver.example"


def make_job(id: str) -> Job:
    generation = Generation("a red cat", "imagemill/pico", 256, 256, 8, 4.0, seed=1)
    return Job(id, Submission(generation, "pico", dialect="fal"), NOW)


async def owe(
    database: Database, *ids: str, url: str = URL, now: float = NOW, caller: str = ""
) -> None:
    """Writes deliveries, each with the job that it must have."""
    jobs = Jobs(database)
    for id in ids:
        await jobs.add(make_job(id))
        async with database.writing() as connection:
            await connection.execute(insert(DELIVERIES), [delivery_row(id, url, now, caller)])


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[Database]:
    database = Database(at(folder))
    try:
        await database.open()
        yield database
    finally:
        await database.close()


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with opened(tmp_path) as database:
        yield database


@pytest.fixture
def table(database: Database) -> DeliveryTable:
    return DeliveryTable(database)


def lease(attempts: int) -> float:
    return LEASE


async def ids_due(
    table: DeliveryTable, now: float, limit: int = 16, lane: Lane = Lane.FIRST, **busy: list[str]
) -> list[str]:
    return [each.job for each in await table.due(lane, now, limit, lease, **busy)]


def make_delivery(due: float | None, **changes: Any) -> Delivery:
    delivery = Delivery("a", URL, NOW, 0, due, None, False, None, RECEIVER, "", Lane.FIRST)
    return replace(delivery, **changes)


async def found(table: DeliveryTable, id: str) -> Delivery:
    delivery = await table.get(id)
    assert delivery is not None
    return delivery


async def test_what_is_owed_is_due_at_once(database: Database, table: DeliveryTable) -> None:
    await owe(database, "a")
    (claimed,) = await table.due(Lane.FIRST, NOW, 16, lease)
    assert claimed == make_delivery(NOW + LEASE)
    assert await found(table, "a") == claimed


async def test_a_claim_holds_until_its_lease_ends(database: Database, table: DeliveryTable) -> None:
    await owe(database, "a")
    assert await ids_due(table, NOW) == ["a"]
    assert await ids_due(table, NOW + LEASE - 1) == []
    assert await ids_due(table, NOW + LEASE) == ["a"]


async def test_the_longest_due_goes_first_and_nothing_before_its_time(
    database: Database, table: DeliveryTable
) -> None:
    for id, due in (("late", NOW - 1), ("later", NOW), ("first", NOW - 9), ("soon", NOW + 1)):
        await owe(database, id, now=due)
    assert await ids_due(table, NOW, limit=2) == ["first", "late"]
    assert await ids_due(table, NOW, limit=2) == ["later"]
    assert await table.next_due(Lane.FIRST, NOW) == 1


async def test_two_senders_never_claim_the_same(tmp_path: Path) -> None:
    async with opened(tmp_path) as one, opened(tmp_path) as other:
        ids = [f"job{number:02}" for number in range(20)]
        await owe(one, *ids)
        tables = [DeliveryTable(one), DeliveryTable(other)] * 5
        claims = await asyncio.gather(*(ids_due(table, NOW, limit=3) for table in tables))
    claimed = [id for claim in claims for id in claim]
    assert sorted(claimed) == ids


async def test_busy_receivers_and_callers_are_left_for_later(
    database: Database, table: DeliveryTable
) -> None:
    await owe(database, "a", now=NOW - 5)
    await owe(database, "b", now=NOW - 4, caller="me")
    await owe(database, "c", url="HTTPS://Other.example:8443/100%_/\\")
    busy = ["https://other.example:8443"]
    assert await table.next_due(Lane.FIRST, NOW, [RECEIVER]) == 0
    assert await table.next_due(Lane.FIRST, NOW, busy, [""]) == -4
    assert await table.next_due(Lane.FIRST, NOW, [RECEIVER, *busy]) is None
    assert await ids_due(table, NOW, receivers=busy, callers=["me"]) == ["a"]
    assert await ids_due(table, NOW, receivers=[RECEIVER, "https://oth%"]) == ["c"]


@pytest.mark.parametrize(
    ("url", "receiver"),
    [
        (URL, RECEIVER),
        ("http://A.example:80?x", "http://a.example:80"),
        ("http://me:hidden@a.example/", "http://me:hidden@a.example"),
        ("", ""),
        ("//", "//"),
        ("http://" + "a" * 60_000, "http://" + "a" * 255),
        ("x" * 60_000, "x" * 255),
    ],
)
def test_a_receiver_is_the_beginning_of_any_url(url: str, receiver: str) -> None:
    assert receiver_of(url) == receiver


async def test_each_lane_has_its_own_order(database: Database, table: DeliveryTable) -> None:
    await owe(database, "first", "again", "slow", "moved")
    await ids_due(table, NOW)
    await table.failed("again", "the receiver answered 500", NOW, 9)
    await table.failed("slow", "no answer", NOW, 8, Lane.SLOW)
    await table.slow("moved", NOW)
    assert await ids_due(table, NOW + 9) == []
    assert await ids_due(table, NOW + 9, lane=Lane.AGAIN) == ["again"]
    assert await ids_due(table, NOW + 9, lane=Lane.SLOW) == ["moved", "slow"]
    assert (await found(table, "moved")).attempts == 0


async def test_what_waits_for_a_receiver_that_recovers_waits_with_the_quick_ones(
    database: Database, table: DeliveryTable
) -> None:
    await owe(database, "a", "done")
    await owe(database, "b", url="https://other.example/")
    for id in ("a", "b"):
        await table.failed(id, "no answer", NOW, 9, Lane.SLOW)
    await table.failed("done", "no answer", NOW, None, Lane.SLOW)
    await table.quick(RECEIVER)
    assert await ids_due(table, NOW + 9, lane=Lane.AGAIN) == ["a"]
    assert await ids_due(table, NOW + 9, lane=Lane.SLOW) == ["b"]


async def test_what_an_older_version_owes_is_sent_on(tmp_path: Path) -> None:
    row = {"url": URL, "created": NOW, "due": NOW, "dead": False}
    old(
        tmp_path,
        "0002",
        jobs=[old_job(make_job(id)) | {"caller": "me"} for id in ("new", "tried")],
        deliveries=[
            {"job": "new", "attempts": 0, **row},
            {"job": "tried", "attempts": 3, **row},
        ],
    )
    async with opened(tmp_path) as database:
        table = DeliveryTable(database)
        new, tried = await found(table, "new"), await found(table, "tried")
    assert (new.receiver, new.caller, new.lane) == (RECEIVER, "me", Lane.FIRST)
    assert (tried.receiver, tried.caller, tried.lane) == (RECEIVER, "me", Lane.AGAIN)


async def test_thousands_of_dead_receivers_cost_a_look_nothing(
    database: Database, table: DeliveryTable
) -> None:
    """Only an index is read, and of that only the lane; nothing is sorted."""
    asked = deliveries._due(
        database.clock(NOW), 1, deliveries._waiting(Lane.FIRST, [RECEIVER], [""])
    )
    literal = asked.compile(dialect=sqlite.dialect(), compile_kwargs={"literal_binds": True})
    async with database.reading() as connection:
        plan = list(await connection.execute(text(f"EXPLAIN QUERY PLAN {literal}")))
    assert "ix_deliveries_due (lane=? AND due>? AND due<?)" in plan[0].detail


async def test_what_a_sender_has_in_hand_is_not_given_to_it_again_whatever_the_clock_says(
    database: Database, table: DeliveryTable
) -> None:
    await owe(database, "a", "b")
    assert await ids_due(table, NOW) == ["a", "b"]
    late = NOW + 10 * LEASE
    assert await table.next_due(Lane.FIRST, late, under_way=["a", "b"]) is None
    again = await table.due(Lane.FIRST, late, 16, lease, under_way=["a"])
    assert [each.job for each in again] == ["b"]


async def test_what_is_delivered_is_never_due_again(
    database: Database, table: DeliveryTable
) -> None:
    await owe(database, "a")
    await ids_due(table, NOW)
    await table.delivered("a", NOW + 1)
    assert await found(table, "a") == make_delivery(None, attempts=1, delivered=NOW + 1)
    assert await table.next_due(Lane.FIRST, NOW) is None
    assert await ids_due(table, NOW + 1e9) == []


async def test_a_failed_attempt_is_counted_and_the_next_one_waits(
    database: Database, table: DeliveryTable
) -> None:
    await owe(database, "a")
    await ids_due(table, NOW)
    await table.failed("a", "the receiver answered 500", NOW, 14)
    assert await found(table, "a") == make_delivery(
        NOW + 14, attempts=1, error="the receiver answered 500", lane=Lane.AGAIN
    )
    assert await table.next_due(Lane.FIRST, NOW) is None
    assert await table.next_due(Lane.AGAIN, NOW) == 14


async def test_a_dead_delivery_is_listed_and_comes_back_with_all_its_attempts(
    database: Database, table: DeliveryTable
) -> None:
    await owe(database, "old", now=NOW - 10)
    await owe(database, "alive", "new")
    for id in ("old", "new"):
        await table.failed(id, "the receiver answered 301", NOW, None)
    dead = await table.dead(limit=10)
    assert [(each.job, each.due, each.error) for each in dead] == [
        ("new", None, "the receiver answered 301"),
        ("old", None, "the receiver answered 301"),
    ]
    assert [each.job for each in await table.dead(limit=1, offset=1)] == ["old"]
    assert await table.retry("old", NOW + 5)
    assert [each.job for each in await table.dead(limit=10)] == ["new"]
    brought_back = await found(table, "old")
    assert (brought_back.attempts, brought_back.due) == (0, NOW + 5)
    assert brought_back.lane is Lane.FIRST


async def test_only_a_dead_delivery_can_be_brought_back(
    database: Database, table: DeliveryTable
) -> None:
    await owe(database, "alive", "delivered")
    await table.delivered("delivered", NOW)
    before = [await table.get(id) for id in ("alive", "delivered")]
    assert [await table.retry(id, NOW + 5) for id in ("alive", "delivered", "unknown")] == [
        False,
        False,
        False,
    ]
    assert [await table.get(id) for id in ("alive", "delivered")] == before


async def test_a_sender_that_comes_too_late_with_a_failure_changes_nothing(
    database: Database, table: DeliveryTable
) -> None:
    await owe(database, "delivered", "dead")
    await table.delivered("delivered", NOW)
    await table.failed("dead", "the receiver answered 301", NOW, None)
    before = [await table.get(id) for id in ("delivered", "dead")]
    await table.failed("delivered", "no answer", NOW, None)
    await table.failed("dead", "no answer", NOW, 14)
    assert [await table.get(id) for id in ("delivered", "dead")] == before


async def test_a_sender_that_comes_late_with_an_acknowledgement_is_believed(
    database: Database, table: DeliveryTable
) -> None:
    await owe(database, "a")
    await table.failed("a", "no answer", NOW, None)
    await table.delivered("a", NOW + 1)
    assert await table.dead(limit=10) == []
    assert (await found(table, "a")).delivered == NOW + 1


async def test_a_job_that_ends_owes_its_delivery(database: Database, table: DeliveryTable) -> None:
    submission = replace(make_job("a").submission, caller="me", webhook_url=URL)
    jobs = Jobs(database)
    await jobs.add(Job("a", submission, NOW))
    assert await table.get("a") is None
    await jobs.cancel("a", NOW + 3)
    assert await found(table, "a") == make_delivery(NOW + 3, created=NOW + 3, caller="me")
