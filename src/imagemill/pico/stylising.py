"""Styles of a sketch: what a finished picture of a style has in common with one in the usual style.

A sketch is drawn as everything looks in 3D. What a style makes of that is known beforehand, but for
grain, strokes and the colours that a palette is made of: so the sketch is changed as far as it is
known, and only the rest is left to be learnt.
"""

import math
from collections.abc import Callable

import torch
from torch.nn import functional as F

from imagemill.pico.scene import GREY, STYLES

Filter = Callable[[torch.Tensor, float], torch.Tensor]

PAPER = (0.99, 0.98, 0.95)
RIM = 14  # px of a picture of 512 that are paper in a watercolour
BLOCK = 85  # squares of pixel art along the shorter side
COARSELY = 4.0  # px of deviation from which on a picture is blurred in a quarter of its size
LOOKED_AT, ROUNDS = 8192, 4  # pixels, and how often, until a palette is found
STROKES = 60  # of a brush along the shorter side
DOTS = 8  # px of a picture of 512 between the dots of a comic


def number(style: str) -> int:
    """By its place in STYLES; 0 is the usual one."""
    return STYLES.index(style)


def stylised(sketch: torch.Tensor, style: int) -> torch.Tensor:
    """(3, h, w), -1 to 1, in a style by its number; unchanged where there is nothing to change."""
    drawing = FILTERS.get(STYLES[style]) if style < len(STYLES) else None
    if drawing is None:
        return sketch
    unit = min(sketch.shape[1:]) / 512
    return 2 * drawing((sketch + 1) / 2, unit).clamp(0, 1) - 1


