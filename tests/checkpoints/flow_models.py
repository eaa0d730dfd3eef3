"""Stable Diffusion 3, FLUX and the other families of transformers."""

from typing import Any

import diffusers as d
import transformers as t

from tests.checkpoints import tokenizers as words
from tests.checkpoints.parts import (
    FLUX_VAE,
    WIDTH,
    Made,
    Scratch,
    clip,
    contrast,
    decoder,
    flow,
    gemma2,
    noise,
    qwen3,
    qwen25_vl,
    t5,
    vae,
)


def sd3(scratch: Scratch, **transformer: Any) -> Made:
    one = scratch.read(words.clip, t.CLIPTokenizer)
    two = scratch.read(words.clip_second, t.CLIPTokenizer)
    second = scratch.tokens["clip_second"]
    pipe = d.StableDiffusion3Pipeline(
        transformer=d.SD3Transformer2DModel(
            sample_size=128, patch_size=2, in_channels=16, out_channels=16, num_layers=3,
            attention_head_dim=32, num_attention_heads=4, joint_attention_dim=160,
            caption_projection_dim=128, pooled_projection_dim=160, pos_embed_max_size=96,
            **transformer,
        ),
        scheduler=flow(3.0), vae=vae(16, False, scaling_factor=1.5305, shift_factor=0.0609),
        text_encoder=clip(t.CLIPTextModelWithProjection, scratch.tokens["clip"]), tokenizer=one,
        text_encoder_2=clip(t.CLIPTextModelWithProjection, second, 96, hidden_act="gelu"),
        tokenizer_2=two, text_encoder_3=t5(160), tokenizer_3=scratch.read(words.t5, t.T5Tokenizer),
    )  # fmt: skip
    writers = {
        "tokenizer": words.clip,
        "tokenizer_2": words.clip_second,
        "tokenizer_3": words.t5,
    }
    return Made(pipe, writers)


def sd35(scratch: Scratch) -> Made:
    """With 3.5's norms and second attention."""
    return sd3(scratch, qk_norm="rms_norm", dual_attention_layers=(0, 1))


def flux(
    scratch: Scratch,
    kind: Any = d.FluxPipeline,
    channels: int = 64,
    guided: bool = True,
) -> Made:
    """channels: that go in; the last of them are a picture's, beside the 64 of the noise."""
    tokenizer = scratch.read(words.clip, t.CLIPTokenizer)
    pipe = kind(
        transformer=d.FluxTransformer2DModel(
            patch_size=1, in_channels=channels, num_layers=2,
            out_channels=None if channels == 64 else 64,
            num_single_layers=2, attention_head_dim=32, num_attention_heads=4,
            joint_attention_dim=WIDTH, pooled_projection_dim=WIDTH, guidance_embeds=guided,
            axes_dims_rope=(8, 12, 12),
        ),
        scheduler=flow(3.0, True, base_shift=0.5, max_shift=1.15) if guided else flow(1.0),
        vae=vae(**FLUX_VAE), text_encoder=clip(t.CLIPTextModel, scratch.tokens["clip"]),
        tokenizer=tokenizer, text_encoder_2=t5(),
        tokenizer_2=scratch.read(words.t5, t.T5Tokenizer),
    )  # fmt: skip
    return Made(pipe, {"tokenizer": words.clip, "tokenizer_2": words.t5})


def flux_schnell(scratch: Scratch) -> Made:
    return flux(scratch, guided=False)


def flux_fill(scratch: Scratch) -> Made:
    return flux(scratch, d.FluxFillPipeline, 384)


def flux_kontext(scratch: Scratch) -> Made:
    return flux(scratch, d.FluxKontextPipeline)


def flux_depth(scratch: Scratch) -> Made:
    return flux(scratch, d.FluxControlPipeline, 128)


