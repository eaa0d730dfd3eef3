"""Trains pico's ControlNet to find the things of a scene in edges and in layers; resumable.

    python -m training.control --pictures runs/pico/pictures --minutes 60

The teacher's pictures are told with where their things are. Of each, a control image is made; boxes
are put beside those of its things, and the matcher learns how far beside, and which boxes have
nothing of what is looked for.
"""

import argparse
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

from imagemill.pico.autoencoder import OverlappingAutoencoder
from imagemill.pico.control import FINE, PlacementControlNet
from imagemill.pico.looks import Sketcher
from imagemill.pico.matching import Box, Matcher, edges, template, windows
from imagemill.pico.placing import token_ids
from imagemill.pico.scene import Placement
from training import looks as looks_
from training.autoencoder import scaled
from training.control_images import box_of, encoded, inside, layers, lines
from training.denoiser import Asked, Shard
from training.looks import Looks
from training.model import loaded
from training.trainer import Trainer

BESIDE, GROWN = 0.3, 0.6  # how far a box is put beside a thing, in its sides and in octaves
LEAST = 8.0  # px of a map that a thing is wide, to be looked for
SEEN = 0.6  # of a thing's square has to be in the picture
OTHERS = 0.1  # of what is looked for: a thing that is not the one there, but like it
ABSENT = 0.4  # of the boxes: without what is looked for
BOXES = 8  # of a picture


class Target(NamedTuple):
    """A box, what is looked for in it, and the answer: score, dx, dy, octaves."""

    box: Box
    drawn: torch.Tensor
    answer: tuple[float, float, float, float]


@dataclass
class Templates:
    """What drawings look like to the matcher."""

    looks: Looks
    sketcher: Sketcher = field(init=False)

    def __post_init__(self) -> None:
        self.sketcher = self.looks.sketcher
        self.of = lru_cache(8192)(self._of)

    @torch.no_grad()
    def _of(self, concept: str, colour: str, flip: bool) -> torch.Tensor:
        placement = Placement(concept, colour, 0.5, 0.5, 0.0, 0.0, 0.5, 0.5, flip)
        ids = torch.tensor([token_ids([placement], self.looks.index)])
        return template(self.sketcher.drawing(self.looks.encoder(ids)[0][0, 0]))


@dataclass
class Targets:
    """Endless batches: windows (k, CHANNELS, WINDOW, WINDOW) and their answers (k, 4)."""

    folder: Path
    autoencoder: OverlappingAutoencoder
    looks: Looks
    control: PlacementControlNet
    size: int
    seed: int

    def __post_init__(self) -> None:
        self.templates = Templates(self.looks)

    def shards(self, rng: random.Random) -> Iterator[Shard]:
        shards: dict[Path, Shard] = {}
        paths = sorted(self.folder.glob("*.npy"))
        while True:
            path = rng.choice(paths)
            yield shards.setdefault(path, Shard(path))

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        rng = random.Random(self.seed)
        for shard in self.shards(rng):
            picked = [rng.randrange(len(shard.scenes)) for _ in range(self.size)]
            samples = [shard.scenes[i] for i in picked]
            values = self.control.map(self.latents(shard, picked, samples, rng))
            steps, out, answers = edges(values), [], []
            for i, sample in enumerate(samples):
                targets = list(self.targets(sample, values.shape[-1], values.shape[-2], rng))
                if targets:
                    drawn = torch.stack([each.drawn for each in targets])
                    boxes = [each.box for each in targets]
                    out.append(windows(values[i], steps[i], drawn, boxes))
                    answers += [each.answer for each in targets]
            if out:
                yield torch.cat(out), torch.tensor(answers)

    @torch.no_grad()
    def images(
        self, shard: Shard, picked: Sequence[int], samples: Sequence[Asked], rng: random.Random
    ) -> torch.Tensor:
        """Control images, (n, 1, h, w), 0 to 1."""
        if rng.random() < 0.7:
            pictures = scaled(np.stack([shard.pictures[i] for i in picked]))
            images = lines(pictures, rng)
        else:
            ids = torch.tensor([token_ids(each.placements, self.looks.index) for each in samples])
            size = (shard.pictures.shape[1], shard.pictures.shape[2])
            rows = self.looks.encoder(ids)[0]
            images = torch.stack([layers(self.looks.sketcher, each, size, rng) for each in rows])
        return 1 - images if rng.random() < 0.2 else images

    @torch.no_grad()
    def latents(
        self, shard: Shard, picked: Sequence[int], samples: Sequence[Asked], rng: random.Random
    ) -> torch.Tensor:
        return encoded(self.autoencoder, self.images(shard, picked, samples, rng))

    def targets(
        self, sample: Asked, width: int, height: int, rng: random.Random
    ) -> Iterator[Target]:
        boxes = [(each, box_of(each, width, height)) for each in sample.placements]
        there = [
            (each, box)
            for each, box in boxes
            if each.concept in self.looks.index and not each.concept.startswith("letter:")
            and box.side >= LEAST and inside(box, width, height) > SEEN
        ]  # fmt: skip
        for _ in range(BOXES if there else 0):
            placement, box = rng.choice(there)
            if rng.random() < ABSENT:
                wrong = self._elsewhere(placement, boxes, width, height, rng)
                if wrong is not None:
                    yield wrong
                continue
            dx, dy = rng.uniform(-BESIDE, BESIDE), rng.uniform(-BESIDE, BESIDE)
            grown = rng.uniform(-GROWN, GROWN)
            if rng.random() < 0.3:  # nearly right, as in the last rounds
                dx, dy, grown = dx / 5, dy / 5, grown / 5
            side = box.side * 2.0**-grown
            beside = Box(box.x - dx * side, box.y - dy * side, side)
            yield Target(beside, self._wanted(placement, rng), (1.0, dx, dy, grown))

    def _wanted(self, placement: Placement, rng: random.Random) -> torch.Tensor:
        """What is looked for: the thing itself, in any colour, or one that is another."""
        concept = placement.concept
        if rng.random() < OTHERS:
            concept = rng.choice(self.looks.names)
        flip = placement.flip if rng.random() < 0.8 else not placement.flip
        return self.templates.of(concept, placement.colour if rng.random() < 0.5 else "", flip)

    def _elsewhere(
        self, placement: Placement, boxes: Sequence[tuple[Placement, Box]], width: int, height: int,
        rng: random.Random,
    ) -> Target | None:  # fmt: skip
        """A box in which the thing is not, or another thing where nothing like it is."""
        lot = rng.random()
        if lot < 0.5:  # beside it
            own = next(box for each, box in boxes if each is placement)
            turn, far = rng.uniform(0, math.tau), rng.uniform(0.5, 1.1) * own.side
            side = own.side * 2.0 ** rng.uniform(-0.8, 0.8)
            box = Box(own.x + far * math.cos(turn), own.y + far * math.sin(turn), side)
        elif lot < 0.8:  # on another thing
            box = rng.choice(boxes)[1]
        else:
            side = rng.choice(boxes)[1].side * 2.0 ** rng.uniform(-1, 1)
            box = Box(rng.uniform(0, width), rng.uniform(0, height), side)
        box = box._replace(side=max(LEAST, box.side))
        if any(each.concept == placement.concept and box.overlap(its) > 0.3 for each, its in boxes):
            return None
        drawn = self.templates.of(placement.concept, placement.colour, placement.flip)
        return Target(box, drawn, (0.0, 0.0, 0.0, 0.0))


