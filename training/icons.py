"""Renders the icons of @mdi/svg (Apache-2.0) that `objects.txt` names into one atlas of masks.

    npm install @mdi/svg && python -m training.icons node_modules/@mdi/svg

writes `atlas.png`: one square alpha mask of SIDE px per object, left to right, top to bottom, in
the file's order.
"""

import io
import sys
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

HERE = Path(__file__).parent
ATLAS = HERE / "atlas.png"
SIDE = 384
COLUMNS = 12

Mask = NDArray[np.float32]  # (side, side), 0..1


def names() -> list[tuple[str, str]]:
    """(object, icon) for every line of objects.txt."""
    lines = (HERE / "objects.txt").read_text().splitlines()
    words = [line.split() for line in lines if line and not line.startswith("#")]
    return [(parts[0], parts[-1]) for parts in words]


def render(package: Path) -> Image.Image:
    import cairosvg

    rows = -(-len(names()) // COLUMNS)
    atlas = Image.new("L", (COLUMNS * SIDE, rows * SIDE))
    for i, (_, icon) in enumerate(names()):
        svg = (package / "svg" / f"{icon}.svg").read_bytes()
        png = cairosvg.svg2png(svg, output_width=SIDE * 4, output_height=SIDE * 4)
        mask = (
            Image.open(io.BytesIO(png)).getchannel("A").resize((SIDE, SIDE), Image.Resampling.BOX)
        )
        atlas.paste(mask, (i % COLUMNS * SIDE, i // COLUMNS * SIDE))
    return atlas


@cache
def atlas() -> dict[str, Image.Image]:
    sheet = Image.open(ATLAS)
    sheet.load()
    boxes = ((i % COLUMNS * SIDE, i // COLUMNS * SIDE) for i in range(len(names())))
    return {
        name: sheet.crop((x, y, x + SIDE, y + SIDE))
        for (name, _), (x, y) in zip(names(), boxes, strict=True)
    }


def scaled(picture: Image.Image, side: int) -> Mask:
    """1 inside, 0 outside."""
    how = Image.Resampling.BOX if side < SIDE else Image.Resampling.BICUBIC
    return np.asarray(picture.resize((side, side), how), dtype=np.float32) / np.float32(255)


if __name__ == "__main__":
    render(Path(sys.argv[1])).save(ATLAS, optimize=True)
