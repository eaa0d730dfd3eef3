"""Facts per module class: which arguments of a call have a batch axis. Data, never a guess.

What a class that is not listed does with its arguments is derived from its calls and proved
(`engine.deriving`). Read in diffusers 0.42.1 and transformers 5 (forward signatures and what the
pipelines pass).
"""

from dataclasses import dataclass, replace
from typing import Any

import torch

from imagemill.pipelines.first_block import Stages


@dataclass(frozen=True)
class Rows:
    """rowed: arguments whose tensors (nested ones too) have the batch as axis 0; all others must be
    equal. listed: arguments that are lists, or tuples, of one element per row; tensors in them may
    be of any shape, and what comes out is in lists as well.

    timestep: an argument that pipelines pass as a number, a 0-d or a 1-d tensor of any dtype; it
    becomes a float32 row per picture, as the modules' own first step makes it. least: the smallest
    number of rows that is run. Linear layers take another kernel for a single row, with other last
    bits, so a lone row is padded to two where the network has layers on pooled vectors. unused:
    arguments that the method takes and never reads.

    axis: the batch axis of what comes out. lengths: masks whose number of ones decides the shape of
    what is computed. fixed: arguments and values that are set, whatever the pipeline says. solo:
    arguments that are not empty only where a call must run alone. alone: whether every call must.
    addends: arguments with rows that are added to what is computed, and what says how; they may be
    absent, and zeros stand for them in a forward that others have them in. serial: whether the
    module keeps something while it computes, so that two calls of it must not run at a time. early:
    whether its calls go before the steps of others, whom the caller then joins at the denoiser.

    weight: what a position of the first argument costs, in tokens of 16 px; a position is a token,
    or a patch where the module cuts latents or pixels into such.
    """

    rowed: frozenset[str] = frozenset()
    listed: frozenset[str] = frozenset()
    timestep: str | None = None
    least: int = 2
    unused: frozenset[str] = frozenset()
    axis: int = 0
    lengths: frozenset[str] = frozenset()
    fixed: tuple[tuple[str, Any], ...] = ()
    solo: frozenset[str] = frozenset()
    addends: frozenset[str] = frozenset()
    alone: bool = False
    serial: bool = False
    early: bool = False
    weight: float = 1.0


def rows(*rowed: str, **more: Any) -> Rows:
    return Rows(frozenset(rowed), **more)


_FLUX = rows(
    "hidden_states", "encoder_hidden_states", "pooled_projections", "guidance", "attention_mask",
    timestep="timestep", addends=frozenset(
        {"controlnet_block_samples", "controlnet_single_block_samples", "controlnet_blocks_repeat"}
    ),
)  # fmt: skip
_PIXART = rows(
    "hidden_states", "encoder_hidden_states", "timestep", "class_labels", "added_cond_kwargs",
    "attention_mask", "encoder_attention_mask",
)  # fmt: skip
_COGVIEW = rows(
    "hidden_states", "encoder_hidden_states", "timestep", "original_size", "target_size",
    "crop_coords", "attention_mask",
)  # fmt: skip
_QWEN = rows(
    "hidden_states", "encoder_hidden_states", "encoder_hidden_states_mask", "timestep", "guidance",
    "controlnet_cond", "controlnet_block_samples", "additional_t_cond",
    listed=frozenset({"img_shapes"}),
)  # fmt: skip
# A position of a UNet's latents is 8 px, and costs a quarter of the 16 px of other models' tokens.
_UNET = rows(
    "sample", "encoder_hidden_states", "class_labels", "timestep_cond", "attention_mask",
    "encoder_attention_mask", "added_cond_kwargs", "controlnet_cond", "control_type",
    "down_intrablock_additional_residuals", timestep="timestep", weight=0.25,
    addends=frozenset({"down_block_additional_residuals", "mid_block_additional_residual"}),
)  # fmt: skip
_CONTROL_UNET = replace(_UNET, addends=frozenset(), early=True)
_CONTROL = rows(
    "hidden_states", "encoder_hidden_states", "pooled_projections", "controlnet_cond",
    "controlnet_mode", "guidance", timestep="timestep", early=True,
)  # fmt: skip
_TEXT = rows("input_ids", "attention_mask", "position_ids")
# They would keep what they need to write on; nobody here lets them write on. Pictures that they
# read lie patch after patch, and not row after row.
_DECODER = replace(
    _TEXT,
    fixed=(("use_cache", False),),
    solo=frozenset(
        [
            "past_key_values",
            "inputs_embeds",
            "pixel_values",
            "pixel_values_videos",
            "image_grid_thw",
            "video_grid_thw",
            "mm_token_type_ids",
            "mm_encoder_outputs",
            "image_sizes",
            "rope_deltas",
            "second_per_grid_ts",
            "cache_position",
            "vision_feature_layer",
            "full_attention_mask",
        ]
    ),
)
_IMAGE = rows("pixel_values", early=True)
_PROJECTION = rows("image_embeds", early=True)
_ENCODE = rows("x", least=1, weight=1 / 8**2)
_DECODE = rows("z", least=1, unused=frozenset({"generator"}))
_ALONE = Rows(alone=True, least=1)

