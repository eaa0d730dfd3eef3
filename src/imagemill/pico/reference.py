"""What pico takes from a reference image: its thing, as a look, and the colours of its ground.

In the place of an IP-Adapter's image encoder: the thing in the foreground becomes a look in the
same codes as those of the concepts. `reference_scene` draws it.
"""

from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F
from transformers.modeling_outputs import BaseModelOutput

from imagemill.pico.looks import CELL, CELLS, CODES, FIELDS, SIDE, LookEncoder, Sketcher
from imagemill.pico.matte import foreground
from imagemill.pico.scene import GREY

DIM = FIELDS + CELLS * CODES  # of a look's row
THING, GROUND = 0, 1  # the rows of a reference
# Of a thing: that there is one, its width and height in its longer side, and how like it the
# likeliest of all looks is.
KNOWN, WIDE, HIGH, LIKEST = range(4)
SCALE = 1  # of a ground; then follow its colours' means and deviations, three each
MEANS, DEVIATIONS = slice(2, 5), slice(5, 8)
MASK = 64  # squares of a mask's side, which follow the numbers of the ground

READ = 320  # px of the longer side, in which a reference is read
FRAME = 0.02  # of the sides: what is certainly ground
# The darkest shadow on a ground, and the brightest light, and how unlike that makes it.
SHADE, LIGHT, SHADED = 0.7, 1.2, 0.2
EVEN = 0.97  # of the edges, that a plain ground has
FAINT, SURE = 0.3, 0.7  # of a matte: nothing, and all
NEAR, FAR = 0.07, 0.14  # distances of colours: surely ground, surely not
JOINT = 4  # px of squares of which neighbours, and theirs, hang together
LEAST = 0.004  # of the image, that a thing covers at least
COARSE = 4  # px of a drawing on a side of what is compared


class ReferenceProcessor:
    """Stands in the place of transformers' image processor: (1, 4, READ, READ), the colours, 0 to
    1, in the upper left corner, and where they are.
    """

    def __call__(self, image: Image.Image, **_: Any) -> SimpleNamespace:
        scale = READ / max(image.size)
        width, height = (max(1, round(side * scale)) for side in image.size)
        small = image.convert("RGB").resize((width, height), Image.Resampling.BICUBIC)
        values = torch.from_numpy(np.asarray(small).copy()).permute(2, 0, 1).float() / 255
        whole = torch.cat([values, torch.ones_like(values[:1])])
        padding = (0, READ - width, 0, READ - height)
        return SimpleNamespace(pixel_values=F.pad(whole, padding)[None])


class ReferenceEncoder(nn.Module):
    """Stands in the place of an IP-Adapter's image encoder; it has learnt nothing of its own.

    It takes what `ReferenceProcessor` gives, and gives (n, 2, DIM) as its last but one hidden
    states: a row of the thing, its numbers and its look, and one of the ground.
    """

    sketcher: Sketcher
    looks: LookEncoder

    def __init__(self, sketcher: Sketcher, looks: LookEncoder) -> None:
        super().__init__()
        for name, own in (("sketcher", sketcher), ("looks", looks)):
            object.__setattr__(self, name, own)  # the pipeline's, which are no parts of this
        self.known: torch.Tensor | None = None  # features of all looks

    @property
    def device(self) -> torch.device:
        """As pipelines ask of each of their modules."""
        return self.sketcher.mean.device

    @property
    def dtype(self) -> torch.dtype:
        """As pipelines ask of each of their modules."""
        return self.sketcher.mean.dtype

    def forward(
        self, pixel_values: torch.Tensor, output_hidden_states: bool = True
    ) -> BaseModelOutput:
        rows = torch.stack([self._read(each.float()) for each in pixel_values])
        states = rows.to(pixel_values.dtype)
        return BaseModelOutput(hidden_states=(states, states))

    @torch.no_grad()
    def _read(self, values: torch.Tensor) -> torch.Tensor:
        height, width = (int(n) for n in values[3].nonzero().amax(0) + 1)
        image = values[:3, :height, :width]
        alpha = thing_of(image)
        rows = image.new_zeros(2, DIM)
        behind = image[:, (alpha < 0.1)[0]] if (alpha < 0.1).any() else image.flatten(1)
        rows[GROUND, KNOWN] = 1
        rows[GROUND, MEANS] = behind.mean(1)
        rows[GROUND, DEVIATIONS] = behind.std(1, correction=0)
        if float(alpha.mean()) >= LEAST:
            drawing, wide, high = _drawing(image, alpha)
            codes = self.sketcher.codes_of(drawing)
            likest = self._likest(codes)
            rows[THING, : LIKEST + 1] = image.new_tensor((1, wide, high, likest))
            rows[THING, FIELDS:] = codes.flatten()
        return rows

    def _likest(self, codes: torch.Tensor) -> float:
        """How like a drawing is to the look that is most like it, either way round."""
        if self.known is None:
            own = self.looks.codes.float() * self.looks.scale.float()
            self.known = torch.cat([features(self.sketcher, each) for each in own.split(128)])
        one = features(self.sketcher, codes[None])
        return float(torch.stack([likeness(self.known, x) for x in (one, one.flip(-1))]).max())


