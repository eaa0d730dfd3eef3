"""Loads a pipeline from a folder as `save_pretrained` writes it, each part for itself."""

import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import diffusers
import torch
from diffusers import DiffusionPipeline

from imagemill.errors import Fault
from imagemill.model_spec import ModelSpec
from imagemill.pipelines.families import DENOISERS
from imagemill.pipelines.weights.apart import has_words, load_apart
from imagemill.pipelines.weights.headers import broken
from imagemill.pipelines.weights.parts import ModelPart, Module, class_of, load_part, variant_of
from imagemill.pipelines.weights.places import components, read_index
from imagemill.pipelines.weights.precision import dtype_of, quantization
from imagemill.pipelines.weights.settling import own_precision, settle

log = logging.getLogger(__name__)

# What a pipeline can do without, beside what diffusers calls optional: it looks whether it is None.
DISPENSABLE: Mapping[str, frozenset[str]] = dict.fromkeys(
    (
        "StableDiffusion3Pipeline",
        "StableDiffusion3Img2ImgPipeline",
        "StableDiffusion3InpaintPipeline",
    ),
    frozenset({"text_encoder_3", "tokenizer_3"}),
)
# Packages that not everybody has, by the class that needs them.
_VISION = "torchvision (`pip install 'imagemill[vision]'`, in the build that fits your torch)"
NEEDS: Mapping[str, tuple[str, str]] = {
    "OmniGenPipeline": ("torchvision", _VISION),
    "Qwen2VLProcessor": ("torchvision", _VISION),
    "Qwen2_5_VLProcessor": ("torchvision", _VISION),
    "DPMSolverSDEScheduler": ("torchsde", "torchsde (`pip install torchsde`)"),
    "LMSDiscreteScheduler": ("scipy", "scipy (`pip install scipy`)"),
}


@dataclass(frozen=True)
class Folder:
    place: Path
    spec: ModelSpec
    device: str
    index: Mapping[str, Any]
    kind: type[DiffusionPipeline]
    parts: Mapping[str, tuple[str | None, str | None]] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "parts", components(self.index))

    @property
    def dtype(self) -> torch.dtype:
        named = (self.parts[name][1] for name in DENOISERS if name in self.parts)
        return dtype_of(self.spec, self.device, next(named, None) or "")

    def modules(self) -> Iterator[ModelPart]:
        """What has weights and is not named apart."""
        for name, (library, kind) in self.parts.items():
            module_class = class_of(library, kind) if library and kind else None
            if (
                module_class is not None
                and issubclass(module_class, Module)
                and name not in self.spec.parts
            ):
                yield self._part(name, module_class)

    def _part(self, name: str, kind: type[Any]) -> ModelPart:
        path = self.place / name
        dtype = own_precision(name, path, self.dtype)
        variant, pickles = self.spec.variant, self.spec.pickles
        quantized = quantization(self.spec, name, kind, dtype)
        return ModelPart(name, kind, path, dtype, variant, pickles, quantized)


def load_folder(place: Path, spec: ModelSpec, device: str) -> DiffusionPipeline:
    """Raises a Fault where anything of it is absent, or is not what the index says."""
    index = read_index(place)
    folder = Folder(place, spec, device, index, pipeline_class(index))
    _check_parts(folder)
    _check_packages(folder)
    planned = list(folder.modules())
    for part in planned:  # before the first is loaded, which may take minutes
        variant_of(part)
    loaded: dict[str, Any] = dict.fromkeys(_nulls(folder))
    for part in planned:
        loaded[part.name] = settle(part.title, load_part(part), device, spec)
    for name, source in spec.parts.items():
        loaded[name] = load_apart(name, source, folder.parts.get(name), place, folder)
    return _assembled(folder, loaded)


def pipeline_class(index: Mapping[str, Any]) -> type[DiffusionPipeline]:
    name = index["_class_name"]
    candidate: Any = getattr(diffusers, name, None)
    if not (isinstance(candidate, type) and issubclass(candidate, DiffusionPipeline)):
        raise broken(
            f"the model is of the class {name:.80}, which diffusers {diffusers.__version__} does "
            "not have; take another model, or a newer imagemill"
        )
    return candidate


def _nulls(folder: Folder) -> Iterator[str]:
    """Parts that the model comes without, and that its pipeline can do without."""
    for name, (library, _) in folder.parts.items():
        if library is None and name not in folder.spec.parts:
            yield name


def _check_parts(folder: Folder) -> None:
    expected, _ = DiffusionPipeline._get_signature_keys(folder.kind)
    dispensable = {*folder.kind._optional_components, *DISPENSABLE.get(folder.kind.__name__, ())}
    for name in sorted(set(expected) - dispensable - folder.spec.parts.keys()):
        if folder.parts.get(name, (None, None))[0] is None:
            raise broken(_lacking(folder, name))
    for name, (library, kind) in folder.parts.items():
        if library and name not in folder.spec.parts and not (folder.place / name).is_dir():
            raise broken(
                f"{name} ({kind}) is absent: model_index.json names it and there is no folder "
                f"{name}; fetch the model anew, or name it apart by `{name}`"
            )
    for name in _small(folder):
        # From an empty folder transformers makes a tokenizer of three words, and says nothing.
        ours = "tokenizer" in name and name not in folder.spec.parts
        if ours and not has_words(folder.place / name):
            raise broken(_WORDLESS.format(name=name))


_WORDLESS = (
    "{name} of the model has no words: neither tokenizer.json nor a vocabulary is there; fetch the "
    "model anew, or name it apart by `{name}`"
)


def _lacking(folder: Folder, name: str) -> str:
    return (
        f"{folder.kind.__name__} needs a {name}, and the model comes without one; name a folder "
        f'that holds it in the model\'s table, as {name} = "/models/{name}"'
    )


def _check_packages(folder: Folder) -> None:
    for kind in (folder.kind.__name__, *(kind for _, kind in folder.parts.values())):
        package, way = NEEDS.get(kind or "", ("", ""))
        if package and find_spec(package) is None:
            raise broken(f"{kind} needs the package {way}, which is not installed")


def _assembled(folder: Folder, loaded: Mapping[str, Any]) -> DiffusionPipeline:
    """The pipeline of the parts, with what is no weights read from the folder."""
    try:
        return folder.kind.from_pretrained(
            str(folder.place), local_files_only=True, dtype=folder.dtype, **loaded
        )
    except Fault:
        raise
    except Exception as error:  # of many kinds: a tokenizer, a scheduler, a processor
        log.warning("%s could not be put together", folder.place, exc_info=error)
        raise broken(_misfit(folder, error)) from error


def _misfit(folder: Folder, error: Exception) -> str:
    said = str(error)
    if "torchvision" in said.lower():
        return (
            f"{folder.kind.__name__} cannot use torchvision as it is installed; it needs {_VISION}"
        )
    suspect = next((name for name in _small(folder) if not _sound(folder.place / name)), None)
    if suspect:
        return (
            f"{suspect} of the model is damaged or incomplete (a JSON or tokenizer file); "
            "fetch the model anew"
        )
    return (
        f"the parts of the model do not make a {folder.kind.__name__} "
        f"({type(error).__name__}); fetch it anew, and mix no files of two models"
    )


def _small(folder: Folder) -> Iterator[str]:
    yield from (name for name, (library, _) in folder.parts.items() if library)


def _sound(part: Path) -> bool:
    """Whether its JSON files are JSON, and a tokenizer has something to read words by."""
    try:
        for path in part.glob("*.json"):
            json.loads(path.read_text("utf-8"))
    except ValueError:
        return False
    return "tokenizer" not in part.name or has_words(part)
