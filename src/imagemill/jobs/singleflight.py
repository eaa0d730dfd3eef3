"""Single flight: work that callers wait for on open connections, shared by those who ask for the
same.

It goes on as long as somebody waits for it; when the last one hangs up, it is cancelled. Where its
caller may come again, or the work is wanted all the same, it is left in peace for a while.
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
from imagemill.jobs.repeats import REPEATED, conflict

RETRY_SECONDS = 15.0  # in which a client that timed out sends the same again
MAX_KEPT_RESULTS = 64  # results that are held for those who may come again

T = TypeVar("T")


@dataclass(frozen=True)
class KeepAlive:
    """What becomes of work that nobody waits for any more, and of its result."""

    #: Seconds that the work goes on for nobody, and its result then waits; may be infinite.
    alone: float = 0.0
    #: Seconds that a result waits for who asks again.
    kept: float = 0.0


@dataclass
class SharedCall:
    """Work that is under way, or whose result is kept."""

    task: asyncio.Task[Any]
    keep_alive: KeepAlive
    #: A digest of what is asked for.
    content: str
    #: How many callers wait for it.
    waiters: int = 0


class SingleFlight:
    """All the work of one server that callers wait for."""

    def __init__(self) -> None:
        self._in_flight: OrderedDict[Hashable, SharedCall] = OrderedDict()

    def __contains__(self, key: Hashable) -> bool:
        """Whether work is under way or kept under a key."""
        return key in self._in_flight

    @property
    def tasks(self) -> list[asyncio.Task[Any]]:
        """All that is under way."""
        return [shared.task for shared in self._in_flight.values() if not shared.task.done()]

    def abandoned(self, call: tuple[Hashable, ...]) -> Hashable | None:
        """The key of work that nobody waits for, where it begins with `call`."""
        for key, shared in self._in_flight.items():
            if isinstance(key, tuple) and key[: len(call)] == call and not shared.waiters:
                return key
        return None

    async def run(
        self, key: Hashable, submission: Submission, work: Callable[[], Coroutine[Any, Any, T]]
    ) -> T:
        """The result of work that is done once for all calls of a key, or for a call and those that
        repeat it.
        """
        repeat = submission.repeat
        keep_alive = KeepAlive(alone=0.0 if submission.cancel_on_disconnect else math.inf)
        if repeat is None:
            return await self.share(key, work, keep_alive)
        call = submission.dialect, submission.caller, repeat.key
        kept = REPEATED if repeat.named else 0.0
        keep_alive = KeepAlive(max(RETRY_SECONDS, keep_alive.alone), kept)
        key = call if repeat.named else (*call, uuid.uuid4())
        if repeat.resent:
            key = self.abandoned(call) or key
        return await self.share(key, work, keep_alive, repeat.content)

    async def share(
        self,
        key: Hashable,
        work: Callable[[], Coroutine[Any, Any, T]],
        keep_alive: KeepAlive = KeepAlive(),
        content: str = "",
    ) -> T:
        """The result of the work under `key`, which is begun unless it is under way or kept.

        content: a digest of what is asked; a Fault where the same key stands for something else.
        """
        shared = self._in_flight.get(key)
        if shared is None:
            shared = self._in_flight[key] = SharedCall(
                asyncio.create_task(work()), keep_alive, content
            )
            shared.task.add_done_callback(lambda task: self._done(key, task))
        elif shared.content != content:
            raise conflict()
        shared.waiters += 1
        try:
            result: T = await asyncio.shield(shared.task)
            return result
        except asyncio.CancelledError:
            if shared.task.cancelled() and not _hung_up():
                raise Fault(Kind.CANCELLED, "the server stopped this work; ask again") from None
            raise
        finally:
            shared.waiters -= 1
            if not shared.waiters and not shared.task.done():
                self._left(key, shared)

    def _left(self, key: Hashable, shared: SharedCall) -> None:
        alone = shared.keep_alive.alone
        if not alone:
            self._give_up(key, shared)
        elif alone < float("inf"):
            asyncio.get_running_loop().call_later(alone, self._give_up, key, shared)

    def _give_up(self, key: Hashable, shared: SharedCall) -> None:
        if not shared.waiters and not shared.task.done():
            self._forget(key, shared)  # whoever comes now starts anew
            shared.task.cancel()

    def _done(self, key: Hashable, task: asyncio.Task[Any]) -> None:
        shared = self._in_flight.get(key)
        if shared is None or shared.task is not task:
            return
        failed = task.cancelled() or task.exception() is not None  # taken note of, if nobody waits
        keep_alive = shared.keep_alive
        missed = keep_alive.alone if keep_alive.alone < float("inf") and not shared.waiters else 0.0
        kept = max(keep_alive.kept, missed)
        if failed or not kept:
            self._forget(key, shared)
            return
        asyncio.get_running_loop().call_later(kept, self._forget, key, shared)
        done = [key for key, each in self._in_flight.items() if each.task.done()]
        for oldest in done[:-MAX_KEPT_RESULTS]:
            del self._in_flight[oldest]

    def _forget(self, key: Hashable, shared: SharedCall) -> None:
        if self._in_flight.get(key) is shared:
            del self._in_flight[key]


def _hung_up() -> bool:
    """Whether the running task itself was cancelled, and not only what it waits for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
