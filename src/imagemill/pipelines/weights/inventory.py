"""What lies on the disk of a model, without loading it. No torch."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from imagemill.errors import Fault
from imagemill.model_spec import ModelSpec
from imagemill.pipelines.weights import headers
from imagemill.pipelines.weights.kinds import identify, seems
from imagemill.pipelines.weights.places import INDEX, components, here, read_index
from imagemill.upstream_spec import upstream_of


@dataclass(frozen=True)
class InventoryPart:
    """kind: its class. dtypes: as its files spell them."""

    name: str
    kind: str
    dtypes: tuple[str, ...]
    bytes: int


@dataclass(frozen=True)
class Inventory:
    """place: what the source is. title: what is in it."""

    place: str
    title: str
    bytes: int
    parts: tuple[InventoryPart, ...] = ()


def take_inventory(spec: ModelSpec) -> Inventory:
    """All that a model has on the disk, with what is named apart."""
    if name := upstream_of(spec.source):
        return Inventory(f"upstream {name}", "painted there; nothing of it is in this machine", 0)
    main = here(spec.source, spec)
    apart = [here(source, spec) for source in spec.parts.values()]
    size = sum(_size(place) for place in {main, *apart} if place is not None)
    if main is None:
        return Inventory("absent", "nothing of it is in this machine", size)
    if main.is_file():
        return Inventory("file", _of_file(main), size)
    place = "Hub cache" if "snapshots" in main.parts else "folder"
    if not (main / INDEX).is_file():
        return Inventory(place, f"no {INDEX}", size)
    return Inventory(place, read_index(main)["_class_name"], size, tuple(_parts(main)))


def _of_file(path: Path) -> str:
    try:
        header = headers.read(path)
    except Fault as fault:
        return str(fault)
    identified = identify(header)
    return identified[0].name if identified else seems(header)[0]


def _parts(place: Path) -> Iterator[InventoryPart]:
    for name, (_, kind) in components(read_index(place)).items():
        if kind is not None and (place / name).is_dir():
            yield InventoryPart(name, kind, _dtypes(place / name), _size(place / name))


def _dtypes(folder: Path) -> tuple[str, ...]:
    dtypes: set[str] = set()
    for path in sorted(folder.glob("*.safetensors")):
        try:
            dtypes |= {each.dtype for each in headers.read(path).tensors.values()}
        except Fault as fault:
            return (str(fault),)
    return tuple(sorted(dtypes)) or ("no weights",)


def _size(place: Path) -> int:
    files = [place] if place.is_file() else [path for path in place.rglob("*") if path.is_file()]
    return sum(path.stat().st_size for path in files)
