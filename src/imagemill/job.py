"""Job: the durable record of one call, and its legal moves. File: what comes out of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum, StrEnum
from typing import Any

from imagemill.errors import Fault
from imagemill.generation import Generation


class Status(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


# RUNNING to QUEUED: the worker died, and another takes the job over.
MOVES: Mapping[Status, frozenset[Status]] = {
    Status.QUEUED: frozenset({Status.RUNNING, Status.FAILED, Status.CANCELLED}),
    Status.RUNNING: frozenset({Status.QUEUED, Status.SUCCEEDED, Status.FAILED, Status.CANCELLED}),
    Status.SUCCEEDED: frozenset(),
    Status.FAILED: frozenset(),
    Status.CANCELLED: frozenset(),
}
FINAL = frozenset(status for status, moves in MOVES.items() if not moves)


class Priority(IntEnum):
    """The lower is the more urgent."""

    INTERACTIVE = 0  # somebody waits on an open connection
    NORMAL = 1
    LOW = 2  # behind everything else


@dataclass(frozen=True)
class File:
    """A stored file. key: its unguessable name in the store. size: in bytes; width, height: px."""

    key: str
    content_type: str
    size: int
    width: int
    height: int


@dataclass(frozen=True)
class Result:
    """What came of a job. prompt: as it was painted. seconds: of engine time."""

    files: tuple[File, ...]
    prompt: str
    seconds: float
    served_by: str
    ignored: tuple[str, ...] = ()


@dataclass(frozen=True)
class Job:
    """One call. Times are unix seconds.

    door: the dialect that took it. caller: whose it is, a digest of the credential, empty for
    nobody's. source: what paints. attended: somebody waits on a connection, and nobody wants the
    picture once that is gone. server: the process that has this connection. start_by: when it has
    failed if it has not begun. callback: the URL that is told of the end. keep: seconds that its
    files live, None for the server's own rule. public: whether who knows a file's address may read
    it. stored: whether what was asked may be kept after the end. local: the caller is on this
    machine, so that URLs of theirs may lead to its other servers. wire: what the dialect must know
    again to tell of the job; JSON. attempts: claims so far. begun: those in which the engine had
    it in hand, and that did not end in order. person: who asks, told apart by address where there
    is no caller; only a new job knows.
    """

    id: str
    door: str
    generation: Generation
    source: str
    created: float
    caller: str = ""
    priority: Priority = Priority.NORMAL
    attended: bool = False
    server: str | None = None
    start_by: float | None = None
    callback: str | None = None
    keep: float | None = None
    public: bool = True
    stored: bool = True
    local: bool = False
    wire: Mapping[str, Any] = field(default_factory=dict)
    person: str = field(default="", compare=False)
    status: Status = Status.QUEUED
    started: float | None = None
    finished: float | None = None
    attempts: int = 0
    begun: int = 0
    result: Result | None = None
    fault: Fault | None = None

    def move(
        self, status: Status, at: float, result: Result | None = None, fault: Fault | None = None
    ) -> "Job":
        """The job after a legal move; raises ValueError for another."""
        if status not in MOVES[self.status]:
            raise ValueError(f"job {self.id} cannot go from {self.status} to {status}")
        began = status is Status.RUNNING
        return replace(
            self,
            status=status,
            started=at if began else self.started,
            finished=at if status in FINAL else None,
            attempts=self.attempts + began,
            result=result,
            fault=fault,
        )


@dataclass(frozen=True)
class Line:
    """One line of a job's log. number: counts from 0 within the job."""

    number: int
    at: float
    message: str
