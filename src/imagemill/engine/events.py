"""What the engine says of a generation while it is painted, and of itself."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from imagemill.errors import Fault
from imagemill.generation import Generation, Painted


@dataclass(frozen=True)
class Progress:
    step: int  # done, over all pictures and stages
    steps: int


@dataclass(frozen=True)
class Finished:
    painted: Painted


@dataclass(frozen=True)
class Failed:
    fault: Fault


Event = Progress | Finished | Failed


class State(StrEnum):
    STARTING = "starting"
    READY = "ready"
    DEAD = "dead"


class Engine(Protocol):
    """The seam between service and engine; an engine may be a process, or one day a cluster."""

    async def start(self) -> None:
        """Begins starting; does not wait for the model."""

    def submit(self, id: str, generation: Generation, source: str) -> AsyncIterator[Event]:
        """Paints with the weights at `source` ("pico", a folder or a Hub id); ends with Finished or
        Failed.

        Closing the iterator cancels.
        """

    def cancel(self, id: str) -> None:
        """Stops the work within two steps; its iterator ends with Failed of kind CANCELLED."""

    @property
    def state(self) -> State: ...

    async def close(self) -> None: ...
