"""What comes back from an upstream, whichever API it speaks."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class RemoteImages:
    """The images of a request, still as the upstream tells of them."""

    #: In order: URLs, data URIs or bare base64.
    places: tuple[str, ...]
    #: For each, whether the upstream flagged it; empty where it says nothing of it.
    flagged: tuple[bool, ...] = ()
    #: What it was painted for, by unit, as the upstream counts it.
    cost: Mapping[str, float] = field(default_factory=dict)
    #: What painted, where the upstream tells.
    served_by: str | None = None
    #: What the upstream says that it did not heed.
    ignored: tuple[str, ...] = ()


@dataclass(frozen=True)
class RemoteState:
    """How far a request is."""

    #: Its log so far.
    lines: tuple[str, ...] = ()
    #: What came of it; None while it is under way.
    images: RemoteImages | None = None
