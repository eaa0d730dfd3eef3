"""Where the things of a scene stand: which drawing, in which colour, where and how large.

Things that belong together (a rider, its horse and its hat) form a cluster, measured in units of
the picture's shorter side. Clusters are then arranged on the ground, in the sky and far away.
"""

import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from imagemill.pico.clusters import ATTACH, FITS, TIGHT, Box, Cluster, Fit, extent, kind
from imagemill.pico.concepts import concepts
from imagemill.pico.lettering import clipped, line, lines_of, measured, printed, written
from imagemill.pico.scene import LETTERS, PLACEMENTS, PLACES, Placement, Scene, Thing, Traits
from imagemill.pico.sizes import ALOFT, DIVERS, FLYERS, SHELTERS, SWIMMERS, TABLES

SINGLE = (0.62, 0.46, 0.38, 0.34, 0.32)  # extent of a usual thing when there are 1, 2, ... of them
MARGIN = 0.03
LEAST = 0.27  # extent of the smallest beside the largest: nothing is too small to be seen
PREFERRED = (0.0, 1.0, 0.68, 0.62, 0.6)  # how much one row is better than 2, 3 or 4 as large

# Fractions of the picture's height: where the ground begins, and where things stand.
HORIZON = dict.fromkeys(PLACES, 0.58) | {
    "studio": 0.68, "underwater": 0.84, "space": 1.0, "sky": 1.0, "room": 0.68, "bedroom": 0.68,
    "kitchen": 0.68, "bathroom": 0.68, "restaurant": 0.68, "library": 0.68, "stage": 0.7,
    "sea": 0.55, "beach": 0.5, "lake": 0.55, "moon": 0.64, "desert": 0.6, "forest": 0.62,
    "jungle": 0.64,
}  # fmt: skip
GROUND = dict.fromkeys(PLACES, 0.88) | {
    "studio": 0.84, "underwater": 0.92, "space": 0.8, "sky": 0.78, "sea": 0.8, "beach": 0.9,
    "lake": 0.94, "stage": 0.87,
}  # fmt: skip
WATER = {"sea": 0.8, "lake": 0.72, "beach": 0.66}  # where what swims lies
AFLOAT = frozenset({"space", "underwater", "sky", "sea"})  # no ground to stand on


def usual_place(things: Sequence[Thing]) -> str:
    """Where these things are when nothing is said: the first that has a place of its own."""
    for thing in things:
        known = concepts().get(thing.concept)
        if known and known.place in PLACES:
            return known.place
    out = {"person", "animal", "vehicle", "building", "plant", "nature"}
    return "meadow" if any(kind(t.concept) in out for t in things) else "studio"


def place_of(scene: Scene) -> str:
    return scene.place or usual_place(scene.things)


def _large(concept: str) -> bool:
    return extent(concept) > 1.4 and kind(concept) in ("building", "plant", "nature", "sky")


OPEN = frozenset({"under", "before", "behind", "at"})  # the sky is no neighbour in these


