"""Watchers: who looks after a prediction while nobody waits for it.

They tell of what happens on the way, and end what has outlived its time. The end itself is told by
the courier, which outlives this process; what is told here is lost with it. While nothing happens
to a prediction, nothing is done for it.
"""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from imagemill.dialects.replicate import write
from imagemill.errors import Fault
from imagemill.job import Job, Line, Status, Submission
from imagemill.jobs.job_events import Item
from imagemill.jobs.service import Service
from imagemill.webhooks import judge

log = logging.getLogger(__name__)

MOST = 512  # predictions that are told of on the way at a time; a caller has at most half
LOOK = 60.0  # seconds of silence after which a job is looked up: another server may have ended it
PAUSE = 0.5  # seconds between two that tell of the log
ANSWER = 10.0  # seconds that a receiver has


@dataclass
class Watchers:
    """All who look after a prediction."""

    #: Knows the jobs, and what happens to them.
    service: Service
    _tasks: dict[asyncio.Task[None], str | None] = field(default_factory=dict)  # callers watched
    _deadlines: dict[str, asyncio.TimerHandle] = field(default_factory=dict)

    def admit(self, submission: Submission) -> Submission:
        """The submission; where too many are watched, it says in its log what is not told."""
        state = submission.dialect_state
        events = wanted(state)
        many = self._too_many(submission.caller) if events else None
        if many is None:
            return submission
        remark = f"webhook events not told: {', '.join(sorted(events))}; {many} are watched already"
        kept = [event for event in state["events"] if event not in events]
        changed = {"events": kept, "remarks": [*state["remarks"], remark]}
        return replace(submission, dialect_state={**state, **changed})

    def _too_many(self, caller: str) -> str | None:
        """What leaves no room for another prediction of a caller; None where there is some."""
        watched = [each for each in self._tasks.values() if each is not None]
        if len(watched) >= MOST:
            return f"{MOST} predictions"
        share = max(1, MOST // 2)
        return f"{share} predictions of yours" if watched.count(caller) >= share else None

    def begin(self, job: Job) -> None:
        events = wanted(job.submission.dialect_state)
        if events:
            telling = ProgressReporter(self.service, job, events).run()
            self._keep(asyncio.create_task(telling), job.submission.caller)
        if job.submission.dialect_state["life"] is not None:
            self._deadlines[job.id] = asyncio.get_running_loop().call_later(
                left(job, self.service.now()), self._end, job.id, job.submission.caller
            )

    async def close(self) -> None:
        for deadline in self._deadlines.values():
            deadline.cancel()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _keep(self, task: asyncio.Task[None], caller: str | None = None) -> None:
        self._tasks[task] = caller
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        del self._tasks[task]
        if not task.cancelled() and (error := task.exception()) is not None:
            log.info("a prediction is not watched any more: %s", error)

    def _end(self, id: str, caller: str) -> None:
        del self._deadlines[id]
        self._keep(asyncio.create_task(self._cancel(id, caller)))

    async def _cancel(self, id: str, caller: str) -> None:
        job = await self.service.job(id, caller)
        if not write.ended(job):
            await self.service.cancel(job)


def watched(state: Mapping[str, Any]) -> bool:
    """Whether a job is looked after while it is on its way."""
    return bool(wanted(state)) or state["life"] is not None


def wanted(state: Mapping[str, Any]) -> frozenset[str]:
    """The events that are told here: outputs come with the end, and need no second message."""
    events = frozenset(state["events"])
    return events - {"completed", "output"} if "completed" in events else events


def left(job: Job, now: float) -> float:
    """Seconds that a prediction with a lifetime may still take."""
    return max(0.0, float(job.created + job.submission.dialect_state["life"] - now))


def overdue(job: Job, now: float) -> bool:
    """Whether a job outlived its time, nobody having looked."""
    return (
        job.submission.dialect_state["life"] is not None
        and not write.ended(job)
        and left(job, now) <= 0
    )


@dataclass
class ProgressReporter:
    """The messages about one job."""

    #: Knows the job, and what happens to it.
    service: Service
    #: As it was last heard of.
    job: Job
    #: Those that are told here.
    events: frozenset[str]
    #: Of the log, by number: those heard of.
    lines: dict[int, Line] = field(default_factory=dict)
    #: That the job has begun is told.
    begun: bool = False
    #: There are lines that no message has told of.
    unsaid: bool = False
    #: When lines were last told of: seconds of the service's clock.
    last: float = 0.0
    #: Messages so far.
    sent: int = 0

    async def run(self) -> None:
        with self.service.subscribe(self.job.id) as heard:
            item: Item | None = await self._look()
            while True:
                for event in self._events(item):
                    await self._tell(event)
                if write.ended(self.job):
                    return
                item = await self._next(heard)

    async def _next(self, heard: asyncio.Queue[Item]) -> Item | None:
        """What happens; None where it is time to tell of lines, the job itself after a silence."""
        try:
            async with asyncio.timeout(PAUSE if self.unsaid else LOOK):
                return await heard.get()
        except TimeoutError:
            return None if self.unsaid else await self._look()

    async def _look(self) -> Job:
        return await self.service.job(self.job.id, self.job.submission.caller)

    def _events(self, item: Item | None) -> list[str]:
        """What an item is a reason to tell of."""
        names = []
        if isinstance(item, Line):
            self.lines[item.number], self.unsaid = item, "logs" in self.events
        elif isinstance(item, Job):
            self.job = item
            if item.started is not None and not self.begun:
                self.begun = True
                names.append("start")
            if item.status is Status.SUCCEEDED:
                names.append("output")
        due = write.ended(self.job) or self.service.monotonic() - self.last >= PAUSE
        if self.unsaid and due:
            names.append("logs")
        return [event for event in names if event in self.events]

    async def _tell(self, event: str) -> None:
        if event == "logs":
            self.unsaid, self.last = False, self.service.monotonic()
        self.sent += 1
        known = {line.number: line for line in await self.service.lines(self.job)} | self.lines
        lines = [known[number] for number in sorted(known)]
        submission = self.job.submission
        base = str(submission.dialect_state["base"])
        body = await write.prediction(self.service, self.job, base, lines=lines)
        name, now = f"{event}_{self.sent}", self.service.now()
        message = write.message_of(self.service, self.job, name, body, now)
        try:
            status = await self.service.post(
                message.url,
                message.body,
                message.headers,
                ANSWER,
                submission.local,
                submission.caller,
            )
            failure = judge(status).error
        except Fault as fault:
            failure = fault.message
        if failure is not None:
            log.info("a receiver was not told of %s: %s", event, failure)
