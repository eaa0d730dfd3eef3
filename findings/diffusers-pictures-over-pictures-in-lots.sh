#!/bin/sh
# diffusers 0.42.1, painting over pictures with a list of generators and num_images_per_prompt=2: three
# families, three ways to go wrong. SDXL, two prompts and two pictures: prompts are repeated A A B B and
# pictures 0 1 0 1, so that prompt A is painted over picture 1. Stable Diffusion 3, one prompt and one
# picture: RuntimeError "cannot reshape tensor of 0 elements" out of the VAE. FLUX, the same: it paints,
# but the second result is not the one that its generator gives alone.
#
# Guessed: a row of the batch is the call with its own prompt, picture and generator. Seen: so without
# num_images_per_prompt. With it, SDXL tiles the pictures; SD3 cuts one picture's rows by the number of
# generators, so that the second encoding is of no picture (a VAE without attention in its middle, as
# small test models have, even encodes that); FLUX encodes with the first generator alone, so that the
# others are one draw behind.
#
# So an img2img batch of n pictures is to be laid out by the caller: repeat prompts, pictures and
# generators in the lists oneself, or call once for each picture.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6 \
    safetensors==0.8.0 diffusers==0.42.1 accelerate==1.15.0 transformers==5.23.0

cd "$folder"
HF_HUB_OFFLINE=1 "$folder/venv/bin/python" - <<'PYTHON' 2>"$folder/log" | tee "$folder/seen"
import inspect

import numpy as np
import torch
from diffusers import (
    AutoencoderKL,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    FluxImg2ImgPipeline,
    FluxTransformer2DModel,
    SD3Transformer2DModel,
    StableDiffusion3Img2ImgPipeline,
    StableDiffusionXLImg2ImgPipeline,
    UNet2DConditionModel,
)
from PIL import Image

torch.set_num_threads(1)
torch.manual_seed(0)
random = np.random.default_rng(0)
PICTURES = [Image.fromarray(random.integers(0, 256, (64, 64, 3), dtype=np.uint8)) for _ in "01"]
PROMPTS = torch.randn(2, 4, 32), torch.randn(2, 32)  # of A and B: of each token, and pooled


def vae(channels):
    return AutoencoderKL(
        block_out_channels=(8, 8, 8, 8), latent_channels=channels, norm_num_groups=4,
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
        shift_factor=0.1, force_upcast=False,
    )  # fmt: skip


def of(kind, **parts):
    missing = [name for name in inspect.signature(kind).parameters if "encoder" in name
               or "tokenizer" in name]  # fmt: skip
    pipe = kind(**dict.fromkeys(missing), **parts)
    pipe.set_progress_bar_config(disable=True)
    return pipe


xl = of(
    StableDiffusionXLImg2ImgPipeline, vae=vae(4),
    scheduler=EulerDiscreteScheduler(beta_schedule="scaled_linear"),
    unet=UNet2DConditionModel(
        sample_size=16, block_out_channels=(16, 32), layers_per_block=1, norm_num_groups=8,
        attention_head_dim=(2, 4), down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), use_linear_projection=True,
        addition_embed_type="text_time", addition_time_embed_dim=8, cross_attention_dim=32,
        projection_class_embeddings_input_dim=5 * 8 + 32,
    ),
    requires_aesthetics_score=True,
)  # fmt: skip
sd3 = of(
    StableDiffusion3Img2ImgPipeline, vae=vae(16), scheduler=FlowMatchEulerDiscreteScheduler(),
    transformer=SD3Transformer2DModel(
        sample_size=32, num_layers=2, attention_head_dim=16, num_attention_heads=2,
        joint_attention_dim=32, caption_projection_dim=32, pooled_projection_dim=32,
    ),
)  # fmt: skip
flux = of(
    FluxImg2ImgPipeline, vae=vae(4), scheduler=FlowMatchEulerDiscreteScheduler(),
    transformer=FluxTransformer2DModel(
        in_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=16,
        num_attention_heads=2, joint_attention_dim=32, pooled_projection_dim=32,
        axes_dims_rope=(4, 4, 8),
    ),
)  # fmt: skip


def paint(pipe, prompts, pictures, seeds, each=1):
    tokens, pooled = (rows[prompts] for rows in PROMPTS)
    size = {} if pipe is xl else {"height": 64, "width": 64}
    images = pipe(
        prompt_embeds=tokens, pooled_prompt_embeds=pooled, guidance_scale=1.0, strength=0.6,
        image=[PICTURES[index] for index in pictures], num_images_per_prompt=each,
        generator=[torch.Generator().manual_seed(seed) for seed in seeds],
        num_inference_steps=4, output_type="latent", **size,
    ).images  # fmt: skip
    return images


def is_as_alone(row, *call):
    return torch.allclose(row, paint(*call)[0], atol=1e-3)


for pipe in (xl, sd3, flux):
    print(type(pipe).__name__)
    plain = paint(pipe, [0, 1], [0, 1], [0, 1])
    same = [is_as_alone(plain[n], pipe, [n], [n], [n]) for n in (0, 1)]
    print("  2 prompts, 2 pictures, as alone:", same)
    try:
        pair = paint(pipe, [0], [0], [0, 1], each=2)
        same = [is_as_alone(pair[n], pipe, [0], [0], [n]) for n in (0, 1)]
    except RuntimeError as error:
        same = f"RuntimeError: {str(error)[:36]}"
    print("  1 prompt, 1 picture, 2 each, as alone:", same)
lot = paint(xl, [0, 1], [0, 1], range(4), each=2)
found = [
    f"{'AB'[prompt]} over {picture}"
    for n in range(4) for prompt in (0, 1) for picture in (0, 1)
    if is_as_alone(lot[n], xl, [prompt], [picture], [n])
]  # fmt: skip
print("SDXL, prompts A and B over pictures 0 and 1, 2 each:", found)
PYTHON

# The output seen:
cat >"$folder/expected" <<'EXPECTED'
StableDiffusionXLImg2ImgPipeline
  2 prompts, 2 pictures, as alone: [True, True]
  1 prompt, 1 picture, 2 each, as alone: [True, True]
StableDiffusion3Img2ImgPipeline
  2 prompts, 2 pictures, as alone: [True, True]
  1 prompt, 1 picture, 2 each, as alone: RuntimeError: cannot reshape tensor of 0 elements 
FluxImg2ImgPipeline
  2 prompts, 2 pictures, as alone: [True, True]
  1 prompt, 1 picture, 2 each, as alone: [True, False]
SDXL, prompts A and B over pictures 0 and 1, 2 each: ['A over 0', 'A over 1', 'B over 0', 'B over 1']
EXPECTED
diff "$folder/expected" "$folder/seen"
