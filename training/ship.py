"""Copies a trained pipeline into the package, with the tokenizer that today's vocabulary makes.

python -m training.ship runs/pico/pipeline
"""

import argparse
import json
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from imagemill import pico
from imagemill.pico.text import tokenizer
from imagemill.pico.vocabulary import vocabulary
from imagemill.pipelines.loading import load

LARGEST = 25_000_000  # bytes of a variant


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def ship(trained: Path, to: Path, largest: int = LARGEST) -> int:
    """Bytes shipped. Raises ValueError, having touched nothing, where it cannot be."""
    pipeline = load(str(trained), "cpu").pipe.to(torch.bfloat16)
    words = tokenizer(vocabulary())
    if words.get_vocab() != pipeline.tokenizer.get_vocab():
        raise ValueError(f"{trained} was trained on other words; run training.vocabulary again")
    pipeline.register_modules(tokenizer=words, tokenizer_2=words, tokenizer_3=words)
    with TemporaryDirectory() as scratch:
        whole = Path(scratch) / to.name
        pipeline.save_pretrained(whole)
        for path in whole.rglob("*.json"):
            _forget_where(path)
        for encoder in ("text_encoder", "text_encoder_2"):
            _load_as_the_rest(whole / encoder / "config.json")
        if (total := size(whole)) > largest:
            raise ValueError(f"{trained} makes {total} bytes; at most {largest} are shipped")
        shutil.rmtree(to, ignore_errors=True)
        shutil.copytree(whole, to, copy_function=shutil.copyfile)  # readable by all
    return total


def _forget_where(path: Path) -> None:
    """Takes out where the model was trained, which is nobody's business."""
    facts = json.loads(path.read_text("utf-8"))
    if facts.pop("_name_or_path", None) is not None:
        path.write_text(json.dumps(facts, indent=2) + "\n", "utf-8")


def _load_as_the_rest(config: Path) -> None:
    """Where no dtype is asked for, diffusers loads float32, but transformers what the file says.

    The mixture that comes of it cannot be called.
    """
    facts = json.loads(config.read_text("utf-8")) | {"dtype": "float32"}
    config.write_text(json.dumps(facts, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("trained", type=Path)
    parser.add_argument("--variant", default="base")
    args = parser.parse_args()
    print(f"{ship(args.trained, pico.folder(args.variant)):,} bytes")
