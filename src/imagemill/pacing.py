"""Pacing: of what holds up the event loop for a moment, only a little begins in one pass of it.

The loop runs all that is ready, one thing after the other, before it looks for what has come. An
answer that takes a dozen short steps therefore waits a dozen times for everything that a crowd has
made ready: forty requests that begin together, a millisecond each, keep it for half a second.
"""

import asyncio
from collections import deque


class Pacer:
    """Lets so many steps begin in one pass of the loop; the others have their turn in order."""

    def __init__(self, steps_a_pass: int) -> None:
        self._most, self._begun = steps_a_pass, 0
        self._waiting = deque[asyncio.Future[None]]()

    async def turn(self) -> None:
        """Returns at once where few steps have begun in this pass, otherwise in a later one."""
        if self._begun < self._most and not self._waiting:
            if not self._begun:
                asyncio.get_running_loop().call_soon(self._next_pass)
            self._begun += 1
            return
        mine = asyncio.get_running_loop().create_future()
        self._waiting.append(mine)
        await mine

    def _next_pass(self) -> None:
        self._begun = 0
        while self._waiting and self._begun < self._most:
            waiting = self._waiting.popleft()
            if not waiting.done():  # it may have been cancelled
                waiting.set_result(None)
                self._begun += 1
        if self._begun:
            asyncio.get_running_loop().call_soon(self._next_pass)
