"""The queue's order: the turns of jobs that come, who is claimed next, where a job stands.

Jobs that an upstream paints wait in a queue of their own, by its name, so that a slow one holds up
nobody else; those that an engine paints are in the one without a name.

The queue is the jobs table. Turns are found in the transaction that writes a job, so that several
servers on one database make one queue. Two that write jobs of the same flow at the same moment may
give the same turn to both; that flow is served a little more then, and nobody is left out.
"""

import time
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    Row,
    Select,
    bindparam,
    func,
    literal,
    select,
    union_all,
)

from imagemill.job import Job, Priority, Status
from imagemill.store import records
from imagemill.store.database import Executor
from imagemill.store.schema import JOBS
from imagemill.turns import Shares, ahead, cost, flow, turn
from imagemill.upstream_spec import upstream_of

FRESH = 1e-4  # seconds, for each job that waits, for which a list of the queue is good
TOGETHER = 50  # flows that are looked up by one statement; SQLite takes up to 500 parts


async def places(connection: Executor, jobs: Sequence[Job]) -> list[dict[str, Any]]:
    """The columns `flow` and `turn` of jobs that are about to be written, in their order."""
    flows = list(dict.fromkeys(map(flow, jobs)))
    last = dict[str, float]()
    for start in range(0, len(flows), TOGETHER):
        some = flows[start : start + TOGETHER]
        named = {f"flow{number}": name for number, name in enumerate(some)}
        for number, latest in await connection.execute(_last(len(some)), named):
            if latest is not None:
                last[some[number]] = max(latest, last.get(some[number], latest))
    begun = await _begun(connection, set(map(_queue_of, jobs)))
    columns = list[dict[str, Any]]()
    for job in jobs:
        name, before = flow(job), begun.get(_queue_of(job), job.created)
        last[name] = turn(before, last.get(name), cost(job.generation))
        columns.append({"flow": name, "turn": last[name]})
    return columns


@cache
def _last(flows: int) -> CompoundSelect[Any]:
    """The last turn in each of several flows, of jobs that wait and of jobs that are begun."""
    return union_all(
        *(
            select(literal(number), func.max(JOBS.c.turn)).where(
                JOBS.c.flow == bindparam(f"flow{number}"), JOBS.c.status == status
            )
            for number in range(flows)
            for status in (Status.QUEUED, Status.RUNNING)
        )
    )


def _queue_of(job: Job) -> tuple[str, Priority]:
    """The upstream that paints a job, if one does, and its priority."""
    return upstream_of(job.submission.source), job.submission.priority


async def _begun(
    connection: Executor, queues: Iterable[tuple[str, Priority]]
) -> dict[tuple[str, Priority], float]:
    """The turn of the job that was begun last, of those that are kept."""
    latest = dict[tuple[str, Priority], float]()
    for queue in queues:
        begun = (await connection.execute(_last_begun(*queue))).scalar_one()
        if begun is not None:
            latest[queue] = begun
    return latest


def _last_begun(upstream: str, priority: Priority) -> Select[Any]:
    begun = (
        JOBS.c.upstream == upstream,
        JOBS.c.priority == int(priority),
        JOBS.c.started.is_not(None),
    )
    return select(func.max(JOBS.c.turn)).where(*begun)


async def next_jobs(
    connection: Executor, shares: Shares, limit: int, upstream: str, *which: ColumnElement[bool]
) -> list[Job]:
    """The jobs that are next in the queue of an upstream, or else of our engines, locked; of those
    that fulfil `which`.
    """
    waiting = dict[Priority, list[Job]]()
    for priority in Priority:
        rows = await connection.execute(_waiting(upstream, priority, which, limit))
        waiting[priority] = [records.job(row._mapping) for row in rows]
    return shares.take(waiting, limit)


def _waiting(
    upstream: str, priority: Priority, which: Sequence[ColumnElement[bool]], limit: int
) -> Select[Any]:
    queued = (
        JOBS.c.status == Status.QUEUED,
        JOBS.c.priority == int(priority),
        JOBS.c.upstream == upstream,
    )
    return (
        select(JOBS)
        .where(*queued, *which)
        .order_by(JOBS.c.turn, JOBS.c.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )


class Standing:
    """Where jobs stand in the queue; of a long one as it was a moment ago, so that many who ask do
    not each count it.
    """

    def __init__(self) -> None:
        self._queues: Mapping[str, Mapping[Priority, list[tuple[float, str]]]] = {}
        self._listed, self._length = 0.0, 0

    async def position(self, connection: Executor, id: str) -> int:
        """About how many jobs will be claimed before this one; 0 where it does not wait."""
        now = time.monotonic()
        if now - self._listed > self._length * FRESH:
            await self._list(connection)
            self._listed = now
        wanted = select(JOBS.c.upstream, JOBS.c.priority, JOBS.c.turn, JOBS.c.id).where(
            JOBS.c.id == id, JOBS.c.status == Status.QUEUED
        )
        row = (await connection.execute(wanted)).first()
        return 0 if row is None else self._ahead(row)

    def _ahead(self, row: Row[Any]) -> int:
        priority, queue = Priority(row.priority), self._queues.get(row.upstream, {})
        before = bisect_left(queue.get(priority, []), (row.turn, row.id))
        return ahead(before, priority, {each: len(jobs) for each, jobs in queue.items()})

    async def _list(self, connection: Executor) -> None:
        queues, count = dict[str, dict[Priority, list[tuple[float, str]]]](), 0
        places = select(JOBS.c.upstream, JOBS.c.priority, JOBS.c.turn, JOBS.c.id).where(
            JOBS.c.status == Status.QUEUED
        )
        for row in await connection.execute(places.order_by(*places.selected_columns)):
            queue = queues.setdefault(row.upstream, {each: [] for each in Priority})
            queue[Priority(row.priority)].append((row.turn, row.id))
            count += 1
        self._queues, self._length = queues, count
