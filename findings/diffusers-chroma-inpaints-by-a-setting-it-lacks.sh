#!/bin/sh
# diffusers 0.42.1: ChromaInpaintPipeline reads a setting of its transformer that no Chroma has.
#
# Guessed: a Chroma model that paints, and paints over pictures, inpaints in ChromaInpaintPipeline.
# Seen: AttributeError after the prompt and the picture were encoded: it asks for
# `transformer.config.guidance_embeds`, which FLUX.1's transformers have and ChromaTransformer2DModel
# does not take. With the setting registered by hand as False, it paints.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    torch==2.13.0 numpy==2.3.4 diffusers==0.42.1 transformers==5.23.0 accelerate==1.15.0

cat >"$folder/paint.py" <<'PYTHON'
import diffusers
import torch
from diffusers import (
    AutoencoderKL, ChromaImg2ImgPipeline, ChromaInpaintPipeline, ChromaPipeline,
    ChromaTransformer2DModel, FlowMatchEulerDiscreteScheduler,
)
from PIL import Image

assert diffusers.__version__ == "0.42.1"
torch.manual_seed(0)
parts = {
    "transformer": ChromaTransformer2DModel(
        in_channels=64, num_layers=1, num_single_layers=1, attention_head_dim=16,
        num_attention_heads=2, joint_attention_dim=16, axes_dims_rope=(4, 6, 6),
        approximator_num_channels=64, approximator_hidden_dim=32, approximator_layers=1,
    ),
    "vae": AutoencoderKL(
        latent_channels=16, block_out_channels=(8,) * 4, norm_num_groups=4,
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=1, shift_factor=0.0, scaling_factor=1.0,
    ),
    "scheduler": FlowMatchEulerDiscreteScheduler(),
    "text_encoder": None,
    "tokenizer": None,
}
image, mask = Image.new("RGB", (64, 64), "red"), Image.new("L", (64, 64), "white")
over = {"image": image, "strength": 1.0}


def said(kind, **given):
    pipeline = kind(**parts)
    pipeline.set_progress_bar_config(disable=True)
    try:
        pipeline(
            prompt_embeds=torch.randn(1, 8, 16), prompt_attention_mask=torch.ones(1, 8),
            guidance_scale=1.0, num_inference_steps=1, width=64, height=64, output_type="latent",
            **given,
        )
        return "paints"
    except AttributeError as error:
        return "AttributeError" if "guidance_embeds" in str(error) else str(error)


told = [
    said(ChromaPipeline),
    said(ChromaImg2ImgPipeline, **over),
    said(ChromaInpaintPipeline, mask_image=mask, **over),
]
parts["transformer"].register_to_config(guidance_embeds=False)
told.append(said(ChromaInpaintPipeline, mask_image=mask, **over))
print(told)
# The output seen:
# ['paints', 'paints', 'AttributeError', 'paints']
assert told == ["paints", "paints", "AttributeError", "paints"]
PYTHON
"$folder/venv/bin/python" "$folder/paint.py" 2>"$folder/stderr" || { cat "$folder/stderr"; exit 1; }
