"""Loads a diffusers pipeline by source: the embedded model, a folder, or a Hub id."""

import inspect
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import diffusers
import torch
import transformers
from diffusers import DiffusionPipeline

from imagemill.errors import Fault, Kind
from imagemill.model_spec import ModelSpec

# Naming it in a module makes `from_pretrained` find pico's own classes.
from imagemill.pico import autoencoder, folder, text, vocabulary
from imagemill.pipelines.families import EMBEDDED, FAMILIES, PICO, Family, Task
from imagemill.pipelines.sparing import spare

log = logging.getLogger(__name__)
__all__ = ["Loaded", "assembled", "autoencoder", "load", "text"]


@dataclass(frozen=True, eq=False)
class Loaded:
    """Pipelines ready to paint, by task; they share their modules."""

    source: str  # the address of the model
    family: Family
    pipes: Mapping[Task, DiffusionPipeline]

    @property
    def pipe(self) -> DiffusionPipeline:
        return self.pipes["paint"]

    @property
    def embedded(self) -> bool:
        return ModelSpec.at(self.source).source == EMBEDDED

    def unknown(self, prompt: str) -> tuple[str, ...]:
        """Words that the model is known to ignore."""
        return tuple(vocabulary.vocabulary().unknown(prompt)) if self.embedded else ()


def load(source: str, device: str) -> Loaded:
    """Raises a Fault where there is no pipeline at `source`; the log tells why."""
    _quiet()
    spec = ModelSpec.at(source)
    where = str(folder()) if spec.source == EMBEDDED else spec.source
    try:
        pipe = DiffusionPipeline.from_pretrained(
            where, dtype=dtype_for(device), local_files_only=Path(where).is_dir()
        ).to(device)
    except (OSError, ValueError) as error:
        log.error("could not load %s", where, exc_info=error)
        raise Fault(Kind.FAILED, "the model's weights could not be loaded") from error
    _stay(pipe)
    spare(pipe)
    family = PICO if spec.source == EMBEDDED else FAMILIES.get(type(pipe).__name__, Family())
    return assembled(source, family, pipe)


def assembled(source: str, family: Family, pipe: DiffusionPipeline) -> Loaded:
    """`pipe`, and pipelines for the family's other tasks, made of its modules."""
    pipes: dict[Task, DiffusionPipeline] = {"paint": pipe}
    if family.repaints:
        pipes["repaint"] = _alike(family.repaints, pipe)
    if family.inpaints:
        pipes["inpaint"] = _alike(family.inpaints, pipe)
    for each in pipes.values():
        each.set_progress_bar_config(disable=True)
    return Loaded(source, family, pipes)


def _alike(name: str, pipe: DiffusionPipeline) -> DiffusionPipeline:
    # Not by `from_pipe`: it takes no class of module but those it lists, and casts what is shared.
    kind = getattr(diffusers, name)
    accepted = inspect.signature(kind.__init__).parameters
    options = {name: value for name, value in pipe.config.items() if name in accepted}
    modules = {name: module for name, module in pipe.components.items() if name in accepted}
    return kind(**(options | modules))


def _stay(pipe: DiffusionPipeline) -> None:
    """Pipelines that paint over would turn such a VAE into float32 and back in the middle of a
    call, for all who share it. Only float16, in which nothing is loaded here, would overflow.
    """
    vae = getattr(pipe, "vae", None)
    if vae is not None and vae.config.get("force_upcast"):
        vae.register_to_config(force_upcast=False)


def _quiet() -> None:
    """No bars on a server's standard error, no advice that only its developers can follow."""
    for library in (diffusers, transformers):
        library.utils.logging.disable_progress_bar()
        library.utils.logging.set_verbosity_error()


def dtype_for(device: str) -> torch.dtype:
    """bfloat16 where the hardware computes in it: a processor that only emulates it is slower than
    with float32.
    """
    fast = device != "cpu" or torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return torch.bfloat16 if fast else torch.float32
