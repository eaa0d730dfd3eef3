"""Control images of the teacher's pictures, and where things are in their maps."""

import random

import torch
from torch.nn import functional as F

from imagemill.pico.autoencoder import OverlappingAutoencoder
from imagemill.pico.looks import Sketcher
from imagemill.pico.matching import Box, edges
from imagemill.pico.scene import GREY, PLACEMENTS, Placement


def box_of(placement: Placement, width: int, height: int) -> Box:
    shorter = min(width, height)
    return Box(
        placement.anchor_x * width + placement.dx * shorter,
        placement.anchor_y * height + placement.dy * shorter,
        max(placement.width, placement.height) * shorter,
    )


def lines(pictures: torch.Tensor, rng: random.Random) -> torch.Tensor:
    """Edges of pictures (n, 3, h, w), -1 to 1, bright on black: thin ones, soft ones, thick ones;
    (n, 1, h, w), 0 to 1.
    """
    grey = (pictures * pictures.new_tensor(GREY)[:, None, None]).sum(1, keepdim=True)
    steps = edges(F.avg_pool2d(grey, 3, 1, 1))
    match rng.randrange(3):
        case 0:
            thin = steps * (steps >= F.max_pool2d(steps, 3, 1, 1) * 0.98)
            return (thin > rng.uniform(0.15, 0.5)).float()
        case 1:
            return steps.clamp(max=1)
        case _:
            return F.max_pool2d((steps > rng.uniform(0.3, 0.6)).float(), 3, 1, 1)


def layers(
    sketcher: Sketcher, looks: torch.Tensor, size: tuple[int, int], rng: random.Random
) -> torch.Tensor:
    """Depth of one picture: what stands lower is nearer and brighter; (1, h, w), 0 to 1."""
    height, width = size
    canvas = torch.zeros(4, height, width)
    canvas[:3] = torch.linspace(0, rng.uniform(0, 0.6), height)[:, None]
    for row in looks[:PLACEMENTS]:
        if row[0] > 0:
            before = canvas[:1].clone()
            alpha = torch.zeros_like(canvas)
            sketcher._paste(row, False, False, alpha)
            bottom = float(row[3]) + float(row[5]) + float(row[6]) / 2
            canvas[:3] = before + alpha[3:] * (min(1.0, 0.35 + 0.6 * bottom) - before)
    return canvas[:1]


def inside(box: Box, width: int, height: int) -> float:
    """The share of a box that is in the map."""
    across, down = (
        max(0.0, min(size, middle + box.side / 2) - max(0.0, middle - box.side / 2))
        for middle, size in ((box.x, width), (box.y, height))
    )
    return across * down / box.side**2


def encoded(autoencoder: OverlappingAutoencoder, images: torch.Tensor) -> torch.Tensor:
    """Control images (n, 1, h, w), 0 to 1, to latents as pipelines hand them on."""
    config = autoencoder.config
    latents = autoencoder.encoder((2 * images - 1).expand(-1, 3, -1, -1))
    plane = torch.zeros_like(latents[:, :1])
    return torch.cat([(latents - config.shift_factor) * config.scaling_factor, plane], 1)
