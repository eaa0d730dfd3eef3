"""Tiny random IP-Adapters for the families' tiny checkpoints, in the layouts that people hold: one
safetensors file, and the folder of an image encoder beside it.

    ip_adapter("sdxl-plus", base, folder)
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import diffusers as d
import torch
import transformers as t
from diffusers.models.embeddings import IPAdapterPlusImageProjection, IPAdapterTimeImageProjection
from safetensors.torch import save_file

FILE, ENCODER = "ip-adapter.safetensors", "image_encoder"
PROJECTED, WIDE, SIDE = 48, 64, 224  # of the image encoder, and of the images that it reads, px
LOUD = 0.2  # of random weights
Tensors = dict[str, torch.Tensor]


def _clip() -> Any:
    config = t.CLIPVisionConfig(
        hidden_size=WIDE, intermediate_size=2 * WIDE, num_hidden_layers=3, num_attention_heads=1,
        image_size=SIDE, patch_size=32, projection_dim=PROJECTED,
    )  # fmt: skip
    return t.CLIPVisionModelWithProjection(config)


def _siglip() -> Any:
    config = t.SiglipVisionConfig(
        hidden_size=WIDE, intermediate_size=2 * WIDE, num_hidden_layers=3, num_attention_heads=1,
        image_size=64, patch_size=16,
    )  # fmt: skip
    return t.SiglipVisionModel(config)


def _noise(*shape: int) -> torch.Tensor:
    return torch.randn(*shape) * LOUD


def _plain(out: int, prefix: str = "image_proj.", tokens: int = 4) -> Tensors:
    """Four tokens of what the encoder projects to."""
    return {
        f"{prefix}proj.weight": _noise(tokens * out, PROJECTED),
        f"{prefix}proj.bias": _noise(tokens * out),
        f"{prefix}norm.weight": 1 + _noise(out),
        f"{prefix}norm.bias": _noise(out),
    }


def _of_unet(base: Path, projection: Callable[[int], Tensors] = _plain) -> Tensors:
    """As h94's: the cross attentions have the odd numbers."""
    unet = d.UNet2DConditionModel.from_pretrained(base / "unet")
    text = unet.config.cross_attention_dim
    crossing = [name for name in unet.attn_processors if "attn2" in name]
    tensors = projection(text)
    for number, name in enumerate(crossing):
        width = unet.get_submodule(name.removesuffix(".processor")).to_k.out_features
        for each in ("to_k_ip", "to_v_ip"):
            tensors[f"ip_adapter.{2 * number + 1}.{each}.weight"] = _noise(width, text)
    return tensors


def _plus(out: int) -> Tensors:
    """As `ip-adapter-plus`: sixteen tokens of all that the encoder sees, by the authors' names."""
    own = IPAdapterPlusImageProjection(WIDE, out, 64, heads=1, num_queries=16)
    state = own.state_dict()
    tensors = dict[str, torch.Tensor]()
    names = {"ln0": "0.norm1", "ln1": "0.norm2", "attn.to_q": "0.to_q", "attn.to_out.0": "0.to_out",
             "ff.0": "1.0", "ff.1.net.0.proj": "1.1", "ff.1.net.2": "1.3"}  # fmt: skip
    for name, x in state.items():
        match = re.fullmatch(r"layers\.(\d)\.(.*)\.(weight|bias)", name)
        if match is None:
            tensors[f"image_proj.{name}"] = x
        elif match[2] not in ("attn.to_k", "attn.to_v"):
            tensors[f"image_proj.layers.{match[1]}.{names[match[2]]}.{match[3]}"] = x
    for i in range(4):
        both = [state[f"layers.{i}.attn.to_{each}.weight"] for each in "kv"]
        tensors[f"image_proj.layers.{i}.0.to_kv.weight"] = torch.cat(both)
    return tensors


def _of_sdxl_plus(base: Path) -> Tensors:
    return _of_unet(base, _plus)


def _of_sd15_full(base: Path) -> Tensors:
    """As `ip-adapter-full-face`: a token of each patch."""

    def projection(out: int) -> Tensors:
        return {
            "image_proj.proj.0.weight": _noise(WIDE, WIDE), "image_proj.proj.0.bias": _noise(WIDE),
            "image_proj.proj.2.weight": _noise(out, WIDE), "image_proj.proj.2.bias": _noise(out),
            "image_proj.proj.3.weight": 1 + _noise(out), "image_proj.proj.3.bias": _noise(out),
        }  # fmt: skip

    return _of_unet(base, projection)


