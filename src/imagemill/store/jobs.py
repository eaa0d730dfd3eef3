"""Jobs and their logs. The queue is the jobs table: claims have a lease, which their worker renews.

Whoever claims a job may end it as long as no other has claimed it. Where several processes share a
database, a claim whose lease ran out by the database's clock goes back to the queue; its worker
takes it up again if it comes back before another does. SQLite has one process at a time: what it
has claimed is its own for as long as it lives, and what another had is nobody's.
"""

import asyncio
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Select,
    bindparam,
    delete,
    false,
    func,
    insert,
    select,
    true,
    update,
)

from imagemill.errors import Fault, Kind
from imagemill.job import FINAL, Job, Line, Result, Status
from imagemill.store import begun, ledger, records
from imagemill.store.database import Database, Executor, unbroken
from imagemill.store.deliveries import delivery_row
from imagemill.store.holds import release_lapsed
from imagemill.store.queue import Standing, next_jobs, places
from imagemill.store.schema import DELIVERIES, JOBS, LINES
from imagemill.store.servers import attended_or_plain, deserted, show
from imagemill.store.troubles import StoreFault
from imagemill.turns import Shares

# Of what is asked most often: made once, since that takes long beside running it.
_ONE = select(JOBS).where(JOBS.c.id == bindparam("id"))
_LATE = Fault(Kind.TIMEOUT, "the work was not begun in the time that the caller set")
_DESERTED = Fault(Kind.CANCELLED, "the caller is gone")
_CLOSING = Fault(Kind.CANCELLED, "the server stopped this work; ask again")
_UNWANTED = Fault(Kind.CANCELLED, "the work was cancelled")


@dataclass(frozen=True)
class Claims:
    """What a worker still holds, and what of it nobody wants any more."""

    held: frozenset[str]
    unwanted: frozenset[str]


