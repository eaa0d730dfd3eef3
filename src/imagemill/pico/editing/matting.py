"""What of an image belongs to a thing whose drawing was found there."""

import math

import torch

from imagemill.pico.editing.finding import cropped
from imagemill.pico.editing.surroundings import blurred, grown
from imagemill.pico.looks import SIDE
from imagemill.pico.matching import Box
from imagemill.pico.scene import COLOURS, PAINTS

BAND = 0.02  # of the thing's side: how far its edge may be from where the drawing has it
APART = 0.02  # of colours, squared, from where on two can be told apart


def matted(image: torch.Tensor, cover: torch.Tensor, side: float) -> torch.Tensor:
    """How far a thing covers each pixel, (1, h, w): as its drawing does, (1, h, w), and near its
    edge as the colours tell. side: of the thing in px.
    """
    reach = max(1, round(BAND * side))
    inside, outside = grown(cover, -reach) > 0.9, grown(cover, reach) < 0.1
    if not inside.any() or not outside.any():
        return cover
    radius = 2.5 * reach
    own, other = (_around(image, part.to(image), radius) for part in (inside, outside))
    apart = own - other
    distance = apart.square().sum(0, keepdim=True)
    share = ((image - other) * apart).sum(0, keepdim=True) / distance.clamp(min=1e-4)
    shared = ((share.clamp(0, 1) - 0.1) / 0.8).clamp(0, 1)
    shared = torch.where(distance > APART, shared, cover)
    return torch.where(inside, 1.0, torch.where(outside, 0.0, shared))


def _around(image: torch.Tensor, part: torch.Tensor, radius: float) -> torch.Tensor:
    """The colours of a part of an image, spread over what is near it."""
    weight = blurred(part, radius)
    return blurred(image * part, radius) / weight.clamp(min=1e-3)


def window(box: Box, size: tuple[int, int]) -> tuple[slice, slice, slice]:
    """The part of an image, of that height and width, that a thing in a box can reach."""
    half = 0.62 * box.side + 2
    rows, columns = (
        slice(max(0, math.floor(middle - half)), max(1, min(length, math.ceil(middle + half))))
        for middle, length in ((box.y, size[0]), (box.x, size[1]))
    )
    return slice(None), rows, columns


def cut_out(image: torch.Tensor, cover: torch.Tensor, box: Box) -> torch.Tensor:
    """What is seen in a box, as a drawing: (4, SIDE, SIDE), premultiplied."""
    return cropped(torch.cat([image * cover, cover]), box, SIDE)


def square_around(cover: torch.Tensor) -> Box | None:
    """The square around what is covered; None where nothing is."""
    rows, columns = (torch.nonzero(cover[0].amax(axis) > 0.3) for axis in (1, 0))
    if not len(rows):
        return None
    top, bottom, left, right = (
        float(n) for n in (rows[0], rows[-1] + 1, columns[0], columns[-1] + 1)
    )
    return Box((left + right) / 2, (top + bottom) / 2, max(bottom - top, right - left))


def colour_in(image: torch.Tensor, box: Box) -> str:
    """The one of COLOURS that the middle of a box is most like."""
    middle = cropped(image, Box(box.x, box.y, box.side / 3), SIDE // 8).flatten(1).median(1)[0]
    paints = middle.new_tensor([*PAINTS.values()])
    light, own = paints.mean(1, keepdim=True), middle.mean()
    apart = (paints - light - (middle - own)).abs().sum(1) + 0.5 * (light[:, 0] - own).abs()
    return COLOURS[int(apart.argmin())]
