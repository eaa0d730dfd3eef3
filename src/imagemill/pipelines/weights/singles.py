"""Loads a model from one file, without a network: its kind is found by its keys, and what
describes its parts comes with the package.
"""

import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import diffusers
import torch
import transformers
from diffusers import DiffusionPipeline
from diffusers.models.model_loading_utils import load_gguf_checkpoint

from imagemill.errors import Fault
from imagemill.model_spec import ModelSpec
from imagemill.pipelines.families import DENOISERS
from imagemill.pipelines.weights import headers
from imagemill.pipelines.weights.apart import load_apart
from imagemill.pipelines.weights.converting import convert
from imagemill.pipelines.weights.folders import DISPENSABLE, pipeline_class
from imagemill.pipelines.weights.headers import Header, broken
from imagemill.pipelines.weights.kinds import FileKind, Layout, identify, seems
from imagemill.pipelines.weights.parts import (
    Module,
    complete,
    fill,
    make,
    read_tensors,
    unfitting,
)
from imagemill.pipelines.weights.places import components, locate, read_index
from imagemill.pipelines.weights.precision import dtype_of
from imagemill.pipelines.weights.settling import of_vae, settle
from imagemill.pipelines.weights.tokenizers import tokenizer

log = logging.getLogger(__name__)

_VAES = ("first_stage_model.", "vae.")
# Where the parts lie in a file, by the layout of its denoiser; the first that is there is taken.
INSIDE: Mapping[Layout, Mapping[str, tuple[str, ...]]] = {
    "unet": {
        "vae": _VAES,
        "text_encoder": (
            "cond_stage_model.transformer.",
            "conditioner.embedders.0.transformer.",
            "cond_stage_model.model.",
        ),
        "text_encoder_2": ("conditioner.embedders.1.model.", "conditioner.embedders.0.model."),
    },
    "sd3": {
        "vae": _VAES,
        "text_encoder": ("text_encoders.clip_l.transformer.",),
        "text_encoder_2": ("text_encoders.clip_g.transformer.",),
        "text_encoder_3": ("text_encoders.t5xxl.transformer.",),
    },
    "flux": {
        "vae": _VAES,
        "text_encoder": ("text_encoders.clip_l.transformer.",),
        "text_encoder_2": ("text_encoders.t5xxl.transformer.",),
    },
}


@dataclass(frozen=True)
class Description:
    """What is to be known of a model beside its weights.

    parts: class and config by name. tokenizers: what is to be known of each. absent: parts that it
    does without. options: of the pipeline.
    """

    pipeline: type[DiffusionPipeline]
    parts: Mapping[str, tuple[str, Mapping[str, Any]]]
    tokenizers: Mapping[str, Mapping[str, Any]]
    absent: tuple[str, ...]
    options: Mapping[str, Any]


@dataclass(frozen=True)
class Single:
    path: Path
    spec: ModelSpec
    device: str
    header: Header
    kind: FileKind
    prefix: str
    description: Description

    @property
    def dtype(self) -> torch.dtype:
        named = (self.description.parts[each][0] for each in DENOISERS if each in self.parts)
        return dtype_of(self.spec, self.device, next(named))

    @property
    def parts(self) -> Mapping[str, tuple[str, Mapping[str, Any]]]:
        return self.description.parts

    def inside(self, name: str) -> str | None:
        """The prefix under which the file has a part."""
        if name in DENOISERS:
            return self.prefix
        assert self.kind.layout is not None
        choices = INSIDE[self.kind.layout].get(name, ())
        return next((each for each in choices if self.header.under(each).tensors), None)


def load_single(path: Path, spec: ModelSpec, device: str) -> DiffusionPipeline:
    """Raises a Fault that says what the file is, where it is not a whole model."""
    header = headers.read(path)
    identity, prefix = _identified(path, header)
    description = _describe(path, identity, spec)
    single = Single(path, spec, device, header, identity, prefix, description)
    log.info("%s is %s", path.name, identity.name)
    loaded: dict[str, Any] = dict.fromkeys(single.description.absent)
    loaded |= dict.fromkeys(_dispensed(single))
    for name in _lacking(single, loaded):
        raise broken(_incomplete(single, name))
    for name, config in single.description.tokenizers.items():
        if name not in loaded:
            loaded[name] = tokenizer(name, config, spec)
    for name, (kind, config) in single.parts.items():
        if name not in loaded:
            loaded[name] = _part(single, name, _class(kind), config)
    return single.description.pipeline(**loaded, **single.description.options)


def _identified(path: Path, header: Header) -> tuple[FileKind, str]:
    identified = identify(header)
    if identified is None or identified[0].layout is None:
        name, advice = (identified[0].name, identified[0].advice) if identified else seems(header)
        raise broken(f"{path.name} is no model on its own: it seems to be {name}; {advice}")
    return identified


def _describe(path: Path, kind: FileKind, spec: ModelSpec) -> Description:
    if spec.config is not None:
        return described_by(locate(spec.config, spec))
    if kind.config is None:
        raise broken(f"{path.name} seems to be {kind.name}; {kind.advice}")
    return described(kind.config)


