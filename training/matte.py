"""Trains pico's matte on the layers of the teacher's scenes; resumable.

    python -m training.matte --pictures runs/pico/pictures --minutes 62

Of half the samples, the picture is the teacher's, and the alpha that of all its things. Of the
others, the same things stand before colours, slopes, noise or another place, with edges as soft,
light as dim and files as bad as they come. Some show nothing but a place.
"""

import argparse
import io
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

from imagemill.pico.clusters import kind
from imagemill.pico.looks import Sketcher
from imagemill.pico.matte import MatteNetwork, matted, shipped
from imagemill.pico.placing import token_ids
from imagemill.pico.scene import PLACEMENTS, Placement
from training import looks as looks_
from training.denoiser import Asked, Shard
from training.looks import Looks
from training.trainer import Trainer

HELD_OUT = 2  # shards, the last: never trained on
SIZES = ((256, 12, 0.5), (384, 6, 0.3), (512, 3, 0.2))  # px, pictures of a batch, how often
EMPTY = 0.06  # of all samples: a place without anything in it
TEACHERS = 0.5  # of the others: as the teacher drew it
IOU = 0.5  # what overlap weighs beside the cross entropy
THREADS = 1

Place = Callable[[random.Random], torch.Tensor]  # an empty place, (3, h, w), 0 to 1


def seen(placements: Sequence[Placement]) -> list[Placement]:
    """What is the foreground: all that was placed; sun and clouds only where nothing else is."""
    things = [each for each in placements if kind_of(each.concept) != "sky"]
    return things or list(placements)


def kind_of(concept: str) -> str:
    return "" if concept.startswith("letter:") else kind(concept)


@dataclass(frozen=True)
class Layers:
    """Things of scenes, without their places."""

    looks: Looks

    @torch.no_grad()
    def of(
        self, placements: Sequence[Placement], size: tuple[int, int], flat: bool = False
    ) -> torch.Tensor:
        """Premultiplied colours and alpha, (4, h, w), 0 to 1, for a size (h, w)."""
        sketcher: Sketcher = self.looks.sketcher
        ids = torch.tensor([token_ids(placements, self.looks.index)])
        canvas = torch.zeros(4, *size)
        canvas[:3] = -1  # black
        for row in self.looks.encoder(ids)[0][0, :PLACEMENTS]:
            if row[0] > 0:
                sketcher._paste(row, False, flat, canvas)
        return torch.cat([(canvas[:3] + 1) / 2, canvas[3:]]).clamp(0, 1)


def solid(alpha: torch.Tensor) -> torch.Tensor:
    """Without the faint holes that the codes of drawings leave."""
    return ((alpha - 0.15) / 0.7).clamp(0, 1)


def plain(pixels: NDArray[np.uint8]) -> torch.Tensor:
    """(h, w, 3) bytes to (3, h, w), 0 to 1."""
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1).float() / 255


def resized(image: torch.Tensor, side: int) -> torch.Tensor:
    return F.interpolate(image[None], (side, side), mode="bilinear", antialias=True)[0]


def cropped(image: torch.Tensor, box: tuple[int, int, int]) -> torch.Tensor:
    top, left, side = box
    return image[:, top : top + side, left : left + side]


def some_box(height: int, width: int, rng: random.Random) -> tuple[int, int, int]:
    """A square of most of an image: top, left, side."""
    side = round(min(height, width) * rng.choice((1.0, 1.0, rng.uniform(0.7, 1))))
    return rng.randint(0, height - side), rng.randint(0, width - side), side


def behind(side: int, place: Place, rng: random.Random) -> torch.Tensor:
    """Any background, (3, side, side), 0 to 1."""
    lot = rng.random()
    if lot < 0.35:
        return resized(place(rng), side)
    generator = torch.Generator().manual_seed(rng.getrandbits(40))
    if lot < 0.6:  # an even colour, or a slope
        corners = torch.rand(1, 3, 2, 2, generator=generator)
        if rng.random() < 0.5:
            corners = corners.mean((2, 3), keepdim=True).expand(-1, -1, 2, 2)
            corners = (corners * 2 - 0.5).clamp(0, 1)
        return F.interpolate(corners, (side, side), mode="bilinear", align_corners=True)[0]
    out = torch.rand(3, 1, 1, generator=generator).expand(3, side, side).clone()
    for cells in (3, 7, 19, 53):  # noise of several sizes, as of leaves, walls and crowds
        strength = rng.uniform(0, 0.5) if rng.random() < 0.6 else 0.0
        noise = torch.rand(1, 3, cells, cells, generator=generator) - 0.5
        mode = rng.choice(("nearest", "bicubic"))
        out += strength * F.interpolate(noise, (side, side), mode=mode)[0]
    return out.clamp(0, 1)