def thing_of(image: torch.Tensor) -> torch.Tensor:
    """How far what stands out covers each pixel of an image: (3, h, w), 0 to 1, to (1, h, w).

    On a plain ground, all that is of another colour does so, too: its edges are sharper by that.
    """
    alpha = ((foreground(image) - FAINT) / (SURE - FAINT)).clamp(0, 1)
    coloured = _coloured(image)
    return _largest(alpha if coloured is None else alpha.maximum(coloured))


def _largest(alpha: torch.Tensor) -> torch.Tensor:
    """What hangs together, or nearly, with the largest part of what is covered: (1, h, w)."""
    covered = F.avg_pool2d(alpha[None], JOINT, ceil_mode=True) > 0.5
    there = F.max_pool2d(covered.float(), 3, 1, 1)
    numbers = there * torch.arange(1.0, there.numel() + 1).view_as(there)
    while not torch.equal(numbers, grown := F.max_pool2d(numbers, 3, 1, 1) * there):
        numbers = grown
    parts = numbers[covered]
    if not len(parts):
        return alpha
    kept = F.max_pool2d((numbers == parts.mode().values).float(), 3, 1, 1)
    return alpha * F.interpolate(kept, alpha.shape[-2:], mode="nearest")[0]


def _coloured(image: torch.Tensor) -> torch.Tensor | None:
    """How unlike a plain ground each pixel is, 0 to 1, whose shadows are like it; None where the
    image's edges are not of one colour.
    """
    _, height, width = image.shape
    down, across = (max(1, round(FRAME * side)) for side in (height, width))
    edges = torch.ones(height, width, dtype=torch.bool)
    edges[down:-down, across:-across] = False
    ground = image[:, edges].median(1).values[:, None, None]
    shade = ((image * ground).sum(0) / ground.square().sum().clamp(min=1e-3)).clamp(SHADE, LIGHT)
    apart = (image - shade * ground).norm(dim=0) + SHADED * (1 - shade).abs()
    if float((apart[edges] < FAR).float().mean()) < EVEN:
        return None
    alpha: torch.Tensor = ((apart - NEAR) / (FAR - NEAR)).clamp(0, 1)[None]
    return alpha


def _drawing(image: torch.Tensor, alpha: torch.Tensor) -> tuple[torch.Tensor, float, float]:
    """What the alpha shows, as a look: (4, SIDE, SIDE), premultiplied, and its sides."""
    rows, columns = (alpha[0] > 0.5).nonzero().unbind(1)
    (top, bottom), (left, right) = (
        (int(each.min()), int(each.max()) + 1) for each in (rows, columns)
    )
    high, wide = bottom - top, right - left
    side = max(high, wide)
    part = torch.cat([image * alpha, alpha])[:, top:bottom, left:right]
    across, down = side - wide, side - high
    padding = (across // 2, across - across // 2, down // 2, down - down // 2)
    whole = F.pad(part, padding)[None]
    drawing = F.interpolate(whole, (SIDE, SIDE), mode="bilinear", antialias=side > SIDE)[0]
    return drawing.clamp(0, 1), wide / side, high / side


def acting(encoded: torch.Tensor, scale: float, mask: torch.Tensor | None) -> torch.Tensor:
    """What `ReferenceEncoder` gives, (n, 2, DIM), with how strongly it acts, and where: mask
    (1, h, w), 0 to 1. Rows of zeros, of no image, stay so.
    """
    where = encoded.new_ones(MASK, MASK)
    if mask is not None:
        where = F.interpolate(mask[None], (MASK, MASK), mode="area")[0, 0].to(encoded)
    acted = encoded.clone()
    known = encoded[:, GROUND, KNOWN]
    acted[:, GROUND, SCALE] = scale * known
    acted[:, GROUND, FIELDS : FIELDS + MASK**2] = where.flatten() * known[:, None]
    return acted


def acting_in(reference: torch.Tensor) -> torch.Tensor | None:
    """The reference of one row, (2, DIM); None where it is of no image."""
    return reference if reference[GROUND, SCALE] > 0 else None


def features(sketcher: Sketcher, codes: torch.Tensor) -> torch.Tensor:
    """What drawings are compared by, their light and their cover: (n, CELLS, CODES) to (n, 2, k, k)
    around 0.
    """
    light = codes.new_zeros(2, 4)
    light[0, :3], light[1, 3] = codes.new_tensor(GREY), 1
    basis = torch.cat([sketcher.components.float(), sketcher.mean.float()[None]])
    small = F.avg_pool2d(basis.view(CODES + 1, 4, CELL, CELL), COARSE)
    small = torch.einsum("qc,kchw->kqhw", light, small).flatten(1)  # (CODES + 1, 2 * h * w)
    cells = codes @ small[:-1] + small[-1]
    side, per = SIDE // CELL, CELL // COARSE
    squares = cells.view(len(codes), side, side, 2, per, per).permute(0, 3, 1, 4, 2, 5)
    whole = squares.reshape(len(codes), 2, side * per, side * per)
    return whole - whole.mean((2, 3), keepdim=True)


def likeness(those: torch.Tensor, one: torch.Tensor) -> torch.Tensor:
    """Of features, -1 to 1: (n,)."""
    return F.cosine_similarity(those.flatten(2), one.flatten(2), dim=2).mean(1)
