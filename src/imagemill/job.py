"""Submission: a generation and how it may be answered. Job: its durable record, and the legal
moves. File: what comes out of it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum, StrEnum
from typing import Any

from imagemill.errors import Fault
from imagemill.generation import Answer, GeneratedImages, Generation, Progress


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
    """What came of a job. prompt: as it was painted. seconds: of engine time. flagged: for each
    image that was painted, whether the safety checker flagged it; empty where none looked.
    """

    files: tuple[File, ...]
    prompt: str
    seconds: float
    served_by: str
    ignored: tuple[str, ...] = ()
    flagged: tuple[bool, ...] = ()

    def images(self, pictures: Iterable[bytes] = ()) -> GeneratedImages:
        """The same with the content of its files, where that is wanted."""
        return GeneratedImages(
            tuple(pictures), self.seconds, self.served_by, self.ignored, self.flagged
        )


@dataclass(frozen=True)
class Repeat:
    """How a call is known again that its caller sends once more."""

    #: Tells it from the caller's others.
    key: str
    #: A digest of what is asked.
    content: str = ""
    #: The caller gave the key, so that all calls of it are one; else those are that were sent again
    #: after the first was given up.
    named: bool = False
    #: This one was sent again.
    resent: bool = False


@dataclass(frozen=True)
class Submission:
    """A generation, what paints it, and how it may be answered: all that a dialect asks for.

    The last six are not kept with the job.
    """

    #: What is to be painted.
    generation: Generation
    #: The address of what paints (see `model_spec`).
    source: str
    #: Who took the call, and words its answers and its webhook.
    dialect: str = ""
    #: Whose it is: a digest of the credential, empty for nobody's.
    caller: str = ""
    #: How urgent it is, before all else.
    priority: Priority = Priority.NORMAL
    #: Nobody wants the image once the connection is gone on which its caller waits.
    cancel_on_disconnect: bool = False
    #: Seconds, above 0, after which it has failed if it has not begun; None for no limit.
    begin_within: float | None = None
    #: What is told of the end, at most 8,192 characters; None for nobody.
    webhook_url: str | None = None
    #: Seconds, above 0, that its files live; None for the server's own rule.
    ttl_seconds: float | None = None
    #: Whoever knows a file's address may read it.
    public: bool = True
    #: What was asked may be kept after the end.
    retain_prompt: bool = True
    #: The caller is on this machine, so that URLs of theirs may lead to its other servers.
    local: bool = False
    #: What its success costs the account, in micro-credits, 0 or more.
    price: int = 0
    #: What the dialect must know again to tell of the job; JSON.
    dialect_state: Mapping[str, Any] = field(default_factory=dict)
    #: The caller, told apart by address where there is no credential.
    person: str = field(default="", compare=False)
    #: Of the weights: changes with them.
    version: str = field(default="", compare=False)
    #: An earlier image of the same caller's will do.
    cacheable: bool = field(default=True, compare=False)
    #: The seed was drawn here, so that any will do.
    seed_drawn: bool = field(default=False, compare=False)
    #: It waits for a model that is loading, and is not refused.
    wait_for_model: bool = field(default=False, compare=False)
    #: How its caller may send it again; None for a call that stands alone.
    repeat: Repeat | None = field(default=None, compare=False)

    @property
    def named(self) -> bool:
        """Whether the caller gave the call a name, under which it may come again."""
        return self.repeat is not None and self.repeat.named


@dataclass(frozen=True)
class Job:
    """The record of one submission: how far it is, and what came of it. Times are unix seconds."""

    #: A UUID.
    id: str
    #: What was asked.
    submission: Submission
    #: When it came.
    created: float
    #: The process with the connection on which its caller waits; None where nobody does.
    server: str | None = None
    #: How far it is.
    status: Status = Status.QUEUED
    #: When the last attempt began; None before the first.
    started: float | None = None
    #: When it ended; None until then.
    finished: float | None = None
    #: Claims so far, 0 or more.
    attempts: int = 0
    #: Those in which the engine had it in hand, and that did not end in order; 0 or more.
    begun: int = 0
    #: What came of it, once it has succeeded.
    result: Result | None = None
    #: What went wrong, once it has failed or was cancelled.
    fault: Fault | None = None

    @property
    def generation(self) -> Generation:
        """What is to be painted."""
        return self.submission.generation

    @property
    def start_deadline(self) -> float | None:
        """When it has failed if it has not begun; None for no limit."""
        seconds = self.submission.begin_within
        return None if seconds is None else self.created + seconds

    def answer(self, painted: GeneratedImages) -> Answer:
        """What the caller gets, once it has succeeded."""
        return Answer(painted, self.generation.seed, cost=self.submission.price)

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
class RemoteRequest:
    """What an upstream does for a job."""

    #: The id of the job.
    job: str
    #: The address of what paints it (see `upstream_spec`).
    source: str
    #: By which the upstream knows it; empty until it has answered.
    id: str
    #: When it was sent; unix seconds.
    created: float


@dataclass(frozen=True)
class Line:
    """One line of a job's log."""

    #: Counts from 0 within the job.
    number: int
    #: Unix seconds.
    at: float
    #: What an operator reads.
    message: str
    #: How far the job has come, where the line is about that.
    progress: Progress | None = None
