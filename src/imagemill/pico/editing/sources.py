"""Images as looks: what the transformer's sketch is drawn from, made of pixels.

A prompt's looks are codes from tables. Codes are shares of principal components, so those of any
drawing and any ground can be told: what the sketch shows then is an image's own things, in their
places, over its own ground.
"""

from collections.abc import Sequence

import torch
from torch.nn import functional as F

from imagemill.pico.backgrounds import SIDE as GROUND
from imagemill.pico.backgrounds import shown
from imagemill.pico.looks import (
    BEHIND,
    CELL,
    CELLS,
    CODES,
    FIELDS,
    FIXED,
    ROWS,
    STRAIGHT,
    STYLE,
    Field,
    LookEncoder,
    Sketcher,
)
from imagemill.pico.matching import Box
from imagemill.pico.scene import COLOURS, PLACEMENTS

Layer = tuple[torch.Tensor, Box]  # a drawing (4, SIDE, SIDE), premultiplied, and where it is


class Looks:
    """Codes of pixels, and pixels of codes, by the tables of one model."""

    def __init__(self, sketcher: Sketcher, encoder: LookEncoder, numbers: dict[str, int]) -> None:
        """numbers: of the looks, by concept."""
        self.sketcher, self.encoder, self.numbers = sketcher, encoder, numbers
        self.to_codes = torch.linalg.pinv(sketcher.components.float())
        self.to_behind = torch.linalg.pinv(sketcher.behind.float())

    def drawing(self, concept: str, colour: str = "") -> torch.Tensor:
        """Of a concept that has a look: (4, SIDE, SIDE), premultiplied, 0 to 1."""
        row = self.sketcher.components.new_zeros(FIELDS + CELLS * CODES, dtype=torch.float32)
        row[Field.COLOUR] = COLOURS.index(colour) + 1 if colour else 0
        codes = self.encoder.codes[self.numbers[concept]].float() * self.encoder.scale.float()
        row[FIELDS:] = codes.flatten()
        return self.sketcher.drawing(row)

    def grounds(self, number: int) -> torch.Tensor:
        """The variants of a background in the table, seen straight: (VARIANTS, 3, GROUND, GROUND),
        0 to 1.
        """
        codes = self.encoder.behind[number].float() * self.encoder.behind_scale.float()
        squares = codes @ self.sketcher.behind.float() + self.sketcher.behind_mean.float()
        return F.pixel_shuffle(squares.mT.unflatten(2, (GROUND // CELL,) * 2), CELL).clamp(0, 1)

    def rows(
        self, layers: Sequence[Layer], behind: torch.Tensor, size: tuple[int, int]
    ) -> torch.Tensor:
        """(ROWS, FIELDS + CELLS * CODES). behind: a row for the background, as `of_image`
        gives it. size: height and width in px.
        """
        rows = behind.new_zeros(ROWS, FIELDS + CELLS * CODES)
        height, width = size
        for row, (drawing, box) in zip(rows, list(layers)[:PLACEMENTS], strict=False):
            row[Field.LOOK], row[Field.FLIP] = 1, FIXED
            row[Field.ANCHOR_X], row[Field.ANCHOR_Y] = box.x / width, box.y / height
            row[Field.SIDE] = box.side / min(size)
            row[FIELDS:] = self.codes(drawing)
        rows[PLACEMENTS:] = behind
        return rows

    def codes(self, drawing: torch.Tensor) -> torch.Tensor:
        """Of (4, SIDE, SIDE), premultiplied, 0 to 1."""
        apart = _squares(drawing) - self.sketcher.mean.float()
        codes: torch.Tensor = (apart @ self.to_codes).flatten()
        return codes

    def of_image(self, image: torch.Tensor, style: int = 0) -> torch.Tensor:
        """The row of a background that is an image itself, (3, h, w), 0 to 1."""
        height, width = image.shape[1:]
        left, top, wide, high = (round(GROUND * part) for part in shown(width, height))
        small = F.interpolate(image[None], size=(high, wide), mode="area")
        ends = (left, GROUND - left - wide, top, GROUND - top - high)
        small = F.pad(small, ends, mode="replicate")[0]
        squares = _squares(small) - self.sketcher.behind_mean.float()
        row = squares.new_zeros(FIELDS + CELLS * CODES)
        row[0], row[STYLE] = STRAIGHT, style
        row[FIELDS:][: BEHIND * CODES] = (squares @ self.to_behind).flatten()
        return row


def _squares(image: torch.Tensor) -> torch.Tensor:
    """(c, k * CELL, k * CELL) to (k * k, c * CELL ** 2)."""
    return F.pixel_unshuffle(image[None], CELL)[0].flatten(1).T.float()


def laid(drawing: torch.Tensor, box: Box, size: tuple[int, int]) -> torch.Tensor:
    """A drawing in its place on nothing: (4, *size), premultiplied."""
    height, width = size
    side = max(2, round(box.side))
    drawn = F.interpolate(
        drawing[None], size=(side, side), mode="bilinear", antialias=True, align_corners=False
    ) if side < drawing.shape[1] else drawing[None]  # fmt: skip
    x, y = (
        (torch.arange(n, device=drawing.device) + 0.5 - middle) * 2 / box.side
        for n, middle in ((width, box.x), (height, box.y))
    )
    grid = torch.stack([x.expand(height, width), y[:, None].expand(height, width)], -1)[None]
    return F.grid_sample(drawn, grid, align_corners=False)[0]


def over(image: torch.Tensor, layer: torch.Tensor, share: float = 1.0) -> torch.Tensor:
    """An image (3, h, w) beneath a layer (4, h, w), of which a share is seen."""
    return image * (1 - share * layer[3:]) + share * layer[:3]
