"""Gathers the drawing of every concept into one array, and measures where one sits and wears.

    python -m training.atlas node_modules

reads `concepts.tsv` and the npm packages below `node_modules` and writes `atlas/atlas.npy`, uint8
(n, 256, 256, 4), premultiplied RGBA: each drawing trimmed and fitted into the square, in the order
of concepts.tsv, then letters, digits and marks. Beside it, names.json tells the order. It also
writes `src/imagemill/pico/traits.json` and `atlas.sha256`. The same packages give the same bytes.

A drawing comes from @lobehub/fluent-emoji-3d (MIT), else @iconify-json/fluent-emoji-flat (MIT),
else @iconify-json/noto (Apache-2.0); letters from @expo-google-fonts/baloo-2 (OFL-1.1).
"""

import argparse
import hashlib
import io
import json
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from imagemill.pico.concepts import rows

HERE = Path(__file__).parent
PICO = HERE.parent / "src" / "imagemill" / "pico"
ATLAS = HERE / "atlas"
SIDE = 256
MARKS = "!?.,&'-"
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789" + MARKS
CAP = 200  # px, height of a capital when letters are drawn
RIM = 14  # px, of the dark line around them
INK = (38, 34, 60)
PAPER = (255, 255, 255)
FALLBACKS = ("fluent-emoji-flat", "noto")

Cell = NDArray[np.uint8]  # (256, 256, 4)
Mask = NDArray[np.bool_]  # (h, w)


# --- where drawings come from


def _plain(code: str) -> str:
    return code.lower().replace("-fe0f", "").replace("-200d", "")


class Packages:
    """The npm packages below one folder."""

    def __init__(self, root: Path):
        self.root = root
        assets = sorted((root / "@lobehub" / "fluent-emoji-3d" / "assets").glob("*.webp"))
        self.modelled = {_plain(file.stem): file for file in assets}

    @cache  # noqa: B019, since one process has one of these
    def icons(self, name: str) -> dict[str, Any]:
        text = (self.root / "@iconify-json" / name / "icons.json").read_text(encoding="utf-8")
        return dict(json.loads(text))

    @cache  # noqa: B019
    def codes(self, name: str) -> dict[str, str]:
        text = (self.root / "@iconify-json" / name / "chars.json").read_text(encoding="utf-8")
        return {_plain(code): icon for code, icon in json.loads(text).items()}

    def icon(self, name: str, icon: str) -> str:
        """The SVG of an icon of a set."""
        collection = self.icons(name)
        icon = collection.get("aliases", {}).get(icon, {}).get("parent", icon)
        drawing = collection["icons"][icon]
        w = drawing.get("width", collection.get("width", 16))
        h = drawing.get("height", collection.get("height", 16))
        return (
            '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
            f'viewBox="0 0 {w} {h}" width="{w}" height="{h}">{drawing["body"]}</svg>'
        )

    def emoji(self, code: str) -> Image.Image:
        code = _plain(code)
        if code in self.modelled:
            return Image.open(self.modelled[code]).convert("RGBA")
        for name in FALLBACKS:
            if code in self.codes(name):
                return render(self.icon(name, self.codes(name)[code]))
        raise LookupError(f"no drawing of {code}")

    def drawing(self, source: str) -> Image.Image:
        """What a row's source names."""
        kind, _, name = source.rpartition(":")
        if kind == "own":
            return render((HERE / "gaps" / f"{name}.svg").read_text(encoding="utf-8"))
        if kind == "icon":
            collection, _, icon = name.partition("/")
            return render(self.icon(collection, icon))
        return self.emoji(name)

    def font(self, size: int) -> ImageFont.FreeTypeFont:
        folder = self.root / "@expo-google-fonts" / "baloo-2" / "800ExtraBold"
        return ImageFont.truetype(str(folder / "Baloo2_800ExtraBold.ttf"), size)


def render(svg: str, side: int = 2 * SIDE) -> Image.Image:
    import resvg_py

    png = bytes(resvg_py.svg_to_bytes(svg_string=svg, width=side, height=side))
    return Image.open(io.BytesIO(png)).convert("RGBA")


