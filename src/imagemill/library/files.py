"""The files that a call names: images and LoRAs, all of this machine."""

import hashlib
import re
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from imagemill.errors import Fault, Kind, invalid
from imagemill.generation import LORA_FILE, MASKS, Lora, LoraFile
from imagemill.images.decode import read_image, read_mask
from imagemill.library.results import GeneratedImage

if TYPE_CHECKING:
    from PIL import Image as Pillow

PLAIN_MODES = frozenset({"1", "L", "LA", "P", "RGB", "RGBA", "I", "I;16"})  # that PNG has
_URL = re.compile(r"(https?://|data:)", re.IGNORECASE)
_HUB = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*", re.ASCII)


def content_of(value: "GeneratedImage | Pillow.Image | bytes | str | Path", field: str) -> bytes:
    """A plain PNG of whatever stands for an image; raises a Fault where it is none."""
    read = read_mask if field in MASKS else read_image
    return read(_bytes(value, field), field)


def lora_file(lora: Lora) -> LoraFile:
    """The file of a LoRA: one that lies here, or of the Hub, whence it is fetched once."""
    _refuse_url(lora.path, "loras")
    path = Path(lora.path).expanduser()
    if not path.is_file():
        path = _of_hub(lora)
    with path.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    return LoraFile(path, digest, path.stat().st_size)


def _bytes(value: "GeneratedImage | Pillow.Image | bytes | str | Path", field: str) -> bytes:
    if isinstance(value, GeneratedImage):
        return value.data
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    if isinstance(value, str | Path):
        _refuse_url(str(value), field)
        return Path(value).expanduser().read_bytes()
    if not hasattr(value, "save"):
        kinds = "an image of Pillow, bytes or a path"
        raise invalid(field, f"the {field} is {type(value).__name__}; give {kinds}")
    buffer = BytesIO()
    plain = value if value.mode in PLAIN_MODES else value.convert("RGB")
    plain.save(buffer, "png", compress_level=1)
    return buffer.getvalue()


def _refuse_url(reference: str, field: str) -> None:
    if _URL.match(reference):
        message = f"{reference!r:.80} is an address; fetch it first, and give the file"
        raise invalid(field, message)


def _of_hub(lora: Lora) -> Path:
    if not _HUB.fullmatch(lora.path):
        message = f"{lora.path!r:.80} is no file; give one of safetensors, or owner/name of the Hub"
        raise invalid("loras", message)
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    name = lora.weight_name or LORA_FILE
    try:
        return Path(hf_hub_download(lora.path, name))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        line = next(iter(str(error).splitlines()), type(error).__name__)
        message = f"{name} of {lora.path} cannot be had from the Hub: {line}"
        raise Fault(Kind.UNREACHABLE, message, "loras") from None
