"""Finds the autoencoder of the teacher's pictures: what is linear needs no training.

    python -m training.autoencoder --pictures runs/pico/pictures --out runs/pico/vae

PICTURES holds files of (n, h, w, 3) bytes, as `training.sample` writes them; the last twentieth of
each tells how good it is, and is not looked at before.
"""

import argparse
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from imagemill.pico.autoencoder import PATCH, OverlappingAutoencoder

HELD = 20  # one picture of so many is held out
COUNT = 160  # pictures of which the principal components are found
SHRINKING = 0.3  # power of its deviation by which a component's latent is divided

Pictures = NDArray[np.uint8]


def pictures(folder: Path, count: int, *, held: bool) -> torch.Tensor:
    """About `count` pictures of a size, as many from each file: its first, or the last of it."""
    files = [np.load(path, mmap_mode="r") for path in sorted(folder.glob("*.npy"))]
    alike = [file for file in files if file.shape[1:] == files[0].shape[1:]]
    each = -(-count // len(alike))
    parts = [file[-min(each, len(file) // HELD) :] if held else file[:each] for file in alike]
    return scaled(np.concatenate(parts))


def scaled(pixels: Pictures) -> torch.Tensor:  # (n, 3, h, w), -1..1
    return torch.from_numpy(np.array(pixels)).permute(0, 3, 1, 2).float() / 127.5 - 1


@torch.no_grad()
def fit(model: OverlappingAutoencoder, shown: torch.Tensor) -> OverlappingAutoencoder:
    """Finds the principal components of squares, and the best way back that is linear.

    A component's latent is divided by a root of its deviation: all of them whole would drown the
    small ones, which are the edges, in the noise that the latents bear.
    """
    channels = model.config.latent_channels - 1
    squares = F.pixel_unshuffle(shown, PATCH)  # (n, 768, h/16, w/16)
    flat = squares.permute(0, 2, 3, 1).flatten(0, 2)
    mean = flat.mean(0)
    deviations, axes = torch.linalg.eigh((flat - mean).double().T @ (flat - mean).double())
    deviations = (deviations / len(flat)).flip(0)[:channels].sqrt().float()
    axes = axes.flip(1)[:, :channels].float() / deviations**SHRINKING
    encode, decode = model.encoder.components, model.decoder.linear
    encode.weight.copy_(axes.T[..., None, None])
    assert encode.bias is not None
    assert decode.bias is not None
    encode.bias.copy_(-(axes.T @ mean))
    latents = encode(squares)
    near = F.unfold(latents, 3, padding=1).transpose(1, 2).flatten(0, 1)
    near = torch.cat([near, torch.ones_like(near[:, :1])], 1)
    noise = torch.full((near.shape[1],), model.config.latent_std**2 * len(near))
    solution = torch.linalg.solve(near.T @ near + noise.diag(), near.T @ flat)
    decode.weight.copy_(solution[:-1].T.reshape(decode.weight.shape))
    decode.bias.copy_(solution[-1])
    # The latents' mean and deviation, which the pipelines read from the config.
    model.register_to_config(
        scaling_factor=1 / latents.std().item(), shift_factor=latents.mean().item()
    )
    return model


@dataclass(frozen=True)
class Fidelity:
    """psnr: mean of the peak signal-to-noise ratio of pictures that are encoded and decoded, dB.
    borders: how much larger the mean step of light is across the borders of squares than elsewhere,
    over the same ratio of the pictures themselves.
    """

    psnr: float
    borders: float


@torch.no_grad()
def measured(model: OverlappingAutoencoder, held: torch.Tensor) -> Fidelity:
    decoded = torch.cat([model(each[None]).clamp(-1, 1) for each in held])
    errors = (decoded - held).square().mean((1, 2, 3))
    psnr = sum(10 * math.log10(4 / error) for error in errors.tolist()) / len(held)
    return Fidelity(psnr, borders(decoded) / borders(held))


def borders(shown: torch.Tensor) -> float:
    """The mean step across the borders of squares, over that between other neighbours."""
    steps = [shown.mean(1).diff(dim=dim).abs() for dim in (1, 2)]
    across = [steps[0][:, PATCH - 1 :: PATCH], steps[1][..., PATCH - 1 :: PATCH]]
    total, at_borders = (sum(each.sum().item() for each in kind) for kind in (steps, across))
    others = sum(each.numel() for each in steps) - sum(each.numel() for each in across)
    return (at_borders / sum(each.numel() for each in across)) / ((total - at_borders) / others)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--pictures", type=Path, default=Path("runs/pico/pictures"))
    parser.add_argument("--out", type=Path, default=Path("runs/pico/vae"))
    options = parser.parse_args()
    model = fit(OverlappingAutoencoder(), pictures(options.pictures, COUNT, held=False))
    model.save_pretrained(options.out)
    print(measured(model, pictures(options.pictures, 100, held=True)))


if __name__ == "__main__":
    main()
