"""What several families are put together from: text encoders, autoencoders, UNets, schedules.

Small in everything but topology: block types, layers per block, what is concatenated with what.
All inner sizes are multiples of 32, which GGUF's block formats need.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import diffusers as d
import torch
import transformers as t

from tests.checkpoints import tokenizers

WIDTH = 64  # of text encoders and transformers
FLUX_VAE: dict[str, Any] = {
    "scaling_factor": 0.3611,
    "shift_factor": 0.1159,
    "quant": False,
    "channels": 16,
}


@dataclass
class Made:
    """A pipeline, and what writes its tokenizers as they are downloaded."""

    pipe: Any
    tokenizers: Mapping[str, tokenizers.Writer]


@dataclass
class Scratch:
    """Where tokenizers are written, to be read by the pipeline that is made."""

    folder: Path
    tokens: dict[str, dict[str, int]] = field(default_factory=dict)

    def read(self, writer: tokenizers.Writer, kind: Any) -> Any:
        folder = self.folder / writer.__name__
        writer(folder)
        if kind is t.CLIPTokenizer:
            self.tokens[writer.__name__] = tokenizers.clip_tokens(folder)
        return kind.from_pretrained(folder)


def clip(kind: Any, tokens: dict[str, int], width: int = WIDTH, **more: Any) -> Any:
    options = {
        "hidden_size": width, "intermediate_size": 2 * width, "num_hidden_layers": 3,
        "num_attention_heads": width // 32, "max_position_embeddings": 77,
        "projection_dim": width, "hidden_act": "quick_gelu",
    }  # fmt: skip
    return kind(t.CLIPTextConfig(**(options | tokens | more)))


def t5(width: int = WIDTH) -> Any:
    config = t.T5Config(
        vocab_size=420, d_model=width, d_kv=32, d_ff=2 * width, num_layers=2, num_heads=2,
        feed_forward_proj="gated-gelu", tie_word_embeddings=False, is_encoder_decoder=False,
        use_cache=False,
    )  # fmt: skip
    return t.T5EncoderModel(config)


def decoder(layers: int = 4) -> dict[str, Any]:
    """Options of a language model that is read as a text encoder."""
    return {
        "hidden_size": WIDTH, "intermediate_size": 2 * WIDTH, "num_hidden_layers": layers,
        "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": WIDTH // 2,
        "max_position_embeddings": 4096, "vocab_size": 1024, "pad_token_id": 0,
    }  # fmt: skip


def qwen3(layers: int = 4) -> Any:
    return t.Qwen3ForCausalLM(t.Qwen3Config(**decoder(layers)))


def gemma2() -> Any:
    return t.Gemma2Model(t.Gemma2Config(**decoder(), query_pre_attn_scalar=32))


def qwen25_vl() -> Any:
    text = decoder() | {
        "rope_scaling": {"type": "mrope", "rope_type": "default", "mrope_section": [4, 6, 6]},
        "rope_theta": 1_000_000.0,
    }
    vision = {
        "depth": 2, "hidden_size": 64, "intermediate_size": 64, "num_heads": 2,
        "out_hidden_size": WIDTH, "fullatt_block_indexes": [1],
    }  # fmt: skip
    config = t.Qwen2_5_VLConfig(
        text_config=text, vision_config=vision, vision_start_token_id=383,
        vision_end_token_id=384, vision_token_id=385, image_token_id=386, video_token_id=387,
    )  # fmt: skip
    return t.Qwen2_5_VLForConditionalGeneration(config)


def contrast(vae: Any, factor: float = 4.0) -> Any:
    """Random decoders paint grey; so that differences can be seen."""
    with torch.no_grad():
        vae.decoder.conv_out.weight *= factor
    return vae


def vae(channels: int = 4, quant: bool = True, **more: Any) -> Any:
    made = d.AutoencoderKL(
        block_out_channels=(32, 32, 32, 32), latent_channels=channels, layers_per_block=2,
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
        norm_num_groups=32, sample_size=512, use_quant_conv=quant, use_post_quant_conv=quant,
        **more,
    )  # fmt: skip
    return contrast(made)


def sd_unet(channels: int = 4, **more: Any) -> Any:
    return d.UNet2DConditionModel(
        sample_size=64, in_channels=channels, out_channels=4, layers_per_block=2,
        block_out_channels=(32, 64, 64, 64), attention_head_dim=4, cross_attention_dim=WIDTH,
        down_block_types=("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
        up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3, **more,
    )  # fmt: skip


def sdxl_unet(
    channels: int = 4, cross: int = 160, pooled: int = 96, ids: int = 6, **more: Any
) -> Any:
    """ids: numbers that tell the size, the crop and more."""
    return d.UNet2DConditionModel(
        sample_size=128, in_channels=channels, out_channels=4, layers_per_block=2,
        block_out_channels=(32, 64, 64), attention_head_dim=(1, 2, 2), cross_attention_dim=cross,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        transformer_layers_per_block=(1, 1, 2), use_linear_projection=True,
        addition_embed_type="text_time", addition_time_embed_dim=32,
        projection_class_embeddings_input_dim=ids * 32 + pooled, **more,
    )  # fmt: skip


def noise(kind: Any, **more: Any) -> Any:
    """Stable Diffusion's schedule: what the schedulers of its folders were trained with."""
    usual = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
    return kind(**(usual | {"num_train_timesteps": 1000} | more))


def flow(shift: float = 3.0, dynamic: bool = False, **more: Any) -> Any:
    return d.FlowMatchEulerDiscreteScheduler(shift=shift, use_dynamic_shifting=dynamic, **more)
