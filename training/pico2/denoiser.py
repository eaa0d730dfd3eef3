"""Trains the transformer and the words on the teacher's pictures; resumable, CPU or GPU.

    python -m training.pico2.denoiser --pictures runs/pico2/pictures --minutes 240

Rectified flow: x = (1 - sigma) picture + sigma noise. The network is given the sketch of what the
scene places, and tells how the picture differs from it. Every few minutes the averaged weights are
written to OUT/model.safetensors.
"""

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from imagemill.pico.autoencoder import OverlappingAutoencoder
from imagemill.pico.placing import told
from imagemill.pico.scene import Placement, Scene, Thing
from imagemill.pico.setting import NOTHING, setting
from training.pico2 import looks as looks_
from training.pico2.autoencoder import scaled
from training.pico2.looks import Looks
from training.pico2.model import Pico2, loaded, parameters, prepare
from training.pico2.trainer import Trainer, parser

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
            ids.append(told([] if unsaid else placements, self.looks.index))
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


def main() -> None:
    arguments = parser(__doc__, "runs/pico2/denoiser", 240, 8)
    arguments.add_argument("--autoencoder", type=Path, default=Path("runs/pico2/autoencoder/vae"))
    arguments.add_argument("--looks", type=Path, default=Path("runs/pico2/looks"))
    arguments.add_argument("--weights", type=Path, help="to go on from, if OUT is new")
    args = arguments.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    autoencoder, looks = loaded(args.autoencoder).to(args.device), looks_.load(args.looks)
    looks.encoder.to(args.device)
    model = Pico2().to(args.device)
    if args.weights:
        model.load_state_dict(load_file(args.weights))
    prepare(model, autoencoder, looks)
    print(f"{parameters(model) / 1e6:.2f}M parameters", flush=True)
    trainer = Trainer(model, args.out, args.rate, args.minutes)
    generator = torch.Generator().manual_seed(trainer.step)
    pictures = Pictures(args.pictures, autoencoder, looks, model, args.size, trainer.step)
    batches = iter(pictures)

    def keep(average: Pico2) -> None:
        half = {name: each.half().contiguous() for name, each in average.state_dict().items()}
        save_file(half, args.out / "model.safetensors")

    trainer.train(lambda: loss_of(model, next(batches), generator), keep)


if __name__ == "__main__":
    main()
