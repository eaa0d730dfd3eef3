"""What an image shows behind its things: which of pico's backgrounds, if it is one, and what is to
be seen where a thing goes away.
"""

from dataclasses import dataclass, replace

import torch
from torch.nn import functional as F

from imagemill.pico import stylising
from imagemill.pico.backgrounds import BACKGROUNDS, VARIANTS, Background, shown
from imagemill.pico.editing.sources import Looks
from imagemill.pico.scene import STYLES

COMPARED = 24  # px in which backgrounds are compared
STYLED = 64  # px in which they are brought into a style before
FREE = 0.5  # the share of an image that shows its background at least
# How far what is free may differ from a background, 0 to 1; in another style it does by more.
ALIKE, ALIKE_STYLED = 0.02, 0.05
OTHER = 0.16  # from where on a pixel is none of the background
RADII = (
    0.25,
    0.0625,
    0.0156,
    0.004,
)  # of the shorter side: colours flow into a hole from afar first


@dataclass(frozen=True)
class Ground:
    """One of the table's backgrounds, as an image shows it. apart: how far what is free of the
    image differs from it, 0 to 1.
    """

    number: int
    variant: int
    mirrored: bool = False
    style: str = STYLES[0]
    apart: float = 0.0

    @property
    def background(self) -> Background:
        return BACKGROUNDS[self.number]


class Surroundings:
    """Tells the table's backgrounds apart, by how they look when they are small."""

    def __init__(self, looks: Looks) -> None:
        self.looks = looks
        self.tables: dict[str, tuple[list[Ground], torch.Tensor]] = {}

    def table(self, style: str) -> tuple[list[Ground], torch.Tensor]:
        """All backgrounds there are, and in other than the usual style those by day, with how they
        look: (n, 3, COMPARED, COMPARED).
        """
        if style not in self.tables:
            self.tables[style] = self._table(style)
        return self.tables[style]

    def _table(self, style: str) -> tuple[list[Ground], torch.Tensor]:
        usual = style == STYLES[0]
        daily = (each.time == "day" and not each.weather for each in BACKGROUNDS)
        numbers = [i for i, plain in enumerate(daily) if usual or plain]
        grounds = [Ground(i, variant, style=style) for i in numbers for variant in range(VARIANTS)]
        number, shown = stylising.number(style), []
        for i in numbers:
            each = self.looks.grounds(i)
            if number:
                each = F.interpolate(each, size=(STYLED,) * 2, mode="area")
                each = torch.stack([(stylising.stylised(2 * x - 1, number) + 1) / 2 for x in each])
            shown.append(F.interpolate(each, size=(COMPARED,) * 2, mode="area"))
        return grounds, torch.cat(shown)

    def ground(self, image: torch.Tensor) -> Ground | None:
        """The background of an image (3, h, w); None where it has another than the table's."""
        for style in STYLES:
            best = self._nearest(image, style)
            if best.apart < (ALIKE if style == STYLES[0] else ALIKE_STYLED):
                return best
        return None

    def _nearest(self, image: torch.Tensor, style: str) -> Ground:
        height, width = image.shape[1:]
        left, top, wide, high = (round(COMPARED * part) for part in shown(width, height))
        small = F.interpolate(image[None], size=(high, wide), mode="area")[0]
        grounds, table = self.table(style)
        seen = table[:, :, top : top + high, left : left + wide]
        count = max(1, round(FREE * wide * high))
        best = replace(grounds[0], apart=1.0)
        for mirrored in (False, True):
            aside = small.flip(-1) if mirrored else small
            apart = (seen - aside).abs().mean(1).flatten(1)
            nearest, at = apart.topk(count, 1, largest=False)[0].mean(1).min(0)
            if float(nearest) < best.apart:
                best = replace(grounds[int(at)], mirrored=mirrored, apart=float(nearest))
        return best

    def shown(self, ground: Ground, size: tuple[int, int]) -> torch.Tensor:
        """What is seen of a background, as an image (3, *size)."""
        whole = self.looks.grounds(ground.number)[ground.variant]
        whole = whole.flip(-1) if ground.mirrored else whole
        height, width = size
        longer, (left, top, *_) = max(size), shown(width, height)
        large = F.interpolate(
            whole[None], size=(longer, longer), mode="bilinear", align_corners=False
        )[0]
        y, x = round(top * longer), round(left * longer)
        part = large[:, y : y + height, x : x + width]
        return (stylising.stylised(2 * part - 1, stylising.number(ground.style)) + 1) / 2


def things(image: torch.Tensor, empty: torch.Tensor) -> torch.Tensor:
    """How far each pixel of an image is none of its background, 0 to 1; (3, h, w) each, to
    (1, h, w).
    """
    apart = (image - empty).abs().amax(0, keepdim=True)
    unit = max(1.0, min(image.shape[1:]) / 170)
    soft = blurred(apart, unit)
    sure = ((soft - OTHER / 2) / (OTHER / 2)).clamp(0, 1)
    reach = round(2 * unit)
    return torch.maximum(sure, grown(grown(sure, reach), -reach))  # holes are filled


def blurred(planes: torch.Tensor, radius: float) -> torch.Tensor:
    """By boxes, thrice; (c, h, w). Running sums take as long for any radius."""
    reach = max(1, round(radius))
    for _ in range(3):
        for axis in (1, 2):
            planes = _boxed(planes, reach, axis)
    return planes


def _boxed(planes: torch.Tensor, reach: int, axis: int) -> torch.Tensor:
    length, count = planes.shape[axis], 2 * reach + 1
    ends = (0, 0, reach + 1, reach) if axis == 1 else (reach + 1, reach, 0, 0)
    sums = F.pad(planes[None], ends, mode="replicate")[0].cumsum(axis, dtype=torch.float64)
    means = (sums.narrow(axis, count, length) - sums.narrow(axis, 0, length)) / count
    return means.to(planes.dtype)


def grown(mask: torch.Tensor, reach: int) -> torch.Tensor:
    """A mask (1, h, w) so many px wider; narrower where that is negative."""
    if reach < 0:
        return -grown(-mask, -reach)
    if reach == 0:
        return mask
    wide = F.max_pool2d(mask[None], (1, 2 * reach + 1), 1, (0, reach))
    return F.max_pool2d(wide, (2 * reach + 1, 1), 1, (reach, 0))[0]


def flowed(image: torch.Tensor, hole: torch.Tensor) -> torch.Tensor:
    """The image (3, h, w) with the colours around a hole (1, h, w) in it."""
    kept = (hole < 0.02).to(image)
    if not kept.any():
        return image
    shorter = min(image.shape[1:])
    filled = ((image * kept).sum((1, 2), keepdim=True) / kept.sum()).expand_as(image)
    for part in RADII:
        radius = part * shorter / 2
        if radius < 0.5:
            continue
        share, near = blurred(kept, radius), blurred(image * kept, radius)
        certain = (4 * share).clamp(max=1)
        filled = filled * (1 - certain) + near / share.clamp(min=1e-4) * certain
    return torch.where(kept > 0, image, image * (1 - hole) + filled * hole)
