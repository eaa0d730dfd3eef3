"""Stable Diffusion 1.5 to XL, and what else has a UNet of theirs."""

from typing import Any

import diffusers as d
import torch
import transformers as t

from tests.checkpoints import tokenizers as words
from tests.checkpoints.parts import (
    WIDTH,
    Made,
    Scratch,
    clip,
    decoder,
    noise,
    sd_unet,
    sdxl_unet,
    vae,
)

TWO = {"tokenizer": words.clip, "tokenizer_2": words.clip_second}


def sd15(
    scratch: Scratch,
    kind: Any = d.StableDiffusionPipeline,
    channels: int = 4,
    checker: bool = True,
    scheduler: Any = None,
    **unet: Any,
) -> Made:
    tokenizer = scratch.read(words.clip, t.CLIPTokenizer)
    features = t.CLIPImageProcessor(size=224, crop_size=224) if checker else None
    pipe = kind(
        vae=vae(), text_encoder=clip(t.CLIPTextModel, scratch.tokens["clip"]), tokenizer=tokenizer,
        unet=sd_unet(channels, **unet), scheduler=scheduler or _pndm(),
        safety_checker=safety_checker() if checker else None, feature_extractor=features,
        requires_safety_checker=checker,
    )  # fmt: skip
    return Made(pipe, {"tokenizer": words.clip})


def sd15_inpaint(scratch: Scratch) -> Made:
    return sd15(scratch, d.StableDiffusionInpaintPipeline, channels=9)


def sd15_unsafe(scratch: Scratch) -> Made:
    """Whose safety checker finds everything unsafe."""
    made = sd15(scratch)
    made.pipe.safety_checker = safety_checker(unsafe=True)
    return made


def sd21(scratch: Scratch) -> Made:
    scheduler = noise(
        d.DDIMScheduler, prediction_type="v_prediction", steps_offset=1, set_alpha_to_one=False,
        clip_sample=False,
    )  # fmt: skip
    return sd15(scratch, checker=False, scheduler=scheduler, use_linear_projection=True)


def lcm(scratch: Scratch) -> Made:
    kind, scheduler = d.LatentConsistencyModelPipeline, noise(d.LCMScheduler)
    return sd15(scratch, kind, scheduler=scheduler, time_cond_proj_dim=256)


def controlnet(scratch: Scratch) -> Made:
    """A whole folder of Stable Diffusion with a ControlNet in it."""
    plain = sd15(scratch, checker=False).pipe
    control = d.ControlNetModel.from_unet(plain.unet)
    pipe = d.StableDiffusionControlNetPipeline(
        **plain.components, controlnet=control, requires_safety_checker=False
    )
    return Made(pipe, {"tokenizer": words.clip})


def safety_checker(unsafe: bool = False) -> Any:
    """As it comes with Stable Diffusion; `unsafe` ones find everything unsafe."""
    from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker

    sizes = {"hidden_size": 32, "intermediate_size": 32, "num_attention_heads": 2}
    vision = sizes | {"num_hidden_layers": 2, "image_size": 224, "patch_size": 32}
    text = sizes | {"vocab_size": 32, "num_hidden_layers": 1}
    config = t.CLIPConfig(vision_config=vision, text_config=text, projection_dim=32)
    checker = StableDiffusionSafetyChecker(config)
    with torch.no_grad():
        checker.concept_embeds_weights.fill_(-2.0 if unsafe else 2.0)
        checker.special_care_embeds_weights.fill_(2.0)
    return checker


def sdxl(
    scratch: Scratch,
    kind: Any = d.StableDiffusionXLPipeline,
    channels: int = 4,
    scheduler: Any = None,
    **more: Any,
) -> Made:
    one = scratch.read(words.clip, t.CLIPTokenizer)
    two = scratch.read(words.clip_second, t.CLIPTokenizer)
    pipe = kind(
        vae=vae(**({"force_upcast": True, "scaling_factor": 0.13025} | more)),
        tokenizer=one, text_encoder=clip(t.CLIPTextModel, scratch.tokens["clip"]),
        tokenizer_2=two, text_encoder_2=_second_clip(scratch),
        unet=sdxl_unet(channels), scheduler=scheduler or _leading(),
    )  # fmt: skip
    return Made(pipe, dict(TWO))


