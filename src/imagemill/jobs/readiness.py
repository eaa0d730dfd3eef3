"""Readiness: how long a call that waits for its images waits for an engine that starts."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from imagemill.engine.events import Engine, State
from imagemill.errors import Fault, Kind
from imagemill.job import Submission
from imagemill.upstream_spec import upstream_of

STARTING_SECONDS = 10.0  # what a model usually needs to load: the estimate for who asks meanwhile
LOADING = "the model is currently loading"
ON_ITS_WAY = frozenset({State.STARTING, State.DEGRADED})
LOOK_EVERY_SECONDS = 0.05  # between looks at an engine that starts


@dataclass
class Readiness:
    """What stands between a call and its engine."""

    engine: Engine
    #: Seconds that a call waits for an engine that starts.
    wait_time: float
    #: In seconds.
    monotonic: Callable[[], float]
    _opened: float | None = None

    def opened(self) -> None:
        """The engine starts from now on."""
        self._opened = self.monotonic()

    def check(self) -> None:
        """Raises a Fault while the engine is on its way, for who does not wait for it."""
        if self.engine.state in ON_ITS_WAY:
            raise self._loading()

    async def wait(self, submission: Submission) -> None:
        """Who does not wait for the model is told how long it takes, and finds it there later. What
        an upstream paints needs no engine.
        """
        if upstream_of(submission.source):
            return
        try:
            async with asyncio.timeout(self.wait_time):
                while self.engine.state in ON_ITS_WAY:
                    if self.engine.resting:
                        raise self._loading()
                    await asyncio.sleep(LOOK_EVERY_SECONDS)
        except TimeoutError:
            raise self._loading() from None
        if self.engine.state is State.DEAD:
            raise Fault(Kind.FAILED, "the engine has stopped; the operator must restart the server")
        if not submission.wait_for_model and (left := self.engine.warm(submission.source)):
            raise Fault(Kind.LOADING, LOADING, retry_after=round(left, 1))

    def _loading(self) -> Fault:
        if self.engine.state is State.DEGRADED:
            again = round(self.engine.resting + STARTING_SECONDS, 1)
            return Fault(Kind.LOADING, self.engine.trouble, retry_after=again)
        now = self.monotonic()
        left = max(1.0, STARTING_SECONDS - (now - (now if self._opened is None else self._opened)))
        return Fault(Kind.LOADING, LOADING, retry_after=round(left, 1))
