"""Repeats: a call that its caller sends again makes no second job.

What a call made is in the database, so that it is known again after a restart, and to every server
that shares the database. Two that come at the same time claim the name of the call; who is second
waits until the first has written its job.
"""

import asyncio
import hashlib
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from imagemill.errors import Fault, Kind
from imagemill.job import Job, Repeat, Status, Submission
from imagemill.store import Jobs
from imagemill.store.repeats import Claim, RepeatTable

REPEATED = 600.0  # seconds in which a call that was named may be repeated
RESENT = 120.0  # seconds after which a client that timed out has sent again
TRIES, APART = 40, 0.05  # looks for a job that another server is about to write, and seconds
FIELD = "idempotency-key"


def conflict() -> Fault:
    message = "this Idempotency-Key came with another request before"
    return Fault(Kind.CONFLICT, f"{message}; send the same again, or choose another key", FIELD)


@dataclass
class Repeats:
    table: RepeatTable
    jobs: Jobs
    now: Callable[[], float]
    _making: dict[str, asyncio.Future[None]] = field(default_factory=dict)

    async def once(
        self, submission: Submission, make: Callable[[str], Awaitable[Job]]
    ) -> tuple[Job, bool]:
        """The job that `make` gives for an id, or gave when the same call came first; whether it is
        new. Raises a Fault where the name was another call's.
        """
        repeat = submission.repeat
        if repeat is None:
            return await make(_new_id()), True
        name = _name(submission, repeat)
        while True:
            mine, now = Claim(repeat.content, _new_id()), self.now()
            claim = await self.table.claim(name, mine, now, now - _patience(repeat))
            if claim.content != repeat.content:
                raise conflict()
            if claim.job == mine.job:
                return await self._made(name, mine.job, make), True
            job = await self._found(claim.job)
            if job is not None and job.status is not Status.CANCELLED:
                return job, False
            await self.table.release(name, claim.job)

    async def forget(self, submission: Submission, job: Job) -> None:
        """Lets a call whose job gave nothing be sent again."""
        if submission.repeat is not None:
            await self.table.release(_name(submission, submission.repeat), job.id)

    async def _made(self, name: str, id: str, make: Callable[[str], Awaitable[Job]]) -> Job:
        self._making[id] = asyncio.get_running_loop().create_future()
        try:
            return await make(id)
        except Exception:  # not of who hung up: the job may be written all the same
            await self.table.release(name, id)
            raise
        finally:
            self._making.pop(id).set_result(None)

    async def _found(self, id: str) -> Job | None:
        """A job that was claimed; None where whoever did never wrote it."""
        if id in self._making:
            await asyncio.shield(self._making[id])
        await self.jobs.settled()
        for _ in range(1 if self.jobs.alone else TRIES):
            if (job := await self.jobs.get(id)) is not None:
                return job
            await asyncio.sleep(APART)
        return None


def _name(submission: Submission, repeat: Repeat) -> str:
    """As it is kept: the name of one caller's call to one dialect."""
    name = f"{submission.dialect}\n{submission.caller}\n{repeat.key}"
    return hashlib.sha256(name.encode()).hexdigest()


def _patience(repeat: Repeat) -> float:
    return REPEATED if repeat.named else RESENT if repeat.resent else 0.0


def _new_id() -> str:
    return str(uuid.uuid4())
