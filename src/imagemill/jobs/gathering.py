"""Gathering: what jobs need is fetched, decoded and written before they take a place at the engine.

A job whose picture comes slowly waits in the queue while it comes; the worker claims it once its
inputs are there. What is under way and what lies ready are bounded, in all and for each caller and
each host, so that slow hosts hold up nobody but who names them.
"""

import asyncio
import logging
import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from imagemill.budget import Share
from imagemill.engine.events import State
from imagemill.errors import Fault, Kind
from imagemill.generation import Generation, Input
from imagemill.job import Job
from imagemill.retries import PASSING
from imagemill.slots import Slots
from imagemill.store import Holds
from imagemill.upstream_spec import upstream_of

if TYPE_CHECKING:
    from imagemill.jobs.worker import Worker

log = logging.getLogger(__name__)

QUICK, SLOW = 64, 64  # jobs whose inputs are under way: usually, and what takes long
PATIENCE = 5.0  # seconds after which inputs take long
HOST_SHARE = 8  # jobs whose inputs come from one host at a time
TOGETHER = 8  # jobs that are begun at a time, before shares are looked at again
# Jobs that lie ready, in all and of one caller: more are not begun until some of these have a
# place.
READY, CALLER_READY = 64, 16

UNEXPECTED = Fault(Kind.FAILED, "something went wrong here; the server's log tells what")


@dataclass(frozen=True)
class Gathered:
    """A job as it is to be painted, and what its references stand for."""

    job: Job
    generation: Generation
    inputs: dict[str, Input]
    share: Share  # of the memory for pictures, until the engine has them


@dataclass
class Gathering:
    """For the jobs of one worker, whose name and lease its holds have."""

    worker: "Worker"
    holds: Holds
    slots: Slots = field(
        default_factory=lambda: Slots(QUICK, SLOW, PATIENCE, HOST_SHARE, time.monotonic)
    )
    wake: asyncio.Event = field(default_factory=asyncio.Event)  # there may be something to begin
    _tasks: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    _ready: dict[str, Gathered] = field(default_factory=dict)

    async def begin_all(self) -> None:
        """Begins with the jobs that are next, as far as there is room."""
        self.wake.clear()
        for queue in self.worker.queues:
            while room := self._room(queue):
                jobs = await self._hold(room, queue)
                for job in jobs:
                    self._begin(job)
                if len(jobs) < room:
                    break

    def take(self, id: str) -> Gathered | None:
        """What lies ready for a job that is about to be painted."""
        self.wake.set()  # there is room again
        return self._drop(id)

    def _drop(self, id: str) -> Gathered | None:
        if (gathered := self._ready.pop(id, None)) is not None:
            gathered.share.release()
        return gathered

    def lying(self, caller: str, queue: str = "") -> int:
        """How many jobs of a caller lie ready, of those that are painted from a queue."""
        return sum(each.job.submission.caller == caller for each in self._lying(queue))

    def _lying(self, queue: str) -> list[Gathered]:
        ready = self._ready.values()
        return [each for each in ready if upstream_of(each.job.submission.source) == queue]

    def stop(self, id: str) -> None:
        """Drops a job that does not wait any more, if it is here."""
        self._drop(id)
        if task := self._tasks.get(id):
            task.cancel()

    async def renew(self) -> None:
        """Prolongs what is held, and drops what was lost, cancelled or ended."""
        # Before the question: what is held while the answer comes is not in it.
        known = [*self._tasks, *self._ready]
        if not known:
            return
        worker = self.worker
        held = await self.holds.renew(worker.name, known, worker.clock(), worker.lease)
        for id in known:
            if id not in held and not worker.claims(id):
                self.stop(id)

    async def close(self) -> None:
        """Stops, and gives everything back to the queue."""
        known, tasks = [*self._tasks, *self._ready], list(self._tasks.values())
        for id in list(self._ready):
            self._drop(id)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if known:
            await self.holds.release(self.worker.name, known)

    def _room(self, queue: str) -> int:
        """How many jobs of a queue may be begun at once."""
        worker = self.worker
        if worker.closing or worker.engine.state is State.DEAD:
            return 0
        return max(0, min(TOGETHER, self.slots.room, READY - len(self._lying(queue))))

    async def _hold(self, limit: int, queue: str) -> list[Job]:
        worker, callers = self.worker, {each.job.submission.caller for each in self._lying(queue)}
        sated = {caller for caller in callers if self.lying(caller, queue) >= CALLER_READY}
        return await self.holds.take(
            worker.name,
            limit,
            worker.clock(),
            worker.lease,
            callers=sated.union(self.slots.full_callers()),
            hosts=self.slots.full_hosts(),
            upstream=queue,
        )

    def _begin(self, job: Job) -> None:
        self.slots.take(job.id, job.generation.host, job.submission.caller)
        task = self._tasks[job.id] = asyncio.create_task(self._gather(job))
        task.add_done_callback(lambda _: self._done(job.id))

    def _done(self, id: str) -> None:
        del self._tasks[id]
        self.slots.leave(id)
        self.wake.set()

    async def _gather(self, job: Job) -> None:
        worker = self.worker
        try:
            gathered = await worker.outlasting(partial(worker.inputs.gather, job))
            self._ready[job.id] = Gathered(job, *gathered)
            if await worker.outlasting(partial(self.holds.ready, job.id, worker.name)):
                worker.events.submitted.set()  # it may be claimed
            else:
                self._drop(job.id)
        except Fault as fault:
            if fault.kind not in PASSING:  # else it goes back to the queue, at a shutdown
                await worker.fail(job, fault)
        except Exception:
            log.exception("the inputs of job %s could not be gathered", job.id)
            await worker.fail(job, UNEXPECTED)
