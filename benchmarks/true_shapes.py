"""Models of true shapes with random weights, made where they are wanted: nothing is downloaded and
no file is written but tokenizers of a few words."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from diffusers import DiffusionPipeline

from imagemill.pipelines.weights.singles import Description, described
from tests.checkpoints import tokenizers as words

SEED = 0
Config = Mapping[str, Any]


@dataclass(frozen=True)
class Shape:
    """A family. config: its name among what describes single files. steps: of requests, in turn.
    tiny: what a small model of it has otherwise, by part.
    """

    name: str
    config: str
    dtype: torch.dtype
    steps: tuple[int, ...]
    guidance: float
    tiny: Mapping[str, Config]


_VAE: Config = {"block_out_channels": [32] * 4}
_CLIP: Config = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
                 "num_attention_heads": 2, "projection_dim": 64}  # fmt: skip
SHAPES = (
    Shape(
        "SDXL", "sdxl", torch.float16, (8, 12, 20, 28), 5.0,
        {
            "unet": {
                "block_out_channels": [32, 64, 64], "attention_head_dim": [1, 2, 2],
                "cross_attention_dim": 128, "transformer_layers_per_block": [1, 1, 1],
                "addition_time_embed_dim": 32, "projection_class_embeddings_input_dim": 256,
            },
            "vae": _VAE, "text_encoder": _CLIP, "text_encoder_2": _CLIP,
        },
    ),
    Shape(
        "FLUX.1-schnell", "flux-schnell", torch.bfloat16, (1, 2, 4, 4), 0.0,
        {
            "transformer": {
                "num_layers": 1, "num_single_layers": 2, "attention_head_dim": 32,
                "num_attention_heads": 2, "joint_attention_dim": 64, "pooled_projection_dim": 64,
                "axes_dims_rope": [8, 12, 12],
            },
            "vae": _VAE, "text_encoder": _CLIP,
            "text_encoder_2": {"d_model": 64, "d_kv": 32, "d_ff": 128, "num_layers": 2,
                               "num_heads": 2},
        },
    ),
)  # fmt: skip


def pipeline(shape: Shape, device: str, tiny: bool = False) -> DiffusionPipeline:
    """On a GPU SDXL's VAE is in float16 like the rest, as it is with weights that bear it."""
    description = described(shape.config)
    dtype = torch.float32 if tiny else shape.dtype
    parts: dict[str, Any] = {}
    torch.manual_seed(SEED)
    for name, (kind, config) in description.parts.items():
        own = {**config, **(shape.tiny.get(name, {}) if tiny else {}), **_steady(name)}
        parts[name] = _part(_class(kind), own, device, dtype)
    pipe = description.pipeline(**parts, **_tokenizers(description), **description.options)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def _steady(name: str) -> Config:
    """Nobody may turn a VAE that others use into another precision."""
    return {"force_upcast": False} if name == "vae" else {}


def _class(name: str) -> Any:
    return getattr(diffusers, name, None) or getattr(transformers, name)


def _part(kind: Any, config: Config, device: str, dtype: torch.dtype) -> Any:
    if not issubclass(kind, torch.nn.Module):
        return kind.from_config(dict(config))
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            diffusing = issubclass(kind, diffusers.ModelMixin)
            module = (
                kind.from_config(dict(config)) if diffusing else kind(kind.config_class(**config))
            )
    finally:
        torch.set_default_dtype(before)
    return module.eval().requires_grad_(False)


def _tokenizers(description: Description) -> dict[str, Any]:
    """Of few words: CLIP's and T5's own come with no package."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, config in description.tokenizers.items():
            place = Path(folder) / name
            if config["kind"] == "clip":
                words.clip_files(place, config["pad_token"])
                found[name] = transformers.CLIPTokenizer.from_pretrained(place)
            else:
                words.t5(place)
                found[name] = transformers.T5Tokenizer.from_pretrained(place)
    return found
