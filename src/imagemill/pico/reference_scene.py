"""A scene with a reference: its thing is drawn into the sketch, and its ground colours the place.

Where the scene has the same thing, that turns into the reference's; else it joins what is there,
which makes room. The background takes on the reference's colours. All of it the more, the higher
the scale, and within a mask where there is one.
"""

from collections.abc import Sequence

import torch
from torch.nn import functional as F

from imagemill.pico.looks import (
    CELLS,
    CODES,
    FIELDS,
    Choice,
    Field,
    Sketcher,
    recoloured,
    style_of,
    turns,
)
from imagemill.pico.matching import Box
from imagemill.pico.reference import (
    DEVIATIONS,
    DIM,
    GROUND,
    HIGH,
    KNOWN,
    LIKEST,
    MASK,
    MEANS,
    SCALE,
    THING,
    WIDE,
    features,
    likeness,
)
from imagemill.pico.scene import PLACEMENTS
from imagemill.pico.stylising import stylised

SAME, MARGIN = 0.5, 0.03  # a thing of the scene is the reference's: at least so like, and so nearly
# the likest of all looks
USUAL, BESIDE = 0.6, 0.44  # sides of a thing alone, and beside others
FOOT = 0.92  # of the height, where a thing stands
ASIDE = 0.34  # of the picture, that others make room for it at a scale of 1
TINT = 0.7  # of the way to the colours of the reference's ground, at a scale of 1
CONTRAST = (0.4, 1.5)  # the least and most that a ground's contrast is multiplied with


def sketched(
    sketcher: Sketcher, rows: torch.Tensor, choice: Choice, reference: torch.Tensor,
    size: tuple[int, int],
) -> torch.Tensor:  # fmt: skip
    """As the sketcher draws a scene, with a reference: rows (ROWS, DIM), reference (2, DIM), to
    (4, height, width).
    """
    plain, other = (rows.new_zeros(4, *size) for _ in range(2))
    scale = float(reference[GROUND, SCALE])
    where = reference[GROUND, FIELDS : FIELDS + MASK**2].view(1, 1, MASK, MASK)
    sketcher.behind_things(rows, choice, plain)
    other.copy_(plain)
    sketcher.things(rows, choice, plain)
    share = F.interpolate(where, size, mode="bilinear")[0]
    other[:3] = _tinted(other[:3], reference[GROUND], min(1.0, TINT * scale), share[0])
    sketcher.things(_joined(sketcher, rows, choice, reference, size), choice, other)
    sketch = plain + share * (other - plain)
    sketch[:3] = stylised(sketch[:3], style_of(rows, choice))
    return sketch


def _tinted(
    colours: torch.Tensor, ground: torch.Tensor, share: float, where: torch.Tensor
) -> torch.Tensor:
    """Colours, -1 to 1, on their way to those of the reference's ground, which are 0 to 1. where:
    (h, w), what counts.
    """
    values, weight = colours.flatten(1), where.flatten() / where.sum().clamp(min=1e-6)
    mean = (values * weight).sum(1)[:, None]
    deviation = ((values - mean).square() * weight).sum(1)[:, None].sqrt()
    contrast = (2 * ground[DEVIATIONS][:, None] / deviation.clamp(min=1e-3)).clamp(*CONTRAST)
    there = (values - mean) * contrast + 2 * ground[MEANS][:, None] - 1
    return (values + share * (there - values)).clamp(-1, 1).view_as(colours)


def _joined(
    sketcher: Sketcher, rows: torch.Tensor, choice: Choice, reference: torch.Tensor,
    size: tuple[int, int],
) -> torch.Tensor:  # fmt: skip
    """The rows of a scene with the reference's thing."""
    thing, scale = reference[THING], float(reference[GROUND, SCALE])
    if thing[KNOWN] == 0:
        return rows
    rows = rows.clone()
    inside = _box(reference[GROUND, FIELDS : FIELDS + MASK**2].view(MASK, MASK), size)
    drawn = sketcher.drawings(thing[FIELDS:].view(1, CELLS, CODES))[0]
    boxes = {i: _placed(rows[i], choice, rows, size) for i in _things(rows)}
    within = [i for i in boxes if inside is None or _holds(inside, boxes[i])]
    if (same := _same(sketcher, rows, within, thing)) is not None:
        i, mirrored = same
        own = sketcher.drawings(rows[i, FIELDS:].view(1, CELLS, CODES))[0]
        if colour := int(rows[i, Field.COLOUR]):
            own = recoloured(own, colour)
        there = drawn.flip(-1) if mirrored else drawn
        mixed = own + min(1.0, scale) * (there - own)
        rows[i, FIELDS:] = sketcher.codes_of(mixed).flatten()
        rows[i, Field.COLOUR] = 0
        return rows
    turned = turns(rows, choice)
    if inside is None:
        place, share = beside(not boxes, size), min(1.0, scale)
        for i, box in boxes.items():
            rows[i, :FIELDS] = _moved(rows[i, :FIELDS], _aside(box, share, size), turned, size)
    else:
        place = fitting(inside, thing)
    slot = next((i for i in range(PLACEMENTS) if rows[i, Field.LOOK] == 0), PLACEMENTS - 1)
    rows[slot] = _placement(grown(place, scale, thing), turned, size)
    rows[slot, FIELDS:] = sketcher.codes_of(drawn.flip(-1) if turned else drawn).flatten()
    return rows


