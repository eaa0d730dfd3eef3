"""What an instruction asks to change in an image, as values."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Noun:
    """A thing that an instruction names."""

    #: A name of `concepts.tsv`.
    concept: str
    #: The word for it.
    said: str
    #: One of COLOURS that it has, or "" where none is said.
    colour: str = ""
    #: 1 is usual.
    size: float = 1.0
    #: How many, 0 where that is not said.
    count: int = 0
    #: The number of the image that it is in, from 0; None where that is not said.
    image: int | None = None
    #: One of RELATIONS, to `of`.
    relation: str = ""
    of: "Noun | None" = None


@dataclass(frozen=True)
class Recolour:
    noun: Noun
    colour: str


@dataclass(frozen=True)
class Resize:
    noun: Noun
    #: What its side is multiplied by.
    factor: float


@dataclass(frozen=True)
class Add:
    noun: Noun


@dataclass(frozen=True)
class Remove:
    noun: Noun


@dataclass(frozen=True)
class Replace:
    noun: Noun
    by: Noun


@dataclass(frozen=True)
class Move:
    noun: Noun
    #: Shares of the image's width and height; 0 where `noun.relation` says where.
    across: float = 0.0
    down: float = 0.0


@dataclass(frozen=True)
class Restyle:
    #: One of STYLES.
    style: str


@dataclass(frozen=True)
class Resettle:
    """Another surrounding; "" for what stays."""

    place: str = ""
    time: str = ""
    weather: str = ""


Change = Recolour | Resize | Add | Remove | Replace | Move | Restyle | Resettle


@dataclass(frozen=True)
class Instruction:
    """changes: in order; none where the prompt is no instruction, or none that is understood.
    base: the number of the image that is changed, from 0; None where that is not said.
    """

    changes: tuple[Change, ...] = ()
    base: int | None = None
