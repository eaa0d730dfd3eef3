"""How much memory a model will take, by the headers of its files. No torch, and no weights are
read.

Each part of a model is known by what is in it, so that two models which have a text encoder in
common are not counted twice, wherever their files lie.
"""

import hashlib
import logging
import math
import re
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from imagemill.errors import Fault
from imagemill.model_spec import LARGE, ModelSpec
from imagemill.pico import folder
from imagemill.pipelines.families import EMBEDDED
from imagemill.pipelines.weights.headers import read

log = logging.getLogger(__name__)
SAMPLES, SAMPLE_BYTES = 16, 4096  # of the weights in a file, by which it is told from others
_WHOLE = re.compile(r"[^.]*?(-\d+-of-\d+)?\.(safetensors|gguf|bin)")
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
    place = folder() if spec.source == EMBEDDED else Path(spec.source).expanduser()
    apart = {name: Path(path).expanduser() for name, path in spec.parts.items()}
    if not place.exists():
        place = _cached(spec)
    if place.is_file():
        yield _part(place.stem, [place], spec, itemsize)
    else:
        for inside in sorted(each for each in place.iterdir() if each.is_dir()):
            if inside.name not in apart and (files := list(weights(inside, spec.variant))):
                yield _part(inside.name, files, spec, itemsize)
    for name, path in apart.items():
        files = [path] if path.is_file() else list(weights(path, spec.variant))
        if files:
            yield _part(name, files, spec, itemsize)


def _cached(spec: ModelSpec) -> Path:
    """What the Hub's cache has of a model; raises an OSError where that is nothing."""
    from huggingface_hub import snapshot_download  # takes a while

    return Path(snapshot_download(spec.source, revision=spec.revision, local_files_only=True))


def weights(part: Path, variant: str | None) -> Iterator[Path]:
    """The files of a part that are loaded: of the variant, and safetensors before pickles."""
    files = sorted(path for path in part.glob("*.*") if path.suffix in (".safetensors", ".bin"))
    own = [path for path in files if variant and f".{variant}." in _unnumbered(path)]
    plain = [path for path in files if _WHOLE.fullmatch(path.name)]
    chosen = own or plain
    safe = [path for path in chosen if path.suffix == ".safetensors"]
    yield from safe or chosen


def _unnumbered(path: Path) -> str:
    return re.sub(r"-\d+-of-\d+", "", path.name)


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
