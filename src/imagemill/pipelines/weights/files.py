"""Which files of a part's folder are loaded. No torch, and no weights are read."""

import json
from pathlib import Path

from imagemill.pipelines.weights.headers import broken

# By which name a library keeps the weights of a part, and what a variant adds before the ending.
STEMS = ("diffusion_pytorch_model", "model")
PICKLES = ("diffusion_pytorch_model*.bin", "pytorch_model*.bin", "model*.bin")
VARIANTS = (None, "fp16", "bf16")  # in the order in which they are taken where none is named


def chosen(folder: Path, variant: str | None) -> tuple[str | None, list[Path]]:
    """The variant that was named, or else the plain one, or else another; no files where there are
    none.

    Raises a Fault where some of them are absent.
    """
    for each in dict.fromkeys((variant, *VARIANTS)):
        if files := files_of(folder, each):
            return each, files
    return variant, []


def files_of(folder: Path, variant: str | None) -> list[Path]:
    """The safetensors files of a part; none where there are none of that variant."""
    for stem in STEMS:
        whole = folder / _named(stem, variant)
        if whole.is_file():
            return [whole]
        for index in (
            f"{stem}.safetensors.index.{variant}.json",
            f"{_named(stem, variant)}.index.json",
        ):
            if (folder / index).is_file():
                return _shards(folder / index)
    return []


def pickles_of(folder: Path) -> list[Path]:
    """The pickles of the first name of which there are some."""
    return next(filter(None, (sorted(folder.glob(each)) for each in PICKLES)), [])


def _named(stem: str, variant: str | None) -> str:
    return f"{stem}.{variant}.safetensors" if variant else f"{stem}.safetensors"


def _shards(index: Path) -> list[Path]:
    try:
        names = sorted(set(json.loads(index.read_text("utf-8"))["weight_map"].values()))
    except (ValueError, KeyError, AttributeError) as error:
        raise broken(f"{index.parent.name}/{index.name} is damaged; fetch it anew") from error
    absent = [name for name in names if not (index.parent / name).is_file()]
    if absent:
        raise broken(
            f"{index.parent.name} lacks {len(absent)} of {len(names)} files, {absent[0]} for one; "
            "fetch the model anew"
        )
    return [index.parent / name for name in names]
