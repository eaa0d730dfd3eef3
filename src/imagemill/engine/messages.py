"""What passes between a server and its engine process, and how the process is set up."""

from collections.abc import Mapping
from dataclasses import dataclass

from imagemill.engine.events import Event
from imagemill.generation import Generation, Input


@dataclass(frozen=True)
class Options:
    """threads: of the engine's arithmetic at most, None for one a processor. budget: cost of one
    forward, None for the device's own. preload: sources loaded before the engine says that it is
    ready. beat: seconds between its signs of life."""

    threads: int | None = None
    budget: int | None = None
    preload: tuple[str, ...] = ()
    beat: float = 1.0


@dataclass(frozen=True)
class Submit:
    id: str
    generation: Generation
    source: str
    inputs: Mapping[str, Input]
    previews: bool


@dataclass(frozen=True)
class Cancel:
    id: str


@dataclass(frozen=True)
class Close:
    """Ends the process at once."""


@dataclass(frozen=True)
class Ready:
    """Every preloaded model is there but those at `failed`, which cannot be loaded; `why` are the
    reasons, as far as they are known, for everybody to read."""

    failed: tuple[str, ...] = ()
    why: tuple[str, ...] = ()


@dataclass(frozen=True)
class Loading:
    """The model at `source` is being loaded; None: no more."""

    source: str | None


@dataclass(frozen=True)
class Beat:
    """A sign of life, from a thread of its own. turns: grows as long as all forwards end in time.
    loading: whether some model is being loaded."""

    turns: int
    loading: bool


@dataclass(frozen=True)
class Said:
    id: str
    event: Event


Heard = Ready | Loading | Beat | Said  # what the process says
