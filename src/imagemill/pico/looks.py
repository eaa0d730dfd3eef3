"""Looks: what the concepts look like, as codes, and how they are drawn from them.

A look is a drawing of 192 px with its alpha, cut into squares of 16 px; each square is 48 numbers
of eight bits, its share of as many principal components. The text side hands on the looks that a
scene places, and the transformer draws a sketch of them.
"""

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import nn
from torch.nn import functional as F

from imagemill.pico.scene import COLOURS, GREY, PAINTS, PLACEMENTS

SIDE, CELL = 192, 16  # px of a look, of one of its squares
CELLS = (SIDE // CELL) ** 2
CODES = 48
# What a placement is told by, before its look; see `Field`.
FIELDS = 8
GRAIN = 512  # steps of a picture's shorter side in which placements are told
OFFSET = 2 * GRAIN  # of what may be negative


class Field:
    """The places of a placement's numbers."""

    LOOK, COLOUR, ANCHOR_X, ANCHOR_Y, DX, DY, SIDE, FLIP = range(FIELDS)


class LookEncoder(ModelMixin, ConfigMixin):
    """Stands in the place of Stable Diffusion 3's T5.

    It takes ids (n, PLACEMENTS * FIELDS): look (counted from 1; 0 is none), colour (counted from 1;
    0 is its own), anchors and side in GRAIN, offsets in GRAIN and OFFSET more, flip. It gives
    (n, PLACEMENTS, FIELDS + CELLS * CODES): the same numbers in units of the picture, and the look.
    """

    @register_to_config
    def __init__(self, looks: int = 1) -> None:
        super().__init__()
        self.register_buffer("codes", torch.zeros(looks, CELLS, CODES, dtype=torch.int8))
        self.scale = nn.Parameter(torch.ones(CODES), requires_grad=False)

    def forward(self, input_ids: torch.Tensor) -> tuple[torch.Tensor]:
        told = input_ids.unflatten(1, (PLACEMENTS, FIELDS))
        look = told[..., Field.LOOK]
        known = (look > 0) & (look <= len(self.codes))
        codes = self.codes[(look - 1).clamp(0, len(self.codes) - 1)]
        codes = codes.to(self.scale.dtype) * self.scale * known[..., None, None]
        shift, unit = told.new_zeros(FIELDS), told.new_ones(FIELDS)
        shift[Field.DX] = shift[Field.DY] = OFFSET
        unit[[Field.ANCHOR_X, Field.ANCHOR_Y, Field.DX, Field.DY, Field.SIDE]] = GRAIN
        numbers = ((told - shift) / unit * known[..., None]).to(self.scale.dtype)
        return (torch.cat([numbers, codes.flatten(2)], -1),)


class Sketcher(nn.Module):
    """Draws placed looks over nothing: (n, PLACEMENTS, FIELDS + CELLS * CODES) to (n, 4, h, w),
    premultiplied colours and alpha, 0 to 1.
    """

    def __init__(self) -> None:
        super().__init__()
        self.components = nn.Parameter(torch.zeros(CODES, 4 * CELL**2), requires_grad=False)
        self.mean = nn.Parameter(torch.zeros(4 * CELL**2), requires_grad=False)

    def forward(self, placements: torch.Tensor, height: int, width: int) -> torch.Tensor:
        canvas = placements.new_zeros((len(placements), 4, height, width), dtype=torch.float32)
        # One by one: a row's sketch is the same in whichever company.
        for row, sketch in zip(placements.float(), canvas, strict=True):
            for placement in row:
                if placement[0] > 0:
                    self._paste(placement, sketch)
        return canvas

    def drawing(self, placement: torch.Tensor) -> torch.Tensor:  # (4, SIDE, SIDE)
        codes = placement[FIELDS:].view(CELLS, CODES)
        squares = codes @ self.components.float() + self.mean.float()
        grid = squares.T.reshape(1, -1, SIDE // CELL, SIDE // CELL)
        drawn = F.pixel_shuffle(grid, CELL)[0].clamp(0, 1)
        colour = int(placement[Field.COLOUR])
        drawn = torch.cat([drawn[:3].minimum(drawn[3:]), drawn[3:]])
        drawn = recoloured(drawn, colour) if colour else drawn
        return drawn.flip(-1) if placement[Field.FLIP] else drawn

    def _paste(self, placement: torch.Tensor, sketch: torch.Tensor) -> None:
        height, width = sketch.shape[-2:]
        _, _, anchor_x, anchor_y, dx, dy, side, _ = placement[:FIELDS].tolist()
        shorter = min(height, width)
        across = _sampling(anchor_x * width + dx * shorter, side * shorter, width, sketch)
        down = _sampling(anchor_y * height + dy * shorter, side * shorter, height, sketch)
        if across is None or down is None:
            return
        (left, columns), (top, rows) = across, down
        part = rows @ self.drawing(placement) @ columns.T
        under = sketch[:, top : top + len(rows), left : left + len(columns)]
        under.mul_(1 - part[3:]).add_(part)


def _sampling(
    middle: float, side: float, size: int, like: torch.Tensor
) -> tuple[int, torch.Tensor] | None:
    """The first pixel that a look of that middle and side covers on an axis of `size` pixels, and
    how much of each of its SIDE pixels the pixels from there on show, (pixels, SIDE).
    """
    first, last = max(0, round(middle - side / 2)), min(size, round(middle + side / 2))
    if last <= first or side < 1:
        return None
    at = torch.arange(first, last, device=like.device, dtype=torch.float32) + 0.5
    source = (at - (middle - side / 2)) * (SIDE / side)
    pixels = torch.arange(SIDE, device=like.device, dtype=torch.float32) + 0.5
    reach = max(1.0, SIDE / side)
    weight = (1 - (source[:, None] - pixels).abs() / reach).clamp(min=0)
    return first, weight / weight.sum(1, keepdim=True).clamp(min=1e-6)


def recoloured(drawing: torch.Tensor, colour: int) -> torch.Tensor:
    """The colourful parts take the colour's hue, and keep their light and shade; colour: from 1."""
    paint = drawing.new_tensor(PAINTS[COLOURS[min(colour, len(COLOURS)) - 1]])[:, None, None]
    alpha = drawing[3:]
    rgb = drawing[:3] / alpha.clamp(min=1e-3)
    light = (rgb * drawing.new_tensor(GREY)[:, None, None]).sum(0, keepdim=True)
    high, low = rgb.amax(0, keepdim=True), rgb.amin(0, keepdim=True)
    vivid = (((high - low) / high.clamp(min=1e-3) - 0.12) / 0.2).clamp(0, 1)
    inside = alpha > 0.5
    weight = vivid if vivid[inside].mean() > 0.2 else torch.ones_like(vivid)
    middle = (light * weight * inside).sum() / (weight * inside).sum().clamp(min=1e-3)
    shade = (light / middle.clamp(min=0.08)).clamp(0.25, 1.9)
    lit = paint + (1 - paint) * ((shade - 1) / 1.4).clamp(0, 1)
    new = torch.where(shade <= 1, paint * (0.25 + 0.75 * shade), lit)
    return torch.cat([(rgb + (new - rgb) * weight).clamp(0, 1) * alpha, alpha])
