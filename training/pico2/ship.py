"""Puts the parts together, in half precision, as a folder that stock diffusers loads.

python -m training.pico2.ship --denoiser runs/pico2/denoiser --out runs/pico2/pipeline
"""

import argparse
from pathlib import Path

import torch
from diffusers import FlowMatchEulerDiscreteScheduler, StableDiffusion3Pipeline
from safetensors.torch import load_file

from imagemill.pico.autoencoder import OverlappingAutoencoder
from imagemill.pico.tokenizers import NAMES, PlacementTokenizer, SettingTokenizer
from training.pico2 import looks as looks_
from training.pico2.looks import Looks
from training.pico2.model import Pico2, loaded, prepare


def assemble(
    model: Pico2, autoencoder: OverlappingAutoencoder, looks: Looks, names: Path
) -> StableDiffusion3Pipeline:
    """names: the file of the looks' names."""
    prepare(model, autoencoder, looks)
    first, second = model.encoders
    return StableDiffusion3Pipeline(
        transformer=model.transformer, scheduler=FlowMatchEulerDiscreteScheduler(),
        vae=autoencoder, text_encoder=first, tokenizer=SettingTokenizer(),
        text_encoder_2=second, tokenizer_2=SettingTokenizer(),
        text_encoder_3=looks.encoder, tokenizer_3=PlacementTokenizer(str(names)),
    )  # fmt: skip


def made(denoiser: Path, autoencoder: Path, looks: Path) -> StableDiffusion3Pipeline:
    model = Pico2()
    model.load_state_dict(load_file(denoiser / "model.safetensors"))
    return assemble(model, loaded(autoencoder), looks_.load(looks), looks / NAMES)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--denoiser", type=Path, default=Path("runs/pico2/denoiser"))
    parser.add_argument("--autoencoder", type=Path, default=Path("runs/pico2/autoencoder/vae"))
    parser.add_argument("--looks", type=Path, default=Path("runs/pico2/looks"))
    parser.add_argument("--out", type=Path, default=Path("runs/pico2/pipeline"))
    args = parser.parse_args()
    pipe = made(args.denoiser, args.autoencoder, args.looks)
    pipe.to(torch.float16).save_pretrained(args.out)
