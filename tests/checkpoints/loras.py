"""LoRAs of noise for a pipeline at hand."""

import torch
from diffusers import DiffusionPipeline
from safetensors.torch import save


def lora(
    pipe: DiffusionPipeline, seed: int = 0, parts: tuple[str, ...] = ("transformer",), rank: int = 2
) -> bytes:
    """A LoRA of noise on every query and value of the pipeline's `parts`."""
    generator = torch.Generator().manual_seed(seed)
    tensors: dict[str, torch.Tensor] = {}
    for part in parts:
        stood_in = getattr(pipe, part)
        for name, module in getattr(stood_in, "real", stood_in).named_modules():
            if name.endswith(("to_q", "to_v", "q_proj")):
                into, out = module.in_features, module.out_features
                key = f"{part}.{name}.lora"
                tensors[f"{key}_A.weight"] = torch.randn(rank, into, generator=generator)
                tensors[f"{key}_B.weight"] = torch.randn(out, rank, generator=generator) / 4
    return save(tensors)
