"""Loads a diffusers pipeline by its address: the embedded model, a folder, a file or a Hub id."""

import inspect
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import diffusers
import torch
import transformers
from diffusers import DiffusionPipeline

from imagemill.errors import Fault
from imagemill.model_spec import ModelSpec
from imagemill.pico import parts, reading
from imagemill.pico.editing import Editor
from imagemill.pico.reading import instructions
from imagemill.pipelines.cheap_kernels import spare
from imagemill.pipelines.controls import class_for, control_family
from imagemill.pipelines.deriving import checks_itself, class_of, family_of
from imagemill.pipelines.families import EMBEDDED, MISSING_CONFIG, OWN, PICO, Family, Task
from imagemill.pipelines.limits import unread
from imagemill.pipelines.schedules import heeds
from imagemill.pipelines.weights.applying import apply
from imagemill.pipelines.weights.controlnets import load_controlnet
from imagemill.pipelines.weights.folders import load_folder
from imagemill.pipelines.weights.ip_adapters import LoadedAdapter
from imagemill.pipelines.weights.places import locate
from imagemill.pipelines.weights.precision import device_of, dtype_for
from imagemill.pipelines.weights.singles import load_single
from imagemill.scheduler_names import UNHEEDED

log = logging.getLogger(__name__)
# Naming `parts` in a module makes `from_pretrained` find pico's own classes.
__all__ = ["Loaded", "assembled", "dtype_for", "load", "parts", "steered"]


@dataclass(frozen=True, eq=False)
class Loaded:
    """Pipelines ready to paint, by task; they share their modules.

    controls: the same with a ControlNet, where there is one. editor: what plans edits, where they
    are planned. ip_adapter: what reads a reference, where there is one.
    """

    source: str  # the address of the model
    family: Family
    pipes: Mapping[Task, DiffusionPipeline]
    controls: Mapping[Task, DiffusionPipeline] = field(default_factory=dict)
    editor: torch.nn.Module | None = None
    ip_adapter: LoadedAdapter | None = None

    @property
    def pipe(self) -> DiffusionPipeline:
        """Of the class that was loaded."""
        return self.pipes.get(self.family.own_task) or next(iter(self.pipes.values()))

    @property
    def checks_itself(self) -> bool:
        """Whether a safety checker comes with its weights."""
        return checks_itself(self.pipe)

    @property
    def embedded(self) -> bool:
        return ModelSpec.at(self.source).source == EMBEDDED

    def unknown(self, prompt: str, edits: bool = False) -> tuple[str, ...]:
        """Words that the model is known to ignore, or that lie beyond what it reads; also those
        for which it draws something near, with what that is. edits: it is an instruction.
        """
        if self.embedded:
            return instructions.remarks(prompt) if edits else reading.read(prompt).remarks
        return unread(self.pipe, prompt)

    def unheeded(self, scheduler: str | None, spacing: str | None) -> tuple[str, ...]:
        """The remark on a spacing that is wished for and means nothing here."""
        if spacing is None or heeds(self.pipe, scheduler, self.family, spacing):
            return ()
        return (UNHEEDED.format(spacing),)


def load(source: str, device: str) -> Loaded:
    """The model at an address, on its own device or else on `device`.

    Raises a Fault where there is none, or where it is not whole; the log tells more.
    """
    _quiet()
    spec = ModelSpec.at(source)
    try:
        pipe = _pipeline(spec, device_of(spec, device))
    except Fault as fault:
        log.error("could not load %s: %s", spec.source, fault)
        raise
    _stay(pipe)
    spare(pipe)
    family = PICO if spec.source == EMBEDDED else family_of(pipe)
    return assembled(source, family, pipe)


def _pipeline(spec: ModelSpec, device: str) -> DiffusionPipeline:
    place = locate(spec.source, spec)
    read = load_single if place.is_file() else load_folder
    pipe = read(place, spec, device)
    apply(pipe, spec, device)
    return pipe


def assembled(source: str, family: Family, pipe: DiffusionPipeline) -> Loaded:
    """`pipe`, and pipelines for the family's other tasks, made of its modules."""
    for name, options in MISSING_CONFIG.items():
        for part in pipe.components.values():
            if type(part).__name__ == name:
                part.register_to_config(**options)
    classes: dict[Task, str | None] = {
        "paint": family.paints,
        "repaint": family.repaints,
        "inpaint": family.inpaints,
        "edit": family.edits,
    }
    pipes: dict[Task, DiffusionPipeline] = {
        task: pipe if name == OWN else _alike(class_of(name, pipe), pipe)
        for task, name in classes.items()
        if name is not None
    }
    for each in pipes.values():
        each.set_progress_bar_config(disable=True)
    return Loaded(source, family, pipes, editor=_editor(pipe) if family.plans else None)


def _editor(pipe: DiffusionPipeline) -> Editor:
    """Of pico."""
    return Editor(pipe.transformer.sketcher, pipe.text_encoder_3, pipe.tokenizer_3.looks)


def steered(
    loaded: Loaded, source: str, pipe: DiffusionPipeline, place: str, device: str
) -> Loaded:
    """The model with the ControlNet at `place`, and with `source` as its address then.

    pipe: of the class that was loaded, with the modules themselves.
    """
    spec = ModelSpec.at(source)
    family = control_family(pipe)
    network = load_controlnet(place, pipe, spec, device_of(spec, device))
    controls = {
        task: _alike(class_for(family, task), pipe, controlnet=network)
        for task in family.pipelines
        if task in loaded.pipes
    }
    for each in controls.values():
        spare(each)
        each.set_progress_bar_config(disable=True)
    return replace(loaded, source=source, controls=controls)


def _alike(
    kind: type[DiffusionPipeline], pipe: DiffusionPipeline, **more: torch.nn.Module
) -> DiffusionPipeline:
    # Not by `from_pipe`: it takes no class of module but those it lists, and casts what is shared.
    accepted = inspect.signature(kind.__init__).parameters
    options = {name: value for name, value in pipe.config.items() if name in accepted}
    modules = {name: module for name, module in pipe.components.items() if name in accepted}
    return kind(**(options | modules | more))


def _stay(pipe: DiffusionPipeline) -> None:
    """Pipelines that paint over would turn such a VAE into float32 and back in the middle of a
    call, for all who share it. What would overflow in float16 is held in float32 from the start.
    """
    vae = getattr(pipe, "vae", None)
    if vae is not None and vae.config.get("force_upcast"):
        vae.register_to_config(force_upcast=False)


def _quiet() -> None:
    """No bars on a server's standard error, no advice that only its developers can follow."""
    for library in (diffusers, transformers):
        library.utils.logging.disable_progress_bar()
        library.utils.logging.set_verbosity_error()
