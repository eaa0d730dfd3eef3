"""How often a job was begun by an engine whose server did not live to tell how it ended.

The end of a server is no evidence against any one of the jobs that its engine had in hand, as the
end of an engine is (see `engine.suspects`); but a job that takes the whole machine down must end
some day. So `begun` is counted up when the engine takes a job in hand, and down again when the job
is given back in order: what was only claimed, or waited for its pictures or its engine, is not
counted. A job that was begun `SUSPECT` times is claimed by each worker only after the last such one
has ended, so that it meets no others of its kind and each of them its neighbours' ends; one that
was begun `MOST` times has failed.
"""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, func, select, update

from imagemill.errors import Fault, Kind
from imagemill.job import Job, Status
from imagemill.store.database import Executor
from imagemill.store.queue import next_jobs
from imagemill.store.schema import JOBS, SUSPECT, SUSPECTED
from imagemill.turns import Shares

MOST = 5
UNSUSPECTED = JOBS.c.begun < SUSPECT
LOST = Fault(
    Kind.FAILED, f"the server ended {MOST} times while this was painted; it is not tried again"
)


async def count(connection: Executor, worker: str, ids: Sequence[str], by: int) -> None:
    """Of what the worker has; what has ended is passed over."""
    mine = JOBS.c.id.in_(ids) & (JOBS.c.worker == worker) & (JOBS.c.status == Status.RUNNING)
    await connection.execute(update(JOBS).where(mine).values(begun=JOBS.c.begun + by))


async def suspect(
    connection: Executor, shares: Shares, worker: str, *which: ColumnElement[bool]
) -> list[Job]:
    """The next job of our engines that is suspected, locked, unless the worker has one; none is the
    usual.
    """
    queued, mine = JOBS.c.status == Status.QUEUED, JOBS.c.worker == worker
    # By the words of the index: only so do both databases use it.
    counts = select(func.count().filter(queued), func.count().filter(~queued & mine)).where(
        SUSPECTED, JOBS.c.status.in_([Status.QUEUED, Status.RUNNING])
    )
    waiting, running = (await connection.execute(counts)).one()
    if not waiting or running:
        return []
    return await next_jobs(connection, shares, 1, "", ~UNSUSPECTED, *which)
