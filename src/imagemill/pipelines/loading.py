"""Loads a diffusers pipeline by source: the embedded model, a folder, or a Hub id."""

import logging
from dataclasses import dataclass
from pathlib import Path

import diffusers
import torch
import transformers
from diffusers import DiffusionPipeline

from imagemill.errors import Fault, Kind

# Naming it in a module makes `from_pretrained` find pico's own classes.
from imagemill.pico import autoencoder, folder, text, vocabulary
from imagemill.pipelines.families import EMBEDDED, FAMILIES, PICO, Family

log = logging.getLogger(__name__)
__all__ = ["Loaded", "autoencoder", "load", "text"]


@dataclass(frozen=True)
class Loaded:
    """A pipeline ready to paint; `refine` shares its modules and is the second stage, if any."""

    source: str
    family: Family
    pipe: DiffusionPipeline
    refine: DiffusionPipeline | None

    def unknown(self, prompt: str) -> tuple[str, ...]:
        """Words that the model is known to ignore."""
        return tuple(vocabulary.vocabulary().unknown(prompt)) if self.source == EMBEDDED else ()


def load(source: str, device: str) -> Loaded:
    """Raises a Fault where there is no pipeline at `source`; the log tells why."""
    _quiet()
    where = str(folder()) if source == EMBEDDED else source
    try:
        pipe = DiffusionPipeline.from_pretrained(
            where, dtype=dtype_for(device), local_files_only=Path(where).is_dir()
        ).to(device)
    except (OSError, ValueError) as error:
        log.error("could not load %s", where, exc_info=error)
        raise Fault(Kind.FAILED, "the model's weights could not be loaded") from error
    family = PICO if source == EMBEDDED else FAMILIES.get(type(pipe).__name__, Family())
    refine = getattr(diffusers, family.refines)(**pipe.components) if family.refines else None
    for each in (pipe, refine):
        if each is not None:
            each.set_progress_bar_config(disable=True)
    return Loaded(source, family, pipe, refine)


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
