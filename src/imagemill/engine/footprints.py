"""How much memory a model will take, by the headers of its files. No torch, and no weights are
read.

Each part of a model is known by what is in it, so that two models which have a text encoder in
common are not counted twice, wherever their files lie.
"""

import hashlib
import logging
import math
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from imagemill.errors import Fault
from imagemill.model_spec import LARGE, ModelSpec, control_of, ip_adapter_of
from imagemill.pipelines.families import EMBEDDED
from imagemill.pipelines.weights.files import chosen, pickles_of
from imagemill.pipelines.weights.headers import read

log = logging.getLogger(__name__)
SAMPLES, SAMPLE_BYTES = 16, 4096  # of the weights in a file, by which it is told from others
_FLOATS = frozenset({"F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2"})
# Bytes of a weight, in parts that are worth it; what is written beside them is little.
QUANTIZED = {"8bit": 1.0, "4bit": 0.5}


@dataclass(frozen=True)
class Footprint:
    """parts: bytes, by what is in them. keep: it never makes room for others."""

    device: str
    parts: Mapping[Hashable, int]
    keep: bool = False

    @property
    def bytes(self) -> int:
        return sum(self.parts.values())


def footprint(address: str, device: str, itemsize: int) -> Footprint | None:
    """None where nothing is known before it is loaded, as of what the Hub has to send first.

    device: on which models are that name none; weights that are moved to and fro lie in the
    machine's memory. itemsize: bytes of a weight, where the model's table says nothing else.
    """
    spec = ModelSpec.at(address)
    where = device if spec.device == "auto" else spec.device
    try:
        parts = dict(_parts(spec, _itemsize(spec, itemsize)))
        if (control := control_of(address)) is not None:
            parts |= [_part("controlnet", _control(control), spec, _itemsize(spec, itemsize))]
        if (adapter := ip_adapter_of(address)) is not None and spec.source != EMBEDDED:
            for source in (adapter.path, adapter.encoder):
                parts |= [_part("ip_adapter", _files(source), spec, _itemsize(spec, itemsize))]
    except (Fault, OSError, ValueError) as error:  # who loads it tells more
        log.info("the size of %s is not known: %s", spec.source, error)
        return None
    alike = (where, spec.dtype, spec.offload, spec.quantize, spec.compile)
    keyed: dict[Hashable, int] = {(*key, *alike): size for key, size in parts.items()}
    return (
        Footprint("cpu" if spec.offload != "none" else where, keyed, spec.keep) if keyed else None
    )


def _itemsize(spec: ModelSpec, itemsize: int) -> int:
    return {"float32": 4, "float16": 2, "bfloat16": 2}.get(spec.dtype, itemsize)


def _parts(spec: ModelSpec, itemsize: int) -> Iterator[tuple[tuple[str, ...], int]]:
    from imagemill.pipelines.weights.places import inside  # takes a while

    place, own = _here(spec.source, spec), dict[str, Path]()
    if place.is_file():
        yield _part(place.stem, [place], spec, itemsize)
    else:
        own = {each.name: each for each in sorted(place.iterdir()) if each.is_dir()}
    apart = {name: inside(_here(source, spec), name) for name, source in spec.parts.items()}
    for name, path in (own | apart).items():
        files = [path] if path.is_file() else weights(path, spec)
        if files:
            yield _part(name, files, spec, itemsize)


def _control(source: str) -> list[Path]:
    from imagemill.pipelines.weights.control_places import files_at  # takes a while

    files = files_at(source)
    if not files:
        raise FileNotFoundError(f"nothing of {source} is here")
    return files


def _files(source: str) -> list[Path]:
    """Of an IP-Adapter or an image encoder."""
    place = Path(source).expanduser()
    files = [place] if place.is_file() else chosen(place, None)[1]
    if not files:
        raise FileNotFoundError(f"nothing of {source} is here")
    return files


def _here(source: str, spec: ModelSpec) -> Path:
    from imagemill.pipelines.weights.places import here  # takes a while

    place = here(source, spec)
    if place is None:
        raise FileNotFoundError(f"nothing of {source} is here")
    return place


def weights(part: Path, spec: ModelSpec) -> list[Path]:
    """The files of a part that are loaded."""
    return chosen(part, spec.variant)[1] or (pickles_of(part) if spec.pickles else [])


def _part(
    name: str, files: list[Path], spec: ModelSpec, itemsize: int
) -> tuple[tuple[str, ...], int]:
    each = QUANTIZED.get(spec.quantize, itemsize) if name in LARGE else itemsize
    content = hashlib.blake2b(digest_size=16)
    for path in files:
        content.update(_sampled(path))
    return (content.hexdigest(),), sum(_bytes(path, each) for path in files)


def _bytes(path: Path, itemsize: float) -> int:
    """What the file's weights take once they are loaded."""
    if path.suffix == ".bin":
        return path.stat().st_size
    header = read(path)
    return sum(
        int(math.prod(each.shape) * itemsize) if each.dtype in _FLOATS else each.bytes
        for each in header.tensors.values()
    )


def _sampled(path: Path) -> bytes:
    """Equal for equal files, and as good as never for others: of two that were trained from one
    another, what is read here differs, too.
    """
    size = path.stat().st_size
    content = hashlib.blake2b(size.to_bytes(8, "little"), digest_size=16)
    with path.open("rb") as file:
        head = file.read(8)
        content.update(file.read(min(size, int.from_bytes(head, "little"), 2**24)))
        for i in range(SAMPLES):
            file.seek(size * i // SAMPLES)
            content.update(file.read(SAMPLE_BYTES))
        file.seek(max(0, size - SAMPLE_BYTES))
        content.update(file.read(SAMPLE_BYTES))
    return content.digest()
