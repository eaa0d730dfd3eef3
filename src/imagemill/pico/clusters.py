"""Things that belong together, such as a rider, its horse and its hat, form a cluster.

Everything here is in units of the picture's shorter side, counted from the cluster's foot.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from imagemill.pico.concepts import concepts
from imagemill.pico.sizes import KINDS, NAMED, RIDDEN, SEATS, SHELTERS, TABLES, names


@dataclass(frozen=True)
class Box:
    """A drawing within a cluster: its middle, from the cluster's foot; y grows downwards."""

    concept: str
    colour: str
    x: float
    y: float
    w: float
    h: float
    flip: bool = False
    letters: str = ""

    @property
    def extent(self) -> float:
        return math.sqrt(self.w * self.h)


@dataclass
class Cluster:
    """Boxes from back to front, and which of them the others hang on."""

    boxes: list[Box] = field(default_factory=list)
    main: int = 0

    @property
    def host(self) -> Box:
        return self.boxes[self.main]

    @property
    def edges(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom."""
        return (
            min(b.x - b.w / 2 for b in self.boxes),
            min(b.y - b.h / 2 for b in self.boxes),
            max(b.x + b.w / 2 for b in self.boxes),
            max(b.y + b.h / 2 for b in self.boxes),
        )

    @property
    def width(self) -> float:
        left, _, right, _ = self.edges
        return right - left

    @property
    def height(self) -> float:
        _, top, _, bottom = self.edges
        return bottom - top

    def change(self, k: float = 1.0, x: float = 0.0, y: float = 0.0) -> "Cluster":
        """Scaled about its foot, then moved."""
        moved = [replace(b, x=b.x * k + x, y=b.y * k + y, w=b.w * k, h=b.h * k) for b in self.boxes]
        return Cluster(moved, self.main)

    def mirrored(self) -> "Cluster":
        return Cluster([replace(b, x=-b.x, flip=not b.flip) for b in self.boxes], self.main)

    def footed(self) -> "Cluster":
        """Its middle at x = 0 and its foot at y = 0."""
        left, _, right, bottom = self.edges
        return self.change(x=-(left + right) / 2, y=-bottom)

    def behind(self, other: "Cluster") -> None:
        self.boxes[self.main : self.main] = other.boxes
        self.main += len(other.boxes)

    def before(self, other: "Cluster") -> None:
        self.boxes += other.boxes


# --- concepts


def kind(concept: str) -> str:
    known = concepts().get(concept)
    return known.kind if known else "object"


def extent(concept: str) -> float:
    """The square root of a drawing's area among others."""
    return math.pow(NAMED.get(concept, KINDS[kind(concept)]), 0.75)


# --- how one thing stands to another; what is beside another stands by itself


@dataclass(frozen=True)
class Fit:
    """How large the other thing is beside its host: the least and the most of the ratio of their
    extents, and the most of the ratio of their widths.
    """

    least: float
    most: float
    width: float


FITS = {
    "rides": Fit(0.5, 0.75, 0.75), "holds": Fit(0.28, 0.45, 0.55),
    "wears": Fit(0.2, 1.0, 9), "sits on": Fit(0.4, 0.75, 0.85), "on": Fit(0.3, 0.8, 0.95),
    "in": Fit(0.4, 0.8, 0.72), "under": Fit(0.28, 0.5, 0.7), "behind": Fit(0.75, 1.8, 9),
    "before": Fit(0.3, 0.62, 0.8), "above": Fit(0.3, 0.9, 1.4), "flies over": Fit(0.3, 0.7, 1.2),
    "at": Fit(0.6, 1.1, 1.0),
}  # fmt: skip
TIGHT = frozenset({"rides", "holds", "wears", "sits on", "on", "in"})  # one for each of several
EYES = names("glasses, sunglasses, goggles, diving mask")
LOWER = names(
    "jeans, shorts, skirt, socks, boot, shoe, sneaker, hiking boot, flat shoe, high heel, sandal,"
    "flip-flop, ballet shoes, bikini, swimsuit"
)
NECK = names(
    "necktie, bow tie, scarf, necklace, beads, medal, gold medal, silver medal, bronze medal,"
    "ribbon, stethoscope, bell"
)


def _rides(c: Cluster, g: Cluster, t: Sequence[float]) -> None:
    host = c.host
    flat = host.w > 2.2 * host.h or host.concept in SEATS
    x, y = _saddle(host, t)
    if host.concept in RIDDEN:
        x, y = host.x, host.y + (RIDDEN[host.concept] - 0.5) * host.h
    overlap = 0.06 if flat else 0.2
    moved = g.change(x=x, y=y + overlap * g.height)
    if flat:
        c.before(moved)
    else:
        c.behind(moved)


def _saddle(host: Box, t: Sequence[float]) -> tuple[float, float]:
    """Where one sits on it."""
    seat = SEATS.get(host.concept)
    if seat is not None:
        return host.x, host.y + (seat - 0.5) * host.h
    return host.x + (t[1] - 0.5) * host.w, host.y + (t[2] - 0.5) * host.h


def _on(c: Cluster, g: Cluster, t: Sequence[float]) -> None:
    x, y = _saddle(c.host, t)
    x = c.host.x if g.width > 0.5 * c.host.w else x
    if len(c.boxes) > 1:  # somebody is at it already, whom this should not hide
        g = g.change(0.8)
        x = c.host.x - 0.5 * c.host.w + 0.5 * g.width
    c.before(g.change(x=x, y=y + 0.05 * g.height))


def _in(c: Cluster, g: Cluster, t: Sequence[float]) -> None:
    host = c.host
    of = kind(host.concept)
    if of in ("building", "nature") or host.concept in SEATS:
        c.before(g.change(x=host.x, y=host.y + 0.46 * host.h))
    elif of == "plant":
        c.before(g.change(x=host.x, y=host.y + 0.05 * host.h))
    else:  # it looks over the rim
        rim = host.y + (t[2] - 0.5) * host.h
        c.behind(g.change(x=host.x, y=rim + min(0.42 * g.height, 0.36 * host.h)))


def _under(c: Cluster, g: Cluster, t: Sequence[float]) -> None:
    host = c.host
    foot = host.y + host.h / 2
    if host.concept in SHELTERS:  # the top of its head below the roof
        c.behind(g.change(x=host.x, y=host.y - 0.02 * host.h + g.height))
    elif kind(host.concept) in ("furniture", "plant", "building", "nature"):
        beside = 0.2 * host.w if kind(host.concept) == "plant" else 0.0
        c.before(g.change(x=host.x - beside, y=foot + 0.02))
    else:  # it hangs over the thing
        c.before(g.change(x=host.x, y=foot + 0.06 * host.h + g.height))


def _behind(c: Cluster, g: Cluster, t: Sequence[float]) -> None:
    host = c.host
    short = g.height < host.h * 1.1
    x = host.x + (0.5 * host.w + 0.1 * g.width if short else 0.22 * host.w)
    c.behind(g.change(x=x, y=host.y + host.h / 2 - 0.08 * host.h))


def _before(c: Cluster, g: Cluster, t: Sequence[float]) -> None:
    host = c.host
    x = host.x - max(0.0, 0.5 * (host.w - 0.6 * g.width)) * 0.6
    c.before(g.change(x=x, y=host.y + host.h / 2 + 0.1 * host.h))


def _above(c: Cluster, g: Cluster, t: Sequence[float]) -> None:
    c.before(g.change(x=c.host.x, y=c.edges[1] - 0.1 * c.host.h))


def _flies_over(c: Cluster, g: Cluster, t: Sequence[float]) -> None:
    c.before(g.change(x=c.host.x + 0.12 * c.host.w, y=c.edges[1] - 0.22 * c.host.h))


def _at(c: Cluster, g: Cluster, t: Sequence[float]) -> None:
    host = c.host
    if host.concept in TABLES:
        x = host.x + 0.12 * host.w
        c.behind(g.change(x=x, y=host.y + (t[2] - 0.5) * host.h + 0.3 * g.height))
    else:
        c.before(g.change(x=host.x - 0.3 * host.w, y=host.y + 0.54 * host.h))


def _holds(c: Cluster, g: Cluster, t: Sequence[float]) -> None:
    host = c.host
    if kind(host.concept) == "animal":  # at its mouth; they face left
        c.before(g.change(x=host.x - 0.36 * host.w, y=host.y + 0.46 * host.h))
    else:  # in a hand beside it
        c.before(g.change(x=host.x - 0.44 * host.w, y=host.y + 0.53 * host.h))


def _wears(c: Cluster, g: Cluster, t: Sequence[float]) -> None:
    host, worn = c.host, g.host.concept
    wide = t[5] * host.w
    x, top = host.x + (t[3] - 0.5) * host.w, host.y + (t[4] - 0.5) * host.h
    if worn in EYES:
        c.before(_wide(g, 0.85 * wide, x, top + (0.6 if t[5] > 0.5 else 0.68) * wide))
    elif worn in NECK:
        c.before(_wide(g, 0.5 * wide, x, min(host.y + 0.5 * host.h, top + 1.35 * wide)))
    elif worn == "headphones":
        c.before(_wide(g, 1.16 * wide, x, top + 0.85 * wide))
    elif kind(worn) == "clothing":
        _clothes(c, g, t)
    else:
        across = min(max(0.95 * wide, 0.3 * host.w), 0.78 * host.w)
        across = min(across, 0.55 * host.h * g.width / g.height)
        sunk = 0.24 * across * g.height / g.width
        c.before(_wide(g, across, x, top + sunk))


def _clothes(c: Cluster, g: Cluster, t: Sequence[float]) -> None:
    """On the body; below what is only a head, or a bust that trousers have no room on."""
    host, lower = c.host, g.host.concept in LOWER
    being = kind(host.concept)
    if host.h > 1.6 * host.w:  # somebody who stands
        high = 1.02 * host.w / g.width * g.height
        foot = 0.46 * host.h if lower else 0.5 * high - 0.12 * host.h
        c.before(_wide(g, 1.02 * host.w, host.x, host.y + foot))
    elif being == "face" or t[5] > 0.8 or (being == "person" and lower):
        below = _wide(g, 0.85 * host.w, host.x, 0)
        c.behind(below.change(y=host.y + 0.4 * host.h + below.height))
    else:
        across = min(0.7 * host.w, 0.7 * host.h * g.width / g.height)
        c.before(_wide(g, across, host.x, host.y + 0.53 * host.h))


def _wide(g: Cluster, across: float, x: float, foot: float) -> Cluster:
    """So wide, with its foot there."""
    return g.change(across / g.width, x=x, y=foot)


ATTACH: dict[str, Callable[[Cluster, Cluster, Sequence[float]], None]] = {
    "rides": _rides, "holds": _holds, "wears": _wears, "sits on": _on, "on": _on,
    "in": _in, "under": _under, "behind": _behind, "before": _before, "above": _above,
    "flies over": _flies_over, "at": _at,
}  # fmt: skip
