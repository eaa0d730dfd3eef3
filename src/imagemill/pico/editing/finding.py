"""Where a drawing is in an image: by its light and shade, its colours and its contours.

All places in all sizes are compared at once, by Fourier transforms, in a small copy of the image;
then again around the best of them, closer. Deterministic, without learning.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from imagemill.pico.matching import Box
from imagemill.pico.scene import GREY

CELLS = 64  # px of the shorter side in which a thing is looked for first
SIZES = tuple(10 * 1.13**step for step in range(17))  # px there: a sixth of the image to all of it
CLOSER = 72  # px that the drawing's side has when it is looked at again
CLOSER_SIZES = tuple(CLOSER * 1.035**step for step in range(-3, 4))
AROUND = 12  # px beyond the edges, for what is cut off there
PEAKS = 3  # places of each size that are kept
NEAR = 5  # px within which the best place stands for all
FLAT = 0.0009  # of the variance of what is nearly even, which is like anything
# How much light, colours and contours say.
WEIGHTS = (1.0, 0.6, 1.2)
SURE, SURE_UNCOLOURED = 1.36, 1.2  # scores from which on a thing is there
LIKELY, MOST = 0.9, 5  # scores from which places are looked at again, and how many
OVER = 0.3  # overlaps from which on two places are of one thing
# Light, and the differences of red and of blue from it.
_OPPONENT = (GREY, (1 - GREY[0], -GREY[1], -GREY[2]), (-GREY[0], -GREY[1], 1 - GREY[2]))


@dataclass(frozen=True)
class Sighting:
    """A place of a drawing. box: in px of the image. mirrored: it is the drawing's mirror image.
    score: from SURE on it is there.
    """

    box: Box
    mirrored: bool
    score: float
    sure: bool


def places(image: torch.Tensor, drawing: torch.Tensor) -> list[Sighting]:
    """Where a drawing may be, also in other colours, the likeliest first, and none over another.

    image: (3, h, w), 0 to 1. drawing: (4, side, side), premultiplied.
    """
    ways = ((drawing, False), (drawing.flip(-1), True))
    peaks = [each for drawn, mirrored in ways for each in _coarse(image, drawn, mirrored)]
    likely = [each for each in _apart(peaks) if each.score > LIKELY][:MOST]
    return _apart(_closer(image, drawing, each) for each in likely)


def _apart(sighting: Iterable[Sighting]) -> list[Sighting]:
    """The likeliest first, without what lies over a likelier one."""
    kept: list[Sighting] = []
    for each in sorted(sighting, key=lambda one: -one.score):
        if all(each.box.overlap(other.box) < OVER for other in kept):
            kept.append(each)
    return kept


def _coarse(image: torch.Tensor, drawing: torch.Tensor, mirrored: bool) -> Iterator[Sighting]:
    shorter = min(image.shape[1:])
    size = [max(8, round(side * CELLS / shorter)) for side in image.shape[1:]]
    small = F.interpolate(image[None], size=size, mode="area")[0]
    scale = shorter / CELLS
    for box, score, sure in _best(_Searched(small), drawing, SIZES):
        yield Sighting(Box(box.x * scale, box.y * scale, box.side * scale), mirrored, score, sure)


def _closer(image: torch.Tensor, drawing: torch.Tensor, sighting: Sighting) -> Sighting:
    """The same place more exactly."""
    drawn = drawing.flip(-1) if sighting.mirrored else drawing
    box, half = sighting.box, 0.65 * sighting.box.side
    side = math.ceil(2 * half * CLOSER / box.side)
    part = cropped(image, Box(box.x, box.y, 2 * half), side)
    scale = 2 * half / side
    best = max(_best(_Searched(part), drawn, CLOSER_SIZES), key=lambda each: each[1], default=None)
    if best is None:
        return sighting
    (x, y, own), score, sure = best
    there = Box(box.x - half + x * scale, box.y - half + y * scale, own * scale)
    return Sighting(there, sighting.mirrored, score, sure or sighting.sure)


def cropped(image: torch.Tensor, box: Box, side: int) -> torch.Tensor:
    """A square of an image (c, h, w) in another size; its edges go on: (c, side, side)."""
    height, width = image.shape[1:]
    scale = box.side / side
    if scale > 1.5:  # what is made smaller is blurred before
        size = [max(1, round(n / scale)) for n in (height, width)]
        image = F.interpolate(image[None], size=size, mode="area")[0]
    at = (torch.arange(side, device=image.device) + 0.5) / side - 0.5
    x, y = (box.x + at * box.side) * 2 / width - 1, (box.y + at * box.side) * 2 / height - 1
    grid = torch.stack([x.expand(side, side), y[:, None].expand(side, side)], -1)[None]
    return F.grid_sample(image[None], grid, padding_mode="border", align_corners=False)[0]


class _Searched:
    """An image in which drawings are looked for: its channels, transformed once."""

    def __init__(self, image: torch.Tensor) -> None:
        colours = torch.einsum("ij,jhw->ihw", image.new_tensor(_OPPONENT), image)
        colours = colours - colours.mean((1, 2), keepdim=True)
        steps = F.pad(directions(colours[:1]), (AROUND,) * 4)
        colours = F.pad(colours[None], (AROUND,) * 4, mode="replicate")[0]
        self.height, self.width = colours.shape[1:]
        self.side = 2 ** math.ceil(math.log2(max(self.height, self.width) + 10))
        light, others = colours[:1], colours[1:]
        squares = [light.square(), others.square().sum(0, keepdim=True)]
        energy = steps.square().sum(0, keepdim=True)
        self.parts = self._transformed(torch.cat([light, others, *squares, steps, energy]))

    def _transformed(self, planes: torch.Tensor) -> torch.Tensor:
        transformed: torch.Tensor = torch.fft.rfft2(planes, s=(self.side, self.side))
        return transformed

    def likeness(self, drawn: "_Template") -> tuple[torch.Tensor, torch.Tensor]:
        """Of the drawing with its middle at each place: its score, and that without its colours;
        where it does not fit, -inf.
        """
        light, red, blue, light2, others2, across, down, energy = self.parts
        own = self._transformed(drawn.planes).conj()
        inside, own_light, own_red, own_blue, own_across, own_down, near = own
        sums = torch.stack([
            light * inside, light2 * inside, light * own_light, red * inside, blue * inside,
            others2 * inside, red * own_red + blue * own_blue,
            across * own_across + down * own_down, energy * near,
        ])  # fmt: skip
        half, size = drawn.size // 2, (self.side, self.side)
        sums = torch.fft.irfft2(sums, s=size).roll((half, half), (1, 2))
        s, s2, sl, r, b, o2, so, sd, e = sums[:, : self.height, : self.width]
        n = drawn.count
        shade = sl / (((s2 - s.square() / n).clamp(min=0) + FLAT * n) * drawn.light2).sqrt()
        spread = (o2 - (r.square() + b.square()) / n).clamp(min=0) + FLAT * n
        colours = so / (spread * drawn.others2).sqrt()
        contours = sd / ((e.clamp(min=0) + 0.02 * drawn.near) * drawn.steps2).sqrt()
        plain = WEIGHTS[0] * shade + WEIGHTS[2] * contours
        both = (plain + WEIGHTS[1] * colours, plain)
        coloured, plain = (self._fitting(score, drawn.size) for score in both)
        return coloured, plain

    def _fitting(self, score: torch.Tensor, size: int) -> torch.Tensor:
        before, behind = size // 2, size - size // 2 - 1
        out = torch.full_like(score, -torch.inf)
        part = (slice(before, self.height - behind), slice(before, self.width - behind))
        out[part] = score[part]
        return out


class _Template:
    """A drawing in one size: what is compared of it."""

    def __init__(self, drawing: torch.Tensor, side: int) -> None:
        small = F.interpolate(
            drawing[None], size=(side, side), mode="bilinear", antialias=True, align_corners=False
        )
        small = F.pad(small, (1,) * 4)[0]
        self.size, alpha = side + 2, small[3:]
        colours = small[:3] / alpha.clamp(min=1e-3)
        colours = torch.einsum("ij,jhw->ihw", colours.new_tensor(_OPPONENT), colours)
        inside = (alpha > 0.6).to(colours)
        self.count = float(inside.sum().clamp(min=1))
        mean = (inside * colours).sum((1, 2), keepdim=True) / self.count
        own = inside * (colours - mean)
        steps = self._contours(colours[:1], alpha)
        near = F.max_pool2d(alpha[None], 5, 1, 2)[0]
        self.light2 = float(own[:1].square().sum() + FLAT * self.count)
        self.others2 = float(own[1:].square().sum() + FLAT * self.count)
        steps = steps * near
        self.steps2 = float(steps.square().sum().clamp(min=1e-6))
        near = (near > 0.3).to(near)
        self.near = float(near.sum())
        self.planes = torch.cat([inside, own, steps, near])

    def _contours(self, light: torch.Tensor, alpha: torch.Tensor) -> torch.Tensor:
        """Where it steps, inside or around it, and in which direction."""
        even = (light * alpha).sum() / alpha.sum().clamp(min=1e-3)
        inner, outer = directions(light * alpha + (1 - alpha) * even), directions(0.6 * alpha)
        stronger = outer.square().sum(0) > inner.square().sum(0)
        return torch.where(stronger, outer, inner)


def directions(light: torch.Tensor) -> torch.Tensor:
    """The steps of (1, h, w) by twice their angle, so that dark to bright is as bright to dark, and
    the root of their height: (2, h, w).
    """
    padded = F.pad(light[None], (1, 1, 1, 1), mode="replicate")[0]
    across = (padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2]) / 2
    down = (padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1]) / 2
    height = torch.hypot(across, down) + 1e-6
    both = torch.cat([across.square() - down.square(), 2 * across * down])
    return both * height.pow(-1.5)


def _best(
    searched: _Searched, drawing: torch.Tensor, sizes: Sequence[float]
) -> Iterator[tuple[Box, float, bool]]:
    """The likeliest places of each size, by its colours and without: box, score and whether that is
    sure.
    """
    for size in sizes:
        drawn = _Template(drawing, round(size))
        if drawn.size > min(searched.height, searched.width):
            continue
        coloured, plain = searched.likeness(drawn)
        for scores in (coloured, plain):
            for y, x in _peaks(scores):
                half = 0.5 * (drawn.size % 2)
                box = Box(x + half - AROUND, y + half - AROUND, float(round(size)))
                with_colours, without = float(coloured[y, x]), float(plain[y, x])
                sure = with_colours > SURE or without > SURE_UNCOLOURED
                yield box, max(with_colours, without), sure


def _peaks(scores: torch.Tensor) -> Iterator[tuple[int, int]]:
    """Rows and columns of the highest, none beside another."""
    highest = F.max_pool2d(scores[None], NEAR, 1, NEAR // 2)[0]
    only = torch.where(scores == highest, scores, -torch.inf)
    values, at = only.flatten().topk(min(PEAKS, only.numel()))
    for value, place in zip(values.tolist(), at.tolist(), strict=True):
        if not math.isinf(value):
            yield divmod(place, scores.shape[1])
