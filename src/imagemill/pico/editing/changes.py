"""What each change of an instruction does to an image."""

from collections.abc import Callable, Mapping
from typing import Any

import torch

from imagemill.pico import stylising
from imagemill.pico.backgrounds import Background
from imagemill.pico.editing.canvas import EditCanvas
from imagemill.pico.editing.finding import Sighting
from imagemill.pico.editing.putting import Put, beside_host, by_itself, with_room
from imagemill.pico.editing.surroundings import grown
from imagemill.pico.looks import recoloured
from imagemill.pico.matching import Box
from imagemill.pico.reading.changes import (
    Add,
    Change,
    Move,
    Noun,
    Recolour,
    Remove,
    Replace,
    Resettle,
    Resize,
    Restyle,
)
from imagemill.pico.scene import COLOURS

# How strongly what has changed is repainted, by the change, at an image guidance of 2.
RECOLOURED, PUT, CLEARED, FLOWED, RESTYLED, RESETTLED = 0.35, 0.6, 0.8, 0.5, 0.3, 0.8
CLOSEST, WIDEST = 0.6, 1.5  # sizes of what takes the place of another, beside it


def make(canvas: EditCanvas, change: Change) -> None:
    """Makes one change."""
    BY_KIND[type(change)](canvas, change)


def _recolour(canvas: EditCanvas, change: Recolour) -> None:
    for sighting in canvas.find(change.noun):
        cover = canvas.cover(change.noun, sighting)
        whole = torch.cat([canvas.image * cover, cover])
        new = recoloured(whole, COLOURS.index(change.colour) + 1)[:3]
        painted = canvas.image * (1 - cover) + new
        canvas.image = canvas.image + canvas.pull * (painted - canvas.image)
        canvas.touch(cover)
        canvas.layers.append((canvas.cut(cover, sighting), sighting.box))
        canvas.concepts.append(change.noun.concept)
        canvas.strength = max(canvas.strength, RECOLOURED)


def _remove(canvas: EditCanvas, change: Remove) -> None:
    for sighting in canvas.find(change.noun):
        _clear(canvas, canvas.cover(change.noun, sighting), sighting)


def _clear(canvas: EditCanvas, cover: torch.Tensor, sighting: Sighting) -> None:
    canvas.clear(cover, sighting.box.side)
    known = canvas.ground is not None
    canvas.strength = max(canvas.strength, CLEARED if known else FLOWED)


def _add(canvas: EditCanvas, change: Add) -> None:
    noun = change.noun
    drawing = _look(canvas, noun)
    if drawing is None:
        return
    host = noun.of
    sighting = canvas.find(host)[:1] if host is not None else []
    if host is not None and sighting:
        puts, cover = (
            beside_host(noun, host, sighting[0], canvas.size),
            canvas.cover(host, sighting[0]),
        )
        if noun.relation in ("on", "sits on", "under", "above"):
            puts = with_room(puts, sighting[0], canvas.occupied * (1 - grown(cover, 6)))
    else:
        place = "" if canvas.ground is None else canvas.ground.background.place
        puts, cover = by_itself(noun, canvas.occupied, place), None
    _put(canvas, noun, drawing, puts, cover)


def _look(canvas: EditCanvas, noun: Noun) -> torch.Tensor | None:
    """A thing as another image shows it, or as it is usually drawn; None where it has no look."""
    if (
        noun.image is not None
        and noun.image != canvas.base
        and (seen := canvas.find(noun, noun.image))
    ):
        cut = canvas.cut(canvas.cover(noun, seen[0], noun.image), seen[0], noun.image)
        return cut.flip(-1) if seen[0].mirrored else cut
    if noun.concept not in canvas.looks.numbers:
        return None
    return canvas.looks.drawing(noun.concept, noun.colour)


def _put(
    canvas: EditCanvas,
    noun: Noun,
    drawing: torch.Tensor,
    puts: list[Put],
    host: torch.Tensor | None,
) -> None:
    for put in puts:
        drawn = drawing.flip(-1) if put.mirrored else drawing
        canvas.put(drawn, put.box, noun.concept, host if put.behind else None)
    canvas.strength = max(canvas.strength, PUT)