@torch.no_grad()
def fit_reading(targets: Targets, count: int = 48) -> None:
    """Finds the linear way from latents to maps."""
    rng, have, want = random.Random(0), [], []
    for shard in islice(targets.shards(rng), count):
        picked = [rng.randrange(len(shard.scenes)) for _ in range(2)]
        samples = [shard.scenes[i] for i in picked]
        images = targets.images(shard, picked, samples, rng)
        have.append(encoded(targets.autoencoder, images)[:, :-1].movedim(1, -1).flatten(0, -2))
        cells = F.pixel_unshuffle(F.avg_pool2d(images, 16 // FINE), FINE)
        want.append(cells.movedim(1, -1).flatten(0, -2))
    x, y = torch.cat(have), torch.cat(want)
    x = torch.cat([x, torch.ones_like(x[:, :1])], 1)
    solution = torch.linalg.lstsq(x, y).solution
    reading = targets.control.reading
    reading.weight.copy_(solution[:-1].T[..., None, None])
    assert reading.bias is not None
    reading.bias.copy_(solution[-1])


def loss_of(matcher: Matcher, batch: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    seen, wanted = batch
    answers = matcher(seen)
    there = wanted[:, 0]
    score = F.binary_cross_entropy_with_logits(answers[:, 0], there)
    apart = F.smooth_l1_loss(answers[:, 1:], wanted[:, 1:], beta=0.05, reduction="none").sum(1)
    return score + 4 * (apart * there).sum() / there.sum().clamp(min=1)


@torch.no_grad()
def measured(matcher: Matcher, batches: Iterator[tuple[torch.Tensor, torch.Tensor]]) -> str:
    """How far off boxes are before and after one answer, and how often scores are right."""
    right, before, after = [], [], []
    for seen, wanted in islice(batches, 20):
        answers = matcher(seen)
        there = wanted[:, 0] > 0
        right.append(((answers[:, 0] > 0) == there).float().mean())
        before.append(wanted[there, 1:3].norm(dim=1).median())
        after.append((answers - wanted)[there, 1:3].norm(dim=1).median())
    shares = [float(torch.stack(each).mean()) for each in (right, before, after)]
    return "scores right {:.1%}, sides off {:.3f} before and {:.3f} after".format(*shares)


def made(weights: Path) -> PlacementControlNet:
    """With the weights of a run."""
    control: PlacementControlNet = PlacementControlNet()
    control.load_state_dict(load_file(weights / "model.safetensors"))
    return control


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("runs/pico/control"))
    parser.add_argument("--pictures", type=Path, default=Path("runs/pico/pictures"))
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--size", type=int, default=12, help="pictures of a batch")
    parser.add_argument("--autoencoder", type=Path, default=Path("runs/pico/vae"))
    parser.add_argument("--looks", type=Path, default=Path("runs/pico/looks"))
    options = parser.parse_args()
    torch.manual_seed(0)
    looks = looks_.load(options.looks)
    control = PlacementControlNet()
    control.sketcher.load_state_dict(looks.sketcher.state_dict())
    trainer = Trainer(control.matcher, options.out, options.rate, options.minutes)
    make = Targets(
        options.pictures,
        loaded(options.autoencoder),
        looks,
        control,
        options.size,
        trainer.step + 1,
    )
    fit_reading(make)
    batches, held = iter(make), iter(replace(make, seed=-1))

    def keep(average: Matcher) -> None:
        print(measured(average, held), flush=True)
        state = {f"matcher.{name}": each for name, each in average.state_dict().items()}
        save_file(control.state_dict() | state, options.out / "model.safetensors")

    trainer.train(lambda: loss_of(control.matcher, next(batches)), keep)


if __name__ == "__main__":
    main()
