"""Looks: what concepts and backgrounds look like, as codes, and how they are drawn from them.

The look of a concept is a drawing of 192 px with its alpha, that of a background a picture of
128 px; both are cut into squares of 16 px, and each square is 48 numbers of eight bits, its share
of as many principal components. The text side hands on the looks that a scene wants, and the
transformer draws a sketch of them.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import nn
from torch.nn import functional as F

from imagemill.pico import backgrounds, stylising
from imagemill.pico.backgrounds import BACKGROUNDS, VARIANTS, shown
from imagemill.pico.scene import COLOURS, GREY, PAINTS, PLACEMENTS, STYLES
from imagemill.pico.stylising import in_few_colours, stylised

SIDE, CELL = 192, 16  # px of a look, of one of its squares
CELLS = (SIDE // CELL) ** 2
BEHIND = (backgrounds.SIDE // CELL) ** 2  # squares of a background
CODES = 48
ROWS = PLACEMENTS + VARIANTS
# What a placement is told by, before its look; see `Field`.
FIELDS = 8
GRAIN = 512  # steps of a picture's shorter side in which placements are told
OFFSET = 2 * GRAIN  # of what may be negative
STYLE = 1  # the place of the style among the numbers of a background
FLAT = stylising.number("flat")
FLAT_COLOURS, FLAT_GROUND = 7, 20  # of a thing and of a background in the flat style
FLIPPED, FIXED = 1, 2  # what the flip of a placement says; letters are never turned round


class Field:
    """The places of a placement's numbers."""

    LOOK, COLOUR, ANCHOR_X, ANCHOR_Y, DX, DY, SIDE, FLIP = range(FIELDS)


class LookEncoder(ModelMixin, ConfigMixin):
    """Stands in the place of Stable Diffusion 3's T5.

    It takes ids (n, 1 + PLACEMENTS * FIELDS): the background (counted from 1; 0 is none; after all
    backgrounds in the usual style come all in the next, and so on), and of each placement the look
    (counted so, too), colour (counted from 1; 0 is its own), anchors and side in GRAIN, offsets in
    GRAIN and OFFSET more, flip. It gives (n, ROWS, FIELDS + CELLS * CODES): the same numbers in
    units of the picture, and the look; and of the background every variant, after a 1 for one that
    is there and the number of the style.
    """

    @register_to_config
    def __init__(self, looks: int = 1, backgrounds: int = 1) -> None:
        super().__init__()
        self.register_buffer("codes", torch.zeros(looks, CELLS, CODES, dtype=torch.int8))
        self.scale = nn.Parameter(torch.ones(CODES), requires_grad=False)
        behind = torch.zeros(backgrounds, VARIANTS, BEHIND, CODES, dtype=torch.int8)
        self.register_buffer("behind", behind)
        self.behind_scale = nn.Parameter(torch.ones(CODES), requires_grad=False)

    def forward(self, input_ids: torch.Tensor) -> tuple[torch.Tensor]:
        placed = self._placements(input_ids[:, 1:].unflatten(1, (PLACEMENTS, FIELDS)))
        behind = self._background(input_ids[:, 0])
        return (torch.cat([placed, F.pad(behind, (0, placed.shape[-1] - behind.shape[-1]))], 1),)

    def _background(self, which: torch.Tensor) -> torch.Tensor:
        style, number = (
            (which - 1).div(len(BACKGROUNDS), rounding_mode="floor"),
            (which - 1).remainder(len(BACKGROUNDS)),
        )
        known = ((style >= 0) & (style < len(STYLES)) & (number < len(self.behind)))[:, None, None]
        codes = self.behind[number.clamp(max=len(self.behind) - 1)].to(self.behind_scale.dtype)
        numbers = F.one_hot(torch.zeros_like(which), FIELDS)
        numbers[:, STYLE] = style
        numbers = numbers[:, None].expand(-1, VARIANTS, -1)
        return torch.cat([numbers, (codes * self.behind_scale).flatten(2)], -1) * known

    def _placements(self, placements: torch.Tensor) -> torch.Tensor:
        look = placements[..., Field.LOOK]
        known = (look > 0) & (look <= len(self.codes))
        codes = self.codes[(look - 1).clamp(0, len(self.codes) - 1)]
        codes = codes.to(self.scale.dtype) * self.scale * known[..., None, None]
        shift, unit = placements.new_zeros(FIELDS), placements.new_ones(FIELDS)
        shift[Field.DX] = shift[Field.DY] = OFFSET
        unit[[Field.ANCHOR_X, Field.ANCHOR_Y, Field.DX, Field.DY, Field.SIDE]] = GRAIN
        numbers = ((placements - shift) / unit * known[..., None]).to(self.scale.dtype)
        return torch.cat([numbers, codes.flatten(2)], -1)


