"""The matte of pico: a small network that tells how far what an image shows covers its background.

It has seen the teacher's scenes, whose layers are known, and the same things before any colours:
the foreground is what stands, lies or flies in a place; the place, its light and its shadows are
not. `training.matte` trains it.
"""

from functools import cache
from itertools import pairwise
from pathlib import Path

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import nn
from torch.nn import functional as F

PATCH = 4  # px of a position in the finest features
DEEP = 8  # finest positions of one in the coarsest
STEP = PATCH * DEEP  # px: sides that the network reads are multiples
LEAST, MOST = 256, 384  # px of the longer side as the network sees it
FAINT, SURE = 0.5, 0.8  # alphas up to there are nothing, and from there on all
CELL, FIRM = 4, 0.999  # px of a square, and the mean alpha from which on it is surely of a thing
NEAR = 2  # px of the smaller image around a pixel, whose colours carry an alpha to full size
SMOOTH = 1e-4  # the variance of colours that is none


class Block(nn.Module):
    """A residual block of two convolutions."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.GroupNorm(8, width), nn.SiLU(), nn.Conv2d(width, width, 3, padding=1),
            nn.GroupNorm(8, width), nn.SiLU(), nn.Conv2d(width, width, 3, padding=1),
        )  # fmt: skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = x + self.body(x)
        return out


class Context(nn.Module):
    """Every position looks at all others: what stands out does so in the whole image."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, 4, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = self.norm(x.flatten(2).mT)
        seen = self.attention(tokens, tokens, tokens, need_weights=False)[0]
        out: torch.Tensor = x + seen.mT.unflatten(2, x.shape[2:])
        return out


class MatteNetwork(ModelMixin, ConfigMixin):
    """Images (n, 3, h, w), 0 to 1, to the logits of their alphas, (n, 1, h, w).

    h and w are multiples of STEP.
    """

    config_name = "config.json"

    @register_to_config
    def __init__(self, widths: tuple[int, int, int, int] = (24, 32, 48, 64)) -> None:
        super().__init__()
        first, *_, last = widths
        self.stem = nn.Conv2d(3 * PATCH**2, first, 3, padding=1)
        pairs = list(pairwise(widths))
        self.inward = nn.ModuleList(Block(width) for width in widths)
        self.down = nn.ModuleList(nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in pairs)
        self.context = nn.Sequential(Context(last), Block(last), Context(last), Block(last))
        self.up = nn.ModuleList(nn.Conv2d(b, a, 1) for a, b in pairs)
        self.outward = nn.ModuleList(Block(width) for width in widths[:-1])
        self.head = nn.Sequential(
            nn.Conv2d(first + 3 * PATCH**2, 40, 3, padding=1), nn.SiLU(),
            nn.Conv2d(40, PATCH**2, 3, padding=1),
        )  # fmt: skip

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        cells = F.pixel_unshuffle(2 * images - 1, PATCH)
        x, passed = self.stem(cells), []
        for block, down in zip(self.inward, self.down, strict=False):
            x = block(x)
            passed.append(x)
            x = down(x)
        x = self.context(self.inward[-1](x))
        for i in reversed(range(len(passed))):
            wider = F.interpolate(self.up[i](x), scale_factor=2.0, mode="nearest")
            x = self.outward[i](passed[i] + wider)
        return F.pixel_shuffle(self.head(torch.cat([x, cells], 1)), PATCH)


def folder() -> Path:
    """The shipped weights, in diffusers' format."""
    return Path(__file__).parent / "weights" / "matte"


@cache
def shipped() -> MatteNetwork:
    """The network that comes with the package, in single precision."""
    network: MatteNetwork = MatteNetwork.from_pretrained(folder(), torch_dtype=torch.float32)
    network.eval()
    return network


def foreground(image: torch.Tensor) -> torch.Tensor:
    """The alpha of what an image (3, h, w), 0 to 1, shows before its background: (1, h, w), 0 to 1.

    All 0 where nothing stands out. The same image gives the same alpha.
    """
    return matted(shipped(), image)


@torch.inference_mode()
def matted(network: MatteNetwork, image: torch.Tensor) -> torch.Tensor:
    """As `foreground`, by any network."""
    height, width = image.shape[-2:]
    small = F.interpolate(
        image[None].float(), _seen(height, width), mode="bilinear", antialias=True
    )
    alpha = network(small).sigmoid()
    alpha = anchored(((alpha - FAINT) / (SURE - FAINT)).clamp(0, 1))
    if alpha.shape[-2:] == (height, width):
        return alpha[0]
    return _in_full(image[None].float(), small, alpha)[0]


def anchored(alpha: torch.Tensor) -> torch.Tensor:
    """Without faint spots that hang together with nothing sure: (1, 1, h, w) to the same."""
    there, firm = F.max_pool2d(alpha, CELL) > 0, F.avg_pool2d(alpha, CELL) > FIRM
    reached, count = firm, -1
    while (now := int(reached.sum())) != count:
        reached, count = (F.max_pool2d(reached.float(), 3, 1, 1) > 0) & there, now
    return alpha * F.interpolate(reached.float(), scale_factor=float(CELL))


def _seen(height: int, width: int) -> tuple[int, int]:
    """The size in which the network sees an image: near its own, both sides multiples of STEP."""
    longer = max(height, width)
    scale = min(max(longer, LEAST), MOST) / longer
    return tuple(max(STEP, round(side * scale / STEP) * STEP) for side in (height, width))  # type: ignore[return-value]


def _in_full(image: torch.Tensor, small: torch.Tensor, alpha: torch.Tensor) -> torch.Tensor:
    """An alpha of a smaller image for the image itself: around each pixel it is linear in the light
    (a guided filter), so that edges lie where the image has them.
    """

    def near(x: torch.Tensor) -> torch.Tensor:
        padded = F.pad(x, (NEAR,) * 4, mode="replicate")
        return F.avg_pool2d(padded, 2 * NEAR + 1, 1)

    light, own = small.mean(1, keepdim=True), image.mean(1, keepdim=True)
    mean, middle = near(light), near(alpha)
    slope = (near(light * alpha) - mean * middle) / (near(light * light) - mean**2 + SMOOTH)
    both = torch.cat([near(slope), near(middle - slope * mean)], 1)
    size = image.shape[-2:]
    slope, level = F.interpolate(both, size, mode="bilinear").chunk(2, 1)
    # Where the whole neighbourhood is one thing, so is the pixel.
    plain = F.interpolate(alpha, size, mode="bilinear")
    settled = (plain == 0) | (plain == 1)
    return torch.where(settled, plain, slope * own + level).clamp(0, 1)