def _face_id(base: Path) -> Tensors:
    def projection(out: int) -> Tensors:
        return {
            "image_proj.proj.0.weight": _noise(64, 512), "image_proj.proj.0.bias": _noise(64),
            "image_proj.proj.2.weight": _noise(4 * out, 64), "image_proj.norm.weight": _noise(out),
        }  # fmt: skip

    return _of_unet(base, projection)


def _of_sd3(base: Path) -> Tensors:
    """As InstantX's for 3.5 Large, of which guiyrt's is the safetensors file."""
    transformer = d.SD3Transformer2DModel.from_pretrained(base / "transformer")
    width, time = transformer.inner_dim, 64
    own = IPAdapterTimeImageProjection(
        WIDE, width, time, heads=1, num_queries=8, timestep_in_dim=32
    )
    tensors = {f"image_proj.{_by_instantx(name)}": x for name, x in own.state_dict().items()}
    head = transformer.config.attention_head_dim
    for number in range(len(transformer.attn_processors)):
        prefix = f"ip_adapter.{number}."
        tensors |= {
            f"{prefix}norm_ip.linear.weight": _noise(2 * width, time),
            f"{prefix}norm_ip.linear.bias": _noise(2 * width),
            f"{prefix}to_k_ip.weight": _noise(width, width),
            f"{prefix}to_v_ip.weight": _noise(width, width),
        }
        for norm in ("norm_q", "norm_k", "norm_ip_k"):
            tensors[f"{prefix}{norm}.weight"] = torch.ones(head)
    return tensors


def _by_instantx(name: str) -> str:
    places = {"ln0": "0.norm1", "ln1": "0.norm2", "attn.to_out.0": "0.to_out", "attn": "0",
              "adaln_norm": "1.0", "ff.net.0.proj": "1.1", "ff.net.2": "1.3",
              "adaln_proj": "2.1"}  # fmt: skip
    match = re.fullmatch(r"(layers\.\d)\.(.*)", name)
    if match is None:
        return name
    old = next(each for each in places if match[2].startswith(each))
    return f"{match[1]}.{places[old]}{match[2].removeprefix(old)}"


def _of_flux(base: Path) -> Tensors:
    """As XLabs'."""
    transformer = d.FluxTransformer2DModel.from_pretrained(base / "transformer")
    width, text = transformer.inner_dim, transformer.config.joint_attention_dim
    tensors = _plain(text, "ip_adapter_proj_model.")
    for number in range(transformer.config.num_layers):
        for each in "kv":
            prefix = f"double_blocks.{number}.processor.ip_adapter_double_stream_{each}_proj."
            tensors |= {f"{prefix}weight": _noise(width, text), f"{prefix}bias": _noise(width)}
    return tensors


# By kind: the family whose checkpoint it is for, and what makes its weights and its encoder.
IP_ADAPTERS: Mapping[str, tuple[str, Callable[[Path], Tensors], Callable[[], Any]]] = {
    "sd15": ("sd15", _of_unet, _clip),
    "sd15-full": ("sd15", _of_sd15_full, _clip),
    "sd15-faceid": ("sd15", _face_id, _clip),
    "sdxl": ("sdxl", _of_unet, _clip),
    "sdxl-plus": ("sdxl", _of_sdxl_plus, _clip),
    "sd3": ("sd3", _of_sd3, _siglip),
    "sd35": ("sd35", _of_sd3, _siglip),
    "flux": ("flux-dev", _of_flux, _clip),
}


def ip_adapter(kind: str, base: Path, folder: Path, seed: int = 0) -> Path:
    """An IP-Adapter in `folder` for the checkpoint at `base`, its image encoder below it."""
    torch.manual_seed(seed)
    _, weights, encoder = IP_ADAPTERS[kind]
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: x.contiguous().to(torch.float16) for name, x in weights(base).items()}
    save_file(tensors, folder / FILE)
    made = encoder().to(torch.float16)
    made.save_pretrained(folder / ENCODER)
    if isinstance(made, t.SiglipVisionModel):
        size = {"height": made.config.image_size, "width": made.config.image_size}
        t.SiglipImageProcessor(size=size).save_pretrained(folder / ENCODER)
    return folder
