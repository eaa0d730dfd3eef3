"""What A1111 tells of itself: lists that clients fill their menus with, most of them empty here."""

import os
import resource
import sys
from collections.abc import Callable, Mapping
from typing import Any

from imagemill.catalog import Catalog
from imagemill.dialects.sdapi import checkpoints, write
from imagemill.dialects.sdapi.samplers import SAMPLERS, SCHEDULES
from imagemill.finishing import STYLES, words

Listing = Callable[[Catalog], Any]


def _models(catalog: Catalog) -> list[dict[str, Any]]:
    return [write.model(id) for id in checkpoints.ids(catalog)]


def _samplers(_: Catalog) -> list[dict[str, Any]]:
    return [{"name": each.name, "aliases": [*each.aliases], "options": {}} for each in SAMPLERS]


def _styles(_: Catalog) -> list[dict[str, Any]]:
    return [
        {"name": name, "prompt": words(name), "negative_prompt": None}
        for name in STYLES
        if words(name)
    ]


def _memory(_: Catalog) -> dict[str, Any]:
    """Of the process that speaks HTTP: the engine is another, perhaps on another machine."""
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    unit = 1 if sys.platform == "darwin" else 1024
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    ram = {"free": max(0, total - used), "used": used, "total": total}
    return {"ram": ram, "cuda": {"error": "unavailable"}}


def _as_is(value: Any) -> Listing:
    return lambda _: value


_UPSCALER = {"name": "None", "model_name": None, "model_path": None, "model_url": None, "scale": 1}

LISTS: Mapping[str, Listing] = {
    "sd-models": _models,
    "samplers": _samplers,
    "schedulers": _as_is([*SCHEDULES]),
    "upscalers": _as_is([_UPSCALER]),
    "latent-upscale-modes": _as_is([]),
    "loras": _as_is([]),
    "embeddings": _as_is({"loaded": {}, "skipped": {}}),
    "hypernetworks": _as_is([]),
    "prompt-styles": _styles,
    "face-restorers": _as_is([]),
    "realesrgan-models": _as_is([]),
    "sd-vae": _as_is([]),
    "sd-modules": _as_is([]),
    "scripts": _as_is({"txt2img": [], "img2img": []}),
    "script-info": _as_is([]),
    "extensions": _as_is([]),
    "cmd-flags": _as_is({"api": True, "nowebui": True, "api_server_stop": False}),
    "memory": _memory,
}

# What there is nothing to be done for, and what A1111 answers.
DONE: Mapping[str, Any] = {
    "refresh-checkpoints": None,
    "refresh-vae": None,
    "refresh-loras": None,
    "refresh-embeddings": None,
    "unload-checkpoint": {},
    "reload-checkpoint": {},
}

# What is not done here, and the way out.
REFUSED: Mapping[str, str] = {
    "extra-single-image": "pictures are not enlarged here; paint them larger, or img2img at a size",
    "extra-batch-images": "pictures are not enlarged here; paint them larger, or img2img at a size",
    "interrogate": "pictures are not described here; png-info tells how one of ours was made",
    "create/embedding": "nothing is trained here; make the file elsewhere",
    "create/hypernetwork": "nothing is trained here; make the file elsewhere",
    "train/embedding": "nothing is trained here; make the file elsewhere",
    "train/hypernetwork": "nothing is trained here; make the file elsewhere",
    "server-kill": "the server is not stopped from here; ask its operator",
    "server-restart": "the server is not stopped from here; ask its operator",
    "server-stop": "the server is not stopped from here; ask its operator",
}