_SD3 = rows(
    "hidden_states", "encoder_hidden_states", "pooled_projections", timestep="timestep",
    addends=frozenset({"block_controlnet_hidden_states"}),
)  # fmt: skip

DENOISERS: dict[str, Rows] = {
    "SD3Transformer2DModel": _SD3,
    # What it is told of a reference is in its keywords (`pico.reference`).
    "SketchTransformer": replace(
        _SD3, addends=frozenset({"block_controlnet_hidden_states", "joint_attention_kwargs"})
    ),
    "FluxTransformer2DModel": _FLUX,
    "ChromaTransformer2DModel": _FLUX,
    "BriaTransformer2DModel": _FLUX,
    "LongCatImageTransformer2DModel": _FLUX,
    "OvisImageTransformer2DModel": _FLUX,
    "Flux2Transformer2DModel": replace(_FLUX, solo=frozenset({"kv_cache", "kv_cache_mode"})),
    # A mixture of experts: how many tokens an expert gets, and with that its kernel, depends on
    # who is beside.
    "HiDreamImageTransformer2DModel": _ALONE,
    "NucleusMoEImageTransformer2DModel": _ALONE,
    "QwenImageTransformer2DModel": _QWEN,
    "ZImageTransformer2DModel": rows(
        "t", listed=frozenset({"x", "cap_feats"}),
        solo=frozenset({"controlnet_block_samples", "siglip_feats", "image_noise_mask"}),
    ),
    "SanaTransformer2DModel": rows(
        "hidden_states", "encoder_hidden_states", "timestep", "guidance", "attention_mask",
        "encoder_attention_mask", "controlnet_block_samples",
    ),
    "PixArtTransformer2DModel": _PIXART,
    "Transformer2DModel": _PIXART,
    "Lumina2Transformer2DModel": rows(
        "hidden_states", "encoder_hidden_states", "timestep", "encoder_attention_mask",
        lengths=frozenset({"encoder_attention_mask"}),
    ),
    "LuminaNextDiT2DModel": rows(
        "hidden_states", "encoder_hidden_states", "timestep", "encoder_mask",
    ),
    "CogView3PlusTransformer2DModel": _COGVIEW,
    "CogView4Transformer2DModel": _COGVIEW,
    "OmniGenTransformer2DModel": rows(
        "hidden_states", "timestep", "input_ids", "attention_mask", "position_ids",
        solo=frozenset({"input_img_latents", "input_image_sizes"}),
    ),
    "AuraFlowTransformer2DModel": rows("hidden_states", "encoder_hidden_states", "timestep"),
    "HunyuanImageTransformer2DModel": rows(
        "hidden_states", "timestep", "timestep_r", "guidance", "encoder_hidden_states",
        "encoder_attention_mask", "encoder_hidden_states_2", "encoder_attention_mask_2",
        lengths=frozenset({"encoder_attention_mask", "encoder_attention_mask_2"}),
    ),
    "HunyuanDiT2DModel": rows(
        "hidden_states", "timestep", "encoder_hidden_states", "text_embedding_mask",
        "encoder_hidden_states_t5", "text_embedding_mask_t5", "image_meta_size", "style",
        "controlnet_block_samples",
    ),
    "UNet2DConditionModel": _UNET,
    "Kandinsky3UNet": _UNET,
    "ControlNetModel": _CONTROL_UNET,
    "ControlNetUnionModel": _CONTROL_UNET,
    "MultiControlNetModel": _CONTROL_UNET,
    "MultiControlNetUnionModel": _CONTROL_UNET,
    "SD3ControlNetModel": _CONTROL,
    "PlacementControlNet": _CONTROL,
    "SD3MultiControlNetModel": _CONTROL,
    "FluxControlNetModel": _CONTROL,
    "FluxMultiControlNetModel": _CONTROL,
    "QwenImageControlNetModel": _QWEN,
    "QwenImageMultiControlNetModel": _QWEN,
}  # fmt: skip

