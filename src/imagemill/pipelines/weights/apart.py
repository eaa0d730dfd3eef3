"""Loads a part that an operator names apart: a VAE, a text encoder, a tokenizer, a scheduler."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import diffusers
import torch
import transformers

from imagemill.model_spec import ModelSpec
from imagemill.pipelines.weights import headers
from imagemill.pipelines.weights.converting import converted
from imagemill.pipelines.weights.headers import broken
from imagemill.pipelines.weights.parts import ModelPart, Module, class_of, fill, load_part, make
from imagemill.pipelines.weights.places import inside, locate
from imagemill.pipelines.weights.precision import quantization
from imagemill.pipelines.weights.settling import of_vae, own_precision, settle

Named = tuple[str | None, str | None]  # library and class, as a model's index has them


class Owner(Protocol):
    """The model that a part is for."""

    @property
    def spec(self) -> ModelSpec: ...

    @property
    def device(self) -> str: ...

    @property
    def dtype(self) -> torch.dtype: ...


def load_apart(
    name: str, source: str, named: Named | None, base: Path | Mapping[str, Any], owner: Owner
) -> Any:
    """named: what the model's own index has in this place. base: the model's folder, or the
    config of the part, where the source is a single file."""
    place = locate(source, owner.spec)
    if place.is_file():
        return _from_file(name, place, named, base, owner)
    folder = inside(place, name)
    if name == "scheduler":
        return _scheduler(folder)
    if name.startswith("tokenizer"):
        return _tokenizer(name, folder, named)
    config = _config(name, folder)
    kind = _class(name, named, config)
    dtype = own_precision(name, folder, owner.dtype)
    spec = owner.spec
    quantized = quantization(spec, name, kind, dtype)
    part = ModelPart(name, kind, folder, dtype, spec.variant, spec.pickles, quantized)
    return settle(part.title, load_part(part), owner.device, spec)


def _from_file(
    name: str, path: Path, named: Named | None, base: Path | Mapping[str, Any], owner: Owner
) -> Module:
    config = _config(name, base / name) if isinstance(base, Path) else dict(base)
    kind = _class(name, named, config)
    headers.read(path)
    title = f"{name} ({path.name})"
    dtype = of_vae(config, owner.dtype) if name == "vae" else owner.dtype
    module = make(kind, config)
    tensors = converted(title, module, config, path)
    return settle(title, fill(title, module, tensors, dtype), owner.device, owner.spec)


def _config(name: str, place: Path) -> dict[str, Any]:
    try:
        config: dict[str, Any] = json.loads((place / "config.json").read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise broken(
            f"{name}: {place.name} holds no config.json that can be read; give a folder as "
            "`save_pretrained` writes it"
        ) from error
    return config


def _class(name: str, named: Named | None, config: Mapping[str, Any]) -> type[Any]:
    """As the model's index has it, or else as the part says of itself."""
    library, kind = named or (None, None)
    said = [config.get("_class_name"), *(config.get("architectures") or ())]
    choices = [
        (library, kind),
        *((each, own) for own in said for each in ("diffusers", "transformers")),
    ]
    for library, kind in choices:
        part_class = class_of(library, kind) if library and kind else None
        if part_class is not None:
            return part_class
    raise broken(f"{name}: its config.json names no class that is known here; give another")


def _scheduler(place: Path) -> Any:
    path = place / "scheduler_config.json"
    try:
        config = json.loads(path.read_text("utf-8"))
        return getattr(diffusers, config["_class_name"]).from_config(config)
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise broken(
            f"scheduler: {place.name} holds no scheduler_config.json that can be read; give a "
            "folder that does"
        ) from error


# Of which a tokenizer's folder has at least one.
WORDS = ("tokenizer.json", "vocab.json", "vocab.txt", "spiece.model", "tokenizer.model")


def has_words(place: Path) -> bool:
    return any((place / each).is_file() for each in WORDS)


def _tokenizer(name: str, place: Path, named: Named | None) -> Any:
    library, kind = named or (None, None)
    tokenizer_class: Any = class_of(library, kind) if library and kind else None
    try:
        if has_words(place):
            return (tokenizer_class or transformers.AutoTokenizer).from_pretrained(
                str(place), local_files_only=True
            )
        error: Exception | None = None
    except Exception as raised:  # of many kinds, by what is missing
        error = raised
    raise broken(
        f"{name}: {place.name} holds no tokenizer that can be read; give a folder with "
        "tokenizer.json, or vocab.json and merges.txt, or spiece.model"
    ) from error