def worn(image: torch.Tensor, rng: random.Random) -> torch.Tensor:
    """As images come: dimmed, tinted, softened, with noise, from a bad file; (3, h, w), 0 to 1."""
    generator = torch.Generator().manual_seed(rng.getrandbits(40))
    if rng.random() < 0.5:
        gain = 1 + 0.35 * (torch.rand(3, 1, 1, generator=generator) - 0.5)
        image = ((image - 0.5) * rng.uniform(0.6, 1.3) + 0.5) * gain + rng.uniform(-0.1, 0.1)
    if rng.random() < 0.1:
        image = image.mean(0, keepdim=True).expand(3, -1, -1)
    if rng.random() < 0.25:
        image = F.avg_pool2d(F.pad(image[None], (1,) * 4, mode="replicate"), 3, 1)[0]
    if rng.random() < 0.25:
        noise = torch.randn(image.shape, generator=generator)
        image = image + rng.uniform(0, 0.06) * noise
    image = image.clamp(0, 1)
    return through_jpeg(image, rng.randint(35, 90)) if rng.random() < 0.3 else image


def through_jpeg(image: torch.Tensor, quality: int) -> torch.Tensor:
    file = io.BytesIO()
    pixels = (255 * image).round().byte().permute(1, 2, 0).numpy()
    Image.fromarray(np.ascontiguousarray(pixels)).save(file, "JPEG", quality=quality)
    with Image.open(file) as opened:
        return plain(np.asarray(opened))


@dataclass
class Samples:
    """Endless batches: images (n, 3, s, s) and alphas (n, 1, s, s), 0 to 1."""

    paths: Sequence[Path]
    pool: NDArray[np.uint8]  # empty places, (n, h, w, 3)
    layers: Layers
    seed: int

    def __post_init__(self) -> None:
        self.shards = [Shard(path) for path in self.paths]

    def place(self, rng: random.Random) -> torch.Tensor:
        return plain(self.pool[rng.randrange(len(self.pool))])

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        rng = random.Random(self.seed)
        while True:
            side, count, _ = rng.choices(SIZES, [each[2] for each in SIZES])[0]
            pairs = [self.one(side, rng) for _ in range(count)]
            images, alphas = zip(*pairs, strict=True)
            yield torch.stack(images), torch.stack(alphas)

    def one(self, side: int, rng: random.Random) -> tuple[torch.Tensor, torch.Tensor]:
        if rng.random() < EMPTY:
            image, alpha = behind(side, self.place, rng), torch.zeros(1, side, side)
        else:
            image, alpha = self.scene(side, rng)
        if rng.random() < 0.5:
            image, alpha = image.flip(-1), alpha.flip(-1)
        return worn(image, rng), alpha

    def scene(self, side: int, rng: random.Random) -> tuple[torch.Tensor, torch.Tensor]:
        shard = rng.choice(self.shards)
        i = rng.randrange(len(shard.scenes))
        sample: Asked = shard.scenes[i]
        height, width = shard.pictures.shape[1:3]
        box = some_box(height, width, rng)
        drawn = self.drawn(sample, (height, width), box, side)
        if rng.random() < TEACHERS:
            return resized(cropped(plain(shard.pictures[i]), box), side), solid(drawn[3:])
        back = behind(side, self.place, rng)
        return drawn[:3] + back * (1 - drawn[3:]), solid(drawn[3:])

    def drawn(
        self, sample: Asked, size: tuple[int, int], box: tuple[int, int, int], side: int
    ) -> torch.Tensor:
        """The things of a scene within a box of its picture, in so many pixels: (4, side, side)."""
        top, left, height = (round(n * side / box[2]) for n in (*box[:2], size[0]))
        whole = height, round(size[1] * side / box[2])
        layers = self.layers.of(seen(sample.placements), whole, sample.scene.style == "flat")
        return resized(cropped(layers, (top, left, side)), side)


