"""What changes when a model would paint other bytes: its weights, and the libraries that run it."""

import importlib.resources
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

from imagemill import __version__
from imagemill.files import key
from imagemill.model_spec import ModelSpec
from imagemill.pipelines.families import EMBEDDED

LIBRARIES = ("torch", "diffusers", "transformers", "pillow")
WEIGHTS = (".safetensors", ".bin", ".json", ".model", ".txt", ".gguf", ".ckpt")


def fingerprint(address: str) -> str:
    """Of the weights at `address` by name, size and time of each file; reading them would take
    long.

    A Hub id stands for itself: which revision is loaded is known to the engine alone.
    """
    libraries = [f"{name} {version(name)}" for name in LIBRARIES]
    spec = replace(ModelSpec.at(address), keep=False)  # which changes no picture
    loras = [each.path for each in spec.loras]
    places = [spec.source, *spec.parts.values(), *loras, *spec.textual_inversions, spec.config]
    return key(
        __version__, libraries, spec.address, [_listing(_place(each)) for each in places if each]
    )


def _place(source: str) -> Path:
    if source == EMBEDDED:
        return Path(str(importlib.resources.files("imagemill"))) / "pico"
    return Path(source).expanduser()


def _listing(place: Path) -> list[tuple[str, int, int]]:
    paths = [place] if place.is_file() else sorted(place.rglob("*"))
    files = []
    for path in paths:
        if path.suffix in WEIGHTS and path.is_file():
            stat = path.stat()
            files.append((path.relative_to(place).as_posix(), stat.st_size, stat.st_mtime_ns))
    return files
