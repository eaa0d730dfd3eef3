"""Trains the autoencoder's decoder on the teacher's pictures; resumable, on a CPU or a GPU.

    python -m training.pico2.autoencoder --pictures runs/pico2/pictures --minutes 60

PICTURES holds files of (n, h, w, 3) bytes, as `training.pico2.sample` writes them; of each the last
twentieth is never trained on, and tells how good it is.
"""

import argparse
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F

from imagemill.pico.autoencoder import OverlappingAutoencoder

CROP = 128  # px
HELD = 20  # one of so many pictures is never trained on
PICTURES = 160  # of which the principal components are found
SHRINKING = 0.3

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


def edges(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return x[..., 1:, :] - x[..., :-1, :], x[..., :, 1:] - x[..., :, :-1]


def loss_of(model: OverlappingAutoencoder, x: torch.Tensor) -> tuple[torch.Tensor, float]:
    """The loss, and the mean squared error."""
    with torch.no_grad():
        latents = model.encoder(x)
    y = model.decoder(latents + model.config.latent_std * torch.randn_like(latents)).float()
    sharp = sum(F.l1_loss(a, b) for a, b in zip(edges(y), edges(x), strict=True))
    squared = F.mse_loss(y, x)
    return F.l1_loss(y, x) + 0.2 * sharp + 5 * squared, squared.item()


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


@dataclass
class Trainer:
    """rate: the highest learning rate. minutes: all of the time; the rate falls to its end."""

    out: Path
    shards: Shards
    rate: float
    minutes: float
    size: int
    device: str

    def __post_init__(self) -> None:
        self.model, self.average = (
            OverlappingAutoencoder().to(self.device, memory_format=torch.channels_last)
            for _ in range(2)
        )
        begin(self.model, self.shards.some(PICTURES).to(self.device))
        self.average.load_state_dict(self.model.state_dict())
        self.average.requires_grad_(False).eval()
        self.model.requires_grad_(False)
        self.model.decoder.mending.requires_grad_(True)
        self.model.decoder.mended.requires_grad_(True)
        # What is linear stays as it is: nothing linear does better.
        self.learning = [each for each in self.model.parameters() if each.requires_grad]
        self.optimizer = torch.optim.AdamW(
            self.learning, lr=self.rate, betas=(0.9, 0.98), weight_decay=0.01
        )
        self.step, self.spent = 0, 0.0
        if (path := self.out / "state.pt").exists():
            self._resume(torch.load(path, map_location=self.device))

    def _resume(self, saved: dict[str, Any]) -> None:
        self.model.load_state_dict(saved["model"])
        self.average.load_state_dict(saved["average"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.step, self.spent = saved["step"], saved["spent"]

    def train(self) -> None:
        if not self.step:
            self.save()
        rng = np.random.default_rng(self.step)
        torch.manual_seed(self.step)
        began, saved, mean = time.monotonic() - self.spent, time.monotonic(), 0.0
        while (done := (time.monotonic() - began) / (60 * self.minutes)) < 1:
            now = self.rate * min(1, (self.step + 1) / 300)
            now *= 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done))
            for group in self.optimizer.param_groups:
                group["lr"] = now
            x = self.shards.crops(rng, self.size).to(self.device)
            loss, squared = loss_of(self.model, x.contiguous(memory_format=torch.channels_last))
            loss.backward()
            nn.utils.clip_grad_norm_(self.learning, 1.0)
            self.optimizer.step()
            self.optimizer.zero_grad()
            self.step += 1
            self._follow()
            mean += (squared - mean) * max(0.02, 1 / self.step)
            self.spent = time.monotonic() - began
            if self.step % 50 == 0:
                decibel = 10 * math.log10(4 / mean)
                print(f"{self.spent:.0f} s step {self.step} {decibel:.2f} dB", flush=True)
            if time.monotonic() - saved > 300:
                self.save()
                saved = time.monotonic()
        self.save()

    @torch.no_grad()
    def _follow(self) -> None:
        weight = 1 - min(0.998, (1 + self.step) / (20 + self.step))
        torch._foreach_lerp_(list(self.average.parameters()), list(self.model.parameters()), weight)

    def save(self) -> None:
        state = {
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "spent": self.spent,
        }
        torch.save(state, self.out / "state.new")
        (self.out / "state.new").replace(self.out / "state.pt")
        held = self.shards.held(24).to(self.device)
        standardise(self.average, held).save_pretrained(self.out / "vae")
        print(f"step {self.step} held out {measured(self.average, held)}", flush=True)


@torch.no_grad()
def standardise(model: OverlappingAutoencoder, pictures: torch.Tensor) -> OverlappingAutoencoder:
    """Measures the latents' mean and deviation, which the pipelines read from the config."""
    latents = torch.cat([model.encoder(each[None]).float() for each in pictures])
    scale, shift = 1 / latents.std().item(), latents.mean().item()
    model.register_to_config(scaling_factor=scale, shift_factor=shift)
    return model


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/pico2/autoencoder"))
    parser.add_argument("--pictures", type=Path, default=Path("runs/pico2/pictures"))
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--size", type=int, default=32, help="crops of a batch")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    args.out.mkdir(parents=True, exist_ok=True)
    shards = Shards.of(args.pictures)
    Trainer(args.out, shards, args.rate, args.minutes, args.size, args.device).train()