def _aside(box: Box, share: float, size: tuple[int, int]) -> Box:
    """Where something is seen that makes room at the right: smaller, on the same foot."""
    kept, foot = 1 - ASIDE * share, FOOT * size[0]
    return Box(box.x * kept, foot - (foot - box.y) * kept, box.side * kept)


def _moved(numbers: torch.Tensor, box: Box, turned: bool, size: tuple[int, int]) -> torch.Tensor:
    """The numbers of a placement that is seen in a box."""
    height, width = size
    moved = numbers.clone()
    moved[Field.ANCHOR_X] = (width - box.x if turned else box.x) / width
    moved[Field.ANCHOR_Y] = box.y / height
    moved[Field.DX] = moved[Field.DY] = 0
    moved[Field.SIDE] = box.side / min(size)
    return moved


def _things(rows: torch.Tensor) -> list[int]:
    return [i for i in range(PLACEMENTS) if rows[i, Field.LOOK] > 0]


def _placed(row: torch.Tensor, choice: Choice, rows: torch.Tensor, size: tuple[int, int]) -> Box:
    """Where a placement is seen, in px."""
    height, width = size
    _, _, anchor_x, anchor_y, dx, dy, side, _ = row[:FIELDS].tolist()
    shorter = min(size)
    x = anchor_x * width + dx * shorter
    x = width - x if turns(rows, choice) else x
    return Box(x, anchor_y * height + dy * shorter, side * shorter)


def _box(where: torch.Tensor, size: tuple[int, int]) -> tuple[float, float, float, float] | None:
    """Left, top, right and bottom of a mask, in px; None where it is everywhere."""
    if bool((where > 0.5).all()):
        return None
    rows, columns = (where > 0.5).nonzero().unbind(1)
    if not len(rows):
        return 0.0, 0.0, 0.0, 0.0
    (height, width), side = size, len(where)
    left, right = (float(n) * width / side for n in (columns.min(), columns.max() + 1))
    top, bottom = (float(n) * height / side for n in (rows.min(), rows.max() + 1))
    return left, top, right, bottom


def _holds(inside: tuple[float, float, float, float], box: Box) -> bool:
    left, top, right, bottom = inside
    return left <= box.x <= right and top <= box.y <= bottom


def _same(
    sketcher: Sketcher, rows: torch.Tensor, among: Sequence[int], thing: torch.Tensor
) -> tuple[int, bool] | None:
    """Which thing of a scene the reference shows, and whether as its mirror image."""
    if not among:
        return None
    own = features(sketcher, rows[list(among), FIELDS:].unflatten(1, (CELLS, CODES)))
    shown = features(sketcher, thing[FIELDS:].view(1, CELLS, CODES))
    likes = torch.stack([likeness(own, shown), likeness(own, shown.flip(-1))])
    mirrored, i = divmod(int(likes.argmax()), len(among))
    same = float(likes.max()) > max(SAME, float(thing[LIKEST]) - MARGIN)
    return (among[i], bool(mirrored)) if same else None


def beside(alone: bool, size: tuple[int, int]) -> Box:
    """Alone in the middle; else at the right, where others make room."""
    height, width = size
    if alone:
        side = USUAL * min(size)
        return Box(width / 2, FOOT * height - side / 2, side)
    side = BESIDE * min(size)
    return Box(width - 0.52 * side, 0.96 * height - side / 2, side)


def fitting(inside: tuple[float, float, float, float], thing: torch.Tensor) -> Box:
    """As large as a thing can be in a box, at its foot."""
    left, top, right, bottom = inside
    wide, high = float(thing[WIDE]), float(thing[HIGH])
    if not wide or not high:
        return Box(left, top, 0.0)
    side = 0.95 * min((right - left) / wide, (bottom - top) / high)
    return Box((left + right) / 2, bottom - 0.02 * (bottom - top) - side * high / 2, side)


def grown(place: Box, scale: float, thing: torch.Tensor) -> Box:
    """How large a thing is at a scale, on the foot that it has in a place."""
    size = min(1.0, scale) ** 0.5
    return Box(
        place.x, place.y + (1 - size) * place.side * float(thing[HIGH]) / 2, size * place.side
    )


def _placement(place: Box, turned: bool, size: tuple[int, int]) -> torch.Tensor:
    """The row of a look's placement, without the look."""
    row = torch.zeros(DIM)
    row[Field.LOOK] = 1
    row[:FIELDS] = _moved(row[:FIELDS], place, turned, size)
    return row