# --- cells


def fitted(drawing: Image.Image) -> tuple[Cell, float]:
    """Trimmed to what is drawn, as large as the square allows, in its middle; and its aspect."""
    box = drawing.getchannel("A").point(lambda alpha: 255 * (alpha > 12)).getbbox()
    part = drawing.crop(box)
    k = SIDE / max(part.size)
    size = max(1, round(part.width * k)), max(1, round(part.height * k))
    part = part.convert("RGBa").resize(size, Image.Resampling.LANCZOS)
    cell = np.zeros((SIDE, SIDE, 4), np.uint8)
    x, y = (SIDE - size[0]) // 2, (SIDE - size[1]) // 2
    pixels = np.frombuffer(part.tobytes(), np.uint8).reshape(size[1], size[0], 4)
    cell[y : y + size[1], x : x + size[0]] = pixels
    cell[..., :3] = np.minimum(cell[..., :3], cell[..., 3:])  # the filter overshoots at edges
    return cell, size[0] / size[1]


def trimmed(cell: Cell, aspect: float) -> Cell:
    """The part of a cell that `fitted` filled."""
    w, h = (SIDE, round(SIDE / aspect)) if aspect >= 1 else (round(SIDE * aspect), SIDE)
    w, h = max(1, w), max(1, h)
    x, y = (SIDE - w) // 2, (SIDE - h) // 2
    return cell[y : y + h, x : x + w]