def flux2(scratch: Scratch, **options: Any) -> Made:
    """FLUX.2 klein, which has fewer steps and no guidance; `options` are its pipeline's."""
    pipe = d.Flux2KleinPipeline(
        transformer=d.Flux2Transformer2DModel(
            in_channels=128, num_layers=2, num_single_layers=2, attention_head_dim=32,
            num_attention_heads=4, joint_attention_dim=3 * WIDTH, axes_dims_rope=(8, 8, 8, 8),
            guidance_embeds=False,
        ),
        scheduler=flow(3.0, True), text_encoder=qwen3(28),
        tokenizer=scratch.read(words.qwen, t.Qwen2Tokenizer), is_distilled=True,
        vae=contrast(d.AutoencoderKLFlux2(block_out_channels=(32,) * 4, layers_per_block=1)),
    )  # fmt: skip
    return Made(pipe, {"tokenizer": words.qwen})


def hidream_full(scratch: Scratch) -> Made:
    scheduler = d.UniPCMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0
    )
    return _hidream(scratch, scheduler)


def hidream_fast(scratch: Scratch) -> Made:
    """As Fast and Dev come: by the scheduler of latent consistency, which draws noise."""
    return _hidream(scratch, d.FlowMatchLCMScheduler(shift=3.0))


def _hidream(scratch: Scratch, scheduler: Any) -> Made:
    long = scratch.read(words.clip_long, t.CLIPTokenizer)
    tokens = scratch.tokens["clip_long"] | {"max_position_embeddings": 248}
    pipe = d.HiDreamImagePipeline(
        scheduler=scheduler, vae=vae(**FLUX_VAE), tokenizer=long, tokenizer_2=long,
        text_encoder=clip(t.CLIPTextModelWithProjection, tokens),
        text_encoder_2=clip(t.CLIPTextModelWithProjection, tokens, 96),
        text_encoder_3=t5(), tokenizer_3=scratch.read(words.t5, t.T5Tokenizer),
        text_encoder_4=t.LlamaForCausalLM(t.LlamaConfig(**decoder())),
        tokenizer_4=scratch.read(words.llama3, t.PreTrainedTokenizerFast),
        transformer=d.HiDreamImageTransformer2DModel(
            patch_size=2, in_channels=16, out_channels=16, num_layers=2, num_single_layers=2,
            attention_head_dim=32, num_attention_heads=4, caption_channels=[WIDTH, WIDTH],
            text_emb_dim=160, num_routed_experts=4, num_activated_experts=2,
            axes_dims_rope=(16, 8, 8), max_resolution=(128, 128), llama_layers=(0, 1, 2, 3),
        ),
    )  # fmt: skip
    return Made(
        pipe,
        {
            "tokenizer": words.clip_long,
            "tokenizer_2": words.clip_long,
            "tokenizer_3": words.t5,
            "tokenizer_4": words.llama3,
        },
    )


def qwen_image(scratch: Scratch) -> Made:
    return Made(d.QwenImagePipeline(**_qwen_parts(scratch)), {"tokenizer": words.qwen})


def qwen_image_edit(scratch: Scratch, kind: Any = d.QwenImageEditPlusPipeline) -> Made:
    """Needs the package torchvision, for the part of the processor that reads films."""
    parts = _qwen_parts(scratch)
    processor = t.Qwen2VLProcessor(
        t.Qwen2VLImageProcessor(), parts["tokenizer"], t.Qwen2VLVideoProcessor(),
        chat_template=words.CHATML,
    )  # fmt: skip
    return Made(kind(**parts, processor=processor), {"tokenizer": words.qwen})


def _qwen_parts(scratch: Scratch) -> dict[str, Any]:
    scheduler = flow(
        1.0, True, base_shift=0.5, max_shift=0.9, shift_terminal=0.02,
        time_shift_type="exponential",
    )  # fmt: skip
    return {
        "transformer": d.QwenImageTransformer2DModel(
            patch_size=2, in_channels=64, out_channels=16, num_layers=2, attention_head_dim=32,
            num_attention_heads=4, joint_attention_dim=WIDTH, axes_dims_rope=(8, 12, 12),
        ),
        "vae": contrast(d.AutoencoderKLQwenImage(base_dim=8, z_dim=16, num_res_blocks=1)),
        "scheduler": scheduler, "text_encoder": qwen25_vl(),
        "tokenizer": scratch.read(words.qwen, t.Qwen2Tokenizer),
    }  # fmt: skip