def sdxl_inpaint(scratch: Scratch) -> Made:
    return sdxl(scratch, d.StableDiffusionXLInpaintPipeline, channels=9)


def sdxl_refiner(scratch: Scratch) -> Made:
    """With the second text encoder alone, and no pipeline that paints from nothing."""
    two = scratch.read(words.clip_second, t.CLIPTokenizer)
    pipe = d.StableDiffusionXLImg2ImgPipeline(
        vae=vae(force_upcast=True, scaling_factor=0.13025), tokenizer=None, text_encoder=None,
        tokenizer_2=two, text_encoder_2=_second_clip(scratch), unet=sdxl_unet(cross=96, ids=5),
        scheduler=_leading(), requires_aesthetics_score=True,
    )  # fmt: skip
    return Made(pipe, {"tokenizer_2": words.clip_second})


def sdxl_turbo(scratch: Scratch) -> Made:
    scheduler = noise(d.EulerAncestralDiscreteScheduler, timestep_spacing="trailing")
    return sdxl(scratch, scheduler=scheduler)


def playground(scratch: Scratch) -> Made:
    scheduler = d.EDMDPMSolverMultistepScheduler(sigma_data=0.5, sigma_min=0.002, sigma_max=80.0)
    return sdxl(
        scratch, scheduler=scheduler, scaling_factor=0.5,
        latents_mean=[-1.6574, 1.886, -1.383, 2.5155],
        latents_std=[8.4927, 5.9022, 6.5498, 5.2299],
    )  # fmt: skip


def kolors(scratch: Scratch) -> Made:
    """Needs the package sentencepiece."""
    from diffusers.pipelines.kolors.tokenizer import ChatGLMTokenizer

    words.glm(scratch.folder / "glm")
    scheduler = noise(
        d.EulerDiscreteScheduler, beta_end=0.014, num_train_timesteps=1100,
        timestep_spacing="leading", steps_offset=1,
    )  # fmt: skip
    text: dict[str, Any] = {"encoder_hid_dim": WIDTH, "encoder_hid_dim_type": "text_proj"}
    pipe = d.KolorsPipeline(
        vae=vae(scaling_factor=0.13025), text_encoder=_chat_glm(),
        tokenizer=ChatGLMTokenizer(str(scratch.folder / "glm" / "tokenizer.model")),
        unet=sdxl_unet(cross=WIDTH, pooled=WIDTH, **text), scheduler=scheduler,
        force_zeros_for_empty_prompt=False,
    )  # fmt: skip
    return Made(pipe, {"tokenizer": words.glm})


def _pndm() -> Any:
    return noise(d.PNDMScheduler, skip_prk_steps=True, steps_offset=1, set_alpha_to_one=False)


def _leading() -> Any:
    return noise(d.EulerDiscreteScheduler, timestep_spacing="leading", steps_offset=1)


def _second_clip(scratch: Scratch) -> Any:
    tokens = scratch.tokens["clip_second"]
    return clip(t.CLIPTextModelWithProjection, tokens, 96, hidden_act="gelu")


def _chat_glm() -> Any:
    from diffusers.pipelines.kolors.text_encoder import ChatGLMConfig, ChatGLMModel

    sizes = decoder()
    config = ChatGLMConfig(
        num_layers=2, padded_vocab_size=512, hidden_size=WIDTH, kv_channels=32,
        ffn_hidden_size=sizes["intermediate_size"], num_attention_heads=2, seq_length=512,
        multi_query_attention=True, multi_query_group_num=1, add_qkv_bias=True,
        bias_dropout_fusion=False, original_rope=True,
    )  # fmt: skip
    made = ChatGLMModel(config)
    with torch.no_grad():  # its layers are left as the memory was
        for each in made.parameters():
            each.normal_(1.0 if each.dim() == 1 else 0.0, 0.05)
    return made
