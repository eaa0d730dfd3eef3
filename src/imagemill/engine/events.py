"""What the engine says of a generation while it is painted, and of itself."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Protocol

from imagemill.errors import Fault
from imagemill.generation import GeneratedImages, Generation, Input
from imagemill.generation import Progress as Progress


@dataclass(frozen=True)
class Begun:
    """The work is in the engine's hands, and may from then on be what kills it. Comes again where
    the engine has died."""


@dataclass(frozen=True)
class HeldBack:
    """The engine has died with the work, and tries it again later; Begun tells when. Till then it
    takes no place there."""


@dataclass(frozen=True)
class Preview:
    """How far a picture has come: a small JPEG. step, steps: of the picture `index` alone."""

    step: int
    steps: int
    index: int
    picture: bytes


@dataclass(frozen=True)
class Remark:
    """What whoever paints says of the work, for its log: a line."""

    message: str


@dataclass(frozen=True)
class Finished:
    painted: GeneratedImages


@dataclass(frozen=True)
class Failed:
    fault: Fault


Event = Begun | HeldBack | Progress | Preview | Remark | Finished | Failed

NO_INPUTS: Mapping[str, Input] = MappingProxyType({})


CLOSING_SECONDS = 5.0


class State(StrEnum):
    STARTING = "starting"  # for the first time
    READY = "ready"
    DEGRADED = "degraded"  # it died, and is or will be started again
    DEAD = "dead"  # closed, or never started


class Engine(Protocol):
    """The seam between service and engine; an engine may be a process, or one day a cluster."""

    async def start(self) -> None:
        """Begins starting; does not wait for the model."""

    def submit(
        self,
        id: str,
        generation: Generation,
        source: str,
        inputs: Mapping[str, Input] = NO_INPUTS,
        previews: bool = False,
    ) -> AsyncIterator[Event]:
        """Paints with the weights at `source` ("pico", a folder or a Hub id); ends with Finished or
        Failed.

        inputs: what the generation's references stand for: `image` and `mask` as PNG, the mask
        white where is painted, LoRAs as files of safetensors. previews: whether some are wanted.
        Closing the iterator cancels.
        """

    def cancel(self, id: str) -> None:
        """Stops the work within two steps; its iterator ends with Failed of kind CANCELLED."""

    def refusal(self, source: str) -> Fault | None:
        """Why nothing can ever be painted with the model at `source`; None where something can, and
        as long as nobody knows.
        """

    def warm(self, source: str) -> float:
        """Seconds until the model at `source` is there, about; 0 where it is. Where it is not, it
        is loaded from now on.
        """

    @property
    def state(self) -> State: ...

    @property
    def trouble(self) -> str:
        """What keeps it from painting all that it should, for everybody to read; else empty."""

    @property
    def resting(self) -> float:
        """Seconds until it is started again; 0 where it is there or on its way."""

    async def close(self, seconds: float = CLOSING_SECONDS) -> None:
        """What is in flight fails. seconds: that its process has to end by itself."""
