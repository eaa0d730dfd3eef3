"""How a scene is told as numbers: what the tokenizer gives and `LookEncoder` takes."""

from collections.abc import Iterable, Mapping

from imagemill.pico.backgrounds import BACKGROUNDS
from imagemill.pico.looks import FIELDS, FIXED, FLIPPED, GRAIN, OFFSET
from imagemill.pico.scene import COLOURS, PLACEMENTS, Placement

LENGTH = 1 + PLACEMENTS * FIELDS


def token_ids(
    placements: Iterable[Placement],
    looks: Mapping[str, int],
    background: int | None = None,
    style: int = 0,
) -> list[int]:
    """LENGTH numbers; what has no look is left out. looks: by concept, from 0. background: the
    number of one, from 0. style: by its number (see `stylising`), where there is a background.
    """
    known = [each for each in placements if each.concept in looks][:PLACEMENTS]
    numbers = [0 if background is None else background + 1 + style * len(BACKGROUNDS)]
    numbers += [number for each in known for number in _numbers(each, looks[each.concept])]
    return numbers + [0] * (LENGTH - len(numbers))


def _numbers(placement: Placement, look: int) -> tuple[int, ...]:
    colour = COLOURS.index(placement.colour) + 1 if placement.colour else 0
    return (
        look + 1,
        colour,
        *(_grain(n) for n in (placement.anchor_x, placement.anchor_y)),
        *(max(0, _grain(n) + OFFSET) for n in (placement.dx, placement.dy)),
        # A look is a square that its drawing fills from edge to edge on the longer side.
        max(1, _grain(max(placement.width, placement.height))),
        FIXED if placement.concept.startswith("letter:") else FLIPPED * placement.flip,
    )


def _grain(fraction: float) -> int:
    return round(fraction * GRAIN)
