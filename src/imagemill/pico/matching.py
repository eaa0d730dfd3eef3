"""Where a drawing is in a map: proposed by its edges, then found by a small network.

A map is what a control image says, 0 to 1, (1, h, w). Sides and places are in its pixels.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from imagemill.pico.looks import SIDE
from imagemill.pico.scene import GREY

TEMPLATE, WINDOW = 48, 72  # px of a drawing, and of what is seen around it
CHANNELS = 5  # of a window: map, its edges, what lies inside, the drawing's edges and its cover
REACH = 3  # squares of 4 px of a window
SCALES = (0.5, 0.71, 1.0, 1.41, 2.0)  # of a thing's own size, in which it is looked for
COARSE = 2  # px of the map on a side of what proposals are made from
LEAST, MOST = 6, 64  # coarse px of a side that is looked for
PROPOSED = 12  # boxes, beside the thing's own
NEAR = 5  # coarse px within which one proposal stands for all
ROUNDS = 3  # in which a box is made better
STRONG = 3.0
LIKENESS = 8.0  # what edges that are alike weigh, beside the network's answer
FAINT = 0.02  # a step of a map that is none


class Box(NamedTuple):
    """A square; x, y: its middle."""

    x: float
    y: float
    side: float

    def overlap(self, other: "Box") -> float:
        """Shared area by joined area, 0 to 1."""
        sides = [
            max(
                0.0,
                min(a + self.side / 2, b + other.side / 2)
                - max(a - self.side / 2, b - other.side / 2),
            )
            for a, b in ((self.x, other.x), (self.y, other.y))
        ]
        shared = sides[0] * sides[1]
        return shared / (self.side**2 + other.side**2 - shared)

    def holds(self, x: float, y: float) -> bool:
        return max(abs(x - self.x), abs(y - self.y)) <= self.side / 2


def edges(values: torch.Tensor) -> torch.Tensor:
    """Steps of maps, 0 to 1, from STRONG times the mean square on 1; (n, 1, h, w) to the same."""
    padded = F.pad(values, (1, 1, 1, 1), mode="replicate")
    across = (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]) / 2
    down = (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]) / 2
    squares = across.square() + down.square()
    strong = (STRONG * squares.mean((1, 2, 3), keepdim=True).sqrt()).clamp(min=FAINT)
    return (squares.sqrt() / strong).clamp(max=1)


def template(drawing: torch.Tensor) -> torch.Tensor:
    """(4, SIDE, SIDE), premultiplied, to edges and cover: (2, TEMPLATE, TEMPLATE)."""
    alpha = drawing[3:]
    light = (drawing[:3] * drawing.new_tensor(GREY)[:, None, None]).sum(0, keepdim=True)
    both = edges(torch.stack([light + (1 - alpha) / 2, alpha]))
    drawn = both[0].maximum(0.7 * both[1])
    return F.avg_pool2d(torch.cat([drawn, alpha]), SIDE // TEMPLATE)


def windows(
    values: torch.Tensor, steps: torch.Tensor, drawn: torch.Tensor, boxes: Sequence[Box]
) -> torch.Tensor:
    """What is in and around each box, with what is looked for: (k, CHANNELS, WINDOW, WINDOW).

    values, steps: a map and its edges, (1, h, w). drawn: (2, TEMPLATE, TEMPLATE), or one each.
    """
    height, width = values.shape[-2:]
    spread = torch.linspace(-0.5, 0.5, WINDOW, device=values.device) * (WINDOW / TEMPLATE)
    placed = values.new_tensor(boxes)
    x = (placed[:, :1] + spread * placed[:, 2:]) * (2 / width) - 1
    y = (placed[:, 1:2] + spread * placed[:, 2:]) * (2 / height) - 1
    count = len(boxes)
    grid = torch.stack(
        [x[:, None].expand(-1, WINDOW, -1), y[:, :, None].expand(-1, -1, WINDOW)], -1
    )
    seen = torch.cat([values, steps, torch.ones_like(values)])[None].expand(count, -1, -1, -1)
    around = F.grid_sample(seen, grid, align_corners=False)
    margin = (WINDOW - TEMPLATE) // 2
    looked_for = F.pad(drawn, (margin,) * 4).expand(count, -1, -1, -1)
    return torch.cat([around, looked_for], 1)


class Matcher(nn.Module):
    """(k, CHANNELS, WINDOW, WINDOW) to (k, 4): whether the drawing is there, as a logit, how far
    right and down of the window's middle, in sides of the box, and the logarithm of its size in
    these.
    """

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        self.seen, self.drawn = _features(CHANNELS - 2, width), _features(2, width)
        self.body = nn.Sequential(
            nn.Conv2d((2 * REACH + 1) ** 2 + width, 64, 3, padding=1), nn.SiLU(),
            nn.Conv2d(64, 96, 3, stride=2, padding=1), nn.SiLU(),
            nn.Conv2d(96, 96, 3, stride=2, padding=1), nn.SiLU(),
        )  # fmt: skip
        self.head = nn.Sequential(
            nn.Linear(96 * (-(-WINDOW // 16)) ** 2, 128), nn.SiLU(), nn.Linear(128, 4)
        )

    def forward(self, window: torch.Tensor) -> torch.Tensor:
        window = window.to(next(self.parameters()).dtype)
        seen = F.normalize(self.seen(window[:, : CHANNELS - 2]), dim=1)
        drawn = self.drawn(window[:, CHANNELS - 2 :])
        alike = _alike_nearby(seen, F.normalize(drawn, dim=1))
        answer: torch.Tensor = self.head(self.body(torch.cat([alike, drawn], 1)).flatten(1))
        return answer

    def places(
        self, values: torch.Tensor, steps: torch.Tensor, drawn: torch.Tensor, own: Box
    ) -> list[tuple[float, Box]]:
        """Where a drawing may be, each place with its score. steps: the edges of the map. drawn: as
        `template` gives it. own: where it is looked for first.
        """
        boxes = [own, *proposed(steps, drawn[0], own)]
        for _ in range(ROUNDS):
            answers = self(windows(values, steps, drawn, boxes))
            boxes = list(map(moved, boxes, answers.tolist()))
        last = windows(values, steps, drawn, boxes)
        scores = self(last)[:, 0].float() + LIKENESS * likeness(last)
        return list(zip(scores.tolist(), boxes, strict=True))


def _features(channels: int, width: int) -> nn.Sequential:
    """Of squares of 4 px."""
    return nn.Sequential(
        nn.Conv2d(channels, 16, 3, stride=2, padding=1), nn.SiLU(),
        nn.Conv2d(16, width, 3, stride=2, padding=1), nn.SiLU(),
        nn.Conv2d(width, width, 3, padding=1),
    )  # fmt: skip


def _alike_nearby(seen: torch.Tensor, drawn: torch.Tensor) -> torch.Tensor:
    """How like each feature of a drawing is to those around its place in a window, up to REACH
    squares each way: two (k, c, h, w) to (k, (2 * REACH + 1) ** 2, h, w).
    """
    side = 2 * REACH + 1
    around = F.unfold(seen, side, padding=REACH)
    around = around.unflatten(1, (seen.shape[1], side**2)).unflatten(3, seen.shape[2:])
    alike: torch.Tensor = (around * drawn[:, :, None]).sum(1)
    return alike


def likeness(window: torch.Tensor) -> torch.Tensor:
    """Of the edges in windows and those that are looked for, 0 to 1: (k,)."""
    seen, wanted = (F.avg_pool2d(window[:, i : i + 1], 3, 1, 1).flatten(1) for i in (1, 3))
    return F.cosine_similarity(seen, wanted)


def moved(box: Box, answer: Sequence[float]) -> Box:
    """Where an answer of the matcher says that the drawing is."""
    _, dx, dy, grown = answer
    return Box(
        box.x + dx * box.side, box.y + dy * box.side, box.side * 2.0 ** max(-1.0, min(1.0, grown))
    )


def proposed(steps: torch.Tensor, drawn: torch.Tensor, own: Box) -> Iterator[Box]:
    """Boxes whose edges are most like the drawing's, the likest first, in several sizes.

    steps: (1, h, w). drawn: its edges, (TEMPLATE, TEMPLATE).
    """
    coarse = F.avg_pool2d(steps[None], COARSE, ceil_mode=True)
    peaks = []
    for scale in SCALES:
        side = round(own.side * scale / COARSE)
        if LEAST <= side <= MOST:
            alike = _alike(coarse, drawn, side)
            highest = F.max_pool2d(alike, NEAR, 1, NEAR // 2)
            values, places = (alike * (alike == highest)).flatten().topk(PROPOSED)
            width = alike.shape[-1]
            for value, place in zip(values.tolist(), places.tolist(), strict=True):
                y, x = divmod(place, width)
                # The first window lies half a side before the map.
                x, y = (n + 0.5 * (side % 2) for n in (x, y))
                peaks.append((value, Box(x * COARSE, y * COARSE, side * COARSE)))
    peaks.sort(reverse=True)
    return (box for _, box in peaks[:PROPOSED])


def _alike(coarse: torch.Tensor, drawn: torch.Tensor, side: int) -> torch.Tensor:
    """The correlation of edges with a drawing's of that side, by the position of its middle."""
    size = (side, side)
    kernel = F.interpolate(drawn[None, None], size, mode="bilinear", antialias=True)
    kernel = kernel - kernel.mean()
    padded = F.pad(coarse, (side // 2,) * 4)
    ones = torch.ones_like(kernel)
    energy = F.conv2d(padded.square(), ones).clamp(min=0) + 0.02 * side**2
    alike: torch.Tensor = F.conv2d(padded, kernel) / (energy.sqrt() * kernel.norm())
    return alike
