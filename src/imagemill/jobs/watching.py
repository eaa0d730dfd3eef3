"""Watching: a job from now to its end, for who waits for it or looks at it."""

import asyncio
from collections.abc import AsyncIterator

from imagemill.engine.events import Preview
from imagemill.errors import Fault
from imagemill.job import FINAL, Job, Line
from imagemill.jobs.job_events import Item, JobEvents
from imagemill.retries import PASSING
from imagemill.store import Jobs

TICK_SECONDS = 1.0  # after which a watched job is looked at, whatever is published


async def watch(jobs: Jobs, events: JobEvents, id: str) -> AsyncIterator[Item]:
    """The job as it is, then all that happens to it, at last the job that has ended.

    The job itself comes again every second.
    """
    with events.subscribe(id) as queue:
        job = await jobs.get(id)
        while job is not None:
            yield job
            if job.status in FINAL:
                return
            item = await _next(queue)
            while isinstance(item, Line | Preview):
                yield item
                item = await _next(queue)
            job = item or await _again(jobs, job)


async def _again(jobs: Jobs, job: Job) -> Job | None:
    """The job as it is now, or as it was while the database is away: that sends nobody away."""
    try:
        return await jobs.get(job.id)
    except Fault as fault:
        if fault.kind not in PASSING:
            raise
        return job


async def _next(queue: asyncio.Queue[Item]) -> Item | None:
    try:
        async with asyncio.timeout(TICK_SECONDS):
            return await queue.get()
    except TimeoutError:
        return None
