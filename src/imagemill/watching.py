"""Watching: a job from now to its end, for who waits for it or looks at it."""

import asyncio
from collections.abc import AsyncIterator

from imagemill.engine.events import Preview
from imagemill.errors import Fault
from imagemill.job import FINAL, Job, Line
from imagemill.news import Item, News
from imagemill.retries import PASSING
from imagemill.store import Jobs

TICK = 1.0  # seconds after which a watched job is looked at, whatever the news


async def watch(jobs: Jobs, news: News, id: str) -> AsyncIterator[Item]:
    """The job as it is, then all that happens to it, at last the job that has ended.

    The job itself comes again every second.
    """
    with news.listen(id) as heard:
        job = await jobs.get(id)
        while job is not None:
            yield job
            if job.status in FINAL:
                return
            item = await _next(heard)
            while isinstance(item, Line | Preview):
                yield item
                item = await _next(heard)
            job = item or await _again(jobs, job)


async def _again(jobs: Jobs, job: Job) -> Job | None:
    """The job as it is now, or as it was while the database is away: that sends nobody away."""
    try:
        return await jobs.get(job.id)
    except Fault as fault:
        if fault.kind not in PASSING:
            raise
        return job


async def _next(heard: asyncio.Queue[Item]) -> Item | None:
    try:
        async with asyncio.timeout(TICK):
            return await heard.get()
    except TimeoutError:
        return None
