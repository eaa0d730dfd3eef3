"""The empty places of scenes, under every light and weather.

    python -m training.pico2.places --out runs/places --variants 4 --workers 2

draws a pool of them, `runs/places-512x512.npy` (n, 512, 512, 3) and what each is in
`runs/places-512x512.json`, for `training.pico2.sample --pool runs/places`.
"""

import argparse
import json
import multiprocessing
import random
from pathlib import Path

import numpy as np

from imagemill.pico.scene import PLACES, TIMES, WEATHERS
from training.pico2.canvas import SIDE, TINT, Canvas, Picture, mix, times
from training.pico2.indoors import INDOORS
from training.pico2.outdoors import WILD
from training.pico2.towns import MADE

DRAWN = WILD | MADE | INDOORS
CLOSED = frozenset(INDOORS) | {"underwater", "space", "moon"}  # where no weather is

Key = tuple[str, str, str, int]  # place, time, weather, seed
Size = tuple[int, int]  # width, height


def background(
    place: str, time: str, weather: str, seed: int, size: Size = (SIDE, SIDE)
) -> Picture:
    """An empty place, (h, w, 3) for a size (w, h). The same arguments give the same bytes."""
    w, h = size
    k = SIDE / min(size)
    rng = random.Random(f"{place} {time} {weather} {seed}")
    c = Canvas(place, time, weather, rng, w * k, h * k)
    DRAWN[place](c)
    if weather == "fog" and place not in CLOSED:
        fog(c)
    return c.render(size)


def fog(c: Canvas) -> None:
    tone = mix(c.haze, times((0.9, 0.92, 0.95), TINT[c.time]), 0.5)
    y = c.horizon
    for k in range(5):
        c.glow(c.u(0, c.w), y + c.u(-40, 40), c.u(200, 320), tone, 0.5)
        x, low = c.u(0, c.w), y + c.u(-30, 50) + 6 * k
        c.ellipse(x, low, c.u(140, 260), c.u(14, 30), tone, 'opacity=".3"')
    c.rect(0, 0, c.w, c.h, tone, 0, 'opacity=".28"')


def keys(variants: int) -> list[Key]:
    """Every place under every time and weather, so many times."""
    return [
        (place, time, weather, seed)
        for seed in range(variants)
        for place in PLACES
        for time in TIMES
        for weather in (WEATHERS if place not in CLOSED else ("",))
    ]


def stem(out: str, size: Size) -> str:
    return f"{out}-{size[0]}x{size[1]}"


def _drawn(order: tuple[Key, Size]) -> Picture:
    key, size = order
    return background(*key, size)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", required=True, help="the beginning of the files' names")
    parser.add_argument("--variants", type=int, default=4)
    parser.add_argument("--size", default="512x512")
    parser.add_argument("--workers", type=int, default=1)
    given = parser.parse_args()
    w, h = (int(n) for n in given.size.split("x"))
    wanted, name = keys(given.variants), stem(given.out, (w, h))
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    shape = (len(wanted), h, w, 3)
    pool = np.lib.format.open_memmap(f"{name}.npy", "w+", np.uint8, shape)
    with multiprocessing.Pool(given.workers) as workers:
        orders = [(key, (w, h)) for key in wanted]
        for i, picture in enumerate(workers.imap(_drawn, orders, chunksize=8)):
            pool[i] = picture
    pool.flush()
    Path(f"{name}.json").write_text(json.dumps(wanted), encoding="utf-8")
    print(len(wanted), "places in", f"{name}.npy")


if __name__ == "__main__":
    main()
