"""Where a thing goes that comes into an image: as `layout` has it beside its host, or where there
is room.
"""

from dataclasses import dataclass

import torch
from torch.nn import functional as F

from imagemill.pico.concepts import traits
from imagemill.pico.editing.finding import Sighting
from imagemill.pico.layout import GROUND, layout
from imagemill.pico.matching import Box
from imagemill.pico.reading.changes import Noun
from imagemill.pico.scene import Placement, Scene, Thing
from imagemill.pico.sizes import ALOFT, FLYERS

ALONE = 0.6  # of its usual size, for what stands beside others that are not named
SPOTS = 9  # that are tried across the image
HIGH = 0.24  # of the height: where what flies is
FOOT = 0.9  # of the height: where what stands is, where the place is not known


@dataclass(frozen=True)
class Put:
    """One drawing that comes into the image. behind: it is covered by its host."""

    box: Box
    mirrored: bool
    behind: bool = False


def beside_host(noun: Noun, host: Noun, sighting: Sighting, size: tuple[int, int]) -> list[Put]:
    """Next to what was found. size: height and width in px."""
    relation = noun.relation or "beside"
    things = (
        Thing(host.concept),
        Thing(noun.concept, size=noun.size, count=max(1, noun.count), relation=relation, of=0),
    )
    placed = layout(Scene(things), traits(), None)
    own = next((i for i, each in enumerate(placed) if each.concept == host.concept), None)
    if own is None or noun.concept == host.concept:
        return [_aside(sighting, size)]
    turned = placed[own].flip != sighting.mirrored
    out = []
    for i, each in enumerate(placed):
        if each.concept == noun.concept:
            box = _relative(each, placed[own], sighting.box, turned)
            out.append(Put(_kept(box, size), each.flip != turned, i < own))
    if relation == "beside":
        out = [_roomier(put, sighting, size) for put in out]
    return out


def _side(placed: Placement) -> float:
    return max(placed.width, placed.height)


def _relative(each: Placement, own: Placement, box: Box, turned: bool) -> Box:
    scale = box.side / _side(own)
    dx = (each.anchor_x + each.dx) - (own.anchor_x + own.dx)
    dy = (each.anchor_y + each.dy) - (own.anchor_y + own.dy)
    return Box(box.x + (-dx if turned else dx) * scale, box.y + dy * scale, _side(each) * scale)


def _kept(box: Box, size: tuple[int, int]) -> Box:
    """Within the image; what reaches over its upper edge is smaller, and stands where it stood."""
    height, width = size
    foot = min(height, box.y + box.side / 2)
    side = min(box.side, 0.95 * min(size), max(foot, 0.4 * box.side))
    return Box(min(width - side / 2, max(side / 2, box.x)), max(side / 2, foot - side / 2), side)


def _roomier(put: Put, sighting: Sighting, size: tuple[int, int]) -> Put:
    """On the side of its host that has more room, as small as fits there but half its host."""
    host, width = sighting.box, size[1]
    right = host.x < width / 2
    room = width - (host.x + 0.42 * host.side) if right else host.x - 0.42 * host.side
    side = min(put.box.side, 1.2 * host.side, max(room, 0.5 * host.side))
    gap = 0.46 * (host.side + side)
    x = host.x + gap if right else host.x - gap
    foot = put.box.y + put.box.side / 2
    return Put(_kept(Box(x, foot - side / 2, side), size), put.mirrored, put.behind)


def with_room(puts: list[Put], sighting: Sighting, others: torch.Tensor) -> list[Put]:
    """The same on another part of its host, where there is more room. others: how far each pixel is
    taken by other things, (1, h, w).
    """
    if len(puts) != 1:
        return puts
    box, host, size = puts[0].box, sighting.box, (others.shape[1], others.shape[2])
    reach = max(0.0, (host.side - box.side) / 2)
    shifts = sorted((step / 4 * reach for step in range(-4, 5)), key=abs)
    boxes = [_kept(Box(box.x + shift, box.y, box.side), size) for shift in shifts]
    taken = [float(_within(others, each).mean()) + 0.03 * abs(i) for i, each in enumerate(boxes)]
    return [Put(boxes[taken.index(min(taken))], puts[0].mirrored, puts[0].behind)]


def _within(plane: torch.Tensor, box: Box) -> torch.Tensor:
    top, left = (max(0, round(n - box.side / 2)) for n in (box.y, box.x))
    return plane[:, top : round(box.y + box.side / 2), left : round(box.x + box.side / 2)]


def _aside(sighting: Sighting, size: tuple[int, int]) -> Put:
    return _roomier(Put(sighting.box, sighting.mirrored), sighting, size)


def by_itself(noun: Noun, occupied: torch.Tensor, place: str) -> list[Put]:
    """Where the image is emptiest. occupied: how far each pixel is taken, (1, h, w)."""
    size = (occupied.shape[1], occupied.shape[2])
    thing = Thing(noun.concept, size=noun.size, count=max(1, noun.count))
    placed = [p for p in layout(Scene((thing,)), traits(), None) if p.concept == noun.concept]
    if not placed:
        return []
    scale, height = ALONE * min(size), size[0]
    left = min(p.anchor_x + p.dx - _side(p) / 2 for p in placed)
    right = max(p.anchor_x + p.dx + _side(p) / 2 for p in placed)
    foot = max(p.anchor_y + p.dy + p.height / 2 for p in placed)
    flies = noun.concept in ALOFT or noun.concept in FLYERS
    level = HIGH * height if flies else GROUND.get(place, FOOT) * height
    span, tall = (right - left) * scale, max(_side(p) for p in placed) * scale
    at = _emptiest(occupied, span, tall, level, flies)
    out = []
    for p in placed:
        x = at + ((p.anchor_x + p.dx) - (left + right) / 2) * scale
        below = (foot - (p.anchor_y + p.dy)) * scale
        y = level if flies else level - below
        out.append(Put(_kept(Box(x, y, _side(p) * scale), size), p.flip))
    return out


def _emptiest(occupied: torch.Tensor, span: float, tall: float, level: float, flies: bool) -> float:
    """The middle, in px from the left, of the emptiest spot."""
    height, width = occupied.shape[1:]
    top = max(0, round(level - tall / 2 if flies else level - tall))
    rows = occupied[0, top : max(top + 1, min(height, round(top + tall)))].mean(0)
    reach = max(1, min(width, round(span)))
    means = F.avg_pool1d(rows[None, None], reach, 1)[0, 0]
    starts = torch.linspace(0, len(means) - 1, SPOTS).round().long()
    # Of spots that are as empty, one a third from an edge.
    liking = 0.02 * ((starts + reach / 2) / width - 0.68).abs()
    best = int((means[starts] + liking.to(means)).argmin())
    return float(starts[best]) + reach / 2
