"""The safety checker for what upstreams paint, in a process of its own, which is begun when it is
first wanted: what it loads has no place where HTTP is served.
"""

import asyncio
import logging
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import cache
from multiprocessing import get_context

from imagemill.conditions import SafetyCheck
from imagemill.engine.ipc import SafetyOptions
from imagemill.engine.safety import Safety
from imagemill.errors import Fault, Kind
from imagemill.images.encode import Pixels

log = logging.getLogger(__name__)

TRIES = 2  # of a check whose process dies


class Checker:
    """Looks at finished images, one at a time."""

    def __init__(self, options: SafetyOptions) -> None:
        self._options = options
        self._process: ProcessPoolExecutor | None = None

    async def flags(self, pixels: Pixels, check: SafetyCheck) -> bool:
        """Whether an image is not to be shown; raises a Fault where nobody can tell."""
        loop = asyncio.get_running_loop()
        for _ in range(TRIES):
            if self._process is None:
                self._process = ProcessPoolExecutor(1, get_context("spawn"))
            process = self._process
            try:
                return await loop.run_in_executor(process, _flags, self._options, pixels, check)
            except BrokenProcessPool:
                log.warning("the process of the safety checker has died")
                if self._process is process:
                    self._process = None
        message = "the image could not be checked for safety; the server's log tells why"
        raise Fault(Kind.FAILED, message)

    def close(self) -> None:
        """Ends the process, without waiting for it."""
        if self._process is not None:
            self._process.shutdown(wait=False, cancel_futures=True)
            self._process = None


def _flags(options: SafetyOptions, pixels: Pixels, check: SafetyCheck) -> bool:
    return _loaded(options).flags(pixels, check)


@cache
def _loaded(options: SafetyOptions) -> Safety:
    return Safety(options)