def _replace(canvas: EditCanvas, change: Replace) -> None:
    drawing = _look(canvas, change.by)
    if drawing is None:
        return
    for sighting in canvas.find(change.noun):
        _clear(canvas, canvas.cover(change.noun, sighting), sighting)
        alone = by_itself(change.by, canvas.occupied, "")
        was = by_itself(change.noun, canvas.occupied, "")
        ratio = alone[0].box.side / was[0].box.side if alone and was else 1.0
        side = sighting.box.side * min(WIDEST, max(CLOSEST, ratio))
        foot = sighting.box.y + _foot(canvas, change.noun) * sighting.box.side
        y = foot - _foot(canvas, change.by, drawing) * side
        _put(
            canvas, change.by, drawing, [Put(Box(sighting.box.x, y, side), sighting.mirrored)], None
        )


def _foot(canvas: EditCanvas, noun: Noun, drawing: torch.Tensor | None = None) -> float:
    """How far below its middle a drawing ends, in its side."""
    drawing = canvas.looks.drawing(noun.concept) if drawing is None else drawing
    rows = torch.nonzero(drawing[3].amax(1) > 0.5)
    return (float(rows[-1]) + 1) / drawing.shape[1] - 0.5 if len(rows) else 0.5


def _move(canvas: EditCanvas, change: Move) -> None:
    noun, host = change.noun, change.noun.of
    for sighting in canvas.find(noun):
        at = canvas.find(host)[:1] if host is not None else []
        if host is not None and not at:
            return
        own = canvas.cover(noun, sighting)
        drawing = canvas.cut(own, sighting)
        _clear(canvas, own, sighting)
        if host is not None:
            put = beside_host(noun, host, at[0], canvas.size)[0]
            put = Put(put.box, put.mirrored != sighting.mirrored, put.behind)
            cover = canvas.cover(host, at[0])
        else:
            put, cover = Put(_shifted(canvas, sighting.box, change), mirrored=False), None
        _put(canvas, noun, drawing, [put], cover)


def _shifted(canvas: EditCanvas, box: Box, change: Move) -> Box:
    height, width = canvas.size
    half = box.side / 2
    x, y = box.x + change.across * width, box.y + change.down * height
    return Box(
        min(width - half, max(half, x)) if box.side < width else box.x,
        min(height - half, max(half, y)) if box.side < height else box.y,
        box.side,
    )


def _resize(canvas: EditCanvas, change: Resize) -> None:
    for sighting in canvas.find(change.noun):
        own = canvas.cover(change.noun, sighting)
        drawing = canvas.cut(own, sighting)
        _clear(canvas, own, sighting)
        side = min(sighting.box.side * change.factor, 0.98 * canvas.shorter)
        foot = _foot(canvas, change.noun)
        y = sighting.box.y + foot * (sighting.box.side - side)
        put = Put(Box(sighting.box.x, y, side), mirrored=False)
        _put(canvas, change.noun, drawing, [put], None)


def _restyle(canvas: EditCanvas, change: Restyle) -> None:
    number = stylising.number(change.style)
    styled = (stylising.stylised(2 * canvas.image - 1, number) + 1) / 2
    canvas.image = canvas.image + canvas.pull * (styled - canvas.image)
    canvas.touched = torch.ones_like(canvas.touched)
    canvas.style = change.style
    canvas.strength = max(canvas.strength, RESTYLED)


def _resettle(canvas: EditCanvas, change: Resettle) -> None:
    ground = canvas.ground
    if ground is None:
        canvas.remarks.append("background: not known in the image, which is repainted as a whole")
        return
    old = ground.background
    new = Background(
        change.place or old.place,
        change.time or old.time,
        change.weather or ("" if change.place or change.time else old.weather),
    )
    behind = canvas.settle(new)
    things = canvas.occupied
    changed = canvas.image * things + behind * (1 - things)
    canvas.image = canvas.image + canvas.pull * (changed - canvas.image)
    canvas.touched = torch.maximum(canvas.touched, (things < 0.9).to(things))
    canvas.strength = max(canvas.strength, RESETTLED)


BY_KIND: Mapping[type, Callable[[EditCanvas, Any], None]] = {
    Recolour: _recolour, Remove: _remove, Add: _add, Replace: _replace, Move: _move,
    Resize: _resize, Restyle: _restyle, Resettle: _resettle,
}  # fmt: skip
