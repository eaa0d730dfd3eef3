"""The ledger: whatever becomes of jobs, no status changes without its money. One contract for both
databases.
"""

import random
from collections import Counter
from contextlib import suppress
from dataclasses import replace

import pytest

from imagemill.accounts import new_account
from imagemill.credits import MICRO, Price, Prices, read, shown
from imagemill.errors import Fault, Kind
from imagemill.generation import Generation
from imagemill.job import FINAL, File, Job, Result, Status, Submission
from imagemill.store import Database, Jobs
from imagemill.store.accounts import AccountTable
from imagemill.store.ledger import EARNED, GRANTED, Balance, LedgerTable, held, purse
from tests.databases import Opened, database, database_url, postgres

__all__ = ["database", "database_url", "postgres"]
pytestmark = pytest.mark.anyio

GENERATION = Generation("a red cat", "a/b", 512, 512, 8, 4.0, 1)
RESULT = Result((File("files/x.png", "image/png", 10, 64, 64),), "a red cat", 0.5, "pico")
PRICE = 3 * MICRO


async def account(db: Database, amount: int) -> str:
    one = new_account(f"ada {amount}", 1.0)
    await AccountTable(db).add(one)
    if amount:
        assert await LedgerTable(db).grant(one.id, amount, f"first of {one.id}", 1.0)
    return one.id


def job(id: str, account: str, price: int = PRICE, created: float = 100.0) -> Job:
    return Job(
        id, Submission(GENERATION, "pico", dialect="fal", caller=account, price=price), created
    )


async def sums(db: Database) -> Counter[str]:
    """By ledger, what its entries sum up to; those of each transaction sum up to 0."""
    ledgers, transactions = Counter[str](), Counter[str]()
    for entry in await LedgerTable(db).entries():
        ledgers[entry.ledger] += entry.amount
        transactions[entry.transaction] += entry.amount
    assert set(transactions.values()) <= {0}
    return ledgers


async def test_what_succeeds_is_charged_and_all_else_is_given_back(database: Opened) -> None:
    async with database() as db:
        jobs, ledger, me = Jobs(db), LedgerTable(db), await account(db, 9 * MICRO)
        for id in ("painted", "failed", "cancelled"):
            await jobs.add(job(id, me))
        assert await ledger.balance(me) == Balance(0, 9 * MICRO)
        await jobs.cancel("cancelled", 101.0)
        assert await ledger.balance(me) == Balance(3 * MICRO, 6 * MICRO)
        await jobs.claim("w", 10, 102.0, lease=10)
        await jobs.finish("painted", "w", Status.SUCCEEDED, 103.0, RESULT)
        await jobs.finish("failed", "w", Status.FAILED, 103.0, fault=Fault(Kind.FAILED, "no"))
        assert await ledger.balance(me) == Balance(6 * MICRO, 0)
        wanted = {GRANTED: -9, EARNED: 3, purse(me): 6, held(me): 0}
        assert await sums(db) == {name: amount * MICRO for name, amount in wanted.items()}


async def test_who_has_too_little_gets_no_job_and_others_get_theirs(database: Opened) -> None:
    async with database() as db:
        jobs, ledger = Jobs(db), LedgerTable(db)
        poor, rich = await account(db, PRICE - 1), await account(db, 2 * PRICE)
        await jobs.add(job("1", rich))
        with pytest.raises(Fault) as refused:
            await jobs.add(job("2", poor))
        assert refused.value.kind is Kind.UNPAID
        assert "costs 3 credits, and the account has 2.999999" in refused.value.message
        await jobs.add(job("3", rich))
        with pytest.raises(Fault):
            await jobs.add(job("4", rich))
        assert [await jobs.get(id) is not None for id in "1234"] == [True, False, True, False]
        assert await ledger.balance(poor) == Balance(PRICE - 1, 0)
        assert await ledger.balance(rich) == Balance(0, 2 * PRICE)