def _blurred(picture: torch.Tensor, deviation: float) -> torch.Tensor:
    """By a bell curve, its deviation in px; edges go on as they end."""
    if deviation > COARSELY:  # what is so soft shows in a quarter of the size
        size = [max(1, side // 4) for side in picture.shape[1:]]
        small = _blurred(F.interpolate(picture[None], size, mode="area")[0], deviation / 4)
        return F.interpolate(small[None], picture.shape[1:], mode="bilinear")[0]
    reach = max(1, math.ceil(2.5 * deviation))
    weights = [math.exp(-0.5 * (at / deviation) ** 2) for at in range(-reach, reach + 1)]
    soft = F.pad(picture[None], (reach,) * 4, mode="replicate")[0]
    for axis in (1, 2):
        length = soft.shape[axis] - 2 * reach
        parts = (soft.narrow(axis, at, length) * weight for at, weight in enumerate(weights))
        soft = torch.stack([*parts]).sum(0) / sum(weights)
    return soft


def in_few_colours(
    picture: torch.Tensor, colours: int, counts: torch.Tensor | None = None
) -> torch.Tensor:
    """(3, h, w) in so many colours, those that its pixels gather round. counts: (h, w), by which
    they weigh.
    """
    everywhere = picture.flatten(1).T  # (h * w, 3)
    counts = torch.ones_like(picture[0]) if counts is None else counts
    step = max(1, len(everywhere) // LOOKED_AT)
    palette = _palette(everywhere[::step], counts.flatten()[::step], colours)
    nearest: torch.Tensor = palette[torch.cdist(everywhere, palette).argmin(1)]
    indexed: torch.Tensor = nearest.T.unflatten(1, picture.shape[1:])
    return indexed


def _palette(pixels: torch.Tensor, counts: torch.Tensor, colours: int) -> torch.Tensor:
    """(colours, 3), by k-means from an even share of the pixels (n, 3) on, the darkest first."""
    order = (pixels * pixels.new_tensor(GREY)).sum(1).argsort(stable=True)
    shares = counts[order].cumsum(0)
    middles = (torch.arange(colours, device=pixels.device) + 0.5) / colours * shares[-1]
    palette = pixels[order[torch.searchsorted(shares, middles).clamp(max=len(order) - 1)]]
    for _ in range(ROUNDS):
        nearest = F.one_hot(torch.cdist(pixels, palette).argmin(1), colours)
        near = nearest.to(pixels) * counts[:, None]
        total = near.sum(0)[:, None]
        palette = torch.where(total > 0, near.T @ pixels / total.clamp(min=1e-6), palette)
    return palette


def _grey(picture: torch.Tensor) -> torch.Tensor:
    """(1, h, w)."""
    return (picture * picture.new_tensor(GREY)[:, None, None]).sum(0, keepdim=True)


def _lines(picture: torch.Tensor, unit: float, strength: float = 1.0) -> torch.Tensor:
    """Where contours are, 0 to 1; (1, h, w)."""
    step = max(1, round(unit))
    soft = F.pad(_blurred(picture, 0.5 * unit)[None], (step,) * 4, mode="replicate")[0]
    across = (soft[:, step:-step, 2 * step :] - soft[:, step:-step, : -2 * step]).abs()
    down = (soft[:, 2 * step :, step:-step] - soft[:, : -2 * step, step:-step]).abs()
    edge = across.maximum(down).amax(0, keepdim=True)
    return ((edge - LEAST_EDGE) * (strength * EDGE)).clamp(0, 1)


LEAST_EDGE, EDGE = (
    0.08,
    7.0,
)  # a step between neighbours from which on there is a line; its strength


def _outline(picture: torch.Tensor, unit: float) -> torch.Tensor:
    return (1 - 0.93 * _lines(picture, unit)).expand(3, -1, -1)


def _pixel_art(picture: torch.Tensor, unit: float) -> torch.Tensor:
    height, width = picture.shape[1:]
    block = max(2, round(min(height, width) / BLOCK))
    size = height // block, width // block
    cut = picture[:, : size[0] * block, : size[1] * block]
    squares = in_few_colours(F.avg_pool2d(cut, block), 28)
    large = squares.repeat_interleave(block, 1).repeat_interleave(block, 2)
    ends = (0, width - large.shape[2], 0, height - large.shape[1])
    return F.pad(large[None], ends, mode="replicate")[0]


def _watercolour(picture: torch.Tensor, unit: float) -> torch.Tensor:
    height, width = picture.shape[1:]
    ran = _blurred(picture, 2.0 * unit)
    wide = _blurred(ran, 7 * unit)
    ran = ran * (1 - 0.9 * _grey(wide - ran).clamp(0, 0.3))
    ran = 1 - (0.8 + 0.16 * _noise(picture, 9) + 0.07 * _noise(picture, 60)) * (1 - ran)
    down, across = (
        torch.arange(size, dtype=torch.float32, device=picture.device) for size in (height, width)
    )
    down, across = down.minimum(height - 1 - down), across.minimum(width - 1 - across)
    border = down[:, None].minimum(across) / unit
    wet = ((border - RIM - 9 * _noise(picture, 24)) / 5).clamp(0, 1)
    paper = picture.new_tensor(PAPER)[:, None, None]
    return paper + (ran - paper) * wet


def _comic(picture: torch.Tensor, unit: float) -> torch.Tensor:
    soft = _blurred(picture, 0.5 * unit)
    light = soft.amax(0, keepdim=True)
    steps = ((light * 5 + 0.5).floor() / 5) / light.clamp(min=0.02)
    mean = _grey(soft)
    shaded = ((mean + (soft - mean) * 1.25) * steps).clamp(0, 1)
    period = max(4, round(DOTS * unit))
    rows, columns = (torch.arange(size, device=picture.device) for size in picture.shape[1:])
    off = torch.hypot(
        ((rows[:, None] + columns) % period - period / 2).float(),
        ((rows[:, None] - columns) % period - period / 2).float(),
    )
    dots = (off < period * 0.26) & (light > 0.45) & (light < 0.9)
    return torch.where(dots, shaded * 0.88, shaded) * (1 - 0.95 * _lines(picture, unit, 1.5))


def _oil(picture: torch.Tensor, unit: float) -> torch.Tensor:
    """Of four neighbouring squares the most even one's mean, as Kuwahara has it."""
    reach = max(2, round(4 * unit))
    both = torch.cat([picture, _grey(picture), _grey(picture).square()])
    padded = F.pad(both[None], (2 * reach,) * 4, mode="replicate")
    means = F.avg_pool2d(padded, 2 * reach + 1, 1)[0]
    spread = means[4:] - means[3:4].square()
    height, width = picture.shape[1:]
    best, out = torch.full_like(spread[:, :height, :width], torch.inf), picture
    for top in (0, 2 * reach):
        for left in (0, 2 * reach):
            part = (slice(None), slice(top, top + height), slice(left, left + width))
            better = spread[part] < best
            out, best = torch.where(better, means[:3][part], out), spread[part].minimum(best)
    return out * (1 + 0.07 * _noise(picture, STROKES, wide=5))


def _noise(picture: torch.Tensor, cells: int, wide: int = 1) -> torch.Tensor:
    """Smooth noise, -1 to 1, with so many cells along the shorter side, each `wide` times as wide
    as high; (1, h, w), the same for every picture of a size.
    """
    height, width = picture.shape[1:]
    unit = cells / min(height, width)
    size = [max(2, round(unit * side)) for side in (height, width / wide)]
    generator = torch.Generator().manual_seed(cells)
    noise = 2 * torch.rand(1, 1, *size, generator=generator) - 1
    return F.interpolate(noise, (height, width), mode="bicubic")[0].to(picture.device)


def _pencil(picture: torch.Tensor, unit: float) -> torch.Tensor:
    grey = _grey(picture)
    light = (grey / _blurred(grey, 8 * unit).clamp(min=0.05)).clamp(0, 1)
    rows, columns = (
        torch.arange(size, dtype=torch.float32, device=picture.device) for size in picture.shape[1:]
    )
    hatch = 0.5 + 0.5 * torch.sin((rows[:, None] + columns) * (0.95 / unit))
    tone = light - 0.34 * (0.92 - grey).clamp(0, 1) * HATCHED * hatch
    tone = tone - 0.34 * (0.92 - grey).clamp(0, 1) * (1 - HATCHED) / 2 - 0.05
    return (tone - 0.55 * _lines(picture, unit, 0.8)).expand(3, -1, -1)


HATCHED = 0.3  # how much of the strokes is drawn, whose places are nearly known


def _black_and_white(picture: torch.Tensor, unit: float) -> torch.Tensor:
    return ((_grey(picture) - 0.5) * 1.14 + 0.5).expand(3, -1, -1)


FILTERS: dict[str, Filter] = {
    "outline": _outline, "pixel art": _pixel_art, "watercolour": _watercolour,
    "comic": _comic, "oil": _oil, "pencil": _pencil, "black and white": _black_and_white,
}  # fmt: skip
