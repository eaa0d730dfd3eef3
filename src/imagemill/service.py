"""The only door for dialects: a checked Generation goes in, finished pictures come out.

Identical requests share one flight: one look-up, one painting, one file. A flight lives as long as
somebody waits for it; when the last one hangs up, its work is cancelled.
"""

import asyncio
import logging
import time
import uuid
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import asdict, dataclass, field, replace
from typing import ParamSpec, Self, TypeVar

from prometheus_client import Gauge

from imagemill import files
from imagemill.catalog import Endpoint
from imagemill.engine.events import Engine, Failed, Finished, Progress, State
from imagemill.errors import Fault, Kind
from imagemill.files import Cache
from imagemill.generation import Generation, Painted
from imagemill.telemetry import Telemetry

log = logging.getLogger(__name__)

STARTING_SECONDS = 10.0  # what a model usually needs to load: the estimate for who asks meanwhile
FIRST_PACE = 2.0  # seconds per generation, until one has been seen
SMOOTHING = 0.2  # share of the newest generation in the pace
LOOK_EVERY = 0.05  # seconds between looks at an engine that starts

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class Order:
    """A generation and how it may be answered.

    cacheable: an earlier picture of the same will do. drawn: the seed was drawn by us, so any seed
    will do. wait: for a model that is loading.
    """

    generation: Generation
    endpoint: Endpoint
    cacheable: bool = True
    drawn: bool = False
    wait: bool = False

    @property
    def seeded(self) -> str:
        """The key of this very picture."""
        return files.key(asdict(self.generation), self.endpoint.version)

    @property
    def unseeded(self) -> str:
        """The key under which the seed is kept that was drawn for this."""
        return files.key(asdict(replace(self.generation, seed=0)), self.endpoint.version, "seed")


@dataclass(frozen=True)
class Answer:
    painted: Painted
    seed: int  # drawn, where none was asked for
    hit: bool  # an earlier picture, from the cache


@dataclass
class Flight:
    task: asyncio.Task[Answer]
    waiters: int = 0


class Phases:
    """Keeps a generation counted in one of two gauges: while it waits, and from its first step."""

    def __init__(self, waiting: Gauge, running: Gauge) -> None:
        self._now, self._running = waiting, running

    def __enter__(self) -> Self:
        self._now.inc()
        return self

    def begun(self) -> None:
        self._now.dec()
        self._now = self._running
        self._now.inc()

    def __exit__(self, *_: object) -> None:
        self._now.dec()