async def test_a_job_that_is_written_twice_is_held_once(database: Opened) -> None:
    """As when the answer to the first try was lost."""
    async with database() as db:
        jobs, me = Jobs(db), await account(db, 2 * PRICE)
        for _ in range(2):
            await jobs.add(job("1", me))
        assert await LedgerTable(db).balance(me) == Balance(PRICE, PRICE)


async def test_a_grant_of_one_name_is_made_once(database: Opened) -> None:
    async with database() as db:
        ledger, me = LedgerTable(db), await account(db, 0)
        assert [await ledger.grant(me, 5, "order 7", 1.0) for _ in range(2)] == [True, False]
        assert await ledger.balance(me) == Balance(5, 0)


async def test_a_job_of_nobody_s_costs_nothing(database: Opened) -> None:
    async with database() as db:
        await Jobs(db).add(job("1", "", price=0))
        assert await LedgerTable(db).entries() == []


@pytest.mark.parametrize("seed", range(4))
async def test_the_books_balance_whatever_happens_to_jobs(seed: int, database: Opened) -> None:
    dice = random.Random(seed)
    async with database() as db:
        jobs, ledger = Jobs(db), LedgerTable(db)
        people = [await account(db, dice.randrange(60) * MICRO + number) for number in range(3)]
        made, now = list[str](), 100.0
        for number in range(60):
            now += 1.0
            match dice.randrange(6):
                case 0 | 1:
                    id, price = str(number), dice.randrange(1, 9) * MICRO // 2
                    with suppress(Fault):  # there is too little
                        await jobs.add(job(id, dice.choice(people), price, now))
                        made.append(id)
                case 2:
                    await jobs.claim(dice.choice("vw"), dice.randrange(1, 4), now, lease=1e9)
                case 3 if made:
                    ends = {
                        Status.SUCCEEDED: {"result": RESULT},
                        Status.FAILED: {"fault": Fault(Kind.FAILED, "no")},
                        Status.QUEUED: {},
                    }
                    status = dice.choice(list(ends))
                    worker = dice.choice("vw")
                    await jobs.finish(dice.choice(made), worker, status, now, **ends[status])  # type: ignore[arg-type]
                case 4 if made:
                    await jobs.cancel(dice.choice(made), now)
                case 5:
                    await jobs.recover(dice.choice("vw"), now)
        kept = [each for id in made if (each := await jobs.get(id)) is not None]
        totals = await sums(db)
        for person in people:
            mine = [each for each in kept if each.submission.caller == person]
            balance = await ledger.balance(person)
            assert balance == Balance(totals[purse(person)], totals[held(person)])
            assert balance.purse >= 0
            running = [each.submission.price for each in mine if each.status not in FINAL]
            assert balance.held == sum(running)
        paid = [each.submission.price for each in kept if each.status is Status.SUCCEEDED]
        assert totals[EARNED] == sum(paid)


@pytest.mark.parametrize(
    ("price", "changes", "cost"),
    [
        (Price(image=500_000), {"num_images": 3}, 1_500_000),
        (Price(megapixel_step=20_000), {}, 41_944),  # 0.262144 megapixels, 8 steps, rounded up
        (Price(image=7, megapixel_step=20_000), {"num_images": 2}, 2 * 41_951),
        (Price(image=7), {"format": "svg"}, 14),
    ],
)
def test_what_an_image_costs(price: Price, changes: dict[str, int], cost: int) -> None:
    assert price.of(replace(GENERATION, **changes)) == cost  # type: ignore[arg-type]
    assert Prices({"*": price}).of(replace(GENERATION, **changes)) == cost  # type: ignore[arg-type]
    assert Prices({"x/y": price}).of(GENERATION) == 0


@pytest.mark.parametrize(
    ("text", "amount"), [("12", 12 * MICRO), ("0.5", MICRO // 2), ("1.000001", MICRO + 1)]
)
def test_credits_are_written_as_they_are_read(text: str, amount: int) -> None:
    assert (read(text), shown(amount)) == (amount, text)


@pytest.mark.parametrize("text", ["", "-1", "1.", "1.1234567", "1e3", "x", "٣", "9" * 13])
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no amount"):
        read(text)
