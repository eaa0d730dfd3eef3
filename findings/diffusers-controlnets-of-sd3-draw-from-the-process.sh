#!/bin/sh
# diffusers 0.42.1: Stable Diffusion 3 with a ControlNet paints another image each time, though the same
# generator is given.
#
# Guessed: generator= decides all that is drawn, as it does with the ControlNets of FLUX.
# Seen: the control's image is encoded by a draw from the process's generator. The same call paints the
# same only after the same torch.manual_seed, or where the ControlNet says nothing. (Read, not run: the
# pipelines of HunyuanDiT's ControlNets and of Qwen-Image's for inpainting draw so as well.)
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
    SD3ControlNetModel,
    SD3Transformer2DModel,
    StableDiffusion3ControlNetPipeline,
)
from PIL import Image

assert version("diffusers") == "0.42.1"
torch.manual_seed(0)
shape = {
    "sample_size": 16, "patch_size": 2, "in_channels": 4, "num_layers": 2, "attention_head_dim": 8,
    "num_attention_heads": 4, "caption_projection_dim": 32, "joint_attention_dim": 32,
    "pooled_projection_dim": 32, "out_channels": 4,
}
vae = AutoencoderKL(
    block_out_channels=(4,), latent_channels=4, norm_num_groups=1, layers_per_block=1,
    use_quant_conv=False, use_post_quant_conv=False, shift_factor=0.06, scaling_factor=1.5,
)
controlnet = SD3ControlNetModel(**shape)
for weights in controlnet.parameters():
    torch.nn.init.normal_(weights, std=0.2)  # of which some are 0 before a training
words = ("text_encoder", "text_encoder_2", "text_encoder_3", "tokenizer", "tokenizer_2", "tokenizer_3")
pipeline = StableDiffusion3ControlNetPipeline(
    scheduler=FlowMatchEulerDiscreteScheduler(), vae=vae, controlnet=controlnet,
    transformer=SD3Transformer2DModel(**shape), **dict.fromkeys(words),
)
pipeline.set_progress_bar_config(disable=True)
embeds = {"prompt_embeds": torch.randn(1, 4, 32), "pooled_prompt_embeds": torch.randn(1, 32)}


def latents(**more):
    return pipeline(
        **embeds, **more, control_image=Image.new("RGB", (16, 16), "red"), height=16, width=16,
        num_inference_steps=2, guidance_scale=1.0, output_type="latent",
        generator=torch.Generator().manual_seed(7),
    ).images


def of_process(seed):
    torch.manual_seed(seed)
    return latents()


seen = {
    "again": torch.equal(latents(), latents()),
    "again, at scale 0": torch.equal(
        latents(controlnet_conditioning_scale=0.0), latents(controlnet_conditioning_scale=0.0)
    ),
    "after the same torch.manual_seed": torch.equal(of_process(1), of_process(1)),
    "after another": torch.equal(of_process(1), of_process(2)),
}
for name, equal in seen.items():
    print(name, "equal" if equal else "different")
assert list(seen.values()) == [False, True, True, False]
# The output seen:
# again different
# again, at scale 0 equal
# after the same torch.manual_seed equal
# after another different
PYTHON
