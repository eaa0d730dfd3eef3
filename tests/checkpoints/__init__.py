"""Tiny random checkpoints of the families that imagemill serves, in diffusers' format.

    save("flux-dev", folder)

They lie in the folder as on the Hub: tokenizers in their own files, CLIP's weights under
`text_model.` as transformers 4 named them. Shapes follow the real models in everything but size.
"""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from tests.checkpoints import flow_models as flow
from tests.checkpoints import stable_diffusion as sd
from tests.checkpoints.controlnets import controlnet
from tests.checkpoints.loras import lora
from tests.checkpoints.parts import Made, Scratch
from tests.checkpoints.tokenizers import Writer

__all__ = ["FAMILIES", "PACKAGES", "THREE", "Checkpoint", "controlnet", "lora", "save"]

Checkpoint = Callable[[str], Path]  # the fixture: a family's folder, made once a session

FAMILIES: dict[str, Callable[[Scratch], Made]] = {
    "sd15": sd.sd15,
    "sd15-inpaint": sd.sd15_inpaint,
    "sd15-unsafe": sd.sd15_unsafe,
    "sd15-controlnet": sd.controlnet,
    "sd21": sd.sd21,
    "lcm": sd.lcm,
    "sdxl": sd.sdxl,
    "sdxl-refiner": sd.sdxl_refiner,
    "sdxl-turbo": sd.sdxl_turbo,
    "sdxl-inpaint": sd.sdxl_inpaint,
    "playground": sd.playground,
    "kolors": sd.kolors,
    "sd3": flow.sd3,
    "sd35": flow.sd35,
    "flux-dev": flow.flux,
    "flux-schnell": flow.flux_schnell,
    "flux-fill": flow.flux_fill,
    "flux-kontext": flow.flux_kontext,
    "flux-depth": flow.flux_depth,
    "flux2-klein": flow.flux2,
    "hidream-full": flow.hidream_full,
    "hidream-fast": flow.hidream_fast,
    "qwen-image": flow.qwen_image,
    "qwen-image-edit": flow.qwen_image_edit,
    "z-image": flow.z_image,
    "sana": flow.sana,
    "omnigen": flow.omnigen,
    "pixart-sigma": flow.pixart_sigma,
    "lumina2": flow.lumina2,
    "chroma": flow.chroma,
    "cogview4": flow.cogview4,
    "auraflow": flow.auraflow,
}
# For what concerns all families alike: two of transformers, one with a UNet.
THREE = ("flux-dev", "sd3", "sdxl")
# That are needed to make a checkpoint, and to load it.
PACKAGES: dict[str, tuple[str, ...]] = {
    "kolors": ("sentencepiece",),
    "qwen-image-edit": ("torchvision",),
    "omnigen": ("sentencepiece", "torchvision"),
    "pixart-sigma": ("sentencepiece", "google.protobuf"),
    "auraflow": ("sentencepiece",),
}


def save(family: str, folder: Path, dtype: torch.dtype = torch.float16, **options: Any) -> Path:
    """The family's checkpoint in `folder`; `options` are those of `save_pretrained`."""
    torch.manual_seed(0)
    with TemporaryDirectory() as scratch:
        made = FAMILIES[family](Scratch(Path(scratch)))
        made.pipe.to(dtype=dtype)
        made.pipe.save_pretrained(folder, **options)
    _write_tokenizers(folder, made.tokenizers)
    _age(folder)
    return folder


def _write_tokenizers(folder: Path, writers: Mapping[str, Writer]) -> None:
    """In the files that people have downloaded, instead of those that transformers 5 writes."""
    for name, write in writers.items():
        shutil.rmtree(folder / name)
        write(folder / name)


def _age(folder: Path) -> None:
    """Makes what was saved look as written by the libraries of two years ago."""
    for path in folder.glob("*/config.json"):
        config = json.loads(path.read_text("utf-8"))
        if "model_type" not in config:
            continue
        config["transformers_version"] = "4.44.2"
        if "dtype" in config:
            config["torch_dtype"] = config.pop("dtype")
        path.write_text(json.dumps(config, indent=2), "utf-8")
        weights = path.with_name("model.safetensors")
        if config["model_type"] == "clip_text_model" and weights.is_file():
            save_file(_named_as_before(load_file(weights)), weights, {"format": "pt"})


def _named_as_before(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """CLIP's text tensors by transformers 4's names."""
    outside = ("text_model.", "text_projection.")
    return {
        name if name.startswith(outside) else f"text_model.{name}": tensor
        for name, tensor in tensors.items()
    }
