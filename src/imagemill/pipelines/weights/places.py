"""Where a model lies: a folder, a file, or what the Hub's cache has of it."""

import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import constants, hf_hub_download, snapshot_download

from imagemill.model_spec import ModelSpec
from imagemill.pico import folder
from imagemill.pipelines.families import EMBEDDED
from imagemill.pipelines.weights.headers import broken

log = logging.getLogger(__name__)
FILES = (".safetensors", ".gguf", ".ckpt")
INDEX = "model_index.json"


def locate(source: str, spec: ModelSpec) -> Path:
    """A folder or file; what is on the Hub and not in its cache is fetched.

    Raises a Fault where there is none.
    """
    if source == EMBEDDED:
        return folder()
    path = Path(source).expanduser()
    if path.exists():
        return path
    if not on_hub(source):
        raise broken(
            f"there is no folder or file {path.name} where the configuration says; correct `source`"
        )
    owner, name, *inside = source.split("/")
    try:
        return _of_hub(f"{owner}/{name}", "/".join(inside), spec)
    except Exception as error:  # of many kinds: absent, gated, no network, no room
        log.warning("%s could not be fetched from the Hub", source, exc_info=error)
        offline = " (HF_HUB_OFFLINE is set)" if constants.HF_HUB_OFFLINE else ""
        raise broken(
            f"{source} is neither a folder here nor whole in the Hub's cache, and the Hub gave "
            f"nothing{offline}: {type(error).__name__}; run `imagemill models pull {source}` "
            "with a network, or give a folder"
        ) from error


def here(source: str, spec: ModelSpec) -> Path | None:
    """A folder or file, the Hub's cache among them; None where nothing of it is in this machine."""
    if source == EMBEDDED:
        return folder()
    path = Path(source).expanduser()
    if path.exists() or not on_hub(source):
        return path if path.exists() else None
    owner, name, *inside = source.split("/")
    try:
        id, revision = f"{owner}/{name}", spec.revision
        cached = Path(snapshot_download(id, revision=revision, local_files_only=True))
    except OSError:
        return None
    place = cached.joinpath(*inside)
    return place if place.exists() else None


def inside(place: Path, part: str) -> Path:
    """Where a part lies of a model's folder, or of what is that part's own."""
    return place / part if (place / part).is_dir() else place


def pulled(spec: ModelSpec) -> Path:
    """Fetches what is newest of a Hub id; where that cannot be, tells what the cache has."""
    source = spec.source
    if not on_hub(source):
        raise broken(f"{source} is no Hub id; write it owner/name")
    try:
        owner, name, *inside = source.split("/")
        if inside:
            return Path(
                hf_hub_download(f"{owner}/{name}", "/".join(inside), revision=spec.revision)
            )
        return fetched(source, spec)
    except Exception as error:  # of many kinds: absent, gated, no network, no room
        log.warning("%s could not be fetched from the Hub", source, exc_info=error)
        cached = here(source, spec)
        state = (
            "nothing of it is"
            if cached is None
            else "all of it is"
            if whole(cached)
            else "part of it is"
        )
        raise broken(
            f"{source} could not be fetched from the Hub ({type(error).__name__}); {state} in the "
            "cache"
        ) from error


def on_hub(source: str) -> bool:
    """Whether it has the form of a Hub id, or of a file within one."""
    parts = source.split("/")
    named = len(parts) == 2 or (len(parts) > 2 and source.endswith(FILES))
    return named and all(parts) and not source.startswith((".", "~", os.sep))


def _of_hub(id: str, file: str, spec: ModelSpec) -> Path:
    if file:
        return Path(hf_hub_download(id, file, revision=spec.revision))
    try:
        cached = Path(snapshot_download(id, revision=spec.revision, local_files_only=True))
        if whole(cached):
            return cached
    except OSError:
        pass
    return fetched(id, spec)


def fetched(id: str, spec: ModelSpec) -> Path:
    """Fetches what the pipeline needs of a Hub id, and no more."""
    from diffusers import DiffusionPipeline
    from diffusers.utils import logging as theirs

    theirs.set_verbosity_error()  # what they warn of is told here
    place: str = DiffusionPipeline.download(
        id,
        revision=spec.revision,
        variant=spec.variant,
        use_safetensors=None if spec.pickles else True,
    )
    return Path(place)


def whole(place: Path) -> bool:
    """Whether each part that the index names has its folder; what is in them is checked later."""
    if not (place / INDEX).is_file():
        return False
    parts = components(read_index(place))
    return all((place / name).is_dir() for name, (library, _) in parts.items() if library)


def read_index(place: Path) -> dict[str, Any]:
    """What a folder says of its pipeline."""
    path = place / INDEX
    if not path.is_file():
        raise broken(_no_index(place))
    try:
        index = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise broken(f"{INDEX} of {place.name} is damaged; fetch the model anew") from error
    if not isinstance(index, dict) or not isinstance(index.get("_class_name"), str):
        raise broken(f"{INDEX} of {place.name} names no pipeline; fetch the model anew")
    return index


def components(index: Mapping[str, Any]) -> dict[str, tuple[str | None, str | None]]:
    """Library and class of each part, both None where the model has none."""
    return {
        name: (value[0], value[1])
        for name, value in index.items()
        if isinstance(value, list) and len(value) == 2
    }


def _no_index(place: Path) -> str:
    if (place / "config.json").is_file():
        return f"{place.name} is one part of a model; give the folder above it, with {INDEX}"
    files = sorted(path.name for path in place.iterdir() if path.name.endswith(FILES))
    way = (
        f"to serve a single file give its own path, as .../{files[0]}"
        if files
        else "correct `source`"
    )
    return f"{place.name} is no model's folder: it has no {INDEX}; {way}"
