"""Names: hosts are looked up, of which no host and no caller has more than a share.

A look-up waits for the name service of whoever owns the host, perhaps for many seconds, in a thread
that nothing can interrupt. So it keeps its slot until it has ended, whether or not anybody still
waits for it.
"""

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from ipaddress import ip_address

from imagemill.slots import Slots, Turnstile
from imagemill.threads import NAMES

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]  # a host and a port give IP addresses

QUICK, SLOW = 64, 48  # look-ups at a time: usually, and what takes long; fewer than threads
PATIENCE = 1.0  # seconds after which a look-up takes long
HOST_SHARE = 4  # look-ups of one host at a time


async def look_up(host: str, port: int) -> list[str]:
    """The addresses by which the system knows a host."""
    addresses = await NAMES.run(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    return [str(each[4][0]) for each in addresses]


class Names:
    def __init__(
        self, resolve: Resolve = look_up, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._resolve = resolve
        self._turnstile = Turnstile(Slots(QUICK, SLOW, PATIENCE, HOST_SHARE, clock))
        self._under_way = set[asyncio.Task[Sequence[str]]]()

    async def find(self, host: str, port: int, caller: str = "") -> Sequence[str]:
        """The addresses of a host, once the caller may look one up."""
        if _is_address(host):  # which waits for nobody
            return await self._resolve(host, port)
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._turnstile.slot(host, caller))
            task = asyncio.create_task(self._look_up(stack.pop_all(), host, port))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return await asyncio.shield(task)

    async def close(self) -> None:
        """Nobody waits for what is under way any more."""
        tasks = list(self._under_way)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _look_up(
        self, slot: AbstractAsyncContextManager[object], host: str, port: int
    ) -> Sequence[str]:
        async with slot:
            return await self._resolve(host, port)


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
