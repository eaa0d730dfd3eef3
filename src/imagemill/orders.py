"""Orders: what a dialect asks of the service; and answers to raw calls."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from imagemill import files
from imagemill.catalog import Endpoint
from imagemill.generation import Generation, Painted
from imagemill.job import Priority


@dataclass(frozen=True)
class Order:
    """A generation and how it may be answered.

    cacheable: an earlier picture of the same will do. drawn: the seed was drawn by us, so any seed
    will do. wait: for a model that is loading. begin_within: seconds after which it has failed if
    it was not begun. The others are as in Job.
    """

    generation: Generation
    endpoint: Endpoint
    cacheable: bool = True
    drawn: bool = False
    wait: bool = False
    door: str = ""
    caller: str = ""
    priority: Priority = Priority.NORMAL
    attended: bool = False
    begin_within: float | None = None
    callback: str | None = None
    keep: float | None = None
    public: bool = True
    stored: bool = True
    wire: Mapping[str, Any] = field(default_factory=dict)

    @property
    def seeded(self) -> str:
        """The key of this very picture."""
        return files.key(asdict(self.generation), self.endpoint.version)

    @property
    def unseeded(self) -> str:
        """The key under which the seed is kept that was drawn for this."""
        return files.key(asdict(replace(self.generation, seed=0)), self.endpoint.version, "seed")


@dataclass(frozen=True)
class Answer:
    painted: Painted
    seed: int  # drawn, where none was asked for
    hit: bool  # an earlier picture, from the cache
