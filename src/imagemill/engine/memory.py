"""Out of memory: how each device says it, and what is told to whoever asked for too much."""

import gc
import traceback
from dataclasses import dataclass

import torch

from imagemill.engine.allocator import give_back
from imagemill.engine.machine import free_bytes, whole_bytes

# Beside MemoryError and torch's own class: the words of PyTorch's allocators and libraries, in
# lower case (Linux: "DefaultCPUAllocator: can't allocate memory", Windows: "not enough memory").
WORDS = (
    "out of memory",
    "not enough memory",
    "can't allocate memory",
    "cannot allocate memory",
    "cublas_status_alloc_failed",
    "cudnn_status_alloc_failed",
    "failed to allocate",
    "paging file is too small",
)
_KINDS = (RuntimeError, OSError)  # that speak such words


def out_of_memory(error: BaseException | None) -> bool:
    """Whether memory ran out, in this error or in one that led to it."""
    while error is not None:
        if isinstance(error, MemoryError | torch.OutOfMemoryError):
            return True
        if isinstance(error, _KINDS) and any(word in str(error).lower() for word in WORDS):
            return True
        error = error.__cause__ or error.__context__
    return False


MODEL_SHARE = 0.8  # of what is free at the start; the rest is for what is computed


def for_models(device: str, engines: int = 1) -> int:
    """Bytes, where the operator names none. engines: that share the machine's own memory."""
    free = device_memory(device).free // (engines if device == "cpu" else 1)
    return int(free * MODEL_SHARE)


def let_go(error: BaseException) -> None:
    """Frees what the calls that failed still hold, and what allocators keep for later."""
    traceback.clear_frames(error.__traceback__)
    release()


def release() -> None:
    """Gives back what nobody holds any more."""
    gc.collect()
    give_back()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()


@dataclass(frozen=True)
class DeviceMemory:
    """Memory of one device, in bytes."""

    device: str
    free: int
    whole: int

    def __str__(self) -> str:
        return f"{self.free / 1e9:.1f} of {self.whole / 1e9:.1f} GB of {self.device}"


def device_memory(device: str) -> DeviceMemory:
    if device.startswith("cuda"):
        free, whole = torch.cuda.mem_get_info(device)
        return DeviceMemory(device, free, whole)
    return DeviceMemory(device, free_bytes(), whole_bytes())
