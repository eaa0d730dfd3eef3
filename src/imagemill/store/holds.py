"""Holds: jobs whose inputs a worker gathers while they wait in the queue.

A job that needs inputs is not ready, and is not claimed, until a worker that holds it has gathered
them; then that worker alone may claim it. A hold has a lease like a claim: where its worker is
gone, another gathers the inputs anew.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable

from sqlalchemy import ColumnElement, bindparam, select, update

from imagemill.job import Job, Status
from imagemill.store.database import Database, Executor, unbroken
from imagemill.store.queue import next_jobs
from imagemill.store.schema import JOBS
from imagemill.store.servers import attended_or_plain
from imagemill.turns import Shares

QUEUED = JOBS.c.status == Status.QUEUED
FREE = {"worker": None, "lease": None, "ready": False}


class Holds:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._shares = defaultdict[str, Shares](Shares)  # by upstream

    @unbroken
    async def take(
        self,
        worker: str,
        limit: int,
        now: float,
        lease: float,
        callers: Collection[str] = (),
        hosts: Collection[str] = (),
        upstream: str = "",
    ) -> list[Job]:
        """The next jobs that need inputs, held by the worker for `lease` seconds; of those that an
        upstream paints, or else our engines.

        callers, hosts: whose jobs are left for later.
        """
        which = (
            ~JOBS.c.ready,
            JOBS.c.worker.is_(None),
            attended_or_plain(self._database, lease, now),
            JOBS.c.caller.not_in(list(callers)),
            JOBS.c.host.not_in(list(hosts)),
        )
        async with self._database.writing() as connection:
            shares = self._shares[upstream]
            taken = await next_jobs(connection, shares, limit, upstream, *which)
            if taken:
                mine = update(JOBS).where(JOBS.c.id == bindparam("held"))
                held = mine.values(worker=worker, lease=self._database.clock(now) + lease)
                await connection.execute(held, [{"held": job.id} for job in taken])
        return taken

    @unbroken
    async def ready(self, id: str, worker: str) -> bool:
        """The inputs are there, and the worker may claim the job; False where its hold is lost."""
        mine = _held(worker, [id])
        async with self._database.writing() as connection:
            done = await connection.execute(update(JOBS).where(mine).values(ready=True))
        return bool(done.rowcount)

    @unbroken
    async def renew(
        self, worker: str, ids: Collection[str], now: float, lease: float
    ) -> frozenset[str]:
        """Prolongs holds; which of these jobs still wait and are the worker's."""
        async with self._database.writing() as connection:
            mine = _held(worker, ids)
            until = self._database.clock(now) + lease
            await connection.execute(update(JOBS).where(mine).values(lease=until))
            rows = await connection.execute(select(JOBS.c.id).where(mine))
        return frozenset(id for (id,) in rows)

    @unbroken
    async def release(self, worker: str, ids: Collection[str]) -> None:
        """Gives jobs back whose inputs the worker does not gather any more."""
        async with self._database.writing() as connection:
            await connection.execute(update(JOBS).where(_held(worker, ids)).values(FREE))


async def release_lapsed(connection: Executor, lapsed: ColumnElement[bool]) -> None:
    """Frees what was held by a worker that is gone."""
    await connection.execute(
        update(JOBS).where(QUEUED, JOBS.c.worker.is_not(None), lapsed).values(FREE)
    )


def _held(worker: str, ids: Iterable[str]) -> ColumnElement[bool]:
    return QUEUED & (JOBS.c.worker == worker) & JOBS.c.id.in_(list(ids))
