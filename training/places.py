"""The empty places of scenes, under every light and weather.

    python -m training.places --out runs/places --workers 2

draws a pool of them, `runs/places-512x512.npy` (n, 512, 512, 3), VARIANTS of each of BACKGROUNDS,
for `training.sample --pool runs/places` and for the table that `looks` makes.
"""

import argparse
import multiprocessing
import random
from pathlib import Path

import numpy as np
from PIL import Image

from imagemill.pico.backgrounds import BACKGROUNDS, VARIANTS, Background, shown
from imagemill.pico.scene import CLOSED
from training.canvas import SIDE, TINT, Canvas, Picture, mix, times
from training.indoors import INDOORS
from training.outdoors import WILD
from training.towns import MADE

DRAWN = WILD | MADE | INDOORS
Size = tuple[int, int]  # width, height


def background(
    place: str, time: str, weather: str, seed: int, size: Size = (SIDE, SIDE)
) -> Picture:
    """An empty place, (h, w, 3) for a size (w, h): as much as it shows of a square. The same
    arguments give the same bytes.
    """
    c = Canvas(place, time, weather, random.Random(f"{place} {time} {weather} {seed}"))
    DRAWN[place](c)
    if weather == "fog" and place not in CLOSED:
        fog(c)
    return cropped(c.render((max(size), max(size))), size)


def cropped(square: Picture, size: Size) -> Picture:
    """As much of a square as a picture of that size shows."""
    w, h = size
    if len(square) != max(size):
        image = Image.fromarray(square)
        square = np.asarray(image.resize((max(size), max(size)), Image.Resampling.LANCZOS))
    left, top = (round(part * max(size)) for part in shown(w, h)[:2])
    return square[top : top + h, left : left + w]


def fog(c: Canvas) -> None:
    tone = mix(c.haze, times((0.9, 0.92, 0.95), TINT[c.time]), 0.5)
    y = c.horizon
    for k in range(5):
        c.glow(c.u(0, c.w), y + c.u(-40, 40), c.u(200, 320), tone, 0.5)
        x, low = c.u(0, c.w), y + c.u(-30, 50) + 6 * k
        c.ellipse(x, low, c.u(140, 260), c.u(14, 30), tone, 'opacity=".3"')
    c.rect(0, 0, c.w, c.h, tone, 0, 'opacity=".28"')


def stem(out: str, size: Size) -> str:
    return f"{out}-{size[0]}x{size[1]}"


def _drawn(order: tuple[Background, int, Size]) -> Picture:
    which, seed, size = order
    return background(*which, seed, size)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", required=True, help="the beginning of the files' names")
    parser.add_argument("--size", default="512x512")
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    w, h = (int(n) for n in options.size.split("x"))
    name = stem(options.out, (w, h))
    orders = [(each, seed, (w, h)) for each in BACKGROUNDS for seed in range(VARIANTS)]
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    shape = (len(orders), h, w, 3)
    pool = np.lib.format.open_memmap(f"{name}.npy", "w+", np.uint8, shape)
    with multiprocessing.Pool(options.workers) as workers:
        for i, picture in enumerate(workers.imap(_drawn, orders, chunksize=8)):
            pool[i] = picture
    pool.flush()
    print(len(orders), "places in", f"{name}.npy")


if __name__ == "__main__":
    main()
