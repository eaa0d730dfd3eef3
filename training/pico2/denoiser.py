"""Trains the transformer and the words on the teacher's pictures; resumable, CPU or GPU.

    python -m training.pico2.denoiser --pictures runs/pico2/pictures --minutes 240

Rectified flow: x = (1 - sigma) picture + sigma noise. The network is given the sketch of what the
scene places, and tells how the picture differs from it. Every few minutes the averaged weights are
written to OUT/model.safetensors.
"""

import argparse
import json
import math
import random
import time
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import nn

from imagemill.pico.autoencoder import OverlappingAutoencoder
from imagemill.pico.placing import told
from imagemill.pico.scene import Placement, Scene, Thing
from imagemill.pico.setting import NOTHING, setting
from training.pico2 import looks as looks_
from training.pico2.autoencoder import scaled
from training.pico2.looks import Looks
from training.pico2.model import Pico2, loaded, parameters, prepare

SIGMA_MEAN, SIGMA_SPREAD = 0.2, 1.3  # logit-normal
UNSAID = 0.1  # of all captions: for guidance


@dataclass(frozen=True)
class Shard:
    """Pictures of one size, and what each shows."""

    path: Path

    @cached_property
    def pictures(self) -> NDArray[np.uint8]:
        found: NDArray[np.uint8] = np.load(self.path, mmap_mode="r")
        return found

    @cached_property
    def scenes(self) -> list[tuple[Scene, list[Placement]]]:
        lines = self.path.with_suffix(".jsonl").read_text("utf-8").splitlines()
        return [_read(json.loads(line)) for line in lines]


def _read(said: dict[str, Any]) -> tuple[Scene, list[Placement]]:
    things = tuple(Thing(**each) for each in said["scene"].pop("things"))
    return Scene(things, **said["scene"]), [Placement(*each) for each in said["placements"]]


def mirrored(placement: Placement) -> Placement:
    return replace(
        placement, anchor_x=1 - placement.anchor_x, dx=-placement.dx, flip=not placement.flip
    )


@dataclass(frozen=True)
class Batch:
    """latents: (n, c, h, w). sketch: of the same size. settings: (n, positions)."""

    latents: torch.Tensor
    sketch: torch.Tensor
    settings: torch.Tensor


@dataclass
class Pictures:
    """Endless batches of a folder's pictures."""

    folder: Path
    autoencoder: OverlappingAutoencoder
    looks: Looks
    model: Pico2
    size: int
    seed: int

    def __iter__(self) -> Iterator[Batch]:
        rng = random.Random(self.seed)
        shards: dict[Path, Shard] = {}
        while True:
            paths = sorted(self.folder.glob("*.npy"))  # more may come while it learns
            path = rng.choice([each for each in paths if each.with_suffix(".jsonl").exists()])
            yield self._batch(shards.setdefault(path, Shard(path)), rng)

    @torch.no_grad()
    def _batch(self, shard: Shard, rng: random.Random) -> Batch:
        index = {name: i for i, name in enumerate(self.looks.names)}
        pictures, ids, settings = [], [], []
        for _ in range(self.size):
            i = rng.randrange(len(shard.scenes))
            scene, placements = shard.scenes[i]
            picture = shard.pictures[i]
            lettered = any(each.concept.startswith("letter:") for each in placements)
            if not lettered and rng.random() < 0.5:
                picture, placements = picture[:, ::-1], [mirrored(each) for each in placements]
            unsaid = rng.random() < UNSAID
            pictures.append(picture)
            ids.append(told([] if unsaid else placements, index))
            settings.append(NOTHING if unsaid else setting(scene))
        device, config = self.autoencoder.device, self.autoencoder.config
        encoded = self.autoencoder.encoder(scaled(np.stack(pictures)).to(device))
        latents = (encoded - config.shift_factor) * config.scaling_factor
        placed = self.looks.encoder(torch.tensor(ids, device=device))[0]
        sketch = self.model.transformer.sketch(placed, *latents.shape[-2:])
        return Batch(latents, sketch, torch.tensor(settings, device=device))


