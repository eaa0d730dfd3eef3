"""Tiny random ControlNets for the families' tiny checkpoints, as people hold them: a folder as
diffusers writes it, its weights alone, and the authors' layout of Stable Diffusion.

    controlnet("sdxl", base, folder)

Unlike untrained ones they say something: what is zero at the start of a training is noise here.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import diffusers as d
import torch
from diffusers.models.controlnets.controlnet_sd3 import SD3ControlNetModel
from safetensors.torch import load_file, save_file

from tests.checkpoints.singles import unet_in_ldm

WEIGHTS = "diffusion_pytorch_model.safetensors"
LOUD = 0.2  # of the weights that a training begins with as zeros
_ZEROS = (
    "controlnet_down_blocks", "controlnet_mid_block", "controlnet_blocks", "controlnet_single",
    "controlnet_cond_embedding.conv_out", "controlnet_x_embedder", "pos_embed_input",
)  # fmt: skip


def _of_unet(base: Path, **config: Any) -> Any:
    unet = d.UNet2DConditionModel.from_pretrained(base / "unet")
    twin = d.ControlNetModel.from_unet(unet, load_weights_from_unet=False)
    return d.ControlNetModel.from_config({**twin.config, "in_channels": 4, **config})


def _of_sdxl_small(base: Path) -> Any:
    """As diffusers/controlnet-canny-sdxl-1.0-small, without attention."""
    blocks = {"down_block_types": ["DownBlock2D"] * 3, "mid_block_type": "UNetMidBlock2D"}
    return _of_unet(base, transformer_layers_per_block=1, **blocks)


def _of_sd3(base: Path, **config: Any) -> Any:
    """As InstantX's for Stable Diffusion 3: two layers, which read the text."""
    own = dict(d.SD3Transformer2DModel.load_config(base / "transformer"))
    return SD3ControlNetModel.from_config(own | {"num_layers": 2} | config)


def _of_sd35_large(base: Path) -> Any:
    """As Stability's own for 3.5 large: it reads no text, and has no places of its own."""
    return _of_sd3(
        base, joint_attention_dim=None, use_pos_embed=False, pos_embed_type=None, qk_norm=None,
        dual_attention_layers=(), force_zeros_for_pooled_projection=False,
    )  # fmt: skip


def _of_flux(base: Path, **config: Any) -> Any:
    own = dict(d.FluxTransformer2DModel.load_config(base / "transformer"))
    layers = {"num_layers": 1, "num_single_layers": 1}
    return d.FluxControlNetModel.from_config(own | layers | config)


def _of_flux_xlabs(base: Path) -> Any:
    """As XLabs': it reads the image in pixels."""
    hint = {"conditioning_embedding_channels": 16, "patch_size": 2, "num_single_layers": 0}
    return _of_flux(base, guidance_embeds=False, **hint)


def _of_flux_union(base: Path) -> Any:
    return _of_flux(base, num_mode=3)


# By kind: the family whose checkpoint it is for, and what makes it.
CONTROLNETS: Mapping[str, tuple[str, Callable[[Path], Any]]] = {
    "sd15": ("sd15", _of_unet),
    "sdxl": ("sdxl", _of_unet),
    "sdxl-small": ("sdxl", _of_sdxl_small),
    "sd3": ("sd3", _of_sd3),
    "sd35": ("sd35", _of_sd3),
    "sd35-large": ("sd35", _of_sd35_large),
    "flux": ("flux-dev", _of_flux),
    "flux-xlabs": ("flux-dev", _of_flux_xlabs),
    "flux-union": ("flux-dev", _of_flux_union),
}


def controlnet(kind: str, base: Path, folder: Path, seed: int = 0, loud: float = LOUD) -> Path:
    """A ControlNet in `folder` for the checkpoint at `base`."""
    torch.manual_seed(seed)
    made = CONTROLNETS[kind][1](base)
    with torch.no_grad():
        for name, each in made.named_parameters():
            if name.startswith(_ZEROS):
                each.normal_(0, loud)
    made.to(torch.float16).save_pretrained(folder)
    return folder


def in_ldm(folder: Path, path: Path, prefix: str = "control_model.") -> Path:
    """The same in one file by the authors' names, as lllyasviel's for Stable Diffusion."""
    state, out = load_file(folder / WEIGHTS), {}
    own = ("controlnet_cond_embedding.", "controlnet_down_blocks.", "controlnet_mid_block.")
    for name, x in state.items():
        if name.startswith(own):
            out[_renamed(name)] = x
    unet = unet_in_ldm({name: x for name, x in state.items() if not name.startswith(own)})
    out |= {name.removeprefix("model.diffusion_model."): x for name, x in unet.items()}
    save_file({f"{prefix}{name}": x.contiguous() for name, x in out.items()}, path)
    return path


def _renamed(name: str) -> str:
    side, rest = name.split(".", 1)
    if side == "controlnet_mid_block":
        return f"middle_block_out.0.{rest}"
    number, *leaf = rest.split(".")
    if side == "controlnet_down_blocks":
        return f"zero_convs.{number}.0.{leaf[0]}"
    places = {"conv_in": 0, "conv_out": 14}
    if number in places:
        return f"input_hint_block.{places[number]}.{leaf[0]}"
    return f"input_hint_block.{2 * int(leaf[0]) + 2}.{leaf[1]}"
