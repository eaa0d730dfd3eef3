"""Trains pico's ControlNet to find the things of a scene in edges and in layers; resumable.

    python -m training.control --pictures runs/pico/pictures --minutes 60

The teacher's pictures are told with where their things are. Of each, a control image is made; boxes
are put beside those of its things, and the matcher learns how far beside, and which boxes have
nothing of what is looked for. With --measure N it tells what the shipped one does to N things.
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
from diffusers import StableDiffusion3ControlNetPipeline, StableDiffusion3Pipeline
from PIL import Image
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

from imagemill.catalog.models import PICO
from imagemill.pico import folder, parts
from imagemill.pico.autoencoder import OverlappingAutoencoder
from imagemill.pico.control import FINE, PlacementControlNet
from imagemill.pico.looks import Choice, Field, Sketcher
from imagemill.pico.matching import Box, Matcher, edges, template, windows
from imagemill.pico.placing import token_ids
from imagemill.pico.scene import GREY, PLACEMENTS, Placement
from training import looks as looks_
from training.autoencoder import scaled
from training.denoiser import Asked, Shard
from training.looks import Looks
from training.model import loaded
from training.trainer import Trainer

__all__ = ["parts"]  # the pipeline's own classes

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


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("runs/pico/control"))
    parser.add_argument("--pictures", type=Path, default=Path("runs/pico/pictures"))
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--size", type=int, default=12, help="pictures of a batch")
    parser.add_argument("--autoencoder", type=Path, default=Path("runs/pico/vae"))
    parser.add_argument("--looks", type=Path, default=Path("runs/pico/looks"))
    parser.add_argument("--measure", type=int, help="only tells what the shipped one does; seeds")
    parser.add_argument("--sheet", type=Path, help="only writes what the shipped one does, to see")
    options = parser.parse_args()
    if options.measure:
        print("\n".join(table(Effect(shipped()), options.measure)))
        return
    if options.sheet:
        sheet(Effect(shipped())).save(options.sheet, quality=88, optimize=True)
        return
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


# --- what it does, as pictures would show it

NAMES = ("cat", "car", "teapot", "tree", "guitar", "parrot", "bicycle", "horse", "chair", "rocket")
SIDE = 512  # px of an image
STRAIGHT = Choice()  # as a seed may have it that turns nothing round


def placed(name: str, x: float = 0.5, y: float = 0.6, side: float = 0.5) -> Placement:
    return Placement(name, "", x, y, 0.0, 0.0, side, side)


# What is asked for, and where the things of it are in the control image.
SHOWN = (
    ("a teapot on a kitchen table", (placed("teapot", 0.3, 0.7, 0.35),)),
    ("a red car on a street at night", (placed("car", 0.62, 0.66, 0.62),)),
    (
        "a parrot and a bicycle in a garden",
        (placed("parrot", 0.22, 0.3, 0.3), placed("bicycle", 0.68, 0.68, 0.5)),
    ),
    ("a rocket over the mountains, watercolour", (placed("rocket", 0.75, 0.35, 0.5),)),
    ("an owl in a forest, comic", (placed("owl", 0.5, 0.5, 0.8),)),
)


def scattered(seed: int) -> Placement:
    """A thing somewhere, whole."""
    rng = random.Random(seed)
    side = rng.uniform(0.3, 0.6)
    x, y = (rng.uniform(side / 2, 1 - side / 2) for _ in range(2))
    return placed(NAMES[seed % len(NAMES)], x, y, side)


@dataclass(frozen=True)
class Effect:
    """What the ControlNet of a stock pipeline does to single things."""

    pipeline: StableDiffusion3ControlNetPipeline

    def rows(self, *placements: Placement) -> torch.Tensor:
        ids = token_ids(placements, self.pipeline.tokenizer_3.looks)
        looks: torch.Tensor = self.pipeline.text_encoder_3(torch.tensor([ids]))[0][0]
        return looks

    def image(self, *placements: Placement) -> torch.Tensor:
        """The edges of what is placed, as a control image: (1, 1, SIDE, SIDE), 0 to 1."""
        sketcher: Sketcher = self.pipeline.transformer.sketcher
        sketch = sketcher(self.rows(*placements)[None], [Choice()], SIDE, SIDE)
        return lines(sketch[:, :3], random.Random(1))

    def map(self, image: torch.Tensor) -> torch.Tensor:
        values: torch.Tensor = self.pipeline.controlnet.map(encoded(self.pipeline.vae, image))
        return values[0]

    def moved(self, placement: Placement, image: torch.Tensor, choice: Choice = STRAIGHT) -> Box:
        """Where a thing goes under a control image, in its map."""
        values = self.map(image)
        change = self.pipeline.controlnet.change(values, self.rows(placement), choice)
        dx, dy, side = (float(change[0, i]) for i in (Field.DX, Field.DY, Field.SIDE))
        size = max(placement.width, placement.height) + side
        there = replace(placement, dx=dx, dy=dy, width=size, height=size)
        return box_of(there, values.shape[-1], values.shape[-2])

    @torch.inference_mode()
    def overlaps(self, count: int, shuffled: bool) -> list[tuple[float, float]]:
        """How much of a thing lies where it is wanted, by area: in its usual place, and under a
        control image. shuffled: this is another's.
        """
        shares = []
        for seed in range(count):
            wanted, usual = scattered(seed), placed(NAMES[seed % len(NAMES)])
            image = self.image(scattered(seed + 1) if shuffled else wanted)
            moved, side = self.moved(usual, image), FINE * SIDE // 16
            there = box_of(wanted, side, side)
            shares.append((box_of(usual, side, side).overlap(there), moved.overlap(there)))
        return shares

    @torch.inference_mode()
    def painted(self, prompt: str, image: Image.Image, scale: float) -> Image.Image:
        with torch.random.fork_rng():
            torch.manual_seed(0)  # of the noise that encoding a control image takes
            result: Image.Image = self.pipeline(
                prompt, control_image=image, controlnet_conditioning_scale=scale, width=SIDE,
                height=SIDE, num_inference_steps=PICO.steps, guidance_scale=1.2,
                generator=torch.Generator().manual_seed(3),
            ).images[0]  # fmt: skip
        return result


def sheet(effect: Effect) -> Image.Image:
    """A column for each of SHOWN: the control image, and what is painted without and with it."""
    side, gap = SIDE // 2, 10
    paper = Image.new("RGB", (len(SHOWN) * (side + gap) - gap, 3 * (side + gap) - gap), "white")
    for column, (prompt, things) in enumerate(SHOWN):
        edges_of = (255 * effect.image(*things)[0, 0]).byte().numpy()
        control = Image.fromarray(edges_of).convert("RGB")
        cells = (control, *(effect.painted(prompt, control, scale) for scale in (0.0, 1.0)))
        for row, cell in enumerate(cells):
            paper.paste(cell.resize((side, side)), (column * (side + gap), row * (side + gap)))
    return paper


def shipped() -> StableDiffusion3ControlNetPipeline:
    plain = StableDiffusion3Pipeline.from_pretrained(folder())
    network = PlacementControlNet.from_pretrained(folder("control"))
    pipeline = StableDiffusion3ControlNetPipeline(**plain.components, controlnet=network)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def table(effect: Effect, count: int) -> Iterator[str]:
    """In Markdown, with intervals for the medians."""
    yield f"| control image, {count} seeds | overlap: median (95 %) | nearer |"
    yield "| --- | --- | --- |"
    for name, shuffled in (("its own", False), ("another's", True)):
        shares = effect.overlaps(count, shuffled)
        after = sorted(each for _, each in shares)
        spread = round(0.98 * math.sqrt(count))
        low, middle, top = (after[count // 2 + by] for by in (-spread, 0, spread))
        nearer = sum(b > a + 0.02 for a, b in shares) / count
        yield f"| {name} | {middle:.2f} ({low:.2f} to {top:.2f}) | {nearer:.0%} |"


def made(weights: Path) -> PlacementControlNet:
    """With the weights of a run."""
    control: PlacementControlNet = PlacementControlNet()
    control.load_state_dict(load_file(weights / "model.safetensors"))
    return control


if __name__ == "__main__":
    main()
