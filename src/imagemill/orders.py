"""Orders: what a dialect asks of the service; and answers to raw calls."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

from imagemill import files
from imagemill.catalog import Endpoint
from imagemill.generation import Generation, Painted
from imagemill.job import Priority


@dataclass(frozen=True)
class Repeat:
    """How a call is known again that its caller sends once more.

    key: tells it from the caller's others. content: a digest of what is asked. named: the caller
    gave the key, so that all calls of it are one; else those are that were sent again after the
    first was given up. resent: this one was.
    """

    key: str
    content: str = ""
    named: bool = False
    resent: bool = False


@dataclass(frozen=True)
class Order:
    """A generation and how it may be answered.

    cacheable: an earlier picture of the same caller's will do. drawn: the seed was drawn by us, so
    any seed will do. wait: for a model that is loading. begin_within: seconds after which it has
    failed if it was not begun. finish: the work is wanted though nobody waits for it any more. The
    others are as in Job.
    """

    generation: Generation
    endpoint: Endpoint
    cacheable: bool = True
    drawn: bool = False
    wait: bool = False
    door: str = ""
    caller: str = ""
    priority: Priority = Priority.NORMAL
    begin_within: float | None = None
    callback: str | None = None
    keep: float | None = None
    public: bool = True
    stored: bool = True
    local: bool = False
    person: str = ""
    wire: Mapping[str, Any] = field(default_factory=dict)
    finish: bool = False
    repeat: Repeat | None = None

    @property
    def named(self) -> bool:
        """Whether the caller gave the call a name, under which it may come again."""
        return self.repeat is not None and self.repeat.named

    @cached_property
    def seeded(self) -> str:
        """The key of this very picture; the caller's own, so that none learns what others asked."""
        return files.key(asdict(self.generation), self.endpoint.version, self.caller)

    @cached_property
    def unseeded(self) -> str:
        """The key under which the seed is kept that was drawn for this."""
        unseeded = asdict(replace(self.generation, seed=0))
        return files.key(unseeded, self.endpoint.version, self.caller, "seed")


@dataclass(frozen=True)
class Answer:
    painted: Painted
    seed: int  # drawn, where none was asked for
    hit: bool  # an earlier picture, from the cache