class Jobs:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._adding: list[tuple[Job, asyncio.Future[None]]] = []
        self._adder: asyncio.Task[None] | None = None
        self._shares = defaultdict[str, Shares](Shares)  # by upstream
        self._standing = Standing()

    @property
    def alone(self) -> bool:
        """Whether no other process can be at work on this database."""
        return self._database.is_sqlite

    async def add(self, job: Job) -> None:
        """Returns once the job will survive the death of this process.

        Jobs that come at the same time share a transaction.
        """
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        written.add_done_callback(lambda done: done.exception())  # though nobody waits any more
        self._adding.append((job, written))
        if self._adder is None or self._adder.done():
            self._adder = asyncio.create_task(self._add_all())
        await asyncio.shield(written)

    async def settled(self) -> None:
        """Returns once every job is written that was added before."""
        if self._adder is not None:
            await asyncio.wait([self._adder])

    async def _add_all(self) -> None:
        while batch := self._adding:
            self._adding = []
            await self._write_all(batch)

    async def _write_all(self, batch: Sequence[tuple[Job, asyncio.Future[None]]]) -> None:
        try:
            await self._insert([job for job, _ in batch])
        except Exception as error:
            if len(batch) > 1 and not isinstance(error, StoreFault):  # one is to blame, not all
                for one in batch:
                    await self._write_all([one])
                return
            for _, written in batch:
                written.set_exception(error)
        else:
            for _, written in batch:
                written.set_result(None)

    @unbroken
    async def _insert(self, jobs: Sequence[Job]) -> None:
        async with self._database.writing() as connection:
            turns = await places(connection, jobs)
            rows = [records.row(job) | place for job, place in zip(jobs, turns, strict=True)]
            # One that is there was written by a try whose answer was lost.
            await connection.execute(self._database.insert(JOBS).on_conflict_do_nothing(), rows)
            await ledger.hold(self._database, connection, jobs)
            await self._end(connection, *jobs)

    async def _end(self, connection: Executor, *jobs: Job) -> None:
        """Settles what was held for jobs and owes their callers webhooks, in the transaction that
        ends the jobs; of those that have not ended, nothing.
        """
        await ledger.settle(self._database, connection, jobs)
        for job in jobs:
            if job.submission.webhook_url is not None and job.finished is not None:
                row = delivery_row(
                    job.id, job.submission.webhook_url, job.finished, job.submission.caller
                )
                due = self._database.clock(job.finished)
                await connection.execute(insert(DELIVERIES).values({**row, "due": due}))

    async def _write(
        self,
        connection: Executor,
        *jobs: Job,
        worker: str | None = None,
        lease: ColumnElement[float] | None = None,
    ) -> None:
        """What moves change, and what ends with them."""
        if not jobs:
            return
        rows = [records.moved(job) | {"worker": worker, "written": job.id} for job in jobs]
        columns: dict[str, Any] = {name: bindparam(name) for name in rows[0] if name != "written"}
        columns["lease"] = lease
        await connection.execute(
            update(JOBS).where(JOBS.c.id == bindparam("written")).values(columns), rows
        )
        await self._end(connection, *jobs)

    @unbroken
    async def get(self, id: str) -> Job | None:
        async with self._database.reading() as connection:
            row = (await connection.execute(_ONE, {"id": id})).first()
        return None if row is None else records.job(row._mapping)

    @unbroken
    async def of(
        self, caller: str, door: str, before: float | None, after: float | None, limit: int
    ) -> list[Job]:
        """Of one caller at one door, the newest first: created before and after those times."""
        made = JOBS.c.created
        wanted = select(JOBS).where(
            JOBS.c.door == door,
            JOBS.c.caller == caller,
            *([made < before] if before is not None else []),
            *([made > after] if after is not None else []),
        )
        async with self._database.reading() as connection:
            return await _jobs(connection, wanted.order_by(made.desc(), JOBS.c.id).limit(limit))

    @unbroken
    async def position(self, job: Job) -> int:
        """About how many jobs will be claimed before this one."""
        async with self._database.reading() as connection:
            return await self._standing.position(connection, job.id)

    @unbroken
    async def waiting(self) -> int:
        async with self._database.reading() as connection:
            wanted = select(func.count()).where(JOBS.c.status == Status.QUEUED)
            return int((await connection.execute(wanted)).scalar_one())

    @unbroken
    async def claim(
        self,
        worker: str,
        limit: int,
        now: float,
        lease: float,
        full: Collection[str] = (),
        upstream: str = "",
    ) -> list[Job]:
        """The next jobs, of no flow of `full`, which are the worker's for `lease` seconds; of those
        that an upstream paints, or else our engines.
        """
        unheld = JOBS.c.worker.is_(None) | (JOBS.c.worker == worker)
        others = [JOBS.c.flow.not_in(full)] if full else []
        ours = (JOBS.c.ready, unheld, attended_or_plain(self._database, lease, now), *others)
        shares, taken = self._shares[upstream], list[Job]()
        async with self._database.writing() as connection:
            if not upstream:  # which takes no server down
                taken = await begun.suspect(connection, shares, worker, *ours)
            which, free = (begun.UNSUSPECTED, *ours), limit - len(taken)
            taken += await next_jobs(connection, shares, free, upstream, *which)
            claimed = [job.move(Status.RUNNING, now) for job in taken]
            until = self._database.clock(now) + lease
            await self._write(connection, *claimed, worker=worker, lease=until)
        return claimed

    @unbroken
    async def count_begun(self, worker: str, ids: Sequence[str], by: int = 1) -> None:
        """The engine has taken jobs in hand; by -1: it has given them back in order."""
        async with self._database.writing() as connection:
            await begun.count(connection, worker, ids, by)

    @unbroken
    async def renew(self, worker: str, known: Collection[str], now: float, lease: float) -> Claims:
        """Prolongs every claim of the worker, and shows that it is there.

        known: what it works on. Of this it takes up again what went back to the queue because it
        was silent for too long, and was not claimed since.
        """
        clock = self._database.clock(now)
        mine = (JOBS.c.worker == worker) & (JOBS.c.status == Status.RUNNING)
        lapsed = JOBS.c.id.in_(known) & (JOBS.c.status == Status.QUEUED)
        claim = {"status": Status.RUNNING.value, "worker": worker, "lease": clock + lease}
        async with self._database.writing() as connection:
            await show(self._database, connection, worker, now)
            await connection.execute(update(JOBS).where(mine | lapsed).values(claim))
            rows = (await connection.execute(select(JOBS.c.id, JOBS.c.unwanted).where(mine))).all()
        return Claims(
            frozenset(row.id for row in rows), frozenset(row.id for row in rows if row.unwanted)
        )

    @unbroken
    async def finish(
        self,
        id: str,
        worker: str,
        status: Status,
        now: float,
        result: Result | None = None,
        fault: Fault | None = None,
        lines: Sequence[Line] = (),
    ) -> Job | None:
        """Ends a job that is claimed or held, or gives it back to the queue; None where another has
        claimed it by now.
        """
        claimed = (JOBS.c.worker == worker) & (JOBS.c.status == Status.RUNNING)
        lapsed = (JOBS.c.status == Status.QUEUED) if status in FINAL else false()
        mine = select(JOBS).where(JOBS.c.id == id, claimed | lapsed)
        async with self._database.writing() as connection:
            rows = await _jobs(connection, mine.with_for_update())
            if not rows:
                return None
            job = replace(rows[0], status=Status.RUNNING).move(status, now, result, fault)
            await self._write(connection, job)
            await self._write_lines(connection, [(id, line) for line in lines])
        return job

    @unbroken
    async def cancel(self, id: str, now: float) -> Job | None:
        """The job as it is then: cancelled, still running but unwanted, or ended before."""
        async with self._database.writing() as connection:
            mine = select(JOBS).where(JOBS.c.id == id).with_for_update()
            rows = await _jobs(connection, mine)
            if not rows:
                return None
            job = rows[0]
            if job.status is Status.QUEUED:
                job = job.move(Status.CANCELLED, now, fault=_UNWANTED)
                await self._write(connection, job)
            elif job.status is Status.RUNNING:
                await connection.execute(update(JOBS).where(JOBS.c.id == id).values(unwanted=True))
        return job

    @unbroken
    async def write_lines(self, lines: Sequence[tuple[str, Line]]) -> None:
        async with self._database.writing() as connection:
            await self._write_lines(connection, lines)

    async def _write_lines(self, connection: Executor, lines: Iterable[tuple[str, Line]]) -> None:
        rows = [records.line_row(id, line) for id, line in lines]
        if rows:  # those that are there were written by a try whose answer was lost
            await connection.execute(self._database.insert(LINES).on_conflict_do_nothing(), rows)

    @unbroken
    async def lines(self, id: str, after: int = 0) -> list[Line]:
        """The log from line `after` on."""
        wanted = (
            select(LINES).where(LINES.c.job == id, LINES.c.number >= after).order_by(LINES.c.number)
        )
        async with self._database.reading() as connection:
            rows = (await connection.execute(wanted)).all()
        return [records.line(row._mapping) for row in rows]

    @unbroken
    async def recover(self, worker: str, now: float) -> list[Job]:
        """Ends or requeues what nobody works on any more, and ends what nobody waits for any more
        or was not begun in time. Nothing of what `worker` has, which lives.
        """
        clock = self._database.clock(now)
        gone = deserted(self._database, worker, now)
        running, queued = JOBS.c.status == Status.RUNNING, JOBS.c.status == Status.QUEUED
        lapsed = true() if self._database.is_sqlite else JOBS.c.lease < clock
        lost = select(JOBS).where(running, JOBS.c.worker != worker, lapsed)
        async with self._database.writing() as connection:
            await release_lapsed(connection, (JOBS.c.worker != worker) & lapsed)
            orphans = await _jobs(connection, lost.with_for_update(skip_locked=True))
            unwanted = await _ids(connection, running & JOBS.c.unwanted)
            left = await _ids(connection, running & gone)
            moved = [_recovered(job, job.id in unwanted, job.id in left, now) for job in orphans]
            for which, fault, status in (
                (queued & gone, _DESERTED, Status.CANCELLED),
                (queued & ~gone & (JOBS.c.start_by < clock), _LATE, Status.FAILED),
            ):
                wanted = select(JOBS).where(which).with_for_update(skip_locked=True)
                over = await _jobs(connection, wanted)
                moved += [job.move(status, now, fault=fault) for job in over]
            await self._write(connection, *moved)
        return moved

    @unbroken
    async def strand(self, known: Collection[str], fault: Fault, now: float) -> list[Job]:
        """Fails what waits for upstreams that are not among the known ones."""
        unknown = JOBS.c.upstream.not_in(["", *known]) & (JOBS.c.status == Status.QUEUED)
        async with self._database.writing() as connection:
            waiting = await _jobs(connection, select(JOBS).where(unknown).with_for_update())
            moved = [job.move(Status.FAILED, now, fault=fault) for job in waiting]
            await self._write(connection, *moved)
        return moved

    @unbroken
    async def turn_away(self, server: str, now: float) -> list[Job]:
        """Cancels what waits in the queue for those who wait at a server that closes."""
        here = JOBS.c.attended & (JOBS.c.server == server) & (JOBS.c.status == Status.QUEUED)
        async with self._database.writing() as connection:
            waiting = await _jobs(connection, select(JOBS).where(here).with_for_update())
            moved = [job.move(Status.CANCELLED, now, fault=_CLOSING) for job in waiting]
            await self._write(connection, *moved)
        return moved

    @unbroken
    async def prune(self, before: float, limit: int = 500) -> int:
        """Forgets jobs that ended before a time, whose webhooks are settled; how many."""
        open_ = select(DELIVERIES.c.job).where(DELIVERIES.c.due.is_not(None))
        old = (
            select(JOBS.c.id).where(JOBS.c.finished < before, JOBS.c.id.not_in(open_)).limit(limit)
        )
        async with self._database.writing() as connection:
            ids = [id for (id,) in await connection.execute(old)]
            for table, column in ((LINES, LINES.c.job), (DELIVERIES, DELIVERIES.c.job)):
                await connection.execute(delete(table).where(column.in_(ids)))
            await connection.execute(delete(JOBS).where(JOBS.c.id.in_(ids)))
        return len(ids)


def _recovered(job: Job, unwanted: bool, deserted: bool, now: float) -> Job:
    """What becomes of a job whose worker is gone."""
    if unwanted:
        return job.move(Status.CANCELLED, now, fault=_UNWANTED)
    if deserted:
        return job.move(Status.CANCELLED, now, fault=_DESERTED)
    if job.begun >= begun.MOST:
        return job.move(Status.FAILED, now, fault=begun.LOST)
    return job.move(Status.QUEUED, now)


async def _jobs(connection: Executor, wanted: Select[Any]) -> list[Job]:
    return [records.job(row._mapping) for row in await connection.execute(wanted)]


async def _ids(connection: Executor, which: ColumnElement[bool]) -> set[str]:
    return {id for (id,) in await connection.execute(select(JOBS.c.id).where(which))}
