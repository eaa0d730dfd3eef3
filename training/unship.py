"""Takes the shipped pipeline apart into the folders that training reads, to go on from it.

python -m training.unship --out runs/pico
"""

import argparse
import json
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import nn

from imagemill.pico import folder
from imagemill.pico.looks import LookEncoder
from imagemill.pico.tokenizers import NAMES
from training import looks
from training.model import Pico, loaded

FILE = "diffusion_pytorch_model.safetensors"


def unship(shipped: Path, out: Path) -> None:
    model = Pico()
    filled(model.transformer, shipped / "transformer")
    for encoder, name in zip(model.encoders, ("text_encoder", "text_encoder_2"), strict=True):
        filled(encoder, shipped / name)
    loaded(shipped / "vae").save_pretrained(out / "vae")
    names = json.loads((shipped / "tokenizer_3" / NAMES).read_text("utf-8"))
    encoder = LookEncoder.from_pretrained(shipped / "text_encoder_3")
    looks.save(looks.Looks(names, encoder, model.transformer.sketcher), out / "looks")
    (out / "denoiser").mkdir(parents=True, exist_ok=True)
    save_file(model.state_dict(), out / "denoiser" / "model.safetensors")


def filled(part: nn.Module, place: Path) -> None:
    part.load_state_dict({name: each.float() for name, each in load_file(place / FILE).items()})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shipped", type=Path, default=folder())
    parser.add_argument("--out", type=Path, default=Path("runs/pico"))
    options = parser.parse_args()
    unship(options.shipped, options.out)
