"""Paints many prompts with a progress bar: python examples/batch.py --count 1000 --out pictures

One image a prompt, named by its number; those that are there already are passed over, so that an
interrupted run goes on where it was.
"""

import argparse
from collections.abc import Iterator
from itertools import islice, product
from pathlib import Path

from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

from imagemill import Engine, ImagemillError

COLOURS = ("red", "blue", "yellow", "green", "white", "black", "orange", "purple", "pink", "brown")
THINGS = ("cat", "dog", "horse", "sailboat", "castle", "car", "tree", "robot", "fish", "house")
PLACES = ("on a beach", "in a forest", "in the snow", "at night", "in a city",
          "on a meadow", "in a desert", "by a lake", "in the rain", "on a mountain")  # fmt: skip


def prompts() -> Iterator[str]:
    """A thousand of them."""
    for place, thing, colour in product(PLACES, THINGS, COLOURS):
        yield f"a {colour} {thing} {place}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--size", type=int, default=512, help="pixels a side")
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--out", type=Path, default=Path("pictures"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)

    numbered = enumerate(islice(prompts(), options.count))
    files = [(options.out / f"{number:04}.png", prompt) for number, prompt in numbered]
    missing = [(file, prompt) for file, prompt in files if not file.exists()]
    size = {"width": options.size, "height": options.size, "steps": options.steps}
    items = [{"prompt": prompt, "seed": seed, **size} for seed, (_, prompt) in enumerate(missing)]

    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn())
    with Engine() as engine, Progress(*columns) as bar:
        task = bar.add_task("painting", total=len(files), completed=len(files) - len(missing))
        results = engine.generate_many(items, return_exceptions=True)
        for (file, prompt), result in zip(missing, results, strict=True):
            if isinstance(result, ImagemillError):
                bar.console.print(f"{prompt}: {result}")
            else:
                result.images[0].save(file)
            bar.advance(task)
    print(f"{len(missing)} painted, {len(files) - len(missing)} were there")


if __name__ == "__main__":
    main()