def loss_of(model: Pico2, batch: Batch, generator: torch.Generator) -> torch.Tensor:
    """The mean squared error of the velocity, in units in which all levels of noise weigh alike."""
    count = len(batch.latents)
    drawn = torch.randn(count, generator=generator)
    sigma = torch.sigmoid(SIGMA_MEAN + SIGMA_SPREAD * drawn).to(batch.latents.device)
    noise = torch.randn(batch.latents.shape, generator=generator).to(batch.latents.device)
    at = sigma[:, None, None, None]
    noisy = (1 - at) * batch.latents + at * noise
    states, pooled = model.words(batch.settings)
    transformer = model.transformer
    told_ = transformer.differing(noisy, batch.sketch, states, pooled, 1000 * sigma)
    velocity = transformer.velocity(noisy, batch.sketch, told_, at)
    spread = transformer.config.spread
    unit = (((1 - at) * spread).square() + at.square()).sqrt() / spread
    loss: torch.Tensor = ((velocity - (noise - batch.latents)) * unit).square().mean()
    return loss


@dataclass
class Trainer:
    """rate: the highest learning rate. minutes: all of the time; the rate falls to its end.
    weights: to begin with, where there is no saved state.
    """

    out: Path
    pictures: Path
    autoencoder: OverlappingAutoencoder
    looks: Looks
    rate: float
    minutes: float
    size: int
    device: str
    weights: Path | None = None

    def __post_init__(self) -> None:
        torch.manual_seed(0)
        self.model = Pico2().to(self.device)
        if self.weights is not None:
            self.model.load_state_dict(load_file(self.weights))
        prepare(self.model, self.autoencoder, self.looks)
        self.average = deepcopy(self.model).requires_grad_(False)
        self.learning = [each for each in self.model.parameters() if each.requires_grad]
        self.optimizer = torch.optim.AdamW(
            self.learning, lr=self.rate, betas=(0.9, 0.98), weight_decay=0.01, fused=True
        )
        self.step, self.spent = 0, 0.0
        if (path := self.out / "state.pt").exists():
            self._resume(torch.load(path, map_location=self.device))
        print(f"{parameters(self.model) / 1e6:.2f}M parameters", flush=True)

    def _resume(self, saved: dict[str, Any]) -> None:
        self.model.load_state_dict(saved["model"])
        self.average.load_state_dict(saved["average"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.step, self.spent = saved["step"], saved["spent"]

    def train(self) -> None:
        generator = torch.Generator().manual_seed(self.step)
        batches = iter(
            Pictures(self.pictures, self.autoencoder, self.looks, self.model, self.size, self.step)
        )
        began, saved, mean = time.monotonic() - self.spent, time.monotonic(), 0.0
        while (done := (time.monotonic() - began) / (60 * self.minutes)) < 1:
            now = self.rate * min(1, (self.step + 1) / 200)
            now *= 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done))
            for group in self.optimizer.param_groups:
                group["lr"] = now
            loss = loss_of(self.model, next(batches), generator)
            loss.backward()
            nn.utils.clip_grad_norm_(self.learning, 1.0)
            self.optimizer.step()
            self.optimizer.zero_grad()
            self.step += 1
            self._follow()
            mean += (loss.item() - mean) * max(0.02, 1 / self.step)
            self.spent = time.monotonic() - began
            if self.step % 25 == 0:
                print(f"{self.spent:.0f} s step {self.step} loss {mean:.4f}", flush=True)
            if time.monotonic() - saved > 240:
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
        half = {name: each.half().contiguous() for name, each in self.average.state_dict().items()}
        save_file(half, self.out / "model.safetensors")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/pico2/denoiser"))
    parser.add_argument("--pictures", type=Path, default=Path("runs/pico2/pictures"))
    parser.add_argument("--autoencoder", type=Path, default=Path("runs/pico2/autoencoder/vae"))
    parser.add_argument("--looks", type=Path, default=Path("runs/pico2/looks"))
    parser.add_argument("--weights", type=Path, help="to go on from, if OUT is new")
    parser.add_argument("--minutes", type=float, default=240)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--size", type=int, default=8, help="pictures of a batch")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    args.out.mkdir(parents=True, exist_ok=True)
    Trainer(
        args.out, args.pictures, loaded(args.autoencoder).to(args.device),
        looks_.load(args.looks), args.rate, args.minutes, args.size, args.device,
        args.weights,
    ).train()  # fmt: skip
