"""Measures what styles look like, the teacher's and pico's own, for the last level of a vector.

    python -m training.media --pictures runs/pico/pictures --painted 40

writes `finishing/media.json`: the middle of each medium's images in the numbers of
`finishing.style_vectors`, after these have been made to vary alike within media, and how far from
a middle an image may lie to be of its medium. Of four images one is held out, and tells how often
the medium is right.
"""

import argparse
import io
import json
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from imagemill.finishing.style_vectors import MEDIA, TABLE, measures_of
from imagemill.pico.concepts import concepts
from training.captions import PLACED, STYLED
from training.denoiser import Shard
from training.style_effect import generation, painted

EACH = 16  # images of a medium in one shard
FAR = 0.995  # of a medium's images lie nearer than what is of none
LOOSE = 0.005  # added to variances, so that none is nothing
Numbers = NDArray[np.float64]


def worn(pixels: NDArray[np.uint8], rng: random.Random) -> NDArray[np.uint8]:
    """As images come: scaled, and from files of JPEG."""
    image = Image.fromarray(pixels)
    if rng.random() < 0.3:
        scale = rng.uniform(0.6, 1.8)
        image = image.resize((int(image.width * scale), int(image.height * scale)))
    if rng.random() < 0.4:
        file = io.BytesIO()
        image.save(file, "JPEG", quality=rng.randint(60, 92))
        image = Image.open(file)
    return np.asarray(image.convert("RGB"))


def by_pico(count: int) -> Iterator[tuple[int, tuple[float, ...]]]:
    """Of images that pico paints, so many of each medium, in several sizes."""
    rng = random.Random(1)
    for number, (style, words) in enumerate(MEDIA.items()):
        for seed in range(count):
            thing, place = rng.choice(sorted(concepts())), rng.choice(sorted(PLACED))
            prompt = f"{thing} {PLACED[place]}, {STYLED.get(style, words)}"
            side, steps = rng.choice((256, 256, 512)), rng.choice((4, 8, 12))
            pixels = painted(generation(prompt, 1000 * number + seed, side, steps))
            yield number, numbers_of(worn(pixels, rng))


def numbers_of(pixels: NDArray[np.uint8]) -> tuple[float, ...]:
    measures = measures_of(pixels)
    return (*measures.values, *measures.traits)


def rows(folder: Path) -> Iterator[tuple[int, tuple[float, ...]]]:
    """The medium of one of the teacher's images, and what is measured in it."""
    rng = random.Random(0)
    for path in sorted(folder.glob("*.npy")):
        shard, taken = Shard(path), Counter[str]()
        for sample, pixels in zip(shard.scenes, shard.pictures, strict=True):
            style = sample.scene.style
            taken[style] += 1
            if taken[style] <= EACH:
                yield [*MEDIA].index(style), numbers_of(worn(pixels, rng))


def fitted(numbers: Numbers, media: NDArray[np.int64]) -> dict[str, Numbers]:
    """numbers: (n, k). media: (n,)."""
    mean, scale = numbers.mean(0), numbers.std(0)
    even = (numbers - mean) / scale
    middles = np.stack([even[media == i].mean(0) for i in range(len(MEDIA))])
    within = even - middles[media]
    variances, axes = np.linalg.eigh(within.T @ within / len(within))
    alike = axes / np.sqrt(variances + LOOSE)
    table = {"mean": mean, "scale": scale, "axes": alike, "middles": middles @ alike}
    far = distances(table, numbers)[np.arange(len(media)), media]
    return table | {"farthest": np.array(np.quantile(far, FAR))}


def distances(table: dict[str, Numbers], numbers: Numbers) -> Numbers:
    """Squared, of images to the middles of media: (n, media)."""
    placed = ((numbers - table["mean"]) / table["scale"]) @ table["axes"]
    apart: Numbers = ((placed[:, None] - table["middles"]) ** 2).sum(2)
    return apart


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--pictures", type=Path, default=Path("runs/pico/pictures"))
    parser.add_argument("--out", type=Path, default=TABLE)
    parser.add_argument("--painted", type=int, default=40, help="of each medium, by pico")
    options = parser.parse_args()
    everything = [*rows(options.pictures), *by_pico(options.painted)]
    media, numbers = zip(*everything, strict=True)
    of, seen = np.array(media), np.array(numbers)
    held = np.arange(len(of)) % 4 == 0
    answers = distances(fitted(seen[~held], of[~held]), seen[held]).argmin(1)
    for i, name in enumerate(MEDIA):
        print(f"{name}: right in {(answers[of[held] == i] == i).mean():.0%}")
    print(f"all: right in {(answers == of[held]).mean():.1%} of {held.sum()}")
    table = {name: values.round(5).tolist() for name, values in fitted(seen, of).items()}
    options.out.write_text(json.dumps(table) + "\n", "utf-8")


if __name__ == "__main__":
    main()
