#!/bin/sh
# diffusers 0.42.1: of Stable Diffusion 3's three pipelines the one for masks works with transformers of
# 16 channels alone, whatever the autoencoder has.
#
# Guessed: parts that paint and paint over in StableDiffusion3Pipeline and StableDiffusion3Img2ImgPipeline
# inpaint in StableDiffusion3InpaintPipeline too; channels are read from the configurations.
# Seen: with 8 channels in transformer and autoencoder the first two give a picture, the third raises
# ValueError: it compares the number with 16, and with 33 for one that reads the mask, before it paints.
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
    AutoencoderKL, FlowMatchEulerDiscreteScheduler, SD3Transformer2DModel,
    StableDiffusion3Img2ImgPipeline, StableDiffusion3InpaintPipeline, StableDiffusion3Pipeline,
)
from PIL import Image

assert diffusers.__version__ == "0.42.1"
torch.manual_seed(0)
told = {}
for channels in (8, 16):
    parts = {
        "transformer": SD3Transformer2DModel(
            sample_size=8, in_channels=channels, out_channels=channels, num_layers=1,
            attention_head_dim=8, num_attention_heads=2, joint_attention_dim=16,
            caption_projection_dim=16, pooled_projection_dim=16, pos_embed_max_size=16,
        ),
        "vae": AutoencoderKL(
            latent_channels=channels, block_out_channels=(8,) * 4, norm_num_groups=4,
            down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
            layers_per_block=1, shift_factor=0.0, scaling_factor=1.0,
        ),
        "scheduler": FlowMatchEulerDiscreteScheduler(),
    }
    names = [f"{kind}{i}" for kind in ("text_encoder", "tokenizer") for i in ("", "_2", "_3")]
    empty = dict.fromkeys(names)
    image, mask = Image.new("RGB", (64, 64), "red"), Image.new("L", (64, 64), "white")
    for kind, given in (
        (StableDiffusion3Pipeline, {"width": 64, "height": 64}),
        (StableDiffusion3Img2ImgPipeline, {"image": image, "strength": 1.0}),
        (StableDiffusion3InpaintPipeline, {"image": image, "mask_image": mask, "strength": 1.0}),
    ):
        pipeline = kind(**parts, **empty)
        pipeline.set_progress_bar_config(disable=True)
        if "image" in given:
            given |= {"width": 64, "height": 64}
        try:
            pipeline(
                prompt_embeds=torch.randn(1, 4, 16), pooled_prompt_embeds=torch.randn(1, 16),
                guidance_scale=1.0, num_inference_steps=1, output_type="latent", **given,
            )
            said = "paints"
        except ValueError as error:
            said = "ValueError" if "16 input channels or 33" in str(error) else str(error)
        told[kind.__name__, channels] = said
        print(channels, kind.__name__, said)
# The output seen:
# 8 StableDiffusion3Pipeline paints
# 8 StableDiffusion3Img2ImgPipeline paints
# 8 StableDiffusion3InpaintPipeline ValueError
# 16 StableDiffusion3Pipeline paints
# 16 StableDiffusion3Img2ImgPipeline paints
# 16 StableDiffusion3InpaintPipeline paints
assert [key for key, said in told.items() if said != "paints"] == [
    ("StableDiffusion3InpaintPipeline", 8)
]
assert told["StableDiffusion3InpaintPipeline", 8] == "ValueError"
PYTHON
"$folder/venv/bin/python" "$folder/paint.py" 2>"$folder/stderr" || { cat "$folder/stderr"; exit 1; }
