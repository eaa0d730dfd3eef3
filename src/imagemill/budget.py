"""Budget: one bound on the bytes that the inputs of all callers take at a time.

Who needs more than is free waits in line for a moment, and is then told to come again. What was
taken is given back by leaving a `with`, whatever ended it.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from imagemill.errors import Fault, Kind

WAIT_SECONDS = 10.0  # in line, before a caller is sent away
RETRY_SECONDS = 5.0  # after which one who was sent away may come again


@dataclass
class Share:
    """Bytes that one holder has of a budget; `release` gives them back, and may come twice."""

    budget: "Budget"
    size: int

    def shrink(self, size: int) -> None:
        """Keeps at most `size` bytes."""
        if size < self.size:
            self.budget._give(self.size - size)
            self.size = size

    def release(self) -> None:
        self.shrink(0)


@dataclass
class Budget:
    """total: bytes. wait: seconds that `take` waits in line."""

    total: int
    wait: float = WAIT_SECONDS
    taken: int = 0
    _line: deque[tuple[int, asyncio.Future[None]]] = field(default_factory=deque)

    @property
    def free(self) -> int:
        return self.total - self.taken

    def try_take(self, size: int) -> bool:
        """Takes `size` bytes if they are free and nobody waits for them; else nothing."""
        if self._line or size > self.free:
            return False
        self.taken += size
        return True

    def give(self, size: int) -> None:
        """Gives back what `try_take` took."""
        self._give(size)

    async def take(self, size: int, patient: bool = False) -> Share:
        """A share of `size` bytes, in the order of those who ask. What is larger than the budget
        takes all of it. Raises a Fault of kind BUSY after `wait` seconds, unless `patient`.
        """
        size = min(size, self.total)
        if size > 0 and not self.try_take(size):
            await self._in_line(size, None if patient else self.wait)
        return Share(self, size)

    @asynccontextmanager
    async def holding(self, size: int) -> AsyncIterator[Share]:
        """The same, given back at the end."""
        share = await self.take(size)
        try:
            yield share
        finally:
            share.release()

    async def _in_line(self, size: int, wait: float | None) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        place = (size, turn)
        self._line.append(place)
        try:
            async with asyncio.timeout(wait):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():  # it was given in the same moment
                self._give(size)
            else:
                with suppress(ValueError):  # it was passed over already
                    self._line.remove(place)
                self._serve()  # a smaller one behind may fit
            if isinstance(error, TimeoutError):
                raise self._busy(size) from None
            raise

    def _give(self, size: int) -> None:
        self.taken -= size
        self._serve()

    def _serve(self) -> None:
        while self._line and self._line[0][0] <= self.free:
            size, turn = self._line.popleft()
            if not turn.done():
                self.taken += size
                turn.set_result(None)

    def _busy(self, size: int) -> Fault:
        return Fault(
            Kind.BUSY,
            f"the inputs of other calls fill the {self.total} bytes that are kept for them, and "
            f"this one needs {size}; come again in {RETRY_SECONDS:.0f} seconds",
            retry_after=RETRY_SECONDS,
        )
