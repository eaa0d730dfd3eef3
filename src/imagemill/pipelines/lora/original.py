"""Layers by the names that their first authors gave them, as data: what trainers write that work on
the original code, and which of diffusers' layers that is.

One original layer may be several of diffusers': its outputs then follow one another.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import torch

from imagemill.pipelines.weights.flux_names import DOUBLE, LINEAR1, MODULATION, OUTSIDE, SINGLE

Layers = Mapping[str, torch.nn.Module]  # of one model, by name
Original = Iterator[tuple[str, tuple[str, ...]]]  # a name, and diffusers' names for it

_FLUX_BLOCK = {f"double_blocks.{{}}.{name}": targets for name, targets in DOUBLE.items()} | {
    # XLabs' own
    "double_blocks.{}.processor.qkv_lora1": DOUBLE["img_attn.qkv"],
    "double_blocks.{}.processor.qkv_lora2": DOUBLE["txt_attn.qkv"],
    "double_blocks.{}.processor.proj_lora1": DOUBLE["img_attn.proj"],
    "double_blocks.{}.processor.proj_lora2": DOUBLE["txt_attn.proj"],
}
_FLUX_SINGLE = {f"single_blocks.{{}}.{name}": targets for name, targets in SINGLE.items()} | {
    "single_blocks.{}.linear1": LINEAR1,
    "single_blocks.{}.processor.qkv_lora": LINEAR1[:3],
    "single_blocks.{}.processor.proj_lora": SINGLE["linear2"],
}
_FLUX_ENDS = {**OUTSIDE, MODULATION: "norm_out.linear"}
_SD3_BLOCK = {
    "joint_blocks.{}.x_block.attn.qkv": ("attn.to_q", "attn.to_k", "attn.to_v"),
    "joint_blocks.{}.x_block.attn.proj": ("attn.to_out.0",),
    "joint_blocks.{}.x_block.attn2.qkv": ("attn2.to_q", "attn2.to_k", "attn2.to_v"),
    "joint_blocks.{}.x_block.attn2.proj": ("attn2.to_out.0",),
    "joint_blocks.{}.x_block.mlp.fc1": ("ff.net.0.proj",),
    "joint_blocks.{}.x_block.mlp.fc2": ("ff.net.2",),
    "joint_blocks.{}.x_block.adaLN_modulation.1": ("norm1.linear",),
    "joint_blocks.{}.context_block.attn.qkv": (
        "attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj"
    ),
    "joint_blocks.{}.context_block.attn.proj": ("attn.to_add_out",),
    "joint_blocks.{}.context_block.mlp.fc1": ("ff_context.net.0.proj",),
    "joint_blocks.{}.context_block.mlp.fc2": ("ff_context.net.2",),
    "joint_blocks.{}.context_block.adaLN_modulation.1": ("norm1_context.linear",),
}  # fmt: skip
_SD3_ENDS = {
    "context_embedder": "context_embedder",
    "t_embedder.mlp.0": "time_text_embed.timestep_embedder.linear_1",
    "t_embedder.mlp.2": "time_text_embed.timestep_embedder.linear_2",
    "y_embedder.mlp.0": "time_text_embed.text_embedder.linear_1",
    "y_embedder.mlp.2": "time_text_embed.text_embedder.linear_2",
    "final_layer.linear": "proj_out",
    "final_layer.adaLN_modulation.1": "norm_out.linear",
}
_RESNET = {
    "in_layers.2": "conv1",
    "out_layers.3": "conv2",
    "emb_layers.1": "time_emb_proj",
    "skip_connection": "conv_shortcut",
}
_UNET_ENDS = {
    "time_embed.0": "time_embedding.linear_1",
    "time_embed.2": "time_embedding.linear_2",
    "label_emb.0.0": "add_embedding.linear_1",
    "label_emb.0.2": "add_embedding.linear_2",
    "input_blocks.0.0": "conv_in",
    "out.2": "conv_out",
}


def originals(model: torch.nn.Module, layers: Layers) -> Original:
    """Of every layer that has one, its original name; nothing for a class that is not listed."""
    for wide, targets in _named(model, layers):
        if all(target in layers for target in targets):
            yield wide, targets


def _named(model: torch.nn.Module, layers: Layers) -> Original:
    match type(model).__name__:
        case "FluxTransformer2DModel" | "ChromaTransformer2DModel":
            yield from _blocks(_FLUX_BLOCK, "transformer_blocks", model)
            yield from _blocks(_FLUX_SINGLE, "single_transformer_blocks", model)
            yield from ((name, (target,)) for name, target in _FLUX_ENDS.items())
        case "SD3Transformer2DModel":
            yield from _blocks(_SD3_BLOCK, "transformer_blocks", model)
            yield from ((name, (target,)) for name, target in _SD3_ENDS.items())
        case "UNet2DConditionModel":
            config: Any = model.config
            yield from _unet(layers, int(config.layers_per_block))


def _blocks(table: Mapping[str, tuple[str, ...]], where: str, model: torch.nn.Module) -> Original:
    for number in range(len(getattr(model, where))):
        for name, targets in table.items():
            yield name.format(number), tuple(f"{where}.{number}.{each}" for each in targets)


def _unet(layers: Layers, per_block: int) -> Original:
    """As Stability's code numbers the blocks, with which kohya trains SDXL."""
    yield from ((name, (target,)) for name, target in _UNET_ENDS.items())
    for name in layers:
        for original in _of_unet(name.split("."), per_block):
            yield original, (name,)


def _of_unet(path: list[str], per_block: int) -> Iterator[str]:
    match path:
        case ["down_blocks", i, "downsamplers", "0", "conv"]:
            yield f"input_blocks.{(int(i) + 1) * (per_block + 1)}.0.op"
        case ["down_blocks", i, ("resnets" | "attentions") as kind, j, *rest]:
            number = 1 + int(i) * (per_block + 1) + int(j)
            yield _inside(f"input_blocks.{number}", kind, rest)
        case ["mid_block", "resnets", i, *rest]:
            yield f"middle_block.{2 * int(i)}.{_resnet(rest)}"
        case ["mid_block", "attentions", "0", *rest]:
            yield ".".join(["middle_block.1", *rest])
        case ["up_blocks", i, ("resnets" | "attentions") as kind, j, *rest]:
            number = int(i) * (per_block + 1) + int(j)
            yield _inside(f"output_blocks.{number}", kind, rest)
        case ["up_blocks", i, "upsamplers", "0", "conv"]:
            # After the block's last attention, where it has one.
            last = (int(i) + 1) * (per_block + 1) - 1
            yield from (f"output_blocks.{last}.{place}.conv" for place in (1, 2))


def _inside(block: str, kind: str, rest: list[str]) -> str:
    return f"{block}.0.{_resnet(rest)}" if kind == "resnets" else ".".join([block, "1", *rest])


def _resnet(rest: list[str]) -> str:
    name = ".".join(rest)
    return _RESNET.get(name, name)
