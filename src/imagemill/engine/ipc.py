"""What passes between a server and its engine process, and how the process is set up."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from imagemill.engine.events import Event
from imagemill.errors import Fault
from imagemill.generation import Generation, Input


@dataclass(frozen=True)
class SafetyOptions:
    """What looks at finished images, and from where on it flags them."""

    #: 0 to 1: a score that is not below it is flagged.
    threshold: float = 0.8
    #: Folder or Hub id of a StableDiffusionSafetyChecker; None for the checker that is installed.
    weights: str | None = None


@dataclass(frozen=True)
class Options:
    """threads: of the engine's arithmetic at most, None for one a processor. budget: cost of one
    forward, None for the device's own. memory: bytes that models may take on the engine's device,
    None for a share of what is free at the start. preload: sources loaded before the engine says
    that it is ready, as far as there is room. beat: seconds between its signs of life. device: the
    only one that the process sees, None for whatever it finds. engines: that share the machine's
    memory. known: sources that may be wanted, of which those that never have room are told early.
    safety: what looks at finished images, where that is wanted. matte: what finds the foreground of
    an image, an ONNX file; None for what is installed.
    """

    threads: int | None = None
    budget: int | None = None
    preload: tuple[str, ...] = ()
    beat: float = 1.0
    memory: int | None = None
    device: str | None = None
    engines: int = 1
    known: tuple[str, ...] = ()
    safety: SafetyOptions = SafetyOptions()
    matte: str | None = None


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
class Warm:
    """Somebody will want the model at `source`."""

    source: str


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
class Held:
    """The models that are there now, by source. refused: those that never can be, and why."""

    sources: frozenset[str]
    refused: Mapping[str, Fault] = field(default_factory=dict)


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


Heard = Ready | Loading | Held | Beat | Said  # what the process says
