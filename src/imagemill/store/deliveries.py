"""Deliveries: the webhooks that are owed, one row a job.

A claim pushes `due` past the time that an attempt may take. A sender that dies leaves a row that
falls due again by itself: receivers are told at least once, and by one sender at a time.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import ColumnElement, Select, bindparam, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from imagemill.store.database import Database, unbroken
from imagemill.store.schema import DELIVERIES, SECRETS

SIGNING = "webhooks"  # the name of the secret that signs deliveries


@dataclass(frozen=True)
class Delivery:
    """attempts: those that ended. due: None where it is delivered or dead. error: the last one."""

    job: str
    url: str
    created: float
    attempts: int
    due: float | None
    delivered: float | None
    dead: bool
    error: str | None


def delivery_row(job: str, url: str, now: float) -> dict[str, Any]:
    """A delivery that is due now; to be inserted in the transaction that ends its job."""
    return {
        "job": job,
        "url": url,
        "created": now,
        "attempts": 0,
        "due": now,
        "delivered": None,
        "dead": False,
        "error": None,
    }


class DeliveryTable:
    def __init__(self, database: Database) -> None:
        self._database = database

    @unbroken
    async def due(
        self, now: float, limit: int, lease: Callable[[int], float], busy: Collection[str] = ()
    ) -> list[Delivery]:
        """What is to be sent, the longest due first; it is the caller's for `lease` seconds, by how
        often it was tried.

        busy: beginnings of URLs that are left for later.
        """
        wanted = (
            select(DELIVERIES)
            .where(DELIVERIES.c.due <= now, *_elsewhere(busy))
            .order_by(DELIVERIES.c.due, DELIVERIES.c.job)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        async with self._database.writing() as connection:
            rows = (await connection.execute(wanted)).all()
            found = [Delivery(**row._asdict()) for row in rows]
            claimed = [replace(each, due=now + lease(each.attempts)) for each in found]
            if claimed:
                mine = update(DELIVERIES).where(DELIVERIES.c.job == bindparam("claimed"))
                dues = [{"claimed": each.job, "until": each.due} for each in claimed]
                await connection.execute(mine.values(due=bindparam("until")), dues)
        return claimed

    @unbroken
    async def next_due(self, busy: Collection[str] = ()) -> float | None:
        """When there is something to send; it may be past."""
        wanted = select(func.min(DELIVERIES.c.due)).where(*_elsewhere(busy))
        async with self._database.reading() as connection:
            found: float | None = (await connection.execute(wanted)).scalar_one()
        return found

    @unbroken
    async def delivered(self, job: str, now: float) -> None:
        """The receiver has acknowledged, whatever another sender thought of it meanwhile."""
        await self._change(
            DELIVERIES.c.job == job,
            attempts=DELIVERIES.c.attempts + 1,
            due=None,
            delivered=now,
            dead=False,
            error=None,
        )

    @unbroken
    async def failed(self, job: str, error: str, next_due: float | None) -> None:
        """An attempt has failed; without a next one the delivery is dead.

        A sender that comes too late to say so changes nothing about what is settled.
        """
        await self._change(
            (DELIVERIES.c.job == job) & DELIVERIES.c.due.is_not(None),
            attempts=DELIVERIES.c.attempts + 1,
            due=next_due,
            dead=next_due is None,
            error=error,
        )

    @unbroken
    async def dead(self, limit: int, offset: int = 0) -> list[Delivery]:
        """What was given up, the newest first."""
        return await self._all(
            select(DELIVERIES)
            .where(DELIVERIES.c.dead)
            .order_by(DELIVERIES.c.created.desc(), DELIVERIES.c.job)
            .limit(limit)
            .offset(offset)
        )

    @unbroken
    async def get(self, job: str) -> Delivery | None:
        found = await self._all(select(DELIVERIES).where(DELIVERIES.c.job == job))
        return found[0] if found else None

    @unbroken
    async def retry(self, job: str, now: float) -> bool:
        """Makes a dead delivery due, with all its attempts before it; whether there was one."""
        mine = (DELIVERIES.c.job == job) & DELIVERIES.c.dead
        return await self._change(mine, attempts=0, due=now, dead=False) > 0

    async def _all(self, wanted: Select[Any]) -> list[Delivery]:
        async with self._database.reading() as connection:
            rows = (await connection.execute(wanted)).all()
        return [Delivery(**row._asdict()) for row in rows]

    async def _change(self, which: ColumnElement[bool], **values: Any) -> int:
        async with self._database.writing() as connection:
            changed = await connection.execute(update(DELIVERIES).where(which).values(values))
        return int(changed.rowcount)


async def signing_secret(database: Database, fresh: bytes) -> bytes:
    """The secret that signs deliveries: the one that is kept, or else `fresh`, kept from now on.

    Of several that start at once one keeps its own, and all get that one.
    """
    wanted = select(SECRETS.c.value).where(SECRETS.c.name == SIGNING)
    try:
        async with database.writing() as connection:
            kept: bytes | None = (await connection.execute(wanted)).scalar_one_or_none()
            if kept is None:
                await connection.execute(insert(SECRETS), [{"name": SIGNING, "value": fresh}])
                return fresh
    except IntegrityError:  # another one's came between, which only PostgreSQL lets happen
        async with database.reading() as connection:
            kept = (await connection.execute(wanted)).scalar_one()
    return kept


def _elsewhere(busy: Collection[str]) -> list[ColumnElement[bool]]:
    return [~DELIVERIES.c.url.startswith(each, autoescape=True) for each in sorted(busy)]
