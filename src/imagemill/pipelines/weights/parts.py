"""Loads one part of a pipeline, and sees to it that all of its weights came from a file.

diffusers and transformers pass over much: a text encoder whose file lacks tensors gets random ones.
Here what is missing, left over or not a number is an error.
"""

import ctypes
import importlib
import logging
import os
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from mmap import PAGESIZE
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers  # noqa: F401 so that `sys.modules` has it
from accelerate import init_empty_weights
from safetensors import safe_open

from imagemill.errors import Fault
from imagemill.pipelines.weights import headers
from imagemill.pipelines.weights.files import chosen, files_of, pickles_of
from imagemill.pipelines.weights.headers import broken

log = logging.getLogger(__name__)

OWN = "imagemill.pico."  # the modules of the embedded model's classes
# What files lack, or have too much, without harm: numbers that are counted up, not learnt.
HARMLESS = ("position_ids",)
# One tensor under two names, of which files may have either.
TIED = (("shared.weight", "encoder.embed_tokens.weight"),)

Module = torch.nn.Module

_C: Any = ctypes.CDLL(None) if os.name == "posix" else None
_MAPS, _DONT_NEED = Path("/proc/self/maps"), 4  # MADV_DONTNEED


@dataclass(frozen=True)
class ModelPart:
    """What is to be loaded: its name in the pipeline, its class, and how.

    path: a folder with a `config.json`.
    """

    name: str
    kind: type[Any]
    path: Path
    dtype: torch.dtype
    variant: str | None = None
    pickles: bool = False
    quantization: Any = None

    @property
    def title(self) -> str:
        return f"{self.name} ({self.kind.__name__})"


def variant_of(part: ModelPart) -> str | None:
    """The variant that is there: the one that was named, or else the plain one, or else another.

    Raises a Fault where there is none, or a file of it is not whole.
    """
    variant, files = chosen(part.path, part.variant)
    for file in files:
        headers.read(file)
    if files or (part.pickles and pickles_of(part.path)):
        return variant
    raise broken(_without(part))


def _without(part: ModelPart) -> str:
    if not part.path.is_dir():
        return (
            f"{part.title} is absent: the model's index names it and there is no folder "
            f"{part.path.name}; fetch the model anew, or name it apart by `{part.name}`"
        )
    if pickles := pickles_of(part.path):
        return (
            f"{part.title} is a pickle ({pickles[0].name}), which can run anything when it is "
            "read; set `pickles = true` in the model's table if you trust it"
        )
    return (
        f"{part.title} is absent: {part.path.name} holds no weights; fetch the model anew, or "
        f"name it apart by `{part.name}`"
    )


def load_part(part: ModelPart) -> Module:
    """From a folder as `save_pretrained` writes it; on the CPU."""
    variant = variant_of(part)
    try:
        module, report = part.kind.from_pretrained(str(part.path), **_options(part, variant))
    except (Fault, torch.OutOfMemoryError, MemoryError):
        raise
    except Exception as error:  # of many kinds, by what does not fit
        log.warning("%s could not be loaded", part.title, exc_info=error)
        message = unfitting(part.title) if part.quantization is None else _unquantized(part)
        raise broken(message) from error
    if part.quantization is None:
        _complete(part.title, module, report)
    loaded: Module = module.eval()
    return loaded


def _options(part: ModelPart, variant: str | None) -> dict[str, Any]:
    options: dict[str, Any] = {
        "variant": variant,
        "use_safetensors": bool(files_of(part.path, variant)),
        "local_files_only": True,
        "output_loading_info": True,
        "dtype": part.dtype,
    }
    if part.quantization is not None:
        options["quantization_config"] = part.quantization
    return options


def _unquantized(part: ModelPart) -> str:
    how = type(part.quantization).__name__.removesuffix("Config")
    return (
        f"{part.title} cannot be quantized so by {how} on this device or in its sizes; leave "
        "quantize out, or install the other package"
    )


def unfitting(title: str) -> str:
    return (
        f"{title} does not fit its config.json: its weights are of another size or kind; "
        "fetch the model anew, and mix no files of two models"
    )


def _complete(title: str, module: Module, report: Mapping[str, Any]) -> None:
    """Raises a Fault where a library found weights missing, of another shape, or left over."""
    if report.get("mismatched_keys") or report.get("error_msgs"):
        raise broken(unfitting(title))
    names = dict(module.named_parameters(remove_duplicate=False))
    missing = set(report["missing_keys"])
    tied = {each for pair in TIED if set(pair) & (names.keys() - missing) for each in pair}
    unmade = {name for name, each in names.items() if each.is_meta}
    _judge(title, module, (missing | unmade) - tied, report["unexpected_keys"])


def _judge(
    title: str, module: Module, missing: Collection[str], unexpected: Collection[str]
) -> None:
    total = len(module.state_dict())
    if lacking := sorted(_harmful(missing)):
        raise broken(
            f"{title} lacks {len(lacking)} of {total} tensors ({lacking[0]} for one): its file is "
            "incomplete, or of another model; fetch it anew"
        )
    strange = _harmful(unexpected)
    if strange and isinstance(module, diffusers.ModelMixin):
        raise broken(
            f"{title} has {len(strange)} tensors that its config.json has no place for "
            f"({min(strange)} for one): the two are of different models; fetch both anew"
        )


