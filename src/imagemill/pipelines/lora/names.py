"""Which layer of a model a name in a LoRA's file means, whatever trainer wrote it.

Trainers name a layer by diffusers' name or the original one, with dots or underscores between its
parts, and with a prefix for the part of the pipeline, or none. All these spellings are listed for
the model at hand, so that a name either is in the list or has no place: nothing is guessed.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from diffusers import DiffusionPipeline
from diffusers.models.normalization import AdaLayerNormContinuous

from imagemill.pipelines.families import DENOISERS
from imagemill.pipelines.lora.original import Layers, originals

TEXTS = ("text_encoder", "text_encoder_2", "text_encoder_3")
PARTS = (*DENOISERS, *TEXTS)
KINDS = (torch.nn.Linear, torch.nn.Conv2d)

# Before names with dots, and before names with underscores, of what is trained most.
_DOTTED = ("transformer.", "unet.", "diffusion_model.", "model.diffusion_model.",
           "base_model.model.", "base_model.model.transformer.", "")  # fmt: skip
_FLAT = ("lora_unet_", "lora_transformer_", "lycoris_", "lora_prior_unet_")
# kohya numbers encoders by their kind, so that FLUX's second, T5, is its third.
_FLAT_TEXTS = {
    "text_encoder": ("lora_te_", "lora_te1_"),
    "text_encoder_2": ("lora_te2_", "lora_te3_"),
    "text_encoder_3": ("lora_te3_",),
}
# As diffusers wrote attention before PEFT.
_BEFORE_PEFT = {
    "q_proj": "to_q_lora", "k_proj": "to_k_lora", "v_proj": "to_v_lora", "out_proj": "to_out_lora",
}  # fmt: skip

Place = tuple[str, str]  # a part of the pipeline, and a layer of it


@dataclass(frozen=True)
class LayerPlaces:
    """layers: by place. spellings: of a name in a file, the places that it stands for in order;
    none where it could be several parts'. exchanged: spellings by which shift comes before scale
    where diffusers has scale before shift.
    """

    layers: Mapping[Place, torch.nn.Module]
    spellings: Mapping[str, tuple[Place, ...]]
    exchanged: frozenset[str]

    def of(self, stem: str) -> tuple[Place, ...]:
        return self.spellings.get(stem, ())


def places(pipe: DiffusionPipeline) -> LayerPlaces:
    layers: dict[Place, torch.nn.Module] = {}
    spellings: dict[str, tuple[Place, ...]] = {}
    exchanged = set[str]()
    for part in PARTS:
        model = getattr(pipe, part, None)
        if not isinstance(model, torch.nn.Module):
            continue
        own = {name: each for name, each in model.named_modules() if _takes(each)}
        layers |= {(part, name): each for name, each in own.items()}
        for spelling, targets in _spellings(part, model, own):
            meant = tuple((part, target) for target in targets)
            spellings[spelling] = meant if spellings.get(spelling, meant) == meant else ()
        for name, targets in originals(model, own):
            if _exchanges(model, targets):
                exchanged.update(_spelt(name))
    return LayerPlaces(layers, spellings, frozenset(exchanged))


def _exchanges(model: torch.nn.Module, targets: tuple[str, ...]) -> bool:
    norms = (model.get_submodule(each.rpartition(".")[0]) for each in targets)
    return any(isinstance(norm, AdaLayerNormContinuous) for norm in norms)


def _takes(layer: torch.nn.Module) -> bool:
    return isinstance(layer, KINDS) and getattr(layer, "groups", 1) == 1


def _spellings(
    part: str, model: torch.nn.Module, layers: Layers
) -> Iterator[tuple[str, tuple[str, ...]]]:
    named: list[tuple[str, tuple[str, ...]]] = [(name, (name,)) for name in layers]
    if part in TEXTS:
        yield from _texts(part, named)
        return
    for name, targets in (*named, *originals(model, layers)):
        yield from ((each, targets) for each in _spelt(name))
        old = _before_peft(name)
        yield from ((prefix + each, targets) for each in old for prefix in _DOTTED)


def _spelt(name: str) -> Iterator[str]:
    flat = name.replace(".", "_")
    yield from (prefix + name for prefix in _DOTTED)
    yield from (prefix + flat for prefix in _FLAT)


def _texts(
    part: str, named: list[tuple[str, tuple[str, ...]]]
) -> Iterator[tuple[str, tuple[str, ...]]]:
    for name, targets in named:
        # transformers has moved the modules of one of CLIP's classes, files have both names.
        bare = name.removeprefix("text_model.")
        for each in {name, bare, f"text_model.{bare}"}:
            yield f"{part}.{each}", targets
            yield from ((f"{part}.{old}", targets) for old in _before_peft(each))
            flat = each.replace(".", "_")
            yield from ((prefix + flat, targets) for prefix in _FLAT_TEXTS[part])


def _before_peft(name: str) -> Iterator[str]:
    """`attn1.processor.to_q_lora` for `attn1.to_q`, `self_attn.to_q_lora` for its `q_proj`."""
    where, _, last = name.removesuffix(".0").rpartition(".")
    if where.endswith(("attn", "attn1", "attn2")):
        yield f"{where}.processor.{last}_lora"
    if where.endswith("self_attn") and last in _BEFORE_PEFT:
        yield f"{where}.{_BEFORE_PEFT[last]}"
