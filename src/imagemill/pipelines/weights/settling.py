"""What becomes of a part once its weights are there: checked, moved to its device, made ready."""

import json
from pathlib import Path
from typing import Any

import torch

from imagemill.model_spec import ModelSpec
from imagemill.pipelines.weights.parts import Module, check_numbers

_INNER = ("encoder", "decoder", "quant_conv", "post_quant_conv")  # of a VAE


def settle(title: str, module: Module, device: str, spec: ModelSpec) -> Module:
    """The part on its device, each as soon as it is read, so that memory holds one at a time."""
    if spec.quantize == "none":
        if spec.offload == "none":
            module.to(device)
        check_numbers(title, module)
    if getattr(module, "config", None) is not None and _overflows(module):
        _cast_inputs(module)
    return module


def own_precision(name: str, path: Path, dtype: torch.dtype) -> torch.dtype:
    """A VAE that overflows in float16 is held in float32."""
    if name != "vae" or dtype is not torch.float16:
        return dtype
    try:
        config = json.loads((path / "config.json").read_text("utf-8"))
    except (OSError, ValueError):
        return dtype  # which loading will tell
    return of_vae(config, dtype)


def of_vae(config: dict[str, Any], dtype: torch.dtype) -> torch.dtype:
    upcast = dtype is torch.float16 and config.get("force_upcast", True)
    return torch.float32 if upcast else dtype


def _overflows(module: Module) -> bool:
    config: Any = module.config
    upcast = config.get("force_upcast") if hasattr(config, "get") else False
    return bool(upcast) and next(module.parameters()).dtype is torch.float32


def _cast_inputs(vae: Module) -> None:
    """Pipelines hand it latents and pictures in the precision of the denoiser."""

    def cast(inner: Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        dtype = next(inner.parameters()).dtype
        return tuple(
            each.to(dtype) if torch.is_tensor(each) and each.is_floating_point() else each
            for each in args
        )

    for name in _INNER:
        inner = getattr(vae, name, None)
        if isinstance(inner, Module):
            inner.register_forward_pre_hook(cast)
