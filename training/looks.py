"""Makes the tables of looks from the atlas and the empty places: principal components, eight bits.

python -m training.looks --pool runs/pico/places --out runs/pico/looks
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from imagemill.pico.backgrounds import SIDE as BACKGROUND
from imagemill.pico.backgrounds import VARIANTS
from imagemill.pico.looks import CELL, CODES, SIDE, LookEncoder, Sketcher
from imagemill.pico.tokenizers import NAMES
from training.atlas import ATLAS
from training.places import stem

BATCH = 64
LARGEST = 127


@dataclass(frozen=True)
class Looks:
    """names: of the looks, in the order of the table."""

    names: list[str]
    encoder: LookEncoder
    sketcher: Sketcher

    @cached_property
    def index(self) -> dict[str, int]:
        return {name: i for i, name in enumerate(self.names)}


def squares(cells: NDArray[np.uint8], side: int) -> Iterator[torch.Tensor]:
    """(n, squares, channels * CELL ** 2) of so many pictures at a time, of that side, 0 to 1."""
    for start in range(0, len(cells), BATCH):
        batch = np.array(cells[start : start + BATCH])  # not the file's own
        drawings = torch.from_numpy(batch).permute(0, 3, 1, 2).float() / 255
        small = F.interpolate(drawings, (side, side), mode="bicubic", antialias=True).clamp(0, 1)
        yield F.pixel_unshuffle(small, CELL).flatten(2).transpose(1, 2)


@dataclass(frozen=True)
class Coded:
    """codes: (n, squares, CODES) bytes, in units of `scale`, of so many principal components."""

    codes: torch.Tensor
    scale: torch.Tensor
    components: torch.Tensor
    mean: torch.Tensor

    @classmethod
    def of(cls, pictures: NDArray[np.uint8], side: int) -> "Coded":
        """Of (n, h, w, channels) pictures, when they have that side."""
        values = pictures.shape[-1] * CELL**2
        count, total = 0, torch.zeros(values, dtype=torch.float64)
        product = torch.zeros(values, values, dtype=torch.float64)
        for batch in squares(pictures, side):
            flat = batch.flatten(0, 1)
            count += len(flat)
            total += flat.double().sum(0)
            product += (flat.T @ flat).double()
        mean = total / count
        variances, axes = torch.linalg.eigh(product / count - torch.outer(mean, mean))
        components, mean = axes.flip(1)[:, :CODES].T.float(), mean.float()
        # Beyond six deviations a number is cut off: eight bits are for the others.
        scale = 6 * variances.flip(0)[:CODES].clamp(min=1e-12).sqrt().float() / LARGEST
        codes = torch.cat([(x - mean) @ components.T / scale for x in squares(pictures, side)])
        bytes_ = codes.round().clamp(-LARGEST, LARGEST).to(torch.int8)
        return cls(bytes_, scale, components, mean)


def make(pool: NDArray[np.uint8], folder: Path = ATLAS) -> Looks:
    """pool: VARIANTS of each background, (n, h, w, 3)."""
    names = json.loads((folder / "names.json").read_text("utf-8"))
    things = Coded.of(np.load(folder / "atlas.npy", mmap_mode="r"), SIDE)
    behind = Coded.of(pool, BACKGROUND)
    encoder, sketcher = LookEncoder(len(names), len(pool) // VARIANTS), Sketcher()
    encoder.codes.copy_(things.codes)
    encoder.scale.data.copy_(things.scale)
    encoder.behind.copy_(behind.codes.unflatten(0, (-1, VARIANTS)))
    encoder.behind_scale.data.copy_(behind.scale)
    sketcher.components.data.copy_(things.components)
    sketcher.mean.data.copy_(things.mean)
    sketcher.behind.data.copy_(behind.components)
    sketcher.behind_mean.data.copy_(behind.mean)
    return Looks(names, encoder, sketcher)


def save(looks: Looks, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    looks.encoder.save_pretrained(out / "encoder")
    torch.save(looks.sketcher.state_dict(), out / "sketcher.pt")
    (out / NAMES).write_text(json.dumps(looks.names, ensure_ascii=False), "utf-8")


def load(out: Path) -> Looks:
    encoder = LookEncoder.from_pretrained(out / "encoder")
    sketcher = Sketcher()
    sketcher.load_state_dict(torch.load(out / "sketcher.pt"))
    return Looks(json.loads((out / NAMES).read_text("utf-8")), encoder, sketcher)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/pico/looks"))
    parser.add_argument("--pool", default="runs/pico/places", help="of `training.places`")
    options = parser.parse_args()
    save(make(np.load(f"{stem(options.pool, (512, 512))}.npy", mmap_mode="r")), options.out)