def described(name: str) -> Description:
    """By what comes with the package."""
    text = (files("imagemill") / "pipelines/weights/configs" / f"{name}.json").read_text("utf-8")
    raw: dict[str, Any] = json.loads(text)
    return Description(
        getattr(diffusers, raw["pipeline"]),
        {name: (each["class"], each["config"]) for name, each in raw["parts"].items()},
        raw["tokenizers"],
        tuple(raw.get("absent", ())),
        raw["options"],
    )


def described_by(place: Path) -> Description:
    """By a folder that holds the JSON and tokenizer files of a pipeline; weights are not read."""
    index = read_index(place)
    pipeline = pipeline_class(index)
    parts, tokenizers, absent = {}, {}, []
    for name, (library, kind) in components(index).items():
        if library is None or kind is None or name in _UNUSED:
            absent.append(name)
        elif name.startswith("tokenizer"):
            tokenizers[name] = {"kind": "t5" if kind.startswith("T5") else "clip"}
        else:
            parts[name] = (kind, _json(place, name))
    _, optional = DiffusionPipeline._get_signature_keys(pipeline)
    options = {
        name: value
        for name, value in index.items()
        if name in optional and name not in components(index)
    }
    return Description(
        pipeline, parts, tokenizers, tuple(absent), options | _without_checker(pipeline)
    )


_UNUSED = frozenset({"safety_checker", "feature_extractor", "image_encoder"})  # in no single file


def _without_checker(pipeline: type[DiffusionPipeline]) -> dict[str, Any]:
    return (
        {"requires_safety_checker": False}
        if "safety_checker" in pipeline._optional_components
        else {}
    )


def _json(place: Path, name: str) -> Mapping[str, Any]:
    path = place / name / ("scheduler_config.json" if name == "scheduler" else "config.json")
    try:
        config: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise broken(f"{place.name} describes no {name}: {path.name} cannot be read") from error
    return config


def _dispensed(single: Single) -> Iterator[str]:
    """Parts that the file comes without, and its pipeline can do without."""
    for name in sorted(DISPENSABLE.get(single.description.pipeline.__name__, ())):
        encoder = name.replace("tokenizer", "text_encoder")
        if single.inside(encoder) is None and encoder not in single.spec.parts:
            yield name


def _lacking(single: Single, loaded: Mapping[str, Any]) -> Iterator[str]:
    for name in single.parts:
        apart = name in single.spec.parts or name in loaded or name == "scheduler"
        if not apart and single.inside(name) is None:
            yield name


def _incomplete(single: Single, name: str) -> str:
    kind = single.parts[name][0]
    return (
        f"{single.path.name} is {single.kind.name} without {name} ({kind}); name it apart in the "
        f'model\'s table, as {name} = "/models/{name}.safetensors", or a folder'
    )


def _class(name: str) -> type[Any]:
    named_class: type[Any] = getattr(diffusers, name, None) or getattr(transformers, name)
    return named_class


def _part(single: Single, name: str, kind: type[Any], config: Mapping[str, Any]) -> Any:
    if source := single.spec.parts.get(name):
        library = "diffusers" if issubclass(kind, diffusers.ModelMixin) else "transformers"
        return load_apart(name, source, (library, kind.__name__), config, single)
    if name == "scheduler":
        return kind.from_config(dict(config))
    title = f"{name} of {single.path.name}"
    return settle(title, _filled(single, name, title, kind, config), single.device, single.spec)


def _filled(
    single: Single, name: str, title: str, kind: type[Any], config: Mapping[str, Any]
) -> Module:
    prefix = single.inside(name)
    assert prefix is not None
    if single.header.metadata.get("format") == "gguf":
        return _quantized(single, title, kind, config)
    module = make(kind, config)
    dtype = of_vae(dict(config), single.dtype) if name == "vae" else single.dtype
    tensors = read_tensors(single.path, prefix)
    if not prefix:  # what else is in the file is another part's
        others = tuple(each for all_ in INSIDE.values() for part in all_.values() for each in part)
        tensors = {key: value for key, value in tensors.items() if not key.startswith(others)}
    return fill(title, module, convert(title, module, config, tensors, prefix), dtype)


def _quantized(single: Single, title: str, kind: type[Any], config: Mapping[str, Any]) -> Module:
    """GGUF stays as it is, and is computed in the precision of the model."""
    quantization = diffusers.GGUFQuantizationConfig(compute_dtype=single.dtype)
    empty = make(kind, config)
    tensors = convert(title, empty, config, load_gguf_checkpoint(single.path), single.prefix)
    complete(title, empty, tensors)
    with TemporaryDirectory() as scratch:
        said = dict(config) | {"_class_name": kind.__name__}
        (Path(scratch) / "config.json").write_text(json.dumps(said), "utf-8")
        try:
            module: Module = kind.from_single_file(
                tensors, config=scratch, quantization_config=quantization,
                dtype=single.dtype, local_files_only=True,
            )  # fmt: skip
        except (Fault, torch.OutOfMemoryError, MemoryError):
            raise
        except Exception as error:  # of many kinds, by what does not fit
            log.warning("%s could not be loaded", title, exc_info=error)
            raise broken(unfitting(title)) from error
    return module
