#!/bin/sh
# diffusers 0.42.1: FLUX with a ControlNet starts from other noise than FLUX of the same seed without,
# also where controlnet_conditioning_scale is 0.
#
# Guessed: at a scale of 0 zeros are added, and the image is that of FluxPipeline with the same generator.
# Seen: the control's image is encoded first, by a draw from the request's generator; the noise is drawn
# from what is left, and is unlike. What the control shows does not matter at 0; with latents= given, the
# images are equal. So a strength that is turned down does not lead back to the image it came from, and
# one who compares "with" and "without" by a seed compares two seeds.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6 \
    safetensors==0.8.0 diffusers==0.42.1 transformers==5.23.0 pillow==13.0.0

HF_HUB_OFFLINE=1 "$folder/venv/bin/python" - <<'PYTHON' 2>"$folder/stderr" || { cat "$folder/stderr"; exit 1; }
from importlib.metadata import version

import torch
from diffusers import (
    AutoencoderKL,
    FlowMatchEulerDiscreteScheduler,
    FluxControlNetModel,
    FluxControlNetPipeline,
    FluxPipeline,
    FluxTransformer2DModel,
)
from PIL import Image

assert version("diffusers") == "0.42.1"
torch.manual_seed(0)
shape = {
    "patch_size": 1, "in_channels": 16, "num_layers": 1, "num_single_layers": 1,
    "attention_head_dim": 16, "num_attention_heads": 2, "joint_attention_dim": 32,
    "pooled_projection_dim": 32, "axes_dims_rope": [4, 4, 8],
}
vae = AutoencoderKL(
    block_out_channels=(4,), latent_channels=4, norm_num_groups=1, layers_per_block=1,
    use_quant_conv=False, use_post_quant_conv=False, shift_factor=0.06, scaling_factor=1.5,
)
parts = {
    "scheduler": FlowMatchEulerDiscreteScheduler(), "vae": vae,
    "transformer": FluxTransformer2DModel(**shape), "text_encoder": None, "text_encoder_2": None,
    "tokenizer": None, "tokenizer_2": None,
}
controlnet = FluxControlNetModel(**shape)
without = FluxPipeline(**parts)
steered = FluxControlNetPipeline(controlnet=controlnet, **parts)
without.set_progress_bar_config(disable=True)
steered.set_progress_bar_config(disable=True)
embeds = {"prompt_embeds": torch.randn(1, 4, 32), "pooled_prompt_embeds": torch.randn(1, 32)}
red, blue = (Image.new("RGB", (32, 32), colour) for colour in ("red", "blue"))


def latents(pipeline, **more):
    return pipeline(
        **embeds, **more, height=32, width=32, num_inference_steps=2,
        generator=torch.Generator().manual_seed(7), output_type="latent",
    ).images


def at_zero(image, **more):
    return latents(steered, control_image=image, controlnet_conditioning_scale=0.0, **more)


plain = latents(without)
noise = torch.randn(plain.shape, generator=torch.Generator().manual_seed(7))
seen = {
    "scale 0": torch.equal(at_zero(red), plain),
    "scale 0, another control": torch.equal(at_zero(red), at_zero(blue)),
    "scale 0, latents given": torch.equal(
        at_zero(red, latents=noise), latents(without, latents=noise)
    ),
}
for name, equal in seen.items():
    print(name, "equal" if equal else "different")
assert list(seen.values()) == [False, True, True]
# The output seen:
# scale 0 different
# scale 0, another control equal
# scale 0, latents given equal
PYTHON
