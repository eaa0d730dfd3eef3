"""Trains the transformer and the words on the teacher's pictures; resumable, CPU or GPU.

    python -m training.denoiser --pictures runs/pico/pictures --minutes 240

Rectified flow: x = (1 - sigma) picture + sigma noise. The network is given the sketch of what the
scene places, and tells how the picture differs from it. Every few minutes the averaged weights are
written to OUT/model.safetensors.
"""

import argparse
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from diffusers.models.embeddings import PatchEmbed
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from imagemill.pico import stylising
from imagemill.pico.autoencoder import OverlappingAutoencoder
from imagemill.pico.backgrounds import number
from imagemill.pico.looks import Choice
from imagemill.pico.placing import token_ids
from imagemill.pico.scene import Placement, Scene, Thing
from imagemill.pico.setting import NOTHING, setting
from training import looks as looks_
from training.autoencoder import scaled
from training.looks import Looks
from training.model import Pico, loaded, parameters, prepare
from training.trainer import STATE, Trainer

SIGMA_MEAN, SIGMA_SPREAD = -0.4, 1.4  # logit-normal
PASSED_OVER = 0.5  # of pictures in the usual style, for another: two of five of a batch are left
UNSAID = 0.05  # of all captions: for guidance
MISLED = 0.3  # of all pictures: what is painted over differs from what is asked for
SETTLED = 0.65  # the level of noise from which on what is asked for is painted in its place


class Asked(NamedTuple):
    """What a picture shows; mirrored: its background."""

    scene: Scene
    placements: list[Placement]
    variant: int
    mirrored: bool

    def turned(self) -> "Asked":
        """All of it, in a mirror."""
        placements = [mirrored(each) for each in self.placements]
        return self._replace(placements=placements, mirrored=not self.mirrored)


@dataclass(frozen=True)
class Shard:
    """Pictures of one size, and what each shows."""

    path: Path

    @cached_property
    def pictures(self) -> NDArray[np.uint8]:
        pixels: NDArray[np.uint8] = np.load(self.path, mmap_mode="r")
        return pixels

    @cached_property
    def scenes(self) -> list[Asked]:
        lines = self.path.with_suffix(".jsonl").read_text("utf-8").splitlines()
        return [_read(json.loads(line)) for line in lines]


def _read(said: dict[str, Any]) -> Asked:
    things = tuple(Thing(**each) for each in said["scene"].pop("things"))
    placements = [Placement(*each) for each in said["placements"]]
    return Asked(Scene(things, **said["scene"]), placements, said["variant"], said["mirrored"])


def mirrored(placement: Placement) -> Placement:
    return replace(
        placement, anchor_x=1 - placement.anchor_x, dx=-placement.dx, flip=not placement.flip
    )


@dataclass(frozen=True)
class Batch:
    """latents: (n, c, h, w). sketch: of the same size. settings: (n, positions). wanted: what the
    latents shall become.
    """

    latents: torch.Tensor
    wanted: torch.Tensor
    sketch: torch.Tensor
    settings: torch.Tensor


@dataclass
class Pictures:
    """Endless batches of a folder's pictures."""

    folder: Path
    autoencoder: OverlappingAutoencoder
    looks: Looks
    model: Pico
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
        pictures, ids, settings, choices = [], [], [], []
        for _ in range(self.size):
            i = rng.randrange(len(shard.scenes))
            if shard.scenes[i].scene.style == "3d" and rng.random() < PASSED_OVER:
                i = rng.randrange(len(shard.scenes))
            sample, picture = shard.scenes[i], shard.pictures[i]
            lettered = any(each.concept.startswith("letter:") for each in sample.placements)
            if not lettered and rng.random() < 0.5:
                sample, picture = sample.turned(), picture[:, ::-1]
            pictures.append(picture)
            choices.append(Choice(sample.variant, sample.mirrored))
            if rng.random() < UNSAID:
                ids.append(token_ids([], {}))
                settings.append(NOTHING)
            else:
                style = stylising.number(sample.scene.style)
                background = number(sample.scene)
                ids.append(token_ids(sample.placements, self.looks.index, background, style))
                settings.append(setting(sample.scene))
        device, config = self.autoencoder.device, self.autoencoder.config
        encoded = self.autoencoder.encoder(scaled(np.stack(pictures)).to(device))
        latents = (encoded - config.shift_factor) * config.scaling_factor
        placed = self.looks.encoder(torch.tensor(ids, device=device))[0]
        sketch = self.model.transformer.sketch(placed, choices, *latents.shape[-2:])
        return Batch(latents, latents, sketch, torch.tensor(settings, device=device))


@dataclass
class Anywhere:
    """Puts a picture somewhere else among all positions that there are, so that it matters to the
    transformer how far apart two are, not where: then it bears pictures of other sizes.
    """

    positions: PatchEmbed

    def __post_init__(self) -> None:
        side = self.positions.pos_embed_max_size
        self.all = self.positions.pos_embed.unflatten(1, (side, side)).clone()

    def move(self, reach: int, generator: torch.Generator) -> None:
        """Up to `reach` positions each way."""
        shift = torch.randint(-reach, reach + 1, (2,), generator=generator).tolist()
        moved = self.all.roll(shift, (1, 2)).flatten(1, 2)
        self.positions.pos_embed.copy_(moved)


