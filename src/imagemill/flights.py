"""Flights: work that callers wait for on open connections, shared by those who ask for the same.

A flight lives as long as somebody waits for it; when the last one hangs up, it is cancelled. Where
its caller may come again, or the work is wanted all the same, it is left in peace for a while.
"""

import asyncio
import math
import uuid
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Hashable
from dataclasses import dataclass
from typing import Any, TypeVar

from imagemill.errors import Fault, Kind
from imagemill.job import Submission
from imagemill.repeats import REPEATED, conflict

RETURNS = 15.0  # seconds in which a client that timed out sends the same again
KEPT = 64  # results that are held for those who may come again

T = TypeVar("T")


@dataclass(frozen=True)
class Patience:
    """Seconds. alone: that work goes on for nobody. kept: that its result waits for who asks again.

    A result that nobody was given is kept for `alone` if that is longer.
    """

    alone: float = 0.0
    kept: float = 0.0


@dataclass
class Flight:
    task: asyncio.Task[Any]
    patience: Patience
    content: str
    waiters: int = 0


class Flights:
    def __init__(self) -> None:
        self._flights: OrderedDict[Hashable, Flight] = OrderedDict()

    def __contains__(self, key: Hashable) -> bool:
        """Whether work is under way or kept under a key."""
        return key in self._flights

    @property
    def tasks(self) -> list[asyncio.Task[Any]]:
        """All that is under way."""
        return [flight.task for flight in self._flights.values() if not flight.task.done()]

    def abandoned(self, call: tuple[Hashable, ...]) -> Hashable | None:
        """The key of a flight that nobody waits for, where it begins with `call`."""
        for key, flight in self._flights.items():
            if isinstance(key, tuple) and key[: len(call)] == call and not flight.waiters:
                return key
        return None

    async def board(
        self, key: Hashable, submission: Submission, work: Callable[[], Coroutine[Any, Any, T]]
    ) -> T:
        """One flight for all calls of a key, or for a call and those that repeat it."""
        repeat = submission.repeat
        patience = Patience(alone=0.0 if submission.cancel_on_disconnect else math.inf)
        if repeat is None:
            return await self.share(key, work, patience)
        call = submission.dialect, submission.caller, repeat.key
        kept = REPEATED if repeat.named else 0.0
        patience = Patience(max(RETURNS, patience.alone), kept)
        key = call if repeat.named else (*call, uuid.uuid4())
        if repeat.resent:
            key = self.abandoned(call) or key
        return await self.share(key, work, patience, repeat.content)

    async def share(
        self,
        key: Hashable,
        work: Callable[[], Coroutine[Any, Any, T]],
        patience: Patience = Patience(),
        content: str = "",
    ) -> T:
        """The result of the work under `key`, which is begun unless it is under way or kept.

        content: a digest of what is asked; a Fault where the same key stands for something else.
        """
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = Flight(asyncio.create_task(work()), patience, content)
            flight.task.add_done_callback(lambda task: self._landed(key, task))
        elif flight.content != content:
            raise conflict()
        flight.waiters += 1
        try:
            result: T = await asyncio.shield(flight.task)
            return result
        except asyncio.CancelledError:
            if flight.task.cancelled() and not _hung_up():
                raise Fault(Kind.CANCELLED, "the server stopped this work; ask again") from None
            raise
        finally:
            flight.waiters -= 1
            if not flight.waiters and not flight.task.done():
                self._left(key, flight)

    def _left(self, key: Hashable, flight: Flight) -> None:
        alone = flight.patience.alone
        if not alone:
            self._give_up(key, flight)
        elif alone < float("inf"):
            asyncio.get_running_loop().call_later(alone, self._give_up, key, flight)

    def _give_up(self, key: Hashable, flight: Flight) -> None:
        if not flight.waiters and not flight.task.done():
            self._forget(key, flight)  # whoever comes now starts anew
            flight.task.cancel()

    def _landed(self, key: Hashable, task: asyncio.Task[Any]) -> None:
        flight = self._flights.get(key)
        if flight is None or flight.task is not task:
            return
        failed = task.cancelled() or task.exception() is not None  # taken note of, if nobody waits
        patience = flight.patience
        missed = patience.alone if patience.alone < float("inf") and not flight.waiters else 0.0
        kept = max(patience.kept, missed)
        if failed or not kept:
            self._forget(key, flight)
            return
        asyncio.get_running_loop().call_later(kept, self._forget, key, flight)
        landed = [key for key, each in self._flights.items() if each.task.done()]
        for oldest in landed[:-KEPT]:
            del self._flights[oldest]

    def _forget(self, key: Hashable, flight: Flight) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]


def _hung_up() -> bool:
    """Whether the running task itself was cancelled, and not only what it waits for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