def loss_of(network: MatteNetwork, batch: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    images, wanted = batch
    with torch.autocast("cpu", torch.bfloat16):
        logits = network(images.contiguous(memory_format=torch.channels_last))
    logits = logits.float()
    entropy = F.binary_cross_entropy_with_logits(logits, wanted)
    alpha = logits.sigmoid()
    shared = (alpha * wanted).sum((1, 2, 3))
    joined = (alpha + wanted - alpha * wanted).sum((1, 2, 3))
    pixels = wanted[0].numel()
    overlap = (shared + 0.002 * pixels) / (joined + 0.002 * pixels)
    loss: torch.Tensor = entropy + IOU * (1 - overlap).mean() + (alpha - wanted).abs().mean()
    return loss


def iou(alpha: torch.Tensor, wanted: torch.Tensor) -> float:
    """Of what is more than half covered."""
    a, b = alpha > 0.5, wanted > 0.5
    return float((a & b).sum() / (a | b).sum().clamp(min=1))


@torch.no_grad()
def measured(network: MatteNetwork, samples: Samples, count: int = 8) -> str:
    """Over held-out batches, all kinds of samples: mean overlap and mean error of alphas."""
    overlaps, errors = [], []
    for images, wanted in islice(iter(samples), count):
        for image, alpha in zip(images, wanted, strict=True):
            got = matted(network, image)
            errors.append(float((got - alpha).abs().mean()))
            if alpha.max() > 0.5:
                overlaps.append(iou(got, alpha))
    return f"IoU {np.mean(overlaps):.3f}, error {np.mean(errors):.4f} of {len(errors)}"


def by_style(network: MatteNetwork, layers: Layers, paths: Sequence[Path], count: int) -> str:
    """The overlap in so many of the teacher's pictures of each shard: its median and mean."""
    overlaps = dict[str, list[float]]()
    for shard in map(Shard, paths):
        for sample, pixels in islice(zip(shard.scenes, shard.pictures, strict=True), count):
            size, flat = (pixels.shape[0], pixels.shape[1]), sample.scene.style == "flat"
            wanted = solid(layers.of(seen(sample.placements), size, flat)[3:])
            overlap = iou(matted(network, plain(pixels)), wanted)
            for name in ("all", sample.scene.style):
                overlaps.setdefault(name, []).append(overlap)
    rows = (
        f"{name}: {np.median(each):.2f}, mean {np.mean(each):.2f}, of {len(each)}"
        for name, each in overlaps.items()
    )
    return "\n".join(rows)


def made(weights: Path) -> MatteNetwork:
    """With the weights of a run."""
    network: MatteNetwork = MatteNetwork()
    network.load_state_dict(load_file(weights / "model.safetensors"))
    return network


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("runs/pico/matte"))
    parser.add_argument("--pictures", type=Path, default=Path("runs/pico/pictures"))
    parser.add_argument("--pool", type=Path, default=Path("runs/pico/places-512x512.npy"))
    parser.add_argument("--looks", type=Path, default=Path("runs/pico/looks"))
    parser.add_argument("--minutes", type=float, default=62)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--measure", type=int, help="held-out scenes; of the shipped weights")
    options = parser.parse_args()
    torch.set_num_threads(THREADS)
    torch.manual_seed(0)
    paths = sorted(options.pictures.glob("*.npy"))
    # The last of both shapes are held out.
    held = {max(group) for group in by_name(paths)}
    pool = np.load(options.pool, mmap_mode="r")
    layers = Layers(looks_.load(options.looks))
    if options.measure:
        print(by_style(shipped(), layers, sorted(held), options.measure))
        return
    network = MatteNetwork().to(memory_format=torch.channels_last)
    print(f"{sum(each.numel() for each in network.parameters()) / 1e6:.2f}M parameters", flush=True)
    trainer = Trainer(network, options.out, options.rate, options.minutes)
    trained = [path for path in paths if path not in held]
    batches = iter(Samples(trained, pool, layers, trainer.step + 1))
    others = Samples(sorted(held), pool, layers, -1)

    def keep(average: MatteNetwork) -> None:
        print(measured(average, others), flush=True)
        state = {name: each.contiguous() for name, each in average.state_dict().items()}
        save_file(state, options.out / "model.safetensors")

    trainer.train(lambda: loss_of(network, next(batches)), keep)


def by_name(paths: Sequence[Path]) -> list[list[Path]]:
    """Shards in the order of their numbers, one list for each kind of shape."""
    stems = sorted({path.stem.rpartition("-")[0] for path in paths})
    return [[path for path in paths if path.stem.rpartition("-")[0] == stem] for stem in stems]


if __name__ == "__main__":
    main()
