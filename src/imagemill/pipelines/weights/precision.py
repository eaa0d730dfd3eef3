"""In which precision a model is loaded, and where."""

from importlib.util import find_spec
from typing import Any

import diffusers
import torch
import transformers

from imagemill.model_spec import LARGE, ModelSpec
from imagemill.pipelines.weights.headers import broken

DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}
# Whose pictures are nearer to those of float32 in float16 than in bfloat16 (SDXL, 10 steps: 0.10
# against 1.21 of 255 on average), by class of denoiser.
HALVES = frozenset({"UNet2DConditionModel"})


def device_of(spec: ModelSpec, usual: str) -> str:
    """Raises a Fault where what was chosen is not in this machine."""
    device = usual if spec.device == "auto" else spec.device
    if spec.offload != "none" and device == "cpu":
        raise broken("offload moves weights between a GPU and memory, and no GPU is here; leave it")
    if device not in _there():
        raise broken(f"device {device} is not in this machine; one of {', '.join(_there())}")
    return device


def dtype_of(spec: ModelSpec, device: str, denoiser: str) -> torch.dtype:
    """denoiser: its class."""
    if spec.dtype != "auto":
        return DTYPES[spec.dtype]
    if device != "cpu" and denoiser in HALVES:
        return torch.float16
    return dtype_for(device)


def dtype_for(device: str) -> torch.dtype:
    """bfloat16 where the hardware computes in it: a processor that only emulates it is slower than
    with float32.
    """
    fast = device != "cpu" or torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return torch.bfloat16 if fast else torch.float32


def _there() -> list[str]:
    there = ["cpu"]
    for kind in (torch.cuda, torch.xpu):
        if kind.is_available():
            name = kind.__name__.rpartition(".")[2]
            there += [name, *(f"{name}:{number}" for number in range(kind.device_count()))]
    return there + (["mps"] if torch.backends.mps.is_available() else [])


def quantization(spec: ModelSpec, name: str, kind: type[Any], dtype: torch.dtype) -> Any:
    """How a part is quantized while it is read; None where it is not."""
    if spec.quantize == "none" or name not in LARGE or not issubclass(kind, torch.nn.Module):
        return None
    library: Any = diffusers if issubclass(kind, diffusers.ModelMixin) else transformers
    if spec.quantize == "4bit" and find_spec("bitsandbytes") is not None:
        return library.BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_compute_dtype=dtype, bnb_4bit_quant_type="nf4"
        )
    if find_spec("torchao") is None:
        return library.BitsAndBytesConfig(load_in_8bit=True)
    from torchao.quantization import Int4WeightOnlyConfig, Int8WeightOnlyConfig

    chosen = Int8WeightOnlyConfig if spec.quantize == "8bit" else Int4WeightOnlyConfig
    return library.TorchAoConfig(chosen())