def _grown(mask: Mask, wide: int) -> Mask:
    """Every place within a square of `wide` px around one that is set."""
    for axis in (0, 1):
        pads = [(0, 0), (0, 0)]
        pads[axis] = (wide // 2 + 1, wide // 2)
        sums = np.cumsum(np.pad(mask, pads), axis=axis, dtype=np.int32)
        n = mask.shape[axis]
        mask = sums.take(range(wide, wide + n), axis) > sums.take(range(n), axis)
    return mask


def _solid(cell: Cell, aspect: float) -> Mask:
    """Where the drawing is, without what is thin, such as ears, whiskers and antennas."""
    alpha: Mask = trimmed(cell, aspect)[..., 3] > 127
    wide = 2 * (min(alpha.shape) // 16) + 1
    framed = np.pad(~alpha, wide, constant_values=True)
    solid = _grown(~_grown(framed, wide), wide)[wide:-wide, wide:-wide]
    return solid if solid.sum() > 0.4 * alpha.sum() else alpha


def _tops(mask: Mask) -> NDArray[np.int64]:
    """For each column the first row that is drawn, or the height."""
    tops: NDArray[np.int64] = np.where(mask.any(0), mask.argmax(0), mask.shape[0])
    return tops


def saddle(mask: Mask) -> tuple[float, float]:
    """Where one sits: the lowest part of the top edge in the middle, from the left and the top."""
    h, w = mask.shape
    first, last = int(w * 0.4), max(int(w * 0.66), int(w * 0.4) + 1)
    tops = _tops(mask)[first:last]
    row = float(np.percentile(tops, 70))
    column = first + int(np.argmin(np.abs(tops - row)))
    return (column + 0.5) / w, min(row / h, 0.95)


def _widest(mask: Mask, top: float, bottom: float) -> float:
    """The widest row between two fractions of the height, as a fraction of the width."""
    h, w = mask.shape
    rows = mask[int(h * top) : max(int(h * bottom), int(h * top) + 1)]
    spans = [float(np.ptp(np.flatnonzero(row)) + 1) for row in rows if row.any()]
    return max(spans, default=0.5 * float(w)) / float(w)


def head(mask: Mask, faces_left: bool) -> tuple[float, float, float]:
    """The middle and the top of the head, and how wide it is, from the left and the top."""
    h, w = mask.shape
    same = (mask & mask[:, ::-1]).sum() / max(1, (mask | mask[:, ::-1]).sum())
    upright = same > 0.86 or not faces_left
    part = mask if upright else mask[:, : max(2, int(w * 0.3))]
    row = int(np.argmax(part.any(1)))
    columns = np.flatnonzero(part[row : row + max(2, h // 7)].any(0))
    middle = float(columns.mean() + 0.5) / w
    if upright:
        wide = _widest(mask, row / h + 0.08, row / h + 0.4)
        return (0.5 if same > 0.86 else middle), row / h, wide
    return middle, row / h, min(0.45, max(0.2, float(np.ptp(columns) + 1) / w))


def traits(cell: Cell, aspect: float, kind: str) -> list[float]:
    """Aspect, saddle x and y, head x and y, head width: fractions of the trimmed drawing."""
    mask = _solid(cell, aspect)
    values = (aspect, *saddle(mask), *head(mask, kind == "animal"))
    return [round(float(x), 3) for x in values]


def letter(packages: Packages, char: str) -> tuple[Cell, list[float]]:
    """A white letter with a dark rim. Its traits: aspect, advance, bottom below the baseline,
    height, 0 and 0, all but the aspect in heights of a capital.
    """
    font = packages.font(int(CAP * 1.6))
    cap = font.getbbox("H", anchor="ls")
    high = cap[3] - cap[1]
    size = 3 * CAP
    image = Image.new("RGBA", (size, size), (*INK, 0))
    pen = ImageDraw.Draw(image)
    at = (size // 4, size * 2 // 3)
    pen.text(at, char, (*INK, 255), font, anchor="ls", stroke_width=RIM)
    pen.text(at, char, (*PAPER, 255), font, anchor="ls")
    box = image.getchannel("A").point(lambda alpha: 255 * (alpha > 12)).getbbox()
    assert box is not None
    cell, aspect = fitted(image)
    advance = font.getlength(char) / high
    below = (box[3] - at[1]) / high
    measured = (aspect, advance, below, (box[3] - box[1]) / high, 0, 0)
    return cell, [round(float(x), 3) for x in measured]


# --- all of them


def gather(
    table: Iterable[dict[str, str]], packages: Packages, absent: list[str]
) -> Iterator[tuple[str, Cell, list[float]]]:
    """Names, cells and traits; what has no drawing is added to `absent` instead."""
    for row in table:
        try:
            cell, aspect = fitted(packages.drawing(row["source"]))
        except (LookupError, OSError):
            absent.append(f"{row['concept']} ({row['source']})")
        else:
            yield row["concept"], cell, traits(cell, aspect, row["kind"])
    for char in LETTERS:
        cell, measured = letter(packages, char)
        yield f"letter:{char}", cell, measured


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("packages", type=Path, help="the folder node_modules")
    parser.add_argument("--concepts", type=Path, default=PICO / "concepts.tsv")
    parser.add_argument("--traits", type=Path, default=PICO / "traits.json")
    parser.add_argument("--skip-missing", action="store_true", help="go on without some drawings")
    options = parser.parse_args()
    packages, table = Packages(options.packages), rows(options.concepts)
    absent: list[str] = []
    names, cells, measured = zip(*gather(table, packages, absent), strict=True)
    if absent:
        print("without a drawing:", ", ".join(absent))
        if not options.skip_missing:
            raise SystemExit(1)
    ATLAS.mkdir(exist_ok=True)
    np.save(ATLAS / "new.npy", np.stack(cells))
    (ATLAS / "new.npy").replace(ATLAS / "atlas.npy")  # whoever has the old one open keeps it
    (ATLAS / "names.json").write_text(json.dumps(names), encoding="utf-8")
    pairs = zip(names, measured, strict=True)
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(numbers)}" for name, numbers in pairs)
    options.traits.write_text("{\n" + lines + "\n}\n", encoding="utf-8")
    digest = hashlib.sha256((ATLAS / "atlas.npy").read_bytes()).hexdigest()
    (HERE / "atlas.sha256").write_text(f"{digest}  atlas/atlas.npy\n", encoding="utf-8")
    print(len(names), "drawings,", digest)


if __name__ == "__main__":
    main()
