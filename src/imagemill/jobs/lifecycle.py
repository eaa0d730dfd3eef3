"""Lifecycle: what is begun with a server and ends with it, in what order and in what time."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from imagemill.engine.events import Engine, State
from imagemill.errors import Fault
from imagemill.fetch import Fetcher
from imagemill.files.objects import Objects
from imagemill.jobs.worker import Worker
from imagemill.store import Database
from imagemill.store.opening import telling
from imagemill.store.troubles import Trouble
from imagemill.webhooks import Courier

ENDING = 1.0  # seconds of a shutdown for writing down how far all is, and for the engine to end


@dataclass(frozen=True)
class Health:
    """How a server is, for who asks and for the operator."""

    #: Of the engine.
    state: State
    #: What keeps the engine from painting; empty where nothing does.
    trouble: str
    #: By "database" and "files", what keeps that from working, if anything does.
    stores: Mapping[str, Trouble | None]

    @property
    def ready(self) -> bool:
        """Whether it can paint and keep what it paints."""
        return self.state is State.READY and not any(self.stores.values())


@dataclass
class Lifecycle:
    """place: where the files are, for the operator."""

    engine: Engine
    database: Database
    objects: Objects
    fetcher: Fetcher
    worker: Worker
    courier: Courier
    place: str
    clock: Callable[[], float] = time.monotonic
    _deadline: float | None = None  # by which it has closed
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    async def open(self, learn: Callable[[], Awaitable[None]], wait: float) -> None:
        """Brings the database up to date, and begins to work on what it holds; raises a Fault that
        tells the operator why not.

        learn: is called once the database is there. wait: seconds for another server on the same
        folder to end; its successor loads the model meanwhile.
        """
        lock = self.database.lock
        conditions = self.database.condition, self.objects.contents.condition
        for condition in conditions:
            condition.quiet = True
        try:
            if lock is None or lock.take():
                await self._begin(learn)
                await self.engine.start()
            elif wait <= 0:
                raise lock.taken()
            else:
                await self.engine.start()
                await lock.wait(wait)
                await self._begin(learn)
        except BaseException:
            await self._end()
            raise
        for condition in conditions:
            condition.quiet = False
        self._tasks = [asyncio.create_task(each.run()) for each in (self.worker, self.courier)]

    async def _begin(self, learn: Callable[[], Awaitable[None]]) -> None:
        await self.database.open()
        with telling(self.database.url):
            await self.objects.settle(self.place)
            await learn()
            await self.worker.renew()  # shows that we are there, before anybody waits here

    def drain(self, seconds: float) -> None:
        """Takes nothing new and claims nothing from now on, and will have closed in so many
        seconds; the first call counts. May be called by a handler of signals.
        """
        self.worker.closing = True
        if self._deadline is None:
            self._deadline = self.clock() + seconds

    @property
    def left(self) -> float:
        """Seconds for which work may go on since `drain`."""
        assert self._deadline is not None
        return max(0.0, self._deadline - self.clock() - ENDING)

    def health(self) -> Health:
        """Whether the engine and the stores work."""
        stores = {
            "database": self.database.condition.trouble,
            "files": self.objects.contents.condition.trouble,
        }
        return Health(self.engine.state, self.engine.trouble, stores)

    async def close(self, patience: float, waited_for: Sequence[asyncio.Task[Any]]) -> None:
        """Lets running work finish for `patience` seconds, or for what is left since `drain`; takes
        nothing new, stops the engine. waited_for: what is done for callers who wait.
        """
        self.drain(patience)
        with suppress(Fault):
            await self.worker.turn_away()
        idle = asyncio.create_task(self.worker.idle())
        _, late = await asyncio.wait([*waited_for, idle], timeout=self.left)
        for task in (*late, *self._tasks):
            task.cancel()
        if ending := [*late, *self._tasks]:
            await asyncio.wait(ending, timeout=ENDING / 2)
        await self._end()

    async def _end(self) -> None:
        left = ENDING if self._deadline is None else self._deadline - self.clock()
        await self.engine.close(min(ENDING, max(ENDING / 4, left)))
        await self.fetcher.close()
        await self.database.close()
        if self.database.lock is not None:
            self.database.lock.release()
