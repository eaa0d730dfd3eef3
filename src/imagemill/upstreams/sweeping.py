"""Sweeping: what is painted at an upstream for a job that has ended is stopped there.

It is the end of the job that counts, however it came about: cancelled while it ran or waited, given
up by another server, or failed. Until the upstream has heard of it, the request is kept, so that
also the end of this server loses no cancelling.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

from imagemill.errors import Fault
from imagemill.job import RemoteRequest, Status
from imagemill.upstream_spec import remote_model
from imagemill.upstreams.upstream import Requests, Upstream

log = logging.getLogger(__name__)

SOON, LATER = 0.05, 30.0  # seconds between looks: after something has ended, and else
LOOKS = 6  # soon after something has ended, each after twice the time of the one before
CANCELLING = 10.0  # seconds for one call
GIVEN_UP = 3600.0  # seconds after its submission for which it is tried to stop a request


class Sweeper:
    """clock: unix seconds."""

    def __init__(
        self,
        upstreams: Mapping[str, Upstream],
        requests: Requests,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._upstreams, self._requests, self._clock = upstreams, requests, clock
        self._woken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Looks from now on."""
        self._task = asyncio.create_task(self._run())

    def wake(self) -> None:
        """Something has ended, or is about to."""
        self._woken.set()

    async def close(self, seconds: float) -> None:
        """Looks once more, for at most so many seconds."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        with suppress(TimeoutError, Fault):
            async with asyncio.timeout(seconds):
                await self.sweep(seconds)

    async def _run(self) -> None:
        while True:
            self._woken.clear()
            for look in range(LOOKS):
                try:
                    await self.sweep()
                except Fault as fault:  # of the database, which tells by itself
                    log.debug("what is over at upstreams is not known: %s", fault)
                except Exception:
                    log.exception("what is over at upstreams could not be stopped")
                await asyncio.sleep(SOON * 2**look)
            with suppress(TimeoutError):
                async with asyncio.timeout(LATER):
                    await self._woken.wait()

    async def sweep(self, seconds: float = CANCELLING) -> None:
        """Stops what is painted for nobody, and forgets what is over."""
        over = await self._requests.over()
        await asyncio.gather(*(self._end(request, status, seconds) for request, status in over))

    async def _end(self, request: RemoteRequest, status: Status, seconds: float) -> None:
        remote = remote_model(request.source)
        upstream = self._upstreams.get(remote.upstream) if remote else None
        if remote is None or upstream is None:
            return  # of another server on the database
        if request.job in upstream.submitting:
            return  # its id is on its way
        if status is not Status.SUCCEEDED and request.id:
            try:
                await upstream.cancel(request, remote.model, seconds)
            except Fault as fault:
                if self._clock() - request.created < GIVEN_UP:
                    return
                log.warning("%s may go on at %s: %s", request.id, remote.upstream, fault)
        await self._requests.forget(request.job)
