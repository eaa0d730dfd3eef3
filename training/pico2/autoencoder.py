"""Trains the autoencoder's decoder on the teacher's pictures; resumable, on a CPU or a GPU.

    python -m training.pico2.autoencoder --pictures runs/pico2/pictures --minutes 60

PICTURES holds files of (n, h, w, 3) bytes, as `training.pico2.sample` writes them; of each the last
twentieth is never trained on, and tells how good it is.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F

from imagemill.pico.autoencoder import OverlappingAutoencoder
from training.autoencoder import edges
from training.pico2.trainer import Trainer, parser

CROP = 128  # px
HELD = 20  # one of so many pictures is never trained on
PICTURES = 160  # of which the principal components are found
SHRINKING = 0.3  # power of its deviation by which a component's latent is divided

Pictures = NDArray[np.uint8]


@dataclass(frozen=True)
class Shards:
    """All pictures of a folder; they stay on disk until they are read."""

    files: list[Pictures]

    @classmethod
    def of(cls, folder: Path) -> "Shards":
        return cls([np.load(path, mmap_mode="r") for path in sorted(folder.glob("*.npy"))])

    def crops(self, rng: np.random.Generator, count: int) -> torch.Tensor:  # (count, 3, CROP, CROP)
        out = np.empty((count, CROP, CROP, 3), np.uint8)
        for i in range(count):
            file = self.files[rng.integers(len(self.files))]
            picture = file[rng.integers(len(file) - len(file) // HELD)]
            side = CROP * (1 + (rng.random() < 0.3))  # a picture of half the size is one too
            y, x = (rng.integers(0, n - side + 1) for n in picture.shape[:2])
            crop = picture[y : y + side, x : x + side]
            if side > CROP:
                crop = crop.reshape(CROP, 2, CROP, 2, 3).mean((1, 3)).astype(np.uint8)
            out[i] = crop[:, ::-1] if rng.random() < 0.5 else crop
        return scaled(out)

    def some(self, count: int) -> torch.Tensor:
        """The first of each file, about `count` in all."""
        each = -(-count // len(self.files))
        return scaled(np.concatenate([file[: min(each, len(file) // 2)] for file in self.files]))

    def held(self, count: int) -> torch.Tensor:
        each = -(-count // len(self.files))
        parts = [file[len(file) - min(each, len(file) // HELD) :] for file in self.files]
        return scaled(np.concatenate(parts)[:count])


def scaled(pictures: Pictures) -> torch.Tensor:  # (n, 3, h, w), -1..1
    return torch.from_numpy(np.array(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1


def loss_of(model: OverlappingAutoencoder, x: torch.Tensor) -> torch.Tensor:
    """Of pixels and their edges, for the latents with the noise that they bear."""
    with torch.no_grad():
        latents = model.encoder(x)
    y = model.decoder(latents + model.config.latent_std * torch.randn_like(latents)).float()
    sharp = sum(F.l1_loss(a, b) for a, b in zip(edges(y), edges(x), strict=True))
    return F.l1_loss(y, x) + 0.2 * sharp + 5 * F.mse_loss(y, x)


@torch.no_grad()
def begin(model: OverlappingAutoencoder, pictures: torch.Tensor) -> None:
    """Finds all that is linear: the principal components of 16 px patches, and the way back.

    A component's latent is divided by a root of its deviation: all of them whole would drown the
    small ones, which are the edges, in the noise that the latents bear.
    """
    channels = model.config.latent_channels
    squares = F.pixel_unshuffle(pictures, 16)  # (n, 768, h/16, w/16)
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
    found = torch.linalg.solve(near.T @ near + noise.diag(), near.T @ flat)
    decode.weight.copy_(found[:-1].T.reshape(decode.weight.shape))
    decode.bias.copy_(found[-1])
    for parameter in model.decoder.mended.parameters():
        nn.init.zeros_(parameter)


@torch.no_grad()
def measured(model: OverlappingAutoencoder, held: torch.Tensor) -> dict[str, float]:
    """Mean of the peak signal-to-noise ratio in dB, whole and at half the size."""
    told = {}
    for name, pictures in (("full", held), ("half", F.avg_pool2d(held, 2))):
        errors = [(model(each[None]).clamp(-1, 1) - each).square().mean() for each in pictures]
        told[name] = sum(10 * math.log10(4 / error.item()) for error in errors) / len(errors)
    return told


@torch.no_grad()
def standardise(model: OverlappingAutoencoder, pictures: torch.Tensor) -> OverlappingAutoencoder:
    """Measures the latents' mean and deviation, which the pipelines read from the config."""
    latents = torch.cat([model.encoder(each[None]).float() for each in pictures])
    scale, shift = 1 / latents.std().item(), latents.mean().item()
    model.register_to_config(scaling_factor=scale, shift_factor=shift)
    return model


def main() -> None:
    args = parser(__doc__, "runs/pico2/autoencoder", 60, 32).parse_args()
    torch.set_num_threads(args.threads)
    shards = Shards.of(args.pictures)
    held = shards.held(24).to(args.device)
    model = OverlappingAutoencoder().to(args.device, memory_format=torch.channels_last)
    begin(model, shards.some(PICTURES).to(args.device))
    model.requires_grad_(False)  # what is linear stays as it is: nothing linear does better
    for part in (model.decoder.mending, model.decoder.mended):
        part.requires_grad_(True)
    trainer = Trainer(model, args.out, args.rate, args.minutes)
    rng = np.random.default_rng(trainer.step)
    torch.manual_seed(trainer.step)

    def loss_of_next() -> torch.Tensor:
        crops = shards.crops(rng, args.size).to(args.device)
        return loss_of(model, crops.contiguous(memory_format=torch.channels_last))

    def keep(average: OverlappingAutoencoder) -> None:
        standardise(average, held).save_pretrained(args.out / "vae")
        print(f"step {trainer.step} held out {measured(average, held)}", flush=True)

    keep(trainer.average)
    trainer.train(loss_of_next, keep)


if __name__ == "__main__":
    main()
