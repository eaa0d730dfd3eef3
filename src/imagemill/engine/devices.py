"""The devices that engines compute on, by their names in torch; found without loading torch."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from imagemill.errors import Fault, Kind
from imagemill.model_spec import ModelSpec, control_of, controlled

CPU = "cpu"
# What CUDA reads as a process asks it for the first time: which GPUs there are, in which order.
# AMD's counterpart obeys it as well.
VISIBLE = "CUDA_VISIBLE_DEVICES"

_NODE = re.compile(r"nvidia\d+")
_BUILT = re.compile(r"^(cuda|hip)\b.*= *'", re.MULTILINE)


def built_for_gpus() -> bool:
    """Whether torch can use a GPU. Its version file tells; importing it would take seconds and the
    memory of a process of its own.
    """
    spec = find_spec("torch")
    path = Path(spec.origin or "").with_name("version.py") if spec else None
    return bool(path and path.is_file() and _BUILT.search(path.read_text("utf-8")))


def list_gpus(
    environment: Mapping[str, str],
    nodes: Path = Path("/dev"),
    built: Callable[[], bool] = built_for_gpus,
) -> tuple[str, ...]:
    """The GPUs of this machine. Where none is found, as elsewhere than on Linux, there may be one
    all the same, which the engine finds.

    nodes: where NVIDIA's driver has a file for each.
    """
    listed = _listed(environment)
    count = sum(1 for each in nodes.glob("nvidia*") if _NODE.fullmatch(each.name))
    if listed is not None:  # names of one GPU in a container may be numbers that it does not have
        there = {name for name in listed if not (count and name.isdigit() and int(name) >= count)}
        count = len(there)
    return tuple(f"cuda:{number}" for number in range(count)) if count and built() else ()


def visible(device: str, environment: Mapping[str, str]) -> str:
    """What `VISIBLE` has to be in a process that shall see this device alone."""
    if device == CPU:
        return ""
    number, listed = int(device.partition(":")[2]), _listed(environment)
    if listed is None:
        return str(number)
    # Of one that is not listed the process sees nothing, and says so.
    return listed[number] if number < len(listed) else ""


def pinned(address: str, devices: Sequence[str]) -> tuple[tuple[str, ...], str]:
    """The devices on which the model at `address` may be, and its address for the engine there,
    which sees one device and knows no number. Raises a Fault where its table names another.
    """
    spec = ModelSpec.at(address)
    if spec.device in devices and spec.device != CPU:
        own, control = replace(spec, device="auto").address, control_of(address)
        return (spec.device,), own if control is None else controlled(own, control)
    if ":" in spec.device:
        raise Fault(
            Kind.UNSUPPORTED,
            f"the model's device {spec.device} is none of the server's; one of "
            f"{', '.join(devices)}, or auto",
        )
    return tuple(devices), address


def _listed(environment: Mapping[str, str]) -> tuple[str, ...] | None:
    """The GPUs that `VISIBLE` names; None: all. CUDA takes none from the first that is wrong on."""
    text = environment.get(VISIBLE)
    if text is None:
        return None
    names = [name.strip() for name in text.split(",")]
    wrong = (i for i, name in enumerate(names) if not name or name.startswith("-"))
    return tuple(names[: next(wrong, len(names))])
