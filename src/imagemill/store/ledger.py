"""The ledger: double entry in micro-credits. What an account has is in its purse, what its jobs may
cost is held, and what they did cost is earned.

A hold is written in the transaction that writes its job, and settled in the one that ends it, so
that no status changes without its money. Each transaction has a name that tells what it is for, and
is written once, however often it is tried.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import insert, select, update

from imagemill.credits import shown
from imagemill.errors import Fault, Kind
from imagemill.job import FINAL, Job, Status
from imagemill.store.database import Database, Executor, unbroken
from imagemill.store.schema import ACCOUNTS, LEDGER

GRANTED, EARNED = "granted", "earned"  # the operator's side


@dataclass(frozen=True)
class Balance:
    """What an account has, in micro-credits."""

    #: That may be spent.
    purse: int
    #: For jobs that have not ended.
    held: int


@dataclass(frozen=True)
class LedgerEntry:
    """One side of a transaction of the ledger."""

    #: `grant:...`, or a job's id and what became of it.
    transaction: str
    #: `purse:` and `held:` of an account, or one of the operator's.
    ledger: str
    #: Micro-credits: what comes in is above 0. Those of a transaction sum up to 0.
    amount: int
    #: Unix seconds.
    created: float


def purse(account: str) -> str:
    return f"purse:{account}"


def held(account: str) -> str:
    return f"held:{account}"


class LedgerTable:
    def __init__(self, database: Database) -> None:
        self._database = database

    @unbroken
    async def grant(self, account: str, amount: int, name: str, now: float) -> bool:
        """Fills a purse, once under a name; whether it did. amount: micro-credits, above 0."""
        async with self._database.writing() as connection:
            sides = (GRANTED, purse(account))
            if not await _enter(self._database, connection, f"grant:{name}", sides, amount, now):
                return False
            change = update(ACCOUNTS).where(ACCOUNTS.c.id == account)
            await connection.execute(change.values(purse=ACCOUNTS.c.purse + amount))
        return True

    @unbroken
    async def balance(self, account: str) -> Balance:
        wanted = select(ACCOUNTS.c.purse, ACCOUNTS.c.held).where(ACCOUNTS.c.id == account)
        async with self._database.reading() as connection:
            row = (await connection.execute(wanted)).one()
        return Balance(row.purse, row.held)

    @unbroken
    async def entries(self, account: str | None = None, limit: int = 10**6) -> list[LedgerEntry]:
        """Of an account, or all; the newest first."""
        wanted = select(LEDGER).order_by(LEDGER.c.created.desc(), LEDGER.c.transaction)
        if account is not None:
            wanted = wanted.where(LEDGER.c.ledger.in_((purse(account), held(account))))
        async with self._database.reading() as connection:
            rows = (await connection.execute(wanted.limit(limit))).all()
        return [LedgerEntry(row.transaction, row.ledger, row.amount, row.created) for row in rows]


async def hold(database: Database, connection: Executor, jobs: Iterable[Job]) -> None:
    """Moves what jobs cost from purses to what is held; raises a Fault where one has less."""
    for job in _priced(jobs):
        submission = job.submission
        account, price = submission.caller, submission.price
        sides = (purse(account), held(account))
        if not await _enter(database, connection, f"{job.id}:hold", sides, price, job.created):
            continue
        enough = (ACCOUNTS.c.id == account) & (ACCOUNTS.c.purse >= price)
        change = {"purse": ACCOUNTS.c.purse - price, "held": ACCOUNTS.c.held + price}
        moved = await connection.execute(update(ACCOUNTS).where(enough).values(change))
        if not moved.rowcount:
            left = select(ACCOUNTS.c.purse).where(ACCOUNTS.c.id == account)
            has = (await connection.execute(left)).scalar_one_or_none() or 0
            message = f"this costs {shown(price)} credits, and the account has {shown(has)}"
            raise Fault(Kind.UNPAID, f"{message}; ask the operator for more, or ask for less")


async def settle(database: Database, connection: Executor, jobs: Iterable[Job]) -> None:
    """Charges what was held for those jobs that have succeeded, and gives it back for those that
    ended otherwise.
    """
    for job in _priced(job for job in jobs if job.status in FINAL):
        account, price = job.submission.caller, job.submission.price
        charged = job.status is Status.SUCCEEDED
        sides = (held(account), EARNED if charged else purse(account))
        at = job.finished or job.created
        if not await _enter(database, connection, f"{job.id}:end", sides, price, at):
            continue
        change = {"held": ACCOUNTS.c.held - price}
        change |= {} if charged else {"purse": ACCOUNTS.c.purse + price}
        await connection.execute(update(ACCOUNTS).where(ACCOUNTS.c.id == account).values(change))


def _priced(jobs: Iterable[Job]) -> list[Job]:
    """In one order, so that no two transactions wait for each other crosswise."""
    return sorted(
        (job for job in jobs if job.submission.price), key=lambda job: job.submission.caller
    )


async def _enter(
    database: Database,
    connection: Executor,
    name: str,
    sides: tuple[str, str],
    amount: int,
    now: float,
) -> bool:
    """Writes a transaction from one ledger to another; whether it was not there before."""
    rows: list[dict[str, Any]] = [
        {"transaction": name, "ledger": ledger, "amount": signed, "created": now}
        for ledger, signed in zip(sides, (-amount, amount), strict=True)
    ]
    first = database.insert(LEDGER).values(rows[0]).on_conflict_do_nothing()
    if not (await connection.execute(first)).rowcount:
        return False
    await connection.execute(insert(LEDGER).values(rows[1]))
    return True
