"""Makes the table of looks from the atlas: principal components of its squares, eight bits each.

python -m training.pico2.looks --out runs/pico2/looks
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

from imagemill.pico.looks import CELL, CODES, SIDE, LookEncoder, Sketcher
from imagemill.pico.tokenizers import NAMES
from training.pico2.atlas import ATLAS

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


def squares(cells: NDArray[np.uint8]) -> Iterator[torch.Tensor]:
    """(n, squares, 4 * CELL ** 2) of so many drawings at a time, 0 to 1."""
    for start in range(0, len(cells), BATCH):
        batch = np.array(cells[start : start + BATCH])  # not the file's own
        drawings = torch.from_numpy(batch).permute(0, 3, 1, 2).float() / 255
        small = F.interpolate(drawings, (SIDE, SIDE), mode="bicubic", antialias=True).clamp(0, 1)
        yield F.pixel_unshuffle(small, CELL).flatten(2).transpose(1, 2)


def make(folder: Path = ATLAS) -> Looks:
    names = json.loads((folder / "names.json").read_text("utf-8"))
    cells = np.load(folder / "atlas.npy", mmap_mode="r")
    count, total = 0, torch.zeros(4 * CELL**2, dtype=torch.float64)
    product = torch.zeros(4 * CELL**2, 4 * CELL**2, dtype=torch.float64)
    for batch in squares(cells):
        flat = batch.flatten(0, 1)
        count += len(flat)
        total += flat.double().sum(0)
        product += (flat.T @ flat).double()
    mean = total / count
    values, axes = torch.linalg.eigh(product / count - torch.outer(mean, mean))
    components = axes.flip(1)[:, :CODES].T.float()
    # Beyond six deviations a number is cut off: eight bits are for the others.
    scale = 6 * values.flip(0)[:CODES].sqrt().float() / LARGEST
    codes = torch.cat([(batch - mean.float()) @ components.T / scale for batch in squares(cells)])
    encoder, sketcher = LookEncoder(len(names)), Sketcher()
    encoder.codes.copy_(codes.round().clamp(-LARGEST, LARGEST).to(torch.int8))
    encoder.scale.data.copy_(scale)
    sketcher.components.data.copy_(components)
    sketcher.mean.data.copy_(mean.float())
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
    parser.add_argument("--out", type=Path, default=Path("runs/pico2/looks"))
    save(make(), parser.parse_args().out)