def z_image(scratch: Scratch) -> Made:
    pipe = d.ZImagePipeline(
        transformer=d.ZImageTransformer2DModel(
            in_channels=16, dim=128, n_layers=2, n_refiner_layers=1, n_heads=4, n_kv_heads=4,
            cap_feat_dim=WIDTH, axes_dims=[8, 12, 12], axes_lens=[1024, 512, 512],
        ),
        scheduler=flow(3.0), vae=vae(**FLUX_VAE), text_encoder=qwen3().model,
        tokenizer=scratch.read(words.qwen, t.Qwen2Tokenizer),
    )  # fmt: skip
    return Made(pipe, {"tokenizer": words.qwen})


def sana(scratch: Scratch) -> Made:
    transformer = d.SanaTransformer2DModel(
        in_channels=32, out_channels=32, num_attention_heads=4, attention_head_dim=32,
        num_layers=2, num_cross_attention_heads=4, cross_attention_head_dim=32,
        cross_attention_dim=128, caption_channels=WIDTH, sample_size=32,
    )  # fmt: skip
    scheduler = d.DPMSolverMultistepScheduler(
        algorithm_type="dpmsolver++", beta_schedule="linear", flow_shift=3.0,
        prediction_type="flow_prediction", use_flow_sigmas=True, solver_order=2,
    )  # fmt: skip
    pipe = d.SanaPipeline(
        tokenizer=scratch.read(words.gemma, t.GemmaTokenizer), text_encoder=gemma2(),
        vae=contrast(_deep_compression()), transformer=transformer, scheduler=scheduler,
    )  # fmt: skip
    return Made(pipe, {"tokenizer": words.gemma})


def _deep_compression() -> Any:
    """Sana's autoencoder: one latent for 32 x 32 px."""
    blocks = ("ResBlock",) * 3 + ("EfficientViTBlock",) * 3
    channels, attention = (16, 16, 32, 32, 32, 32), ((),) * 3 + ((5,),) * 3
    return d.AutoencoderDC(
        latent_channels=32, attention_head_dim=16, scaling_factor=0.41407,
        encoder_block_types=blocks, decoder_block_types=blocks,
        encoder_block_out_channels=channels, decoder_block_out_channels=channels,
        encoder_layers_per_block=(1,) * 6, decoder_layers_per_block=(1,) * 6,
        encoder_qkv_multiscales=attention, decoder_qkv_multiscales=attention,
        downsample_block_type="conv", upsample_block_type="interpolate",
    )  # fmt: skip


def omnigen(scratch: Scratch) -> Made:
    """Needs the packages sentencepiece, and torchvision: its pipeline makes transforms."""
    rope = {"short_factor": [1.0] * 16, "long_factor": [1.0] * 16, "type": "su"}
    pipe = d.OmniGenPipeline(
        transformer=d.OmniGenTransformer2DModel(
            in_channels=4, patch_size=2, hidden_size=128, num_attention_heads=4,
            num_key_value_heads=4, intermediate_size=256, num_layers=2, pad_token_id=0,
            vocab_size=1024, time_step_dim=128, pos_embed_max_size=192, rope_scaling=rope,
        ),
        scheduler=flow(1.0, invert_sigmas=True), vae=vae(scaling_factor=0.13025),
        tokenizer=scratch.read(words.llama2, t.LlamaTokenizer),
    )  # fmt: skip
    return Made(pipe, {"tokenizer": words.llama2})


