"""Paints a contact sheet of 24 pictures, each with its prompt beneath.

python -m training.sheet --out sheet.png
"""

import argparse
import io
import textwrap
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from imagemill.engine import direct
from imagemill.generation import Generation

SQUARE, LANDSCAPE, PORTRAIT = (256, 256), (320, 192), (192, 320)
PROMPTS: tuple[tuple[str, tuple[int, int]], ...] = (
    ("a red cat", SQUARE),
    ("Draw me a large red cat, please", SQUARE),
    ("a small blue fish on a cyan background", SQUARE),
    ("huge purple butterfly, yellow gradient background", SQUARE),
    ("two green turtles on a sea background", LANDSCAPE),
    ("three yellow stars on a black background", LANDSCAPE),
    ("four pink hearts", SQUARE),
    ("a brown horse to the left of a green tree", LANDSCAPE),
    ("a white ghost above a gray castle in a starry night", PORTRAIT),
    ("a red sailboat below a yellow sun on a blue background", SQUARE),
    ("an orange carrot to the right of a brown rabbit", SQUARE),
    ("a yellow bird over a green pine tree", PORTRAIT),
    ("I would like a picture of a tiny black dog on a pink background", SQUARE),
    ("a small red star inside a large blue heart", SQUARE),
    ("a yellow crown on top of a red heart", SQUARE),
    ("a kitten beside a puppy, both purple", LANDSCAPE),
    ("green background, a large orange heart, pixel art", SQUARE),
    ("a cyan airplane above a white cloud on a purple background", PORTRAIT),
    ("a pink cake, a brown cup and a yellow candle", LANDSCAPE),
    ("a gray elephant under a red umbrella on a meadow", SQUARE),
    ("a rocket that is red, on a black background", PORTRAIT),
    ("a golden key left of a silver lock, navy backdrop", LANDSCAPE),
    ("three small cherries, red, white background", LANDSCAPE),
    ("a large purple bell in outline style", SQUARE),
)
COLUMNS, CELL, CAPTION, GAP = 6, 256, 44, 16
PAPER, INK = (255, 255, 255), (40, 40, 44)


def paint(prompt: str, size: tuple[int, int], source: str, steps: int) -> Image.Image:
    asked = Generation(prompt, source, *size, steps=steps, guidance_scale=4, seed=0)
    painted = direct.paint(asked, source, lambda done, steps: None)
    return Image.open(io.BytesIO(painted.pictures[0]))


def sheet(source: str, steps: int) -> Image.Image:
    rows = -(-len(PROMPTS) // COLUMNS)
    wide, high = CELL + GAP, CELL + CAPTION + GAP
    paper = Image.new("RGB", (COLUMNS * wide + GAP, rows * high + GAP), PAPER)
    draw, font = ImageDraw.Draw(paper), ImageFont.load_default(14)
    for i, (prompt, size) in enumerate(PROMPTS):
        picture = paint(prompt, size, source, steps)
        picture.thumbnail((CELL, CELL))
        x, y = GAP + i % COLUMNS * wide, GAP + i // COLUMNS * high
        place = x + (CELL - picture.width) // 2, y + (CELL - picture.height) // 2
        paper.paste(picture, place)
        edge = (*place, place[0] + picture.width - 1, place[1] + picture.height - 1)
        draw.rectangle(edge, outline=(200, 200, 204))
        draw.multiline_text((x, y + CELL + 4), textwrap.fill(prompt, 36), fill=INK, font=font)
    return paper


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("sheet.png"))
    parser.add_argument("--source", default="pico", help="or the folder of a pipeline")
    parser.add_argument("--steps", type=int, default=20)
    args = parser.parse_args()
    sheet(args.source, args.steps).save(args.out, optimize=True)
