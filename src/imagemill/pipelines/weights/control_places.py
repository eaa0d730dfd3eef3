"""Where a ControlNet lies: a folder, a file, or what the Hub's cache has of it. No torch."""

import logging
from pathlib import Path

from huggingface_hub import hf_hub_download, snapshot_download

from imagemill.errors import Fault, Kind
from imagemill.pipelines.weights.files import chosen
from imagemill.pipelines.weights.places import on_hub

log = logging.getLogger(__name__)
CONFIG = "config.json"
WANTED = [CONFIG, "diffusion_pytorch_model*.safetensors*"]  # of what a Hub id has
FIELD = "control.path"  # of a generation, where the ControlNet is named


def located(source: str) -> Path:
    """A folder or file; what is on the Hub and not in its cache is fetched.

    Raises a Fault where there is none.
    """
    if (place := here(source)) is not None:
        return place
    if not on_hub(source):
        message = "the ControlNet's file is not where it was; try again, or name another"
        raise Fault(Kind.FAILED, message, FIELD)
    owner, name, *inside = source.split("/")
    try:
        if inside:
            return Path(hf_hub_download(f"{owner}/{name}", "/".join(inside)))
        return Path(snapshot_download(source, allow_patterns=WANTED))
    except Exception as error:  # of many kinds: absent, gated, no network, no room
        log.warning("the ControlNet %s could not be fetched from the Hub", source, exc_info=error)
        raise Fault(
            Kind.FAILED,
            "the ControlNet is neither a folder here nor in the Hub's cache, and the Hub gave "
            f"nothing: {type(error).__name__}; have the operator name a folder",
            FIELD,
        ) from error


def here(source: str) -> Path | None:
    """None where nothing of it is on this machine."""
    path = Path(source).expanduser()
    if path.exists() or not on_hub(source):
        return path if path.exists() else None
    owner, name, *inside = source.split("/")
    try:
        cached = Path(snapshot_download(f"{owner}/{name}", local_files_only=True))
    except OSError:
        return None
    place = cached.joinpath(*inside)
    return place if place.is_file() or (place.is_dir() and chosen(place, None)[1]) else None


def files_at(source: str) -> list[Path]:
    """The files with weights of a ControlNet; empty where it is not on this machine."""
    place = here(source)
    if place is None:
        return []
    return [place] if place.is_file() else chosen(place, None)[1]
