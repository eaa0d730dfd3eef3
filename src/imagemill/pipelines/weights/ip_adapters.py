"""Loads an IP-Adapter for a model that is there: one safetensors file, as diffusers reads it.

diffusers puts it into the model, for all who share it. Here its own conversions are asked, which
change nothing, and what they give lies beside the model.
"""

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import DiffusionPipeline

from imagemill.errors import Fault, Kind
from imagemill.model_spec import AdapterPlace, ModelSpec
from imagemill.pico.reference import ReferenceEncoder, ReferenceProcessor
from imagemill.pipelines.controls import denoiser_of
from imagemill.pipelines.ip_adapters import IPFamily, ip_family
from imagemill.pipelines.ip_attention import hook
from imagemill.pipelines.weights import headers
from imagemill.pipelines.weights.headers import Header
from imagemill.pipelines.weights.image_encoders import FIELD as ENCODER
from imagemill.pipelines.weights.image_encoders import load_encoder
from imagemill.pipelines.weights.kinds import identify as whole_model
from imagemill.pipelines.weights.kinds import seems
from imagemill.pipelines.weights.parts import Module, check_numbers, read_tensors

log = logging.getLogger(__name__)
FIELD = "ip_adapter.path"  # of a generation, where it is named
TITLE = "the IP-Adapter"
SUFFIX = ".processor"  # of an attention's name, where diffusers lists what computes it
# Models of Stable Diffusion by the length of the texts that they read, which is all that a file
# tells of its family.
VERSIONS = {768: "Stable Diffusion 1", 1024: "Stable Diffusion 2", 2048: "SDXL"}
_UNET = "ip_adapter.1.to_k_ip.weight"


@dataclass(frozen=True)
class Layout:
    """keys: tensors that a file of it has. family: what it is for. served: whether it is read."""

    family: str
    keys: tuple[str, ...]
    served: bool = True


FACE = "faces, by a recogniser of its own (FaceID)"
# The first that fits; what is more special comes first.
LAYOUTS: tuple[Layout, ...] = (
    Layout(FACE, ("image_proj.perceiver_resampler.proj_in.weight",), False),
    Layout("FLUX.1", ("double_blocks.0.processor.ip_adapter_double_stream_k_proj.weight",)),
    Layout("FLUX.1", ("ip_adapter.0.to_k_ip.bias",)),
    Layout("Stable Diffusion 3", ("ip_adapter.0.norm_ip.linear.weight",)),
    Layout("", (_UNET, "image_proj.proj.3.weight")),
    Layout(FACE, (_UNET, "image_proj.proj.2.weight"), False),
    Layout("", (_UNET,)),
)
# What diffusers renames as it reads files for FLUX.1: XLabs' names, and what becomes of them.
FLUX_NAMES = {
    "ip_adapter_double_stream_k_proj": "to_k_ip",
    "ip_adapter_double_stream_v_proj": "to_v_ip",
    "processor.": "",
}
_GROUPS = {
    "image_proj.": "image_proj",
    "ip_adapter_proj_model.": "image_proj",
    "ip_adapter.": "ip_adapter",
    "double_blocks.": "ip_adapter",
}
# The first weights of diffusers' projections, whose inputs are what an encoder gives.
_FIRST = ("image_embeds.weight", "proj_in.weight", "ff.net.0.proj.weight")
Groups = dict[str, dict[str, torch.Tensor]]


@dataclass(frozen=True, eq=False)
class LoadedAdapter:
    """An IP-Adapter for a model that is there.

    encoder: of the image. extractor: scales images for it. projection: makes tokens of what the
    encoder gives; None where these are that. attention: the weights for each attention of the
    denoiser that it joins. kind: equal for what takes the same kernels.
    """

    family: IPFamily
    encoder: Module
    extractor: Any
    projection: Module | None
    attention: Mapping[Module, Module]
    kind: str

    @property
    def parts(self) -> dict[str, Module]:
        """The modules themselves, by names of their own."""
        own = {"image_encoder": self.encoder, "image_proj": self.projection}
        joined = {f"ip_adapter.{i}": each for i, each in enumerate(self.attention.values())}
        return {name: each for name, each in own.items() if each is not None} | joined


def load_ip_adapter(
    place: AdapterPlace, pipe: DiffusionPipeline, spec: ModelSpec, device: str
) -> LoadedAdapter:
    """The IP-Adapter at `place`, in the precision of the model that `pipe` paints with.

    Raises a Fault where it is none, not whole, or for another model.
    """
    family, denoiser = ip_family(pipe), denoiser_of(pipe)
    if family.encoder == ReferenceEncoder.__name__:  # has no weights of its own
        own = ReferenceEncoder(denoiser.sketcher, pipe.text_encoder_3)
        return LoadedAdapter(family, own, ReferenceProcessor(), None, {}, "pico")
    groups = _groups(_there(place.path, TITLE, FIELD), family, denoiser)
    attention, projection = _converted(groups, denoiser, family)
    where = _there(place.encoder, "the image encoder", ENCODER)
    encoder, extractor = load_encoder(where, family.encoder, denoiser.dtype)
    _check_width(encoder, projection)
    for each in (encoder, projection, *attention.values()):
        each.to(device, denoiser.dtype).eval().requires_grad_(False)
        check_numbers(TITLE, each)
    return LoadedAdapter(
        family, encoder, extractor, projection, _joined(attention, denoiser, family),
        _kind(attention),
    )  # fmt: skip


