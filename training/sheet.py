"""Paints contact sheets, each picture with its prompt beneath.

    python -m training.sheet pages --out docs/pictures/pages.jpeg

`pages`: the examples of the model pages, and other first prompts of the hosted APIs' documents.
`lot`: 36 of PartiPrompts, drawn by lot. `styles`: one prompt in every style.
"""

import argparse
import io
import random
import textwrap
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from imagemill.catalog.models import PICO
from imagemill.dialects.fal.pages import PAGES
from imagemill.engine import inline
from imagemill.generation import Generation
from imagemill.pico.scene import STYLES
from training.captions import STYLED

HERE = Path(__file__).parent
OTHERS = ("Astronaut riding a horse", "a red panda in Kyoto")
SIDE, CELL, LINES, GAP = 512, 256, 3, 12  # px painted, px shown, lines of a caption, px between
PAPER, INK = (255, 255, 255), (40, 40, 44)


def of_pages() -> list[str]:
    prompts = [str(page.example["prompt"]) for page in PAGES.values() if "prompt" in page.example]
    return list(dict.fromkeys([*OTHERS, *prompts]))


def of_lot() -> list[str]:
    lines = (HERE / "prompts_parti.tsv").read_text("utf-8").splitlines()[1:]
    return random.Random(36).sample([line.split("\t")[0] for line in lines], 36)


def of_styles() -> list[str]:
    said = "a fox holding an umbrella on a street in the rain"
    return [f"{said}, {STYLED.get(style, style)}" for style in STYLES]


SHEETS = {"pages": (of_pages, 5), "lot": (of_lot, 6), "styles": (of_styles, 5)}


def painted(prompt: str, source: str, seed: int) -> Image.Image:
    generation = Generation(prompt, source, SIDE, SIDE, PICO.steps, PICO.guidance_scale, seed)
    painted = inline.paint(generation, source, lambda done, steps: None)
    return Image.open(io.BytesIO(painted.pictures[0]))


def sheet(prompts: Sequence[str], columns: int, source: str) -> Image.Image:
    font = ImageFont.load_default(13)
    wide, high = CELL + GAP, CELL + GAP + 17 * LINES
    rows = -(-len(prompts) // columns)
    paper = Image.new("RGB", (columns * wide + GAP, rows * high + GAP), PAPER)
    pen = ImageDraw.Draw(paper)
    for i, prompt in enumerate(prompts):
        x, y = GAP + i % columns * wide, GAP + i // columns * high
        picture = painted(prompt, source, i).resize((CELL, CELL), Image.Resampling.LANCZOS)
        paper.paste(picture, (x, y))
        lines = textwrap.wrap(prompt, 38, max_lines=LINES, placeholder=" ...")
        pen.multiline_text((x, y + CELL + 3), "\n".join(lines), fill=INK, font=font)
    return paper


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("which", choices=SHEETS)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--source", default="pico", help="or the folder of a pipeline")
    options = parser.parse_args()
    prompts, columns = SHEETS[options.which]
    sheet(prompts(), columns, options.source).save(options.out, quality=88, optimize=True)
