"""Loads the image encoder of an IP-Adapter: a folder as transformers writes it, or one file.

A file says nothing of its shape but by its tensors, from which it is counted; what they do not tell
is known of those that are published.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers

from imagemill.errors import Fault, Kind
from imagemill.pipelines.weights import headers
from imagemill.pipelines.weights.headers import Header
from imagemill.pipelines.weights.parts import ModelPart, Module, fill, load_part, make, read_tensors

CONFIG, PROCESSOR = "config.json", "preprocessor_config.json"
FIELD = "ip_adapter.encoder_path"  # of a generation, where it is named
NAME = "image_encoder"  # of the part, in a pipeline
HEAD = 64  # channels of an attention's head, where nothing else is known
# By width, those of CLIP and SigLIP that are published: heads, and how they are activated.
PUBLISHED: Mapping[int, tuple[int, str]] = {
    768: (12, "quick_gelu"), 1024: (16, "quick_gelu"), 1152: (16, "gelu_pytorch_tanh"),
    1280: (16, "gelu"), 1664: (16, "gelu"),
}  # fmt: skip


@dataclass(frozen=True)
class EncoderKind:
    """Classes of transformers, by their names: importing them draws in much, and some say so.

    processor: scales and crops for it. prefix: of its tensors' names in a file, which its own
    modules have or have not. own: whether they have. activated: how it is, where it is none of
    those that are published.
    """

    name: str
    processor: str
    own: bool
    activated: str
    prefix: str = "vision_model."

    @property
    def kind(self) -> Any:
        return getattr(transformers, self.name)


KINDS: Mapping[str, EncoderKind] = {
    each.name: each
    for each in (
        EncoderKind("CLIPVisionModelWithProjection", "CLIPImageProcessor", True, "quick_gelu"),
        EncoderKind("SiglipVisionModel", "SiglipImageProcessor", False, "gelu_pytorch_tanh"),
    )
}


def load_encoder(place: Path, name: str, dtype: torch.dtype) -> tuple[Module, Any]:
    """The encoder of a class of KINDS at `place`, and what scales images for it.

    Raises a Fault where there is none, or another one.
    """
    kind = KINDS[name]
    folder = place if place.is_dir() else place.parent
    try:
        if place.is_dir():
            module = load_part(ModelPart(NAME, kind.kind, place, dtype))
        else:
            module = _from_file(place, kind, dtype, folder / CONFIG)
    except Fault as fault:
        message = f"the image encoder is none that can be read: {fault.message}"
        raise Fault(Kind.UNREADABLE, message, FIELD) from fault
    return module, _processor(folder, kind, module)


def _processor(folder: Path, kind: EncoderKind, module: Any) -> Any:
    processor: Any = getattr(transformers, kind.processor)
    if (folder / PROCESSOR).is_file():
        return processor.from_pretrained(str(folder))
    side = module.config.image_size
    if kind.own:  # as diffusers makes it where there is none
        return processor(size=side, crop_size=side)
    return processor(size={"height": side, "width": side})


def _from_file(path: Path, kind: EncoderKind, dtype: torch.dtype, beside: Path) -> Module:
    header = headers.read(path)
    inner = header.under(kind.prefix) if _prefixed(header, kind) else header
    patch = inner.tensors.get("embeddings.patch_embedding.weight")
    projection = header.tensors.get("visual_projection.weight")
    if patch is None or kind.own != ("embeddings.class_embedding" in inner.tensors):
        raise headers.broken(f"{path.name} has no {kind.name}; give another file")
    if kind.own and projection is None:
        raise headers.broken(f"{path.name} has no projection; give a CLIPVisionModelWithProjection")
    known = kind.kind.config_class.from_pretrained(str(beside.parent)) if beside.is_file() else None
    config = known.to_dict() if known else _counted(kind, header, inner)
    module = make(kind.kind, config)
    tensors = dict(_named(path, kind, _prefixed(header, kind)))
    return fill(f"{NAME} ({kind.name})", module, tensors, dtype)


def _prefixed(header: Header, kind: EncoderKind) -> bool:
    return any(name.startswith(kind.prefix) for name in header.tensors)


def _named(path: Path, kind: EncoderKind, prefixed: bool) -> dict[str, torch.Tensor]:
    """The encoder's own tensors, by the names that the module has; a file may have a text encoder
    beside it.
    """
    inside = read_tensors(path, kind.prefix if prefixed else "")
    bare = {name.removeprefix(kind.prefix): tensor for name, tensor in inside.items()}
    if not kind.own:
        return bare
    head = read_tensors(path, "visual_projection.")
    return {f"{kind.prefix}{name}": x for name, x in bare.items() if name not in head} | head


def _counted(kind: EncoderKind, header: Header, inner: Header) -> dict[str, Any]:
    """inner: the tensors of the encoder itself."""
    patch = inner.tensors["embeddings.patch_embedding.weight"].shape
    places = inner.tensors["embeddings.position_embedding.weight"].shape[0]
    width, side = patch[0], round((places - ("embeddings.class_embedding" in inner.tensors)) ** 0.5)
    heads, activated = PUBLISHED.get(width, (max(1, width // HEAD), kind.activated))
    layers = {name.split(".")[2] for name in inner.tensors if name.startswith("encoder.layers.")}
    config = {
        "hidden_size": width,
        "intermediate_size": inner.tensors["encoder.layers.0.mlp.fc1.weight"].shape[0],
        "num_hidden_layers": len(layers),
        "num_attention_heads": heads,
        "hidden_act": activated,
        "patch_size": patch[-1],
        "image_size": side * patch[-1],
    }
    projection = header.tensors.get("visual_projection.weight")
    return config if projection is None else config | {"projection_dim": projection.shape[0]}
