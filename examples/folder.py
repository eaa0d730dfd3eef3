"""Paints over every image of a folder: python examples/folder.py photos "a watercolour" """

import argparse
from pathlib import Path

from imagemill import Engine, InvalidInputError

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("prompt")
    parser.add_argument("--out", type=Path, default=Path("painted"))
    parser.add_argument("--strength", type=float, default=0.6, help="0 leaves all, 1 nothing")
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)

    files = sorted(each for each in options.folder.iterdir() if each.suffix.lower() in SUFFIXES)
    items = [{"prompt": options.prompt, "image": file} for file in files]
    with Engine() as engine:
        results = engine.generate_many(
            items,
            at_once=4,  # images in memory at a time
            return_exceptions=True,
            strength=options.strength,
            steps=options.steps,
            seed=options.seed,
        )
        for file, result in zip(files, results, strict=True):
            if isinstance(result, InvalidInputError):  # a file that is no image is no reason to end
                print(f"{file.name}: {result}")
            elif isinstance(result, Exception):
                raise result
            else:
                print(result.images[0].save(options.out / f"{file.stem}.png"))


if __name__ == "__main__":
    main()
