"""The table of deliveries: who may send what, and what becomes of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import insert

from imagemill.generation import Generation
from imagemill.job import Job
from imagemill.store.database import Database, at
from imagemill.store.deliveries import (
    Delivery,
    DeliveryTable,
    delivery_row,
    signing_secret,
)
from imagemill.store.jobs import Jobs
from imagemill.store.schema import DELIVERIES

pytestmark = pytest.mark.anyio

NOW = 1_000.0
LEASE = 150.0
URL = "https://receiver.example/hook?job=1"


def make_job(id: str) -> Job:
    generation = Generation("a red cat", "imagemill/pico", 256, 256, 8, 4.0, seed=1)
    return Job(id, "fal", generation, "pico", created=NOW)


async def owe(database: Database, *ids: str, url: str = URL, now: float = NOW) -> None:
    """Writes deliveries, each with the job that it must have."""
    jobs = Jobs(database)
    for id in ids:
        await jobs.add(make_job(id))
        async with database.writing() as connection:
            await connection.execute(insert(DELIVERIES), [delivery_row(id, url, now)])


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


async def ids_due(table: DeliveryTable, now: float, limit: int = 16) -> list[str]:
    return [each.job for each in await table.due(now, limit, lease)]


async def found(table: DeliveryTable, id: str) -> Delivery:
    delivery = await table.get(id)
    assert delivery is not None
    return delivery


async def test_what_is_owed_is_due_at_once(database: Database, table: DeliveryTable) -> None:
    await owe(database, "a")
    (claimed,) = await table.due(NOW, 16, lease)
    assert claimed == Delivery("a", URL, NOW, 0, NOW + LEASE, None, False, None)
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
    assert await table.next_due() == NOW + 1


async def test_two_senders_never_claim_the_same(tmp_path: Path) -> None:
    async with opened(tmp_path) as one, opened(tmp_path) as other:
        ids = [f"job{number:02}" for number in range(20)]
        await owe(one, *ids)
        tables = [DeliveryTable(one), DeliveryTable(other)] * 5
        claims = await asyncio.gather(*(ids_due(table, NOW, limit=3) for table in tables))
    claimed = [id for claim in claims for id in claim]
    assert sorted(claimed) == ids


async def test_a_busy_receiver_is_left_for_later(database: Database, table: DeliveryTable) -> None:
    await owe(database, "a", "b", now=NOW - 5)
    await owe(database, "c", url="https://other.example/100%_/\\")
    assert await table.next_due(["https://receiver.example"]) == NOW
    claimed = await table.due(NOW, 16, lease, ["https://receiver.example", "https://othe%"])
    assert [each.job for each in claimed] == ["c"]
    assert await table.next_due(["https://receiver.example", "https://other.example/100%_/\\"]) is (
        None
    )


async def test_what_is_delivered_is_never_due_again(
    database: Database, table: DeliveryTable
) -> None:
    await owe(database, "a")
    await table.due(NOW, 16, lease)
    await table.delivered("a", NOW + 1)
    assert await found(table, "a") == Delivery("a", URL, NOW, 1, None, NOW + 1, False, None)
    assert await table.next_due() is None
    assert await ids_due(table, NOW + 1e9) == []


async def test_a_failed_attempt_is_counted_and_the_next_one_waits(
    database: Database, table: DeliveryTable
) -> None:
    await owe(database, "a")
    await table.due(NOW, 16, lease)
    await table.failed("a", "the receiver answered 500", NOW + 14)
    assert await found(table, "a") == Delivery(
        "a", URL, NOW, 1, NOW + 14, None, False, "the receiver answered 500"
    )
    assert await table.next_due() == NOW + 14


async def test_a_dead_delivery_is_listed_and_comes_back_with_all_its_attempts(
    database: Database, table: DeliveryTable
) -> None:
    await owe(database, "old", now=NOW - 10)
    await owe(database, "alive", "new")
    for id in ("old", "new"):
        await table.failed(id, "the receiver answered 301", None)
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
    await table.failed("dead", "the receiver answered 301", None)
    before = [await table.get(id) for id in ("delivered", "dead")]
    await table.failed("delivered", "no answer", None)
    await table.failed("dead", "no answer", NOW + 14)
    assert [await table.get(id) for id in ("delivered", "dead")] == before


async def test_a_sender_that_comes_late_with_an_acknowledgement_is_believed(
    database: Database, table: DeliveryTable
) -> None:
    await owe(database, "a")
    await table.failed("a", "no answer", None)
    await table.delivered("a", NOW + 1)
    assert await table.dead(limit=10) == []
    assert (await found(table, "a")).delivered == NOW + 1


async def test_a_job_that_ends_owes_its_delivery(database: Database, table: DeliveryTable) -> None:
    generation = make_job("a").generation
    jobs = Jobs(database)
    await jobs.add(Job("a", "fal", generation, "pico", created=NOW, callback=URL))
    assert await table.get("a") is None
    await jobs.cancel("a", NOW + 3)
    assert await found(table, "a") == Delivery("a", URL, NOW + 3, 0, NOW + 3, None, False, None)


async def test_the_first_secret_is_kept_whoever_comes_later(tmp_path: Path) -> None:
    async with opened(tmp_path) as one, opened(tmp_path) as other:
        offers = [(one, b"1"), (other, b"2"), (one, b"3"), (other, b"4")]
        kept = await asyncio.gather(*(signing_secret(*offer) for offer in offers))
    async with opened(tmp_path) as again:
        assert {*kept, await signing_secret(again, b"5")} == {kept[0]}