def _harmful(names: Collection[str]) -> set[str]:
    return {name for name in names if not name.endswith(HARMLESS)}


def read_tensors(path: Path, prefix: str) -> dict[str, torch.Tensor]:
    """Those whose names begin so, by their whole names: mapped from the file, not read."""
    with safe_open(str(path), "pt") as file:
        names = [name for name in file.keys() if name.startswith(prefix)]  # noqa: SIM118 no mapping
        return {name: file.get_tensor(name) for name in names}


def make(kind: type[Any], config: Mapping[str, Any]) -> Module:
    """A module of that shape without weights."""
    with init_empty_weights():
        if issubclass(kind, diffusers.ModelMixin):
            made: Module = kind.from_config(dict(config))
        else:
            made = kind(kind.config_class(**config))
    return made


def complete(title: str, module: Module, tensors: dict[str, torch.Tensor]) -> None:
    """Raises a Fault where an empty module would not get all of its weights from `tensors`."""
    expected = module.state_dict()
    for first, second in (*TIED, *(reversed(pair) for pair in TIED)):
        if first in tensors and second in expected:
            tensors.setdefault(second, tensors[first])
    wrong = [
        name
        for name, each in tensors.items()
        if name in expected and _shape(each) != expected[name].shape
    ]
    if wrong:
        raise broken(unfitting(title))
    _judge(title, module, expected.keys() - tensors.keys(), tensors.keys() - expected.keys())


def _shape(tensor: torch.Tensor) -> tuple[int, ...]:
    """Of what it stands for, where it is quantized."""
    return tuple(getattr(tensor, "quant_shape", tensor.shape))


def fill(
    title: str, module: Module, tensors: dict[str, torch.Tensor], dtype: torch.dtype
) -> Module:
    """Gives an empty module its weights; `tensors` is emptied on the way, so that each is held
    once."""
    complete(title, module, tensors)
    places, mapped = module.state_dict().keys(), _mapped()
    kept = tuple(getattr(module, "_keep_in_fp32_modules", None) or ())
    for name in list(tensors):
        tensor = tensors.pop(name)
        if name in places:
            single = dtype is torch.float16 and any(part in name.split(".") for part in kept)
            cast = tensor.to(torch.float32 if single else dtype)
            _put(module, name, cast)
            if cast is not tensor:
                _forget(tensor, mapped)
    return module.eval()


def _mapped() -> list[range]:
    """Addresses of this process at which files are mapped; none where the system does not tell."""
    if not _MAPS.exists():
        return []
    lines = (line.split(maxsplit=5) for line in _MAPS.read_text("utf-8", "replace").splitlines())
    bounds = (fields[0].split("-") for fields in lines if len(fields) == 6 and fields[5][0] == "/")
    return [range(int(start, 16), int(end, 16)) for start, end in bounds]


def _forget(tensor: torch.Tensor, mapped: Sequence[range]) -> None:
    """Gives back the memory of what was mapped from a file and has been copied: else the file
    would lie in memory beside the copy until all of it is read. It is read again if need be."""
    start = -(-tensor.data_ptr() // PAGESIZE) * PAGESIZE
    length = (tensor.data_ptr() + tensor.nbytes) // PAGESIZE * PAGESIZE - start
    if length > 0 and any(start in each for each in mapped):
        _C.madvise(ctypes.c_void_p(start), ctypes.c_size_t(length), _DONT_NEED)


def _put(module: Module, name: str, tensor: torch.Tensor) -> None:
    path, _, leaf = name.rpartition(".")
    owner = module.get_submodule(path)
    if leaf in owner._parameters:
        owner._parameters[leaf] = torch.nn.Parameter(tensor, requires_grad=False)
    else:
        owner._buffers[leaf] = tensor


def check_numbers(title: str, module: Module) -> None:
    """Raises a Fault where a weight is not finite. One pass over them: 6 GB take a second or two
    on a processor, and little on a GPU."""
    bounds = [
        torch.stack(torch.aminmax(each.detach())).float()
        for each in module.parameters()
        if each.dtype in (torch.float32, torch.float16, torch.bfloat16) and each.numel()
    ]
    if bounds and not torch.isfinite(torch.stack(bounds)).all():
        raise broken(
            f"{title} has weights that are not finite numbers: it paints black pictures; the file "
            "is damaged, or was trained to ruin, so fetch it anew or take another"
        )


def class_of(library: str, name: str) -> type[Any] | None:
    """The class that a model's index names; None where this installation has none of it."""
    if library.startswith(OWN):
        importlib.import_module(library)
    pipelines: Any = diffusers.pipelines
    place = getattr(pipelines, library, None) or sys.modules.get(library)
    candidate: Any = getattr(place, name, None)
    return candidate if isinstance(candidate, type) else None
