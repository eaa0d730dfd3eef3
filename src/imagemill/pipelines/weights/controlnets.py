"""Loads a ControlNet for a model that is there: a folder as diffusers writes it, or one file.

A file says nothing of its shape but by its tensors. So what describes it is taken from the model
that it is for, and counted in it where the two may differ.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
from accelerate import init_empty_weights
from diffusers import DiffusionPipeline

from imagemill.errors import Fault, Kind
from imagemill.model_spec import ModelSpec
from imagemill.pico.control import PlacementControlNet
from imagemill.pipelines.controls import ControlFamily, control_family, denoiser_of
from imagemill.pipelines.weights import headers
from imagemill.pipelines.weights.control_places import CONFIG, FIELD, located
from imagemill.pipelines.weights.converting import convert
from imagemill.pipelines.weights.headers import Header
from imagemill.pipelines.weights.kinds import identify as whole_model
from imagemill.pipelines.weights.kinds import seems
from imagemill.pipelines.weights.parts import ModelPart, Module, fill, load_part, make, read_tensors
from imagemill.pipelines.weights.settling import settle

NAME = "controlnet"  # of the part, in a pipeline
PREFIXES = ("control_model.", "")  # before the names in a file; the longest first


@dataclass(frozen=True)
class Network:
    """A kind of ControlNet. keys: tensors that a file of it has. kind: its class in diffusers.
    family: what it is for. text: a tensor whose axis 1 is as long as the text that it reads.
    """

    kind: str
    family: str
    keys: tuple[str, ...]
    text: str = ""


_HINT, _TEXT_TIME = "controlnet_cond_embedding.conv_in.weight", "add_embedding.linear_1.weight"
_LDM = ("input_hint_block.0.weight", "zero_convs.0.0.weight")
_EMBEDDER = "controlnet_x_embedder.weight"
_LDM_TEXT = "input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight"
_TEXT = "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight"
# The first that fits; what is more special comes first.
NETWORKS: tuple[Network, ...] = (
    Network("ControlNetUnionModel", "SDXL", ("control_add_embedding.linear_1.weight",)),
    Network("QwenImageControlNetModel", "Qwen-Image", (_EMBEDDER, "txt_in.weight")),
    Network("FluxControlNetModel", "FLUX.1", (_EMBEDDER,)),
    Network("PlacementControlNet", "the embedded model", ("reading.weight",)),
    Network("SD3ControlNetModel", "Stable Diffusion 3", ("pos_embed_input.proj.weight",)),
    Network("ControlNetModel", "SDXL", (_HINT, _TEXT_TIME)),
    Network("ControlNetModel", "Stable Diffusion", (_HINT,), _TEXT),
    Network("ControlNetModel", "SDXL", (*_LDM, "label_emb.0.0.weight")),
    Network("ControlNetModel", "Stable Diffusion", _LDM, _LDM_TEXT),
)  # fmt: skip
VERSIONS = {768: " 1", 1024: " 2"}  # of Stable Diffusion, by the length of what it reads
# What must be equal in the configs of a ControlNet and of the denoiser that it is for.
FITTING: Mapping[str, tuple[str, ...]] = {
    "ControlNetModel": ("block_out_channels", "layers_per_block", "cross_attention_dim"),
    "PlacementControlNet": ("in_channels",),
    "SD3ControlNetModel": ("in_channels", "num_attention_heads", "attention_head_dim"),
    "FluxControlNetModel": ("in_channels", "num_attention_heads", "attention_head_dim"),
}


def load_controlnet(source: str, pipe: DiffusionPipeline, spec: ModelSpec, device: str) -> Module:
    """The ControlNet at `source`, in the precision of the model that `pipe` paints with.

    Raises a Fault where it is none, not whole, or for another model.
    """
    family, place = control_family(pipe), located(source)
    module = (_from_file if place.is_file() else _from_folder)(place, family, denoiser_of(pipe))
    return settle(f"{NAME} ({type(module).__name__})", module, device, spec)


def _from_folder(place: Path, family: ControlFamily, denoiser: Any) -> Module:
    try:
        config: dict[str, Any] = json.loads((place / CONFIG).read_text("utf-8"))
    except (OSError, ValueError) as error:
        message = f"the ControlNet's folder has no {CONFIG} that can be read; give a whole one"
        raise Fault(Kind.FAILED, message, FIELD) from error
    name = str(config.get("_class_name"))
    text = config.get("cross_attention_dim")
    network = next((each for each in NETWORKS if _described(each, config)), None)
    _check_family(network, text, family, denoiser, name)
    _check_modes(config.get("num_mode") is not None)
    for field in FITTING[name]:
        _check_equal(field, config.get(field), denoiser.config.get(field))
    return load_part(ModelPart(NAME, _class(name), place, denoiser.dtype))


def _class(name: str) -> type[Module]:
    kind: type[Module] = getattr(diffusers, name, PlacementControlNet)
    return kind


def _described(network: Network, config: Mapping[str, Any]) -> bool:
    with_time = config.get("addition_embed_type") == "text_time"
    fits = network.kind != "ControlNetModel" or (network.family == "SDXL") == with_time
    return fits and network.kind == config.get("_class_name")


def _from_file(path: Path, family: ControlFamily, denoiser: Any) -> Module:
    try:
        header, prefix, network = _identified(headers.read(path))
    except Fault as fault:
        raise _unreadable(fault.message) from None
    text = header.tensors[network.text].shape[1] if network.text in header.tensors else None
    _check_family(network, text, family, denoiser, network.kind)
    _check_modes("controlnet_mode_embedder.weight" in header.tensors)
    config = CONFIGS[network.kind](header, denoiser)
    title, module = "the ControlNet", make(getattr(diffusers, network.kind), config)
    try:
        tensors = convert(title, module, config, read_tensors(path, prefix), prefix)
        for name, tensor in tensors.items():
            if (own := module.state_dict().get(name)) is not None:
                _check_equal(name, tuple(tensor.shape), tuple(own.shape))
        return fill(title, module, tensors, denoiser.dtype)
    except Fault as fault:
        raise fault if fault.field else _unreadable(fault.message) from None


def _identified(whole: Header) -> tuple[Header, str, Network]:
    for prefix in PREFIXES:
        header = whole.under(prefix)
        for network in NETWORKS:
            if all(key in header.tensors for key in network.keys):
                return header, prefix, network
    model = whole_model(whole)
    name = model[0].name if model else seems(whole)[0]
    raise _unreadable(f"the file is no ControlNet: it seems to be {name}; give a ControlNet's")


def _unreadable(message: str) -> Fault:
    return Fault(Kind.UNREADABLE, message, FIELD)


def _check_family(
    network: Network | None, text: int | None, family: ControlFamily, denoiser: Any, kind: str
) -> None:
    """Raises a Fault that names both families where they are not the same."""
    own = _named(family.name, denoiser.config.get("cross_attention_dim"))
    its = f"another kind of model ({kind:.60})" if network is None else _named(network.family, text)
    if network is not None and network.kind == family.network and its == own:
        return
    article = "" if network is None or network.kind == family.network else f", a {kind},"
    message = f"the ControlNet{article} was made for {its}, and this model is {own}"
    raise Fault(Kind.UNSUPPORTED, f"{message}; give one that was made for {own}", FIELD)


def _named(family: str, text: Any) -> str:
    return family + (VERSIONS.get(text, "") if family == "Stable Diffusion" else "")


def _check_modes(several: bool) -> None:
    if several:
        message = "the ControlNet has several modes, of which none can be named here"
        raise Fault(Kind.UNSUPPORTED, f"{message}; give one of a single kind", FIELD)


def _check_equal(name: str, its: Any, own: Any) -> None:
    its, own = (list(x) if isinstance(x, tuple) else x for x in (its, own))
    if its != own:
        raise Fault(
            Kind.UNSUPPORTED,
            f"the ControlNet was made for a model of another size: {name} is {its}, and this "
            f"model's {own}; give one that was made for this model",
            FIELD,
        )


Config = dict[str, Any]


def _of_unet(header: Header, unet: Any) -> Config:
    with init_empty_weights():
        twin = diffusers.ControlNetModel.from_unet(unet, load_weights_from_unet=False)
    config = dict(twin.config) | {"in_channels": 4}
    if _HINT not in header.tensors:  # the authors' layout, which follows the UNet in all
        return config
    blocks = range(len(config["down_block_types"]))
    attending = [f"down_blocks.{i}.attentions.0." for i in blocks]
    hints = (_HINT, *(f"controlnet_cond_embedding.blocks.{i}.weight" for i in (1, 3, 5)))
    first = header.tensors["conv_in.weight"].shape
    middle = _count(header, "mid_block.attentions.0.transformer_blocks.")
    layers = [_count(header, f"{each}transformer_blocks.") for each in attending]
    return config | {
        "in_channels": first[1],
        "conditioning_channels": header.tensors[_HINT].shape[1],
        "conditioning_embedding_out_channels": [
            header.tensors[each].shape[0] for each in hints if each in header.tensors
        ],
        "down_block_types": [
            "CrossAttnDownBlock2D" if count else "DownBlock2D" for count in layers
        ],
        "mid_block_type": "UNetMidBlock2DCrossAttn" if middle else "UNetMidBlock2D",
        "transformer_layers_per_block": [max(1, each) for each in (*layers[:-1], middle)],
    }


def _of_sd3(header: Header, transformer: Any) -> Config:
    tensors, own = header.tensors, transformer.config
    joint = "context_embedder.weight" in tensors  # what has none has zeros neither
    blocks = range(_count(header, "transformer_blocks."))
    alike = (
        "sample_size", "patch_size", "in_channels", "out_channels", "attention_head_dim",
        "num_attention_heads", "caption_projection_dim", "pooled_projection_dim",
    )  # fmt: skip
    places = tensors.get("pos_embed.pos_embed")
    side = own.pos_embed_max_size if places is None else round(places.shape[1] ** 0.5)
    return {name: own[name] for name in alike} | {
        "num_layers": len(blocks),
        "joint_attention_dim": own.joint_attention_dim if joint else None,
        "extra_conditioning_channels": (
            tensors["pos_embed_input.proj.weight"].shape[1] - own.in_channels
        ),
        "use_pos_embed": places is not None,
        "pos_embed_max_size": side,
        "dual_attention_layers": tuple(
            i for i in blocks if f"transformer_blocks.{i}.attn2.to_q.weight" in tensors
        ),
        "qk_norm": "rms_norm" if "transformer_blocks.0.attn.norm_q.weight" in tensors else None,
        "force_zeros_for_pooled_projection": joint,
    }


def _of_flux(header: Header, transformer: Any) -> Config:
    tensors, own = header.tensors, transformer.config
    alike = (
        "in_channels", "attention_head_dim", "num_attention_heads", "joint_attention_dim",
        "pooled_projection_dim", "axes_dims_rope",
    )  # fmt: skip
    hint = tensors.get("input_hint_block.conv_out.weight")
    pixels = own.patch_size**2 if hint is None else own.in_channels // hint.shape[0]
    return {name: own[name] for name in alike} | {
        "patch_size": round(pixels**0.5),
        "num_layers": _count(header, "transformer_blocks."),
        "num_single_layers": _count(header, "single_transformer_blocks."),
        "guidance_embeds": "time_text_embed.guidance_embedder.linear_1.weight" in tensors,
        "conditioning_embedding_channels": None if hint is None else hint.shape[0],
    }


CONFIGS: Mapping[str, Callable[[Header, Any], Config]] = {
    "ControlNetModel": _of_unet,
    "SD3ControlNetModel": _of_sd3,
    "FluxControlNetModel": _of_flux,
}


def _count(header: Header, prefix: str) -> int:
    """How many are numbered so."""
    numbers = (
        name.removeprefix(prefix).split(".")[0]
        for name in header.tensors
        if name.startswith(prefix)
    )
    return max((int(each) + 1 for each in numbers), default=0)
