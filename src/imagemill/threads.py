"""Threads: work that would hold up the event loop, in pools by kind, so that no kind of it waits
for another.

The pool of asyncio.to_thread is one for everything, with four threads more than there are
processors: forty pictures that are decoded there keep an answer from the cache waiting for all of
them. It is left to the libraries that use it by themselves.
"""

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Pool:
    """At most `size` threads, which are begun when they are needed. More work waits in order."""

    def __init__(self, kind: str, size: int) -> None:
        self.kind, self.size = kind, size
        self._threads = ThreadPoolExecutor(size, thread_name_prefix=kind)

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What `work` gives; who is cancelled meanwhile leaves a thread that has begun to end."""
        context = contextvars.copy_context()
        call = partial(context.run, work, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)

    async def finish(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What `work` gives; who is cancelled meanwhile is so when it has ended: it is for what
        must not be left half done.
        """
        done = asyncio.create_task(self.run(work, *args, **kwargs))
        try:
            return await asyncio.shield(done)
        finally:
            while not done.done():
                with suppress(asyncio.CancelledError):
                    await asyncio.wait([done])


DISK = Pool("disk", 8)  # short reads and writes: kept pictures, the database's log
# Pictures take whole processors, which the event loop and the engine need too. What strangers send
# must not keep what was painted for others.
DECODING = Pool("decoding", 2)
ENCODING = Pool("encoding", 2)
BODIES = Pool("bodies", 2)  # long bodies, parsed and checked; Python lets one at a time do that
NAMES = Pool("names", 128)  # look-ups of hosts, each of which may wait for seconds; see `names`