ENCODERS: dict[str, Rows] = {
    "CLIPTextModel": _TEXT,
    "CLIPTextModelWithProjection": _TEXT,
    "T5EncoderModel": _TEXT,
    "UMT5EncoderModel": _TEXT,
    "SettingEncoder": _TEXT,
    "LookEncoder": _TEXT,
    "GemmaModel": _DECODER,
    "GemmaForCausalLM": _DECODER,
    "Gemma2Model": _DECODER,
    "Gemma2ForCausalLM": _DECODER,
    "LlamaModel": _DECODER,
    "LlamaForCausalLM": _DECODER,
    "GlmModel": _DECODER,
    "GlmForCausalLM": _DECODER,
    "Qwen2_5_VLModel": _DECODER,
    "Qwen2_5_VLForConditionalGeneration": _DECODER,
    "Qwen3Model": _DECODER,
    "Qwen3ForCausalLM": _DECODER,
    "Mistral3ForConditionalGeneration": _DECODER,
    "ChatGLMModel": replace(_DECODER, axis=1),
    "CLIPVisionModel": _IMAGE,
    "CLIPVisionModelWithProjection": _IMAGE,
    "SiglipVisionModel": _IMAGE,
    "ReferenceEncoder": _IMAGE,
    # Of what an image encoder gives, by IP-Adapters.
    "ImageProjection": _PROJECTION,
    "IPAdapterFullImageProjection": _PROJECTION,
    "IPAdapterPlusImageProjection": rows("x", early=True),
    "IPAdapterTimeImageProjection": rows("x", timestep="timestep", early=True),
    # Blackens pictures where they lie, and takes them as arrays.
    "StableDiffusionSafetyChecker": _ALONE,
    # Words and pictures of any size, to what is no tensor.
    "Editor": _ALONE,
}

AUTOENCODERS: dict[str, tuple[Rows, Rows]] = {
    "OverlappingAutoencoder": (replace(_ENCODE, weight=1 / 32**2), replace(_DECODE, weight=0.25)),
    "AutoencoderKL": (_ENCODE, _DECODE),
    "AutoencoderKLFlux2": (_ENCODE, _DECODE),
    "AutoencoderTiny": (_ENCODE, rows("x", least=1, unused=_DECODE.unused, weight=0.25)),
    # One of its positions is 32 px.
    "AutoencoderDC": (_ENCODE, replace(_DECODE, weight=16.0)),
    # They carry what was computed of one frame to the next on themselves.
    "AutoencoderKLQwenImage": (replace(_ENCODE, serial=True), replace(_DECODE, serial=True)),
    "AutoencoderKLWan": (replace(_ENCODE, serial=True), replace(_DECODE, serial=True)),
}

FACTS: dict[tuple[str, str], Rows] = (
    {(name, "forward"): facts for name, facts in (DENOISERS | ENCODERS).items()}
    | {(name, "encode"): facts for name, (facts, _) in AUTOENCODERS.items()}
    | {(name, "decode"): facts for name, (_, facts) in AUTOENCODERS.items()}
)
# What the parts of a denoiser cost, of its whole forward: its first block is one of many.
_PARTS = {"first": lambda blocks: 1 / blocks, "rest": lambda _: 1.0, "skip": lambda b: 0.5 / b}


def facts_of(module: torch.nn.Module, method: str) -> Rows | None:
    """None where nothing is written."""
    if not isinstance(module, Stages):
        return FACTS.get((type(module).__name__, method))
    facts = DENOISERS[type(module.real).__name__]
    weight = facts.weight * _PARTS[method](module.count)
    return replace(facts, rowed=facts.rowed | {"states"}, weight=weight)


PARKED = ("forward", "encode", "decode", "generate")


def parked(module: torch.nn.Module) -> tuple[str, ...]:
    """The methods of a pipeline's component that park: all that compute for long."""
    return tuple(name for name in PARKED if callable(getattr(type(module), name, None)))
