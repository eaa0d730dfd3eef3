"""LoRAs: a model with some of them fused in, beside the plain one.

diffusers loads a LoRA into a module for everybody who shares it. So the modules that LoRAs change
are copied first, and the plain model paints on undisturbed. Fused weights cost nothing per step.
"""

import copy
import hashlib
import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from diffusers import DiffusionPipeline
from safetensors import SafetensorError
from safetensors.torch import load as read_tensors

from imagemill.errors import Fault, Kind
from imagemill.pipelines.loading import Loaded, assembled
from imagemill.pipelines.sources import Weights

log = logging.getLogger(__name__)

_NAME = "fusing"  # of the one adapter that is loaded at a time
_FILE = "lora.safetensors"

Tensors = Mapping[str, torch.Tensor]


def fused(loaded: Loaded, weights: Sequence[Weights]) -> Loaded:
    """A model of its own that shares what the LoRAs leave alone with `loaded`.

    Raises a Fault where one is unreadable or does not fit the model, to its last tensor.
    """
    pipe = copy.copy(loaded.pipe)
    if not hasattr(pipe, "load_lora_weights"):
        raise Fault(Kind.UNSUPPORTED, "this model takes no LoRAs; leave loras out", "loras")
    files = [_read(each.content) for each in weights]
    parts = [_parts(pipe, file) for file in files]
    for part in set().union(*parts):
        object.__setattr__(pipe, part, copy.deepcopy(getattr(pipe, part)))
    for file, touched, each in zip(files, parts, weights, strict=True):
        try:
            _fuse(pipe, each, file, touched)
        except (Fault, torch.OutOfMemoryError):
            raise
        except Exception as error:  # of many kinds, by what in the file is unexpected
            log.warning("a LoRA does not fit %s", loaded.source, exc_info=error)
            raise _unfitting() from error
    return assembled(loaded.source, loaded.family, pipe)


def _fuse(pipe: DiffusionPipeline, weights: Weights, file: Tensors, parts: set[str]) -> None:
    # Of a file diffusers reads the alpha in the header as well; of tensors alone it cannot.
    with TemporaryDirectory() as folder:
        (Path(folder) / _FILE).write_bytes(weights.content)
        pipe.load_lora_weights(folder, weight_name=_FILE, adapter_name=_NAME)
    held = [
        tensor
        for part in parts
        for name, tensor in getattr(pipe, part).named_parameters()
        if _NAME in name.split(".")
    ]
    # diffusers only logs what it could not place, and leaves at random what it did not find.
    if _contents(held) != _contents(_converted(pipe, file).values()):
        raise _unfitting()
    pipe.set_adapters(_NAME, weights.scale)
    pipe.fuse_lora(components=sorted(parts), adapter_names=[_NAME])
    pipe.unload_lora_weights()


def _read(content: bytes) -> Tensors:
    try:
        return read_tensors(content)
    except (SafetensorError, ValueError, KeyError) as error:
        message = "a LoRA is no whole safetensors file; give one in that format"
        raise Fault(Kind.UNREADABLE, message, "loras") from error


def _parts(pipe: DiffusionPipeline, file: Tensors) -> set[str]:
    """The parts of the pipeline that the file has weights for."""
    try:
        names = list(_converted(pipe, file))
    except Exception as error:
        raise _unfitting() from error
    parts = [part for part in pipe._lora_loadable_modules if getattr(pipe, part, None) is not None]
    strange = [name for name in names if not any(name.startswith(f"{part}.") for part in parts)]
    strange += [name for name in file if "dora_scale" in name]  # diffusers drops them
    if strange or not names:
        raise _unfitting(strange)
    return {part for part in parts if any(name.startswith(f"{part}.") for name in names)}


def _converted(pipe: DiffusionPipeline, file: Tensors) -> Tensors:
    """As the pipeline reads the file, whatever trainer's names it has."""
    options = {"unet_config": pipe.unet.config} if hasattr(pipe, "unet") else {}
    state = pipe.lora_state_dict(dict(file), **options)
    tensors = state[0] if isinstance(state, tuple) else state
    return {name: each for name, each in tensors.items() if not name.endswith(".alpha")}


def _contents(tensors: Iterable[torch.Tensor]) -> list[tuple[tuple[int, ...], bytes]]:
    """What is in the tensors, in one order, whatever their names and precision."""
    short = [tensor.detach().to("cpu", torch.bfloat16).contiguous() for tensor in tensors]
    return sorted(
        (tuple(each.shape), hashlib.blake2b(each.view(torch.int16).numpy().tobytes()).digest())
        for each in short
    )


def _unfitting(names: Sequence[str] = ()) -> Fault:
    example = f" ({names[0]:.80} for one)" if names else ""
    return Fault(
        Kind.UNREADABLE,
        f"a LoRA has weights that this model has no place for{example}; give one made for it",
        "loras",
    )
