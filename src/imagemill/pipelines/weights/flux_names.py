"""FLUX.1's transformer from Black Forest Labs' names, which ComfyUI keeps, to diffusers', of any
width: what is one matrix there is several here.
"""

import re
from collections.abc import Mapping

import torch

Tensors = dict[str, torch.Tensor]

OUTSIDE: Mapping[str, str] = {
    "img_in": "x_embedder",
    "txt_in": "context_embedder",
    "time_in.in_layer": "time_text_embed.timestep_embedder.linear_1",
    "time_in.out_layer": "time_text_embed.timestep_embedder.linear_2",
    "vector_in.in_layer": "time_text_embed.text_embedder.linear_1",
    "vector_in.out_layer": "time_text_embed.text_embedder.linear_2",
    "guidance_in.in_layer": "time_text_embed.guidance_embedder.linear_1",
    "guidance_in.out_layer": "time_text_embed.guidance_embedder.linear_2",
    "final_layer.linear": "proj_out",
}
# By what stands in a block: one name, or those of the equal parts in which it is cut.
DOUBLE: Mapping[str, tuple[str, ...]] = {
    "img_mod.lin": ("norm1.linear",),
    "txt_mod.lin": ("norm1_context.linear",),
    "img_attn.qkv": ("attn.to_q", "attn.to_k", "attn.to_v"),
    "txt_attn.qkv": ("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj"),
    "img_attn.proj": ("attn.to_out.0",),
    "txt_attn.proj": ("attn.to_add_out",),
    "img_mlp.0": ("ff.net.0.proj",),
    "img_mlp.2": ("ff.net.2",),
    "txt_mlp.0": ("ff_context.net.0.proj",),
    "txt_mlp.2": ("ff_context.net.2",),
    "img_attn.norm.query_norm": ("attn.norm_q",),
    "img_attn.norm.key_norm": ("attn.norm_k",),
    "txt_attn.norm.query_norm": ("attn.norm_added_q",),
    "txt_attn.norm.key_norm": ("attn.norm_added_k",),
}
SINGLE: Mapping[str, tuple[str, ...]] = {
    "linear2": ("proj_out",),
    "modulation.lin": ("norm.linear",),
    "norm.query_norm": ("attn.norm_q",),
    "norm.key_norm": ("attn.norm_k",),
}
# Of the layer of that name in a single block; the last is as long as is left.
LINEAR1 = ("attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp")
MODULATION = "final_layer.adaLN_modulation.1"
_BLOCK = re.compile(r"(double|single)_blocks\.(\d+)\.(.+)\.(weight|bias|scale)")
_BLOCKS = {
    "double": ("transformer_blocks", DOUBLE),
    "single": ("single_transformer_blocks", SINGLE),
}


def from_bfl(tensors: Tensors) -> Tensors:
    """What is not known keeps its name, so that whoever fills a module with it sees it is left."""
    out: Tensors = {}
    for name, tensor in tensors.items():
        if block := _BLOCK.fullmatch(name):
            out |= _of_block(tensors, block, tensor)
            continue
        place, _, kind = name.rpartition(".")
        if place == MODULATION:  # theirs has the shift first
            shift, scale = tensor.chunk(2, dim=0)
            out[f"norm_out.linear.{kind}"] = torch.cat([scale, shift])
        else:
            out[f"{OUTSIDE.get(place, place)}.{kind}"] = tensor
    return out


def _of_block(tensors: Tensors, block: re.Match[str], tensor: torch.Tensor) -> Tensors:
    side, number, place, kind = block.groups()
    ours, names = _BLOCKS[side]
    kind = "weight" if kind == "scale" else kind
    if side == "single" and place == "linear1":
        width = tensors[f"single_blocks.{number}.linear2.weight"].shape[0]
        parts = tensor.split([width] * 3 + [tensor.shape[0] - 3 * width], dim=0)
        targets: tuple[str, ...] = LINEAR1
    else:
        targets = names.get(place, (place,))
        parts = tensor.chunk(len(targets), dim=0)
    return {
        f"{ours}.{number}.{target}.{kind}": part
        for target, part in zip(targets, parts, strict=True)
    }
