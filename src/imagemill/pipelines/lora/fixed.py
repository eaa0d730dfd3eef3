"""LoRAs that an operator has always on, of a model's table in `[models]`."""

import hashlib
from pathlib import Path

from imagemill.generation import LORA_FILE, LoraFile
from imagemill.model_spec import FixedLora, ModelSpec
from imagemill.pipelines.inputs import Weights
from imagemill.pipelines.weights.headers import broken
from imagemill.pipelines.weights.places import locate


def fixed_loras(spec: ModelSpec) -> tuple[Weights, ...]:
    """In the order of the table; raises a Fault where a file is not there."""
    return tuple(_weights(each, spec) for each in spec.loras if each.scale != 0)


def _weights(lora: FixedLora, spec: ModelSpec) -> Weights:
    here = Path(lora.path).expanduser().exists()
    # Of a repository of the Hub this file alone is fetched.
    path = locate(lora.path if here or _is_file(lora) else f"{lora.path}/{_name(lora)}", spec)
    if path.is_dir():
        path /= _name(lora)
    if not path.is_file():
        raise broken(f"the LoRA {lora.path} has no file {path.name}; give it as weight_name")
    digest = _digest(path)
    return Weights(digest, lora.scale, LoraFile(path, digest, path.stat().st_size))


def _name(lora: FixedLora) -> str:
    return lora.weight_name or LORA_FILE


def _is_file(lora: FixedLora) -> bool:
    return lora.path.endswith(".safetensors")


def _digest(path: Path) -> str:
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
