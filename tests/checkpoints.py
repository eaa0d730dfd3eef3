"""Small random checkpoints in diffusers format, for the families that imagemill serves."""

from collections.abc import Callable
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    DiffusionPipeline,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from safetensors.torch import save as save_tensors
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    PreTrainedTokenizerFast,
    T5Config,
    T5EncoderModel,
)

from imagemill.pico.text import tokenizer
from imagemill.pico.vocabulary import vocabulary

WIDTH = 32


def sd3() -> StableDiffusion3Pipeline:
    return StableDiffusion3Pipeline(
        transformer=SD3Transformer2DModel(
            sample_size=32, patch_size=2, in_channels=16, out_channels=16, num_layers=2,
            attention_head_dim=16, num_attention_heads=2, joint_attention_dim=2 * WIDTH,
            caption_projection_dim=WIDTH, pooled_projection_dim=2 * WIDTH, pos_embed_max_size=96,
        ),
        scheduler=FlowMatchEulerDiscreteScheduler(), vae=_vae(16, shift_factor=0.1),
        text_encoder=_clip(CLIPTextModelWithProjection), tokenizer=_words(),
        text_encoder_2=_clip(CLIPTextModelWithProjection), tokenizer_2=_words(),
        text_encoder_3=_t5(2 * WIDTH), tokenizer_3=_words(),
    )  # fmt: skip


def flux() -> FluxPipeline:
    return FluxPipeline(
        transformer=FluxTransformer2DModel(
            patch_size=1, in_channels=16, num_layers=1, num_single_layers=1,
            attention_head_dim=16, num_attention_heads=2, joint_attention_dim=WIDTH,
            pooled_projection_dim=WIDTH, guidance_embeds=True, axes_dims_rope=(4, 4, 8),
        ),
        scheduler=FlowMatchEulerDiscreteScheduler(), vae=_vae(4, shift_factor=0.1),
        text_encoder=_clip(CLIPTextModel), tokenizer=_words(),
        text_encoder_2=_t5(WIDTH), tokenizer_2=_words(),
    )  # fmt: skip


def sdxl() -> StableDiffusionXLPipeline:
    return StableDiffusionXLPipeline(
        unet=UNet2DConditionModel(
            sample_size=16, in_channels=4, out_channels=4, block_out_channels=(16, 32),
            layers_per_block=1, norm_num_groups=8, attention_head_dim=(2, 4),
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), use_linear_projection=True,
            addition_embed_type="text_time", addition_time_embed_dim=8,
            transformer_layers_per_block=(1, 1), cross_attention_dim=2 * WIDTH,
            projection_class_embeddings_input_dim=6 * 8 + WIDTH,
        ),
        scheduler=EulerDiscreteScheduler(beta_schedule="scaled_linear"), vae=_vae(4),
        text_encoder=_clip(CLIPTextModel), tokenizer=_words(),
        text_encoder_2=_clip(CLIPTextModelWithProjection), tokenizer_2=_words(),
    )  # fmt: skip


CHECKPOINTS = {"sd3": sd3, "flux": flux, "sdxl": sdxl}


def save(family: str, folder: Path) -> Path:
    torch.manual_seed(0)
    CHECKPOINTS[family]().save_pretrained(folder)
    return folder


def lora(
    pipe: DiffusionPipeline, seed: int = 0, parts: tuple[str, ...] = ("transformer",), rank: int = 2
) -> bytes:
    """A LoRA of noise on every query and value of the pipeline's `parts`."""
    generator = torch.Generator().manual_seed(seed)
    tensors: dict[str, torch.Tensor] = {}
    for part in parts:
        stood_in = getattr(pipe, part)
        for name, module in getattr(stood_in, "real", stood_in).named_modules():
            if name.endswith(("to_q", "to_v", "q_proj")):
                into, out = module.in_features, module.out_features
                key = f"{part}.{name}.lora"
                tensors[f"{key}_A.weight"] = torch.randn(rank, into, generator=generator)
                tensors[f"{key}_B.weight"] = torch.randn(out, rank, generator=generator) / 4
    return save_tensors(tensors)


def _vae(channels: int, shift_factor: float | None = None) -> AutoencoderKL:
    kinds = ("DownEncoderBlock2D",) * 4, ("UpDecoderBlock2D",) * 4
    return AutoencoderKL(
        block_out_channels=(8, 8, 8, 8), latent_channels=channels, norm_num_groups=4,
        down_block_types=kinds[0], up_block_types=kinds[1], shift_factor=shift_factor,
        use_quant_conv=False, use_post_quant_conv=False, mid_block_add_attention=False,
    )  # fmt: skip


def _words() -> PreTrainedTokenizerFast:
    return tokenizer(vocabulary())


def _clip(kind: Callable[[CLIPTextConfig], torch.nn.Module]) -> torch.nn.Module:
    config = CLIPTextConfig(
        vocab_size=512, hidden_size=WIDTH, intermediate_size=WIDTH, num_hidden_layers=2,
        num_attention_heads=2, max_position_embeddings=77, projection_dim=WIDTH,
        bos_token_id=0, eos_token_id=1, pad_token_id=2,
    )  # fmt: skip
    return kind(config)


def _t5(width: int) -> T5EncoderModel:
    return T5EncoderModel(
        T5Config(vocab_size=512, d_model=width, d_kv=8, d_ff=width, num_layers=1, num_heads=2)
    )