def pixart_sigma(scratch: Scratch) -> Made:
    """Needs the packages sentencepiece and protobuf, as its tokenizer is `spiece.model` alone."""
    scheduler = noise(
        d.DPMSolverMultistepScheduler, beta_start=0.0001, beta_end=0.02, beta_schedule="linear",
        algorithm_type="dpmsolver++",
    )  # fmt: skip
    pipe = d.PixArtSigmaPipeline(
        tokenizer=scratch.read(words.t5_piece, t.T5Tokenizer), text_encoder=t5(),
        vae=vae(scaling_factor=0.13025), scheduler=scheduler,
        transformer=d.PixArtTransformer2DModel(
            num_attention_heads=4, attention_head_dim=32, in_channels=4, out_channels=8,
            num_layers=2, cross_attention_dim=128, sample_size=128, patch_size=2,
            caption_channels=WIDTH, use_additional_conditions=False, interpolation_scale=2,
        ),
    )  # fmt: skip
    return Made(pipe, {"tokenizer": words.t5_piece})


def lumina2(scratch: Scratch) -> Made:
    pipe = d.Lumina2Pipeline(
        transformer=d.Lumina2Transformer2DModel(
            sample_size=128, patch_size=2, in_channels=16, hidden_size=128, num_layers=2,
            num_refiner_layers=1, num_attention_heads=4, num_kv_heads=2, multiple_of=32,
            axes_dim_rope=(8, 12, 12), axes_lens=(300, 512, 512), cap_feat_dim=WIDTH,
        ),
        scheduler=flow(6.0), vae=vae(**FLUX_VAE), text_encoder=gemma2(),
        tokenizer=scratch.read(words.gemma, t.GemmaTokenizer),
    )  # fmt: skip
    return Made(pipe, {"tokenizer": words.gemma})


def chroma(scratch: Scratch) -> Made:
    pipe = d.ChromaPipeline(
        transformer=d.ChromaTransformer2DModel(
            in_channels=64, num_layers=2, num_single_layers=2, attention_head_dim=32,
            num_attention_heads=4, joint_attention_dim=WIDTH, axes_dims_rope=(8, 12, 12),
            approximator_num_channels=64, approximator_hidden_dim=128, approximator_layers=2,
        ),
        scheduler=flow(1.0, use_beta_sigmas=False), vae=vae(**FLUX_VAE), text_encoder=t5(),
        tokenizer=scratch.read(words.t5, t.T5Tokenizer),
    )  # fmt: skip
    return Made(pipe, {"tokenizer": words.t5})


def cogview4(scratch: Scratch) -> Made:
    text = t.GlmConfig(**decoder(), partial_rotary_factor=0.5)
    pipe = d.CogView4Pipeline(
        tokenizer=scratch.read(words.glm4, t.PreTrainedTokenizerFast),
        text_encoder=t.GlmModel(text), vae=vae(16, False, scaling_factor=1.0, shift_factor=0.0),
        transformer=d.CogView4Transformer2DModel(
            patch_size=2, in_channels=16, out_channels=16, num_layers=2, attention_head_dim=32,
            num_attention_heads=4, text_embed_dim=WIDTH, time_embed_dim=64, condition_dim=32,
            pos_embed_max_size=128, sample_size=128, rope_axes_dim=(256, 256),
        ),
        scheduler=flow(1.0, True, base_shift=0.25, max_shift=0.75, time_shift_type="linear"),
    )  # fmt: skip
    return Made(pipe, {"tokenizer": words.glm4})


def auraflow(scratch: Scratch) -> Made:
    """Needs the package sentencepiece."""
    config = t.UMT5Config(
        vocab_size=1024, d_model=WIDTH, d_kv=32, d_ff=2 * WIDTH, num_layers=2, num_heads=2,
        is_encoder_decoder=False, use_cache=False,
    )  # fmt: skip
    pipe = d.AuraFlowPipeline(
        tokenizer=scratch.read(words.llama2, t.LlamaTokenizer),
        text_encoder=t.UMT5EncoderModel(config), vae=vae(scaling_factor=0.13025),
        transformer=d.AuraFlowTransformer2DModel(
            sample_size=64, in_channels=4, num_mmdit_layers=2, num_single_dit_layers=2,
            attention_head_dim=32, num_attention_heads=4, joint_attention_dim=WIDTH,
            caption_projection_dim=128, pos_embed_max_size=9216,
        ),
        scheduler=flow(1.73),
    )  # fmt: skip
    return Made(pipe, {"tokenizer": words.llama2})
