"""Puts the parts together, in half precision, as a folder that stock diffusers loads.

python -m training.ship --denoiser runs/pico/denoiser --out src/imagemill/pico/weights/base
python -m training.ship --control runs/pico/control --out src/imagemill/pico/weights/control
python -m training.ship --matte runs/pico/matte --out src/imagemill/pico/weights/matte
"""

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from diffusers import FlowMatchEulerDiscreteScheduler, StableDiffusion3Pipeline
from safetensors.torch import load_file

from imagemill.pico import folder
from imagemill.pico.autoencoder import OverlappingAutoencoder
from imagemill.pico.tokenizers import NAMES, PlacementTokenizer, SettingTokenizer
from training import control, matte
from training import looks as looks_
from training.looks import Looks
from training.model import Pico, loaded, prepare

SHIFT = 1.0  # of sigmas: a strength is the level of noise itself


def assemble(
    model: Pico, autoencoder: OverlappingAutoencoder, looks: Looks, names: Path
) -> StableDiffusion3Pipeline:
    """names: the file of the looks' names."""
    prepare(model, autoencoder, looks)
    first, second = model.encoders
    return StableDiffusion3Pipeline(
        transformer=model.transformer, scheduler=FlowMatchEulerDiscreteScheduler(shift=SHIFT),
        vae=autoencoder, text_encoder=first, tokenizer=SettingTokenizer(),
        text_encoder_2=second, tokenizer_2=SettingTokenizer(),
        text_encoder_3=looks.encoder, tokenizer_3=PlacementTokenizer(str(names)),
    )  # fmt: skip


def made(denoiser: Path, autoencoder: Path, looks: Path) -> StableDiffusion3Pipeline:
    model = Pico()
    model.load_state_dict(load_file(denoiser / "model.safetensors"))
    return assemble(model, loaded(autoencoder), looks_.load(looks), looks / NAMES)


def forget_places(place: Path) -> None:
    """Configurations tell where a part was loaded from; nobody else has that place."""
    for path in place.rglob("config.json"):
        config = json.loads(path.read_text("utf-8"))
        config.pop("_name_or_path", None)
        path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", "utf-8")


def size(place: Path) -> int:
    """Bytes of all files."""
    return sum(path.stat().st_size for path in place.rglob("*") if path.is_file())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--denoiser", type=Path, default=Path("runs/pico/denoiser"))
    parser.add_argument("--autoencoder", type=Path, default=Path("runs/pico/vae"))
    parser.add_argument("--looks", type=Path, default=Path("runs/pico/looks"))
    parser.add_argument("--control", type=Path, help="in place of all others, the ControlNet")
    parser.add_argument("--matte", type=Path, help="in place of all others, the matte")
    parser.add_argument("--out", type=Path, default=folder())
    args = parser.parse_args()
    parts = args.denoiser, args.autoencoder, args.looks
    if args.matte:
        shipped: Any = matte.made(args.matte)
    else:
        shipped = control.made(args.control) if args.control else made(*parts)
    shipped.to(torch.float16).save_pretrained(args.out)
    forget_places(args.out)
    print(f"{size(args.out) / 1e6:.1f} MB in {args.out}")