@dataclass
class Service:
    """`queue` bounds the generations accepted at a time. `wait_time` is in seconds."""

    engine: Engine
    cache: Cache
    telemetry: Telemetry
    queue: int
    wait_time: float
    clock: Callable[[], float] = time.monotonic
    _flights: dict[Hashable, Flight] = field(default_factory=dict)
    _accepted: int = 0
    _pace: float = FIRST_PACE  # seconds per generation, recently
    _opened: float | None = None
    _closing: bool = False

    async def open(self) -> None:
        self._opened = self.clock()
        await self.engine.start()

    async def close(self, patience: float) -> None:
        """Lets running work finish for `patience` seconds, takes nothing new, stops the engine."""
        self._closing = True
        tasks = [flight.task for flight in self._flights.values()]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=patience)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        await self.engine.close()

    async def paint(self, order: Order) -> Answer:
        """Raises a Fault of any kind but TOO_LARGE; cancelling hangs up."""
        if self._closing:
            raise Fault(Kind.BUSY, "the server is shutting down", retry_after=STARTING_SECONDS)
        same = order.unseeded if order.drawn else order.seeded
        key = (same, order.wait) if order.cacheable else uuid.uuid4()
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = Flight(asyncio.create_task(self._fly(order)))
            flight.task.add_done_callback(lambda task: self._landed(key, task))
        return await self._follow(key, flight)

    async def _follow(self, key: Hashable, flight: Flight) -> Answer:
        flight.waiters += 1
        try:
            return await asyncio.shield(flight.task)
        except asyncio.CancelledError:
            if flight.task.cancelled() and not _hung_up():
                raise Fault(Kind.CANCELLED, "the server stopped this work; ask again") from None
            raise
        finally:
            flight.waiters -= 1
            if not flight.waiters and not flight.task.done():
                self._flights.pop(key, None)  # whoever comes now starts anew
                flight.task.cancel()

    def _landed(self, key: Hashable, task: asyncio.Task[Answer]) -> None:
        flight = self._flights.get(key)
        if flight is not None and flight.task is task:
            del self._flights[key]
        if not task.cancelled():
            task.exception()  # taken note of, where nobody waits for it any more

    async def _fly(self, order: Order) -> Answer:
        if order.cacheable:
            order, found = await self._look_up(order)
            self.telemetry.cache.labels("hit" if found else "miss").inc()
            if found:
                return Answer(found, order.generation.seed, hit=True)
        self._admit(order)
        try:
            await self._ready()
            painted = await self._paint(order)
        finally:
            self._accepted -= 1
        if order.cacheable:
            await self._keep(order, painted)
        return Answer(painted, order.generation.seed, hit=False)

    async def _look_up(self, order: Order) -> tuple[Order, Painted | None]:
        if order.drawn:
            seed = await _aside(self.cache.get, order.unseeded)
            if seed is not None:
                order = replace(order, generation=replace(order.generation, seed=int(seed)))
        content = await _aside(self.cache.get, order.seeded)
        return order, files.unpack(content) if content is not None else None

    async def _keep(self, order: Order, painted: Painted) -> None:
        await _aside(self.cache.put, order.seeded, files.pack(painted))
        if order.drawn:
            await _aside(self.cache.put, order.unseeded, str(order.generation.seed).encode())

    def _admit(self, order: Order) -> None:
        if self.engine.state is State.STARTING and not order.wait:
            raise self._loading()
        if self._accepted >= self.queue:
            come_again = max(1.0, self._accepted * self._pace)
            raise Fault(
                Kind.BUSY,
                f"the queue is full, with {self._accepted} of {self.queue} generations; "
                f"come again in {come_again:.0f} seconds",
                retry_after=come_again,
            )
        self._accepted += 1

    async def _ready(self) -> None:
        try:
            async with asyncio.timeout(self.wait_time):
                while self.engine.state is State.STARTING:
                    await asyncio.sleep(LOOK_EVERY)
        except TimeoutError:
            raise self._loading() from None
        if self.engine.state is State.DEAD:
            raise Fault(Kind.FAILED, "the engine has stopped; the operator must restart the server")

    def _loading(self) -> Fault:
        since = self.clock() - (self.clock() if self._opened is None else self._opened)
        left = max(1.0, STARTING_SECONDS - since)
        return Fault(Kind.LOADING, "the model is currently loading", retry_after=round(left, 1))

    async def _paint(self, order: Order) -> Painted:
        id, began = uuid.uuid4().hex, self.clock()
        painted: Painted | None = None
        with Phases(self.telemetry.waiting, self.telemetry.running) as phases:
            try:
                async for event in self.engine.submit(id, order.generation, order.endpoint.source):
                    match event:
                        case Progress():
                            phases.begun()
                        case Finished(painted):
                            self._count(painted, self.clock() - began)
                        case Failed(fault):
                            raise fault
            except asyncio.CancelledError:
                self.engine.cancel(id)
                raise
        if painted is None:
            raise Fault(Kind.FAILED, "the engine stopped before the picture was finished")
        return painted

    def _count(self, painted: Painted, seconds: float) -> None:
        # Of n in the house each takes n times as long as the house takes for one (Little's law).
        pace = seconds / max(1, self._accepted)
        self._pace += SMOOTHING * (pace - self._pace)
        self.telemetry.pictures.labels(painted.served_by).inc(len(painted.pictures))
        self.telemetry.engine_seconds.observe(painted.seconds)


def _hung_up() -> bool:
    """Whether the running task itself was cancelled, and not only what it waits for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _aside(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Awaitable[T]:
    """Disk work, away from the loop that answers everybody."""
    return asyncio.to_thread(work, *args, **kwargs)