# What the first number of a background says: whether the seed turns it round, or it stays as it is.
BY_SEED, STRAIGHT = 1, 2


class Choice(NamedTuple):
    """What a picture's seed decides. variant, mirrored: of the background. turned: whether the
    things stand the other way round.
    """

    variant: int = 0
    mirrored: bool = False
    turned: bool = False


class Sketcher(nn.Module):
    """Draws the things of a scene, where they are placed, over its background."""

    def __init__(self) -> None:
        super().__init__()
        self.components = _constant(CODES, 4 * CELL**2)
        self.mean = _constant(4 * CELL**2)
        self.behind = _constant(CODES, 3 * CELL**2)
        self.behind_mean = _constant(3 * CELL**2)

    def forward(
        self, looks: torch.Tensor, choices: Sequence[Choice], height: int, width: int
    ) -> torch.Tensor:
        """(n, ROWS, FIELDS + CELLS * CODES) to (n, 4, height, width): colours, -1 to 1, grey where
        there is nothing, and how far a thing covers a pixel, 0 to 1.
        """
        canvas = looks.new_zeros((len(looks), 4, height, width), dtype=torch.float32)
        # One by one: a row's sketch is the same in whichever company.
        for rows, choice, sketch in zip(looks.float(), choices, canvas, strict=True):
            self.behind_things(rows, choice, sketch)
            self.things(rows, choice, sketch)
            sketch[:3] = stylised(sketch[:3], style_of(rows, choice))
        return canvas

    def behind_things(self, rows: torch.Tensor, choice: Choice, sketch: torch.Tensor) -> None:
        """Draws the background of a scene into an empty sketch (4, h, w)."""
        behind = rows[PLACEMENTS + choice.variant]
        if (turning := int(behind[0])) > 0:
            self._fill(behind, choice.mirrored and turning == BY_SEED, sketch)
            if style_of(rows, choice) == FLAT:
                sketch[:3] = in_few_colours(sketch[:3], FLAT_GROUND)

    def things(self, rows: torch.Tensor, choice: Choice, sketch: torch.Tensor) -> None:
        """Draws the things of a scene over what is there."""
        placements, flat = rows[:PLACEMENTS], style_of(rows, choice) == FLAT
        turned = turns(rows, choice)
        for placement in placements:
            if placement[0] > 0:
                self._paste(placement, turned, flat, sketch)

    def drawings(self, codes: torch.Tensor) -> torch.Tensor:
        """(n, CELLS, CODES) to (n, 4, SIDE, SIDE), premultiplied colours and alpha, 0 to 1."""
        drawn = _joined(codes @ self.components.float() + self.mean.float())
        return torch.cat([drawn[:, :3].minimum(drawn[:, 3:]), drawn[:, 3:]], 1)

    def codes_of(self, drawing: torch.Tensor) -> torch.Tensor:
        """What `drawings` makes such a drawing of, nearly: (4, SIDE, SIDE) to (CELLS, CODES)."""
        squares = F.pixel_unshuffle(drawing[None], CELL)[0].flatten(1).T
        return (squares - self.mean.float()) @ self.components.float().T

    def drawing(self, placement: torch.Tensor, flat: bool = False) -> torch.Tensor:
        """(4, SIDE, SIDE), as one of `drawings`, coloured and flipped. flat: in few colours."""
        drawn = self.drawings(placement[FIELDS:].view(1, CELLS, CODES))[0]
        if flat and placement[Field.FLIP] != FIXED:
            alpha = drawn[3:]
            even = in_few_colours(drawn[:3] / alpha.clamp(min=1e-3), FLAT_COLOURS, alpha[0])
            drawn = torch.cat([even.clamp(0, 1) * alpha, alpha])
        colour = int(placement[Field.COLOUR])
        drawn = recoloured(drawn, colour) if colour else drawn
        return drawn.flip(-1) if placement[Field.FLIP] == FLIPPED else drawn

    def _fill(self, behind: torch.Tensor, mirrored: bool, sketch: torch.Tensor) -> None:
        codes = behind[FIELDS:][: BEHIND * CODES].view(1, BEHIND, CODES)
        drawn = _joined(codes @ self.behind.float() + self.behind_mean.float())[0]
        drawn = drawn.flip(-1) if mirrored else drawn
        height, width = sketch.shape[-2:]
        longer, (left, top, *_) = max(height, width), shown(width, height)
        columns, rows = (
            _weights(torch.arange(size, device=sketch.device), -start * longer, longer, drawn)
            for start, size in ((left, width), (top, height))
        )
        sketch[:3] = 2 * (rows @ drawn @ columns.T) - 1

    def _paste(
        self, placement: torch.Tensor, turned: bool, flat: bool, sketch: torch.Tensor
    ) -> None:
        height, width = sketch.shape[-2:]
        _, _, anchor_x, anchor_y, dx, dy, side, _ = placement[:FIELDS].tolist()
        shorter = min(height, width)
        x = anchor_x * width + dx * shorter
        first = (width - x if turned else x) - side * shorter / 2
        drawn = self.drawing(placement, flat)
        across = _covered(first, side * shorter, width, drawn)
        down = _covered(
            anchor_y * height + (dy - side / 2) * shorter, side * shorter, height, drawn
        )
        if across is None or down is None:
            return
        (left, columns), (top, rows) = across, down
        part = rows @ (drawn.flip(-1) if turned else drawn) @ columns.T
        under = sketch[:, top : top + len(rows), left : left + len(columns)]
        under.mul_(1 - part[3:]).add_(torch.cat([2 * part[:3] - part[3:], part[3:]]))


