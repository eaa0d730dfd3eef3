"""What an operator wants done with a pipeline once it is there: offload, attention, compile, words
of textual inversions.
"""

import logging
from pathlib import Path
from typing import Any

import torch
from diffusers import DiffusionPipeline

from imagemill.errors import Fault
from imagemill.model_spec import ModelSpec
from imagemill.pipelines.families import DENOISERS
from imagemill.pipelines.weights import headers
from imagemill.pipelines.weights.headers import broken
from imagemill.pipelines.weights.places import locate

log = logging.getLogger(__name__)


def apply(pipe: DiffusionPipeline, spec: ModelSpec, device: str) -> None:
    """Raises a Fault where something of it cannot be had here."""
    for source in spec.textual_inversions:
        _teach(pipe, locate(source, spec))
    if spec.attention != "auto":
        _attend(pipe, spec.attention)
    if spec.compile:
        _denoiser(pipe).compile(dynamic=True)
    if spec.offload != "none":
        _offload(pipe, spec, device)


def _denoiser(pipe: DiffusionPipeline) -> Any:
    return next(each for name in DENOISERS if (each := getattr(pipe, name, None)) is not None)


def _attend(pipe: DiffusionPipeline, backend: str) -> None:
    try:
        _denoiser(pipe).set_attention_backend(backend)
    except Exception as error:  # of several kinds, by what is missing
        log.warning("attention %s cannot be had", backend, exc_info=error)
        raise broken(
            f"attention {backend} cannot be had here: its package or the GPU that it needs is "
            "missing; leave attention out, or take native"
        ) from error


def _offload(pipe: DiffusionPipeline, spec: ModelSpec, device: str) -> None:
    if spec.offload == "model":
        pipe.enable_model_cpu_offload(device=device)
    elif spec.offload == "sequential":
        pipe.enable_sequential_cpu_offload(device=device)
    else:
        pipe.enable_group_offload(
            onload_device=torch.device(device), offload_type="block_level", num_blocks_per_group=1
        )


# Which text encoder and tokenizer each name in a file for two of them is for.
_PAIRS = {"clip_l": ("text_encoder", "tokenizer"), "clip_g": ("text_encoder_2", "tokenizer_2")}


def _teach(pipe: DiffusionPipeline, path: Path) -> None:
    """The word that the file stands for is its name."""
    if not hasattr(pipe, "load_textual_inversion"):
        raise broken(f"{type(pipe).__name__} takes no textual inversions; leave {path.name} out")
    header = headers.read(path)
    names = _PAIRS.keys() & header.tensors.keys()
    wanted = {"clip_l", "clip_g"} if getattr(pipe, "text_encoder_2", None) is not None else set()
    if names != wanted:
        raise broken(
            f"the textual inversion {path.name} is made for {_made_for(names)}, and this model "
            f"is not such; leave it out, or take one for {_made_for(wanted)}"
        )
    try:
        _load(pipe, path, sorted(names))
    except Fault:
        raise
    except Exception as error:  # of many kinds, by what does not fit
        log.warning("the textual inversion %s does not fit", path, exc_info=error)
        raise broken(
            f"the textual inversion {path.name} does not fit the model's text encoder; take one "
            "that was made for it"
        ) from error


def _made_for(names: set[str] | frozenset[str]) -> str:
    return "a model with two CLIP encoders, as SDXL" if names else "a model with one text encoder"


def _load(pipe: Any, path: Path, names: list[str]) -> None:
    from safetensors.torch import load_file

    if not names:
        pipe.load_textual_inversion(str(path), token=path.stem, local_files_only=True)
        return
    tensors = load_file(path)
    for name in names:
        encoder, tokenizer = (getattr(pipe, each) for each in _PAIRS[name])
        pipe.load_textual_inversion(
            tensors[name], token=path.stem, text_encoder=encoder, tokenizer=tokenizer
        )
