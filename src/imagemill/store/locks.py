"""Locks: one server at a time works on a SQLite database and its folder.

The system takes a lock away from a process that dies, however it does.
"""

import asyncio
import time
from pathlib import Path

from filelock import FileLock, Timeout

from imagemill.errors import Fault, Kind
from imagemill.folders import PRIVATE_FILE

LOOKS_APART = 0.05  # seconds between looks at a lock that another has


class Lock:
    """Lies beside the database, in a file that stays."""

    def __init__(self, database: Path) -> None:
        self._folder = database.parent
        self._lock = FileLock(
            f"{database}.lock",
            mode=PRIVATE_FILE,
            fallback_to_soft=False,  # one that a dead server leaves would stay
            thread_local=False,
        )

    def take(self) -> bool:
        """Whether it is ours now."""
        try:
            self._lock.acquire(blocking=False)
        except Timeout:
            return False
        except (NotImplementedError, OSError) as error:
            reason = getattr(error, "strerror", None) or "its file system has no locks"
            message = f"the data folder {self._folder} cannot be locked: {reason}"
            raise Fault(
                Kind.FAILED, f"{message}; give one on a disk of this machine, as --data-dir"
            ) from None
        return True

    async def wait(self, seconds: float) -> None:
        """Takes it as soon as the other server lets it go; a Fault after so many seconds."""
        until = time.monotonic() + seconds
        while not self.take():
            if time.monotonic() >= until:
                raise self.taken()
            await asyncio.sleep(LOOKS_APART)

    def taken(self) -> Fault:
        message = f"another imagemill server works in the data folder {self._folder}"
        way_out = (
            "stop that one, give this one another --data-dir, or start it with lock_wait to take "
            "over when that one ends"
        )
        return Fault(Kind.FAILED, f"{message}; {way_out}")

    def release(self) -> None:
        self._lock.release(force=True)