def _joined(
    attention: Mapping[str, Module], denoiser: Any, family: IPFamily
) -> dict[Module, Module]:
    """The weights by the attention itself, which looks for what is to be added from now on."""
    joined = dict[Module, Module]()
    for name, weights in attention.items():
        own, block = (denoiser.get_submodule(each) for each in (name, name.rpartition(".")[0]))
        hook(own, block, family.attention)
        joined[own] = weights
    return joined


def _kind(attention: Mapping[str, Module]) -> str:
    shapes = [
        (name, leaf, tuple(x.shape))
        for name, weights in attention.items()
        for leaf, x in weights.named_parameters()
    ]
    return hashlib.sha256(repr(shapes).encode()).hexdigest()


def _there(source: str, what: str, field: str) -> Path:
    place = Path(source).expanduser()
    if place.exists():
        return place
    message = f"the file of {what} is not where it was; try again, or name another"
    raise Fault(Kind.FAILED, message, field)


def _groups(path: Path, family: IPFamily, denoiser: Any) -> Groups:
    """The tensors of a file by diffusers' names, of the image's projection and of attentions."""
    try:
        header = headers.read(path)
    except Fault as fault:
        raise _unreadable(fault.message) from None
    layout = next((each for each in LAYOUTS if set(each.keys) <= header.tensors.keys()), None)
    if layout is None:
        model = whole_model(header)
        name = model[0].name if model else seems(header)[0]
        raise _unreadable(f"the file is no IP-Adapter: it seems to be {name}")
    _check_family(layout, header, family, denoiser)
    groups: Groups = {"image_proj": {}, "ip_adapter": {}}
    for name, tensor in read_tensors(path, "").items():
        prefix = next((each for each in _GROUPS if name.startswith(each)), None)
        if prefix is None:
            raise _unreadable(f"the file has {name:.80}, which no IP-Adapter has")
        leaf = name.removeprefix(prefix)
        for old, new in FLUX_NAMES.items():
            leaf = leaf.replace(old, new)
        groups[_GROUPS[prefix]][leaf] = tensor
    return groups


def _unreadable(message: str) -> Fault:
    return Fault(Kind.UNREADABLE, f"{message}; give an IP-Adapter's safetensors file", FIELD)


def _check_family(layout: Layout, header: Header, family: IPFamily, denoiser: Any) -> None:
    """Raises a Fault that names both families where they are not the same."""
    own, its = family.name, layout.family
    if not its or family.name == "Stable Diffusion":
        own = VERSIONS.get(denoiser.config.get("cross_attention_dim"), family.name)
    if not its:
        length = header.tensors[_UNET].shape[1]
        same = length == denoiser.config.get("cross_attention_dim")
        its = own if same else VERSIONS.get(length, f"a model whose texts are {length} wide")
    if not layout.served:
        message = f"the IP-Adapter is for {its}, which is not served here"
        raise Fault(Kind.UNSUPPORTED, f"{message}; give one that reads the whole image", FIELD)
    if its != own:
        message = f"the IP-Adapter was made for {its}, and this model is {own}"
        raise Fault(Kind.UNSUPPORTED, f"{message}; give one that was made for {own}", FIELD)


def _converted(groups: Groups, denoiser: Any, family: IPFamily) -> tuple[dict[str, Module], Module]:
    """By diffusers' own conversions: weights by the name of the attention that they join, and the
    projection of the image.
    """
    several = family.argument == "added_cond_kwargs" or family.name == "FLUX.1"
    states: Any = [groups] if several else groups["ip_adapter"]
    try:
        processors = denoiser._convert_ip_adapter_attn_to_diffusers(states)
        projection = denoiser._convert_ip_adapter_image_proj_to_diffusers(groups["image_proj"])
    except (KeyError, ValueError, RuntimeError, IndexError, AttributeError, TypeError) as error:
        log.warning("an IP-Adapter does not fit", exc_info=error)
        raise _unfitting(groups, denoiser) from error
    attention = {
        name.removesuffix(SUFFIX): each
        for name, each in processors.items()
        if isinstance(each, torch.nn.Module)
    }
    parts = (projection, *attention.values())
    unmade = any(x.is_meta for each in parts for x in each.parameters())
    if unmade or len(attention) != len(_numbers(groups)):
        raise _unfitting(groups, denoiser)
    return attention, projection


def _numbers(groups: Groups) -> set[str]:
    """Of the attentions that a file has weights for."""
    return {name.split(".")[0] for name in groups["ip_adapter"]}


def _unfitting(groups: Groups, denoiser: Any) -> Fault:
    shapes = (x.shape for name, x in groups["ip_adapter"].items() if name.endswith("k_ip.weight"))
    sizes = sorted({f"{x[1]} to {x[0]}" for x in shapes})
    message = (
        f"{TITLE} was made for a model of another size: it has {len(_numbers(groups))} attentions, "
        f"from {', '.join(sizes) or 'nothing'} channels, which do not fit this "
        f"{type(denoiser).__name__}"
    )
    return Fault(Kind.UNSUPPORTED, f"{message}; give one that was made for this model", FIELD)


def _check_width(encoder: Any, projection: Any) -> None:
    """Raises a Fault where the projection reads something else than the encoder gives."""
    wanted = next(x.shape[1] for name, x in projection.named_parameters() if name in _FIRST)
    gives = encoder.config.hidden_size
    if type(projection).__name__ == "ImageProjection":
        gives = encoder.config.projection_dim
    if wanted != gives:
        message = f"the IP-Adapter reads {wanted} numbers, and this image encoder gives {gives}"
        raise Fault(Kind.UNSUPPORTED, f"{message}; name the encoder that it was made for", ENCODER)