@dataclass
class Planner:
    """The things of one scene, on their way to placements."""

    scene: Scene
    traits: Traits
    rng: random.Random | None

    def __post_init__(self) -> None:
        self.place = place_of(self.scene)
        things = self.scene.things
        self.host: list[int | None] = []
        for i, thing in enumerate(things):
            of = thing.of if thing.relation in ATTACH else None
            if of is None or not 0 <= of < len(things) or of == i:
                self.host.append(None)
            elif kind(things[of].concept) == "sky" and thing.relation in OPEN:
                self.host.append(None)  # whatever is under the moon stands on the ground
            else:
                self.host.append(of)
        for i in range(len(things)):
            if self._circles(i):
                self.host[i] = None

    def _circles(self, i: int) -> bool:
        seen, at = {i}, self.host[i]
        while at is not None:
            if at in seen:
                return True
            seen.add(at)
            at = self.host[at]
        return False

    def uniform(self, low: float, high: float, usual: float) -> float:
        return self.rng.uniform(low, high) if self.rng else usual

    def trait(self, concept: str) -> Sequence[float]:
        return self.traits.get(concept, (1.0, 0.5, 0.2, 0.5, 0.0, 0.5))

    def box(self, thing: Thing, size: float) -> Box:
        aspect = min(8.0, max(0.125, self.trait(thing.concept)[0]))
        w, h = size * math.sqrt(aspect), size / math.sqrt(aspect)
        return Box(thing.concept, thing.colour, 0.0, -h / 2, w, h, letters=thing.letters)

    def children(self, i: int) -> list[int]:
        order = {"at": -1, "before": 1, "above": 3, "flies over": 4}
        held = [j for j, of in enumerate(self.host) if of == i]
        return sorted(held, key=lambda j: order.get(self.scene.things[j].relation, 0))

    def cluster(self, i: int) -> Cluster:
        """One of thing i, with all that hangs on it."""
        thing = self.scene.things[i]
        c = Cluster([self.box(thing, extent(thing.concept) * thing.size)])
        for j in self.children(i):
            self.attach(c, i, j)
        return c

    def attach(self, c: Cluster, i: int, j: int) -> None:
        host, thing = self.scene.things[i], self.scene.things[j]
        shared = host.count > 1 and thing.relation in TIGHT
        each = self.cluster(j)
        fit = FITS[thing.relation]
        if thing.relation == "under" and host.concept in SHELTERS:
            fit = Fit(0.45, 0.75, 0.8)
        if thing.relation == "on" and host.concept in TABLES:
            fit = Fit(0.25, 0.55, 0.5 if thing.count == 1 else 0.9)
        ratio = extent(thing.concept) / extent(host.concept)
        ratio = min(fit.most, max(fit.least, ratio)) * thing.size
        each = each.change(ratio * c.host.extent / each.host.extent)
        group = self.row([each] * (1 if shared else thing.count), 0.08 * each.width)
        widest = fit.width * c.host.w
        if thing.relation != "wears" and group.width > widest:
            group = group.change(max(widest / group.width, 0.25))
        group = group.footed()
        jitter = 0.02 * c.host.extent
        x, y = self.uniform(-jitter, jitter, 0), self.uniform(-jitter, jitter, 0)
        k = self.uniform(0.92, 1.08, 1)
        ATTACH[thing.relation](c, group.change(k, x=x, y=y), self.trait(host.concept))

    def row(self, clusters: Sequence[Cluster], gap: float) -> Cluster:
        out, right = Cluster(), 0.0
        for c in clusters:
            footed = c.footed()
            out.boxes += footed.change(x=right + footed.width / 2).boxes
            right += c.width + gap
        out.main = clusters[0].main
        return out

    # --- arrangement

    def counts(self) -> list[int]:
        """How many of each root: as many as there is room for."""
        roots = [i for i, of in enumerate(self.host) if of is None]
        room = PLACEMENTS - len(printed(self.scene.title)[:LETTERS])
        wanted = [max(1, min(6, self.scene.things[i].count)) for i in roots]
        sizes = [max(1, self.boxes(i)) for i in roots]
        while sum(n * s for n, s in zip(wanted, sizes, strict=True)) > room and max(wanted) > 1:
            wanted[wanted.index(max(wanted))] -= 1
        return wanted

    def boxes(self, i: int) -> int:
        cluster = self.cluster_of(i)
        return len(cluster.boxes) + sum(len(printed(b.letters)) for b in cluster.boxes)

    def cluster_of(self, i: int) -> Cluster:
        rng, self.rng = self.rng, None  # counting takes no chance
        try:
            return self.cluster(i)
        finally:
            self.rng = rng

    def zone(self, i: int, others: Iterable[int]) -> str:
        """Where a root belongs: "sky", "far", "water" or "ground"."""
        thing = self.scene.things[i]
        grounded, large = any(j != i for j in others), _large(thing.concept)
        if thing.concept in ALOFT or (kind(thing.concept) == "sky" and not large):
            return "sky"
        if thing.concept in FLYERS and (grounded or thing.count > 2) and not self.children(i):
            return "sky"
        if thing.concept in SWIMMERS and self.place in ("lake", "beach"):
            return "water"
        if self.place == "underwater" and thing.concept not in DIVERS:
            return "ground"
        if grounded and large and self.place not in AFLOAT:
            return "far"
        return "ground"

    def plan(self) -> list[Placement]:
        roots = [i for i, of in enumerate(self.host) if of is None]
        zones: dict[str, list[Cluster]] = {"sky": [], "far": [], "water": [], "ground": []}
        for i, n in zip(roots, self.counts(), strict=True):
            zone = self.zone(i, roots)
            for _ in range(n):
                c = self.cluster(i)
                if self.rng and self.rng.random() < 0.4:
                    c = c.mirrored()
                zones[zone].append(c)
        if self.scene.closeup and roots:
            return self.cut(self.closeup(zones, roots[0]))
        if self.rng:
            listed = any(t.relation == "beside" for t in self.scene.things)
            for clusters in zones.values():
                if not listed:
                    self.rng.shuffle(clusters)
                elif self.rng.random() < 0.5:
                    clusters.reverse()
        return self.cut(self.spread(zones))

    def cut(self, placements: list[Placement]) -> list[Placement]:
        title = self.title()
        return placements[: PLACEMENTS - len(title)] + title

    def top(self) -> float:
        """Below the title."""
        lines = self.title_lines()
        return MARGIN + (0.04 + 0.14 * len(lines) if lines else 0.0)

    def title_lines(self) -> list[str]:
        return lines_of(clipped(self.scene.title, LETTERS))

    def spread(self, zones: dict[str, list[Cluster]]) -> list[Placement]:
        sky, far, water, ground = zones["sky"], zones["far"], zones["water"], zones["ground"]
        if not ground and not water:
            ground, far = far, []
        place, top = self.place, self.top()
        foot = GROUND[place]
        standing = far + water + ground
        lower = max(top + 0.16, 0.42) if sky and standing else top
        out: list[Placement] = []
        if place in AFLOAT and not (place == "underwater" and not self._divers()):
            middle = (max(top, 0.36 if sky and standing else top) + 0.96) / 2
            out += self.rows(ground + water + far, lower, 0.95, middle, tall=0.62)
        elif far or (water and ground):
            back = far + water
            shore = WATER.get(place, HORIZON[place] + 0.35 * (foot - HORIZON[place]))
            out += self.rows(back, max(top, 0.12 if sky else top), shore, None, 0.5, aside=0.64)
            out += self.rows(ground, 0.4, min(0.96, foot + 0.03), None, 0.42, aside=0.3)
        else:
            base = WATER[place] if water else foot
            out += self.rows(water + ground, lower, base, None, 0.68)
        if sky:
            whole = not standing
            bottom = 0.92 if whole else max(0.42, top + 0.18)
            tall = 0.62 if whole else 0.26
            out = self.rows(sky, top, bottom, (top + bottom) / 2, tall, None, 0.06) + out
        return out

    def _divers(self) -> bool:
        return any(t.concept in DIVERS for t in self.scene.things)

    def closeup(self, zones: dict[str, list[Cluster]], first: int) -> list[Placement]:
        """The first thing fills the picture; others stand small in its corners."""
        concept = self.scene.things[first].concept
        clusters = [c for zone in zones.values() for c in zone]
        main = next(c for c in clusters if c.host.concept == concept)
        rest = [c for c in clusters if c is not main]
        top = self.top()
        k = min((0.97 - top) / main.height, 0.96 / main.width)
        k *= self.uniform(0.88, 1.0, 1.0)
        y = 0.97 - self.uniform(0, 1, 0.5) * (0.97 - top - k * main.height)
        out = self.anchor(main.footed().change(k), 0.5, y)
        if rest:
            out += self.rows(rest, 0.7, 0.98, None, 0.26, aside=0.3 if len(rest) == 1 else None)
        return out

    def rows(
        self,
        clusters: list[Cluster],
        top: float,
        foot: float,
        middle: float | None,
        tall: float,
        aside: float | None = None,
        stagger: float = 0.0,
    ) -> list[Placement]:
        """In one row or several, back to front, between `top` and `foot`; about `middle` if that
        is given. `aside`: where a single one stands, from the left. `stagger`: how far every
        second one of a row hangs lower.
        """
        if not clusters:
            return []
        n = len(clusters)
        clusters = [c.footed() for c in clusters]
        biggest = max(clusters, key=lambda c: c.host.extent).host
        own = biggest.extent
        clusters = [c.change(max(1.0, LEAST * own / c.host.extent)) for c in clusters]
        cap = SINGLE[min(n, 5) - 1] * min(own, 2.0) ** 0.45 / own
        cap = min(cap, tall / max(c.host.h for c in clusters))
        apart = MARGIN + (stagger if n > 1 else 0.0)
        splits = [_split(clusters, r) for r in range(1, min(4, n) + 1)]
        rows = max(
            splits, key=lambda split: self._fit(split, top, foot, apart) * PREFERRED[len(split)]
        )
        k = min(cap, self._fit(rows, top, foot, apart)) * self.uniform(0.85, 1.0, 1.0)
        used = sum(max(c.height for c in row) * k + apart for row in rows) - apart
        if middle is not None:
            foot = min(foot, middle + used / 2)
        out: list[Placement] = []
        y = foot
        for row in reversed(rows):
            out = self._line(row, k, y, aside if n == 1 else None, stagger) + out
            y -= max(c.height for c in row) * k + apart
        return out

    def _fit(
        self, rows: Sequence[Sequence[Cluster]], top: float, foot: float, apart: float
    ) -> float:
        """The scale at which rows fill the room."""
        wide = max(
            sum(c.width for c in row) / (1 - 2 * MARGIN - 0.03 * (len(row) - 1)) for row in rows
        )
        high = sum(max(c.height for c in row) for row in rows)
        return min(1 / wide, (foot - top - apart * (len(rows) - 1)) / high)

    def _line(
        self, row: Sequence[Cluster], k: float, y: float, aside: float | None, stagger: float
    ) -> list[Placement]:
        free = 1 - 2 * MARGIN - sum(c.width for c in row) * k
        gap = free / (len(row) + 1) if len(row) > 1 else 0.0
        gap = min(gap, 0.12)
        x = 0.5 - (sum(c.width for c in row) * k + gap * (len(row) - 1)) / 2
        out: list[Placement] = []
        for n, c in enumerate(row):
            half = c.width * k / 2
            down = stagger * (n % 2 - 0.5) if len(row) > 1 else 0.0
            middle = (
                x + half if aside is None else min(1 - MARGIN - half, max(MARGIN + half, aside))
            )
            loose = min(0.4 * gap, 0.03) if len(row) > 1 else min(0.06, (1 - 2 * half) / 3)
            middle += self.uniform(-loose, loose, 0)
            middle = min(1 - 0.005 - half, max(0.005 + half, middle))
            lift = min(0.02, 0.4 * MARGIN)
            out += self.anchor(c.change(k), middle, y + down + self.uniform(-lift, lift, 0))
            x += 2 * half + gap
        return out

    def anchor(self, c: Cluster, x: float, y: float) -> list[Placement]:
        """A footed cluster with its foot there, kept on the picture."""
        _, top, _, _ = c.edges
        y = min(0.99, max(y, 0.01 - top))
        out: list[Placement] = []
        letters: list[Placement] = []
        for b in c.boxes:
            out.append(Placement(b.concept, b.colour, x, y, b.x, b.y, b.w, b.h, b.flip))
            if b.letters:
                letters += written(b, self.traits, x, y)
        return out + letters

    def title(self) -> list[Placement]:
        lines = self.title_lines()
        if not lines:
            return []
        colour = self.rng.choice(("", "", "yellow", "red", "pink", "cyan")) if self.rng else ""
        longest = max(measured(each, self.traits)[1] for each in lines) or 1.0
        cap = min(0.88 / longest, 0.1) * self.uniform(0.9, 1.0, 1.0)
        out: list[Placement] = []
        for n, text in enumerate(lines):
            out += line(text, self.traits, cap, colour, (0.5, 0.0), 0.0, MARGIN + 0.11 + 0.14 * n)
        return out


def _split(clusters: Sequence[Cluster], rows: int) -> list[list[Cluster]]:
    """Taller ones further back, in rows as equal as may be; each row in the order given."""
    if rows == 1:
        return [list(clusters)]
    order = sorted(range(len(clusters)), key=lambda i: -clusters[i].height)
    cuts = [len(order) * r // rows for r in range(rows + 1)]
    return [[clusters[i] for i in sorted(order[a:b])] for a, b in pairwise(cuts)]


def layout(scene: Scene, traits: Traits, rng: random.Random | None) -> list[Placement]:
    """The drawings of a scene from back to front. Without `rng`, the same scene gives the same
    placements; with it, positions, sizes, order and facing vary a little.
    """
    return Planner(scene, traits, rng).plan()