def style_of(rows: torch.Tensor, choice: Choice) -> int:
    """The number of a scene's style."""
    return int(rows[PLACEMENTS + choice.variant, STYLE])


def turns(rows: torch.Tensor, choice: Choice) -> bool:
    """Whether the things of a scene stand the other way round; letters never do."""
    return choice.turned and bool((rows[:PLACEMENTS, Field.FLIP] != FIXED).all())


def _constant(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.zeros(*shape), requires_grad=False)


def _joined(squares: torch.Tensor) -> torch.Tensor:
    """(n, k * k, channels * CELL ** 2) to (n, channels, k * CELL, k * CELL), 0 to 1."""
    side = math.isqrt(squares.shape[1])
    return F.pixel_shuffle(squares.mT.unflatten(2, (side, side)), CELL).clamp(0, 1)


def _covered(
    first: float, side: float, size: int, drawn: torch.Tensor
) -> tuple[int, torch.Tensor] | None:
    """The first pixel that a square from `first` on covers on an axis of `size` pixels, and the
    weights of the pixels from there on.
    """
    start, end = max(0, round(first)), min(size, round(first + side))
    if end <= start or side < 1:
        return None
    return start, _weights(torch.arange(start, end, device=drawn.device), first, side, drawn)


def _weights(pixels: torch.Tensor, first: float, side: float, drawn: torch.Tensor) -> torch.Tensor:
    """How much of each pixel of a square, drawn from `first` on with that side, each of `pixels`
    shows: (pixels, pixels of the square).
    """
    own = drawn.shape[-1]
    source = (pixels.float() + 0.5 - first) * (own / side)
    of = torch.arange(own, device=drawn.device, dtype=torch.float32) + 0.5
    weight = (1 - (source[:, None] - of).abs() / max(1.0, own / side)).clamp(min=0)
    return weight / weight.sum(1, keepdim=True).clamp(min=1e-6)


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