@torch.no_grad()
def spreads(batches: Iterator[Batch], count: int = 64) -> torch.Tensor:
    """The deviation of each channel of the difference that half of all pictures remain below."""
    medians = []
    for batch in islice(batches, count):
        apart = batch.latents - batch.sketch[:, : batch.latents.shape[1]]
        medians.append(apart.square().mean((2, 3)))
    return torch.cat(medians).median(0).values.sqrt()


def misled(batch: Batch, sigma: torch.Tensor, generator: torch.Generator) -> Batch:
    """Gives some pictures words and sketch of another, as pictures are that are painted over: half
    of them everywhere, half but for a rectangle. Up to SETTLED they shall stay what they are.
    """
    count, _, height, width = batch.sketch.shape
    wrong = torch.rand(count, generator=generator) < MISLED
    sketch, settings, wanted = (x.clone() for x in (batch.sketch, batch.settings, batch.latents))
    for i in wrong.nonzero()[:, 0].tolist():
        other, box = (i + 1) % count, torch.ones(height, width, dtype=torch.bool)
        if torch.rand((), generator=generator) < 0.5:
            ends = torch.rand(2, 2, generator=generator).sort(1).values
            (top, bottom), (left, right) = (ends * torch.tensor([[height], [width]])).int()
            box[top:bottom, left:right] = False
        settings[i] = batch.settings[other]
        sketch[i][:, box] = batch.sketch[other][:, box]
        if sigma[i] >= SETTLED:
            wanted[i][:, box] = batch.latents[other][:, box]
    return Batch(batch.latents, wanted, sketch, settings)


def loss_of(model: Pico, batch: Batch, generator: torch.Generator) -> torch.Tensor:
    """The mean squared error of the velocity, in units in which all levels of noise weigh alike.

    A picture weighs the less, the more it differs from its sketch: outlines and pencil would
    otherwise count for most, and what is usual keep its noise.
    """
    count = len(batch.latents)
    drawn = torch.randn(count, generator=generator)
    sigma = torch.sigmoid(SIGMA_MEAN + SIGMA_SPREAD * drawn).to(batch.latents.device)
    batch = misled(batch, sigma, generator)
    noise = torch.randn(batch.latents.shape, generator=generator).to(batch.latents.device)
    at = sigma[:, None, None, None]
    noisy = (1 - at) * batch.latents + at * noise
    states, pooled = model.words(batch.settings)
    transformer = model.transformer
    told_ = transformer.differing(noisy, batch.sketch, states, pooled, 1000 * sigma)
    velocity = transformer.velocity(noisy, batch.sketch, told_, at)
    spread = transformer.spreads.square().mean().sqrt()
    unit = (((1 - at) * spread).square() + at.square()).sqrt() / spread
    errors = ((velocity - (noisy - batch.wanted) / at) * unit).square().mean((1, 2, 3))
    base = batch.sketch[:, : batch.latents.shape[1]]
    apart = (batch.wanted - base).square().mean((1, 2, 3)) / spread**2
    loss: torch.Tensor = (errors / (0.15 + apart).sqrt()).mean()
    return loss


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    arguments.add_argument("--out", type=Path, default=Path("runs/pico/denoiser"))
    arguments.add_argument("--pictures", type=Path, default=Path("runs/pico/pictures"))
    arguments.add_argument("--minutes", type=float, default=240)
    arguments.add_argument("--rate", type=float, default=1e-3)
    arguments.add_argument("--size", type=int, default=8, help="of a batch")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    arguments.add_argument("--device", default=device)
    arguments.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments.add_argument("--autoencoder", type=Path, default=Path("runs/pico/vae"))
    arguments.add_argument("--looks", type=Path, default=Path("runs/pico/looks"))
    arguments.add_argument("--weights", type=Path, help="to go on from, if OUT is new")
    args = arguments.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    autoencoder, looks = loaded(args.autoencoder).to(args.device), looks_.load(args.looks)
    looks.encoder.to(args.device)
    model = Pico().to(args.device)
    anywhere = Anywhere(model.transformer.pos_embed)
    prepare(model, autoencoder, looks)
    if args.weights:
        model.load_state_dict(load_file(args.weights))
    elif not (args.out / STATE).exists():
        pictures = Pictures(args.pictures, autoencoder, looks, model, args.size, 0)
        model.transformer.spreads.copy_(spreads(iter(pictures)))
    print(f"{parameters(model) / 1e6:.2f}M parameters", flush=True)
    trainer = Trainer(model, args.out, args.rate, args.minutes)
    generator = torch.Generator().manual_seed(trainer.step)
    pictures = Pictures(args.pictures, autoencoder, looks, model, args.size, trainer.step)
    batches = iter(pictures)

    def keep(average: Pico) -> None:
        half = {name: each.half().contiguous() for name, each in average.state_dict().items()}
        save_file(half, args.out / "model.safetensors")

    def loss_of_next() -> torch.Tensor:
        batch = next(batches)
        tokens = max(batch.latents.shape[-2:]) // model.transformer.config.patch_size
        anywhere.move((model.transformer.config.pos_embed_max_size - tokens) // 2, generator)
        return loss_of(model, batch, generator)

    trainer.train(loss_of_next, keep)


if __name__ == "__main__":
    main()
