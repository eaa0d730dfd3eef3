"""Troubles: what keeps a database or a store of files from working, whoever asks and whatever for.

They are told in one way, are worth another try, and are never held against the job at hand.
"""

import errno
import logging
import re
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum

from obstore.exceptions import BaseError
from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    IntegrityError,
    InterfaceError,
    SQLAlchemyError,
    StatementError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout

from imagemill.errors import Fault, Kind

log = logging.getLogger(__name__)


class Trouble(StrEnum):
    UNREACHABLE = "unreachable"
    LOCKED = "locked"  # by another program
    FULL = "full"
    READ_ONLY = "read-only"
    DAMAGED = "damaged"
    REFUSED = "refused"  # the user, the password or the name of the database
    FAILING = "failing"  # anything else


@dataclass(frozen=True)
class Word:
    """How a trouble is told to callers. again: seconds after which another try makes sense."""

    message: str
    again: float
    kind: Kind = Kind.UNAVAILABLE


WORDS: Mapping[Trouble, Word] = {
    Trouble.UNREACHABLE: Word("where this server keeps its work cannot be reached just now", 5),
    Trouble.LOCKED: Word("another program locks what this server keeps its work in", 5),
    Trouble.FULL: Word("this server has no room left to keep more", 60, Kind.FULL),
    Trouble.READ_ONLY: Word("where this server keeps its work cannot be written to", 30),
    Trouble.DAMAGED: Word("what this server keeps its work in is damaged", 60),
    Trouble.REFUSED: Word("where this server keeps its work does not let it in", 30),
    Trouble.FAILING: Word("where this server keeps its work fails", 10),
}
# What passes only when something was written, not when something was merely read.
LASTING = frozenset({Trouble.FULL, Trouble.READ_ONLY, Trouble.DAMAGED})

# By SQLite's primary result code.
_SQLITE: Mapping[int, Trouble] = {
    sqlite3.SQLITE_BUSY: Trouble.LOCKED,
    sqlite3.SQLITE_LOCKED: Trouble.LOCKED,
    sqlite3.SQLITE_FULL: Trouble.FULL,
    sqlite3.SQLITE_READONLY: Trouble.READ_ONLY,
    sqlite3.SQLITE_PERM: Trouble.READ_ONLY,
    sqlite3.SQLITE_CANTOPEN: Trouble.UNREACHABLE,
    sqlite3.SQLITE_CORRUPT: Trouble.DAMAGED,
    sqlite3.SQLITE_NOTADB: Trouble.DAMAGED,
}
# By PostgreSQL's code of an error; the longest beginning decides.
_SQLSTATES: Mapping[str, Trouble | None] = {
    "08": Trouble.UNREACHABLE,
    "22": None,  # what the statement brought: not the database's
    "23": None,
    "25006": Trouble.READ_ONLY,
    "28": Trouble.REFUSED,
    "3D": Trouble.REFUSED,
    "40": Trouble.LOCKED,  # a deadlock, of which one side is told to try again
    "53": Trouble.UNREACHABLE,  # too many connections, no memory
    "53100": Trouble.FULL,
    "55P03": Trouble.LOCKED,
    "57": Trouble.UNREACHABLE,  # shut down, or starting
    "58": Trouble.FAILING,
    "XX001": Trouble.DAMAGED,
    "XX002": Trouble.DAMAGED,
}
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
# What a store of files says at the end, or of the reply of a bucket.
_OS_ERROR = re.compile(r"\(os error (\d+)\)|status code: (507)")


class StoreFault(Fault):
    """A trouble, as callers are told of it."""

    def __init__(self, trouble: Trouble) -> None:
        word = WORDS[trouble]
        message = f"{word.message}; come again in {word.again:.0f} seconds"
        super().__init__(word.kind, message, retry_after=word.again)
        self.trouble = trouble


@contextmanager
def judged(judge: Callable[[Exception], Trouble | None]) -> Iterator[None]:
    """What is a trouble is raised as a StoreFault."""
    try:
        yield
    except Exception as error:
        trouble = None if isinstance(error, StoreFault) else judge(error)
        if trouble is None:
            raise
        raise StoreFault(trouble) from error


@dataclass
class Condition:
    """How one thing does that the server stands on. name: what it is, for the log.

    since: when its trouble began, by the monotonic clock.
    """

    name: str
    trouble: Trouble | None = None
    since: float = 0.0
    quiet: bool = False  # what is in trouble at the start is told by who starts it

    @contextmanager
    def watched(self, judge: Callable[[Exception], Trouble | None]) -> Iterator[None]:
        """Raises a StoreFault where something is done with it that meets a trouble."""
        try:
            with judged(judge):
                yield
        except StoreFault as fault:
            self.note(fault.trouble, fault.__cause__)
            raise
        if self.trouble not in LASTING:
            self.note(None)

    def note(self, trouble: Trouble | None, error: BaseException | None = None) -> None:
        if trouble is self.trouble:
            return
        if trouble is None:
            log.warning("the %s works again, which was %s", self.name, self.trouble)
        elif not self.quiet:
            log.error("the %s is %s: %s", self.name, trouble, first_line(error))
        if self.trouble is None:
            self.since = time.monotonic()
        self.trouble = trouble

    @property
    def lasts(self) -> bool:
        """Whether only a write can tell that it is over."""
        return self.trouble in LASTING


def first_line(error: BaseException | None) -> str:
    """The first line of what an error says, without what was asked when it came."""
    cause = getattr(error, "orig", None) or error
    return (str(cause).strip().splitlines() or [type(cause).__name__])[0][:300]


def of_database(error: Exception) -> Trouble | None:
    """None where the error is about what was asked, and not about the database."""
    if isinstance(error, DBAPIError):
        return _of_driver(error)
    if isinstance(error, StatementError):  # what was given could not be put into the statement
        return None
    if isinstance(error, OSError | PoolTimeout):  # TimeoutError is one
        return _of_system(error)
    return Trouble.FAILING if isinstance(error, SQLAlchemyError | sqlite3.Error) else None


def of_files(error: Exception) -> Trouble | None:
    """The same of what a store of files raised."""
    if isinstance(error, FileNotFoundError) or not isinstance(error, BaseError | OSError):
        return None
    if isinstance(error, OSError) and error.errno is not None:
        return _of_system(error)
    match = _OS_ERROR.search(str(error))
    if match and (match[2] or int(match[1]) in _NO_ROOM):
        return Trouble.FULL
    return Trouble.READ_ONLY if isinstance(error, PermissionError) else Trouble.UNREACHABLE


def _of_driver(error: DBAPIError) -> Trouble | None:
    if isinstance(error.orig, sqlite3.Error):
        code = getattr(error.orig, "sqlite_errorcode", None)
        if code is not None and code & 0xFF in _SQLITE:
            return _SQLITE[code & 0xFF]
    state = getattr(error.orig, "sqlstate", None) or ""
    for length in (5, 3, 2):
        if state[:length] in _SQLSTATES and len(state) >= length:
            return _SQLSTATES[state[:length]]
    if error.connection_invalidated or isinstance(error, InterfaceError):
        return Trouble.UNREACHABLE
    return None if isinstance(error, IntegrityError | DataError) else Trouble.FAILING


def _of_system(error: Exception) -> Trouble:
    number = getattr(error, "errno", None)
    if number in _NO_ROOM:
        return Trouble.FULL
    return Trouble.READ_ONLY if number == errno.EROFS else Trouble.UNREACHABLE
