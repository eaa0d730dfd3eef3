"""Deliveries: the webhooks that are owed, one row a job.

A claim pushes `due` past the time that an attempt may take. A sender that dies leaves a row that
falls due again by itself: receivers are told at least once, and by one sender at a time.
"""

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any

from sqlalchemy import ColumnElement, Float, Row, Select, bindparam, func, select, update

from imagemill.store.database import Database, unbroken
from imagemill.store.schema import DELIVERIES


class Lane(IntEnum):
    """Which attempts wait for one another."""

    FIRST = 0  # not tried yet
    AGAIN = 1  # of receivers that answered wrongly, or could not be reached
    SLOW = 2  # of receivers that did not answer in time


@dataclass(frozen=True)
class Delivery:
    """attempts: those that ended. due: None where it is delivered or dead. error: the last one.
    receiver: scheme, host and port of the URL. caller: whose job it is.
    """

    job: str
    url: str
    created: float
    attempts: int
    due: float | None
    delivered: float | None
    dead: bool
    error: str | None
    receiver: str
    caller: str
    lane: Lane


def receiver_of(url: str) -> str:
    """The beginning of a URL, up to its path, and short. Takes any text."""
    start = re.match(r"[^/]{0,8}//[^/?#]{0,255}", url)
    return (start[0] if start else url[:255]).lower()


def delivery_row(job: str, url: str, now: float, caller: str = "") -> dict[str, Any]:
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
        "receiver": receiver_of(url),
        "caller": caller,
        "lane": Lane.FIRST.value,
    }


class DeliveryTable:
    def __init__(self, database: Database) -> None:
        self._database = database

    @unbroken
    async def due(
        self,
        lane: Lane,
        now: float,
        limit: int,
        lease: Callable[[int], float],
        receivers: Collection[str] = (),
        callers: Collection[str] = (),
        under_way: Collection[str] = (),
    ) -> list[Delivery]:
        """What is to be sent of a lane, the longest due first; it is the sender's for `lease`
        seconds, by how often it was tried.

        receivers, callers: whose deliveries are left for later. under_way: jobs whose deliveries
        the sender has in hand, whatever its clock says of their leases.
        """
        clock = self._database.clock(now)
        wanted = _due(clock, limit, [*_waiting(lane, receivers, callers), *_not(under_way)])
        async with self._database.writing() as connection:
            rows = (await connection.execute(wanted)).all()
            due = [_delivery(row) for row in rows]
            claimed = [replace(each, due=now + lease(each.attempts)) for each in due]
            if claimed:
                mine = update(DELIVERIES).where(DELIVERIES.c.job == bindparam("claimed"))
                until = clock + bindparam("lease", type_=Float)
                leases = [{"claimed": each.job, "lease": lease(each.attempts)} for each in claimed]
                await connection.execute(mine.values(due=until), leases)
        return claimed

    @unbroken
    async def next_due(
        self,
        lane: Lane,
        now: float,
        receivers: Collection[str] = (),
        callers: Collection[str] = (),
        under_way: Collection[str] = (),
    ) -> float | None:
        """In how many seconds there is something to send of a lane; it may be overdue."""
        waiting = [*_waiting(lane, receivers, callers), *_not(under_way)]
        wanted = select(func.min(DELIVERIES.c.due) - self._database.clock(now)).where(*waiting)
        async with self._database.reading() as connection:
            seconds: float | None = (await connection.execute(wanted)).scalar_one()
        return seconds

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
    async def slow(self, job: str, now: float) -> None:
        """Its receiver is known to be slow: it was not tried, and waits with others that are."""
        await self._change(
            (DELIVERIES.c.job == job) & DELIVERIES.c.due.is_not(None),
            lane=Lane.SLOW.value,
            due=self._database.clock(now),
        )

    @unbroken
    async def quick(self, receiver: str) -> None:
        """It answers in time again: what waits for it does not wait with the slow ones any more."""
        waiting = (DELIVERIES.c.lane == Lane.SLOW.value) & DELIVERIES.c.due.is_not(None)
        await self._change(waiting & (DELIVERIES.c.receiver == receiver), lane=Lane.AGAIN.value)

    @unbroken
    async def failed(
        self, job: str, error: str, now: float, wait: float | None, lane: Lane = Lane.AGAIN
    ) -> None:
        """An attempt has failed; the next is due after `wait` seconds, and without one the delivery
        is dead. lane: of the next.

        A sender that comes too late to say so changes nothing about what is settled.
        """
        await self._change(
            (DELIVERIES.c.job == job) & DELIVERIES.c.due.is_not(None),
            attempts=DELIVERIES.c.attempts + 1,
            due=None if wait is None else self._database.clock(now) + wait,
            dead=wait is None,
            error=error,
            lane=lane.value,
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
        deliveries = await self._all(select(DELIVERIES).where(DELIVERIES.c.job == job))
        return deliveries[0] if deliveries else None

    @unbroken
    async def retry(self, job: str, now: float) -> bool:
        """Makes a dead delivery due, with all its attempts before it; whether there was one."""
        mine = (DELIVERIES.c.job == job) & DELIVERIES.c.dead
        due = self._database.clock(now)
        fresh = {"attempts": 0, "due": due, "dead": False, "lane": Lane.FIRST.value}
        return await self._change(mine, **fresh) > 0

    async def _all(self, wanted: Select[Any]) -> list[Delivery]:
        async with self._database.reading() as connection:
            rows = (await connection.execute(wanted)).all()
        return [_delivery(row) for row in rows]

    async def _change(self, which: ColumnElement[bool], **values: Any) -> int:
        async with self._database.writing() as connection:
            changed = await connection.execute(update(DELIVERIES).where(which).values(values))
        return int(changed.rowcount)


def _delivery(row: Row[Any]) -> Delivery:
    return Delivery(**{**row._asdict(), "lane": Lane(row.lane)})


def _due(
    clock: ColumnElement[float], limit: int, which: Sequence[ColumnElement[bool]]
) -> Select[Any]:
    return (
        select(DELIVERIES)
        .where(*which, DELIVERIES.c.due <= clock)
        .order_by(DELIVERIES.c.due, DELIVERIES.c.job)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )


def _waiting(
    lane: Lane, receivers: Collection[str], callers: Collection[str]
) -> list[ColumnElement[bool]]:
    """Of the lane, but for the given ones, of which there are few: as many as have their share."""
    return [
        DELIVERIES.c.lane == lane.value,
        DELIVERIES.c.due.is_not(None),
        DELIVERIES.c.receiver.not_in(sorted(receivers)),
        DELIVERIES.c.caller.not_in(sorted(callers)),
    ]


def _not(jobs: Collection[str]) -> list[ColumnElement[bool]]:
    return [DELIVERIES.c.job.not_in(sorted(jobs))] if jobs else []
