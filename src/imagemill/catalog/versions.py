"""What changes when a model would paint other bytes: its weights, and the libraries that run it."""

import importlib.resources
from importlib.metadata import version
from pathlib import Path

from imagemill import __version__
from imagemill.files import key
from imagemill.pipelines.families import EMBEDDED

LIBRARIES = ("torch", "diffusers", "transformers", "pillow")
WEIGHTS = (".safetensors", ".bin", ".json", ".model", ".txt", ".gguf")


def fingerprint(source: str) -> str:
    """Of the weights at `source` by name, size and time of each file; reading them would take long.

    A Hub id stands for itself: which revision is loaded is known to the engine alone.
    """
    libraries = [f"{name} {version(name)}" for name in LIBRARIES]
    return key(__version__, libraries, source, _listing(_folder(source)))


def _folder(source: str) -> Path:
    if source == EMBEDDED:
        return Path(str(importlib.resources.files("imagemill"))) / "pico"
    return Path(source)


def _listing(folder: Path) -> list[tuple[str, int, int]]:
    found = []
    for path in sorted(folder.rglob("*")):
        if path.suffix in WEIGHTS and path.is_file():
            stat = path.stat()
            found.append((path.relative_to(folder).as_posix(), stat.st_size, stat.st_mtime_ns))
    return found
