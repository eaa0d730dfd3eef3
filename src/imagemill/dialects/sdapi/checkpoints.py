"""Checkpoints, which here are model ids: what clients are told, and what they may call them."""

import re

from imagemill.catalog import Catalog, Endpoint
from imagemill.errors import Fault, Kind

_SHORT = 10  # digits of a hash, as A1111 tells it
_HASH = re.compile(r"\[[0-9a-f]{6,64}\]$")
_SUFFIX = re.compile(r"\.(safetensors|ckpt|sft)$", re.IGNORECASE)


def ids(catalog: Catalog) -> list[str]:
    """The ids that are told; where stand-ins are allowed, others are answered too."""
    names = [catalog.default]
    for name in catalog.names():
        model = catalog.model(name)
        names += [id for id in (model and model.weights, name) if id and catalog.serves(id)]
    return list(dict.fromkeys(names))


def short_hash(version: str) -> str:
    """Of the weights of a version, as A1111 writes it."""
    return version[:_SHORT]


def find(catalog: Catalog, name: str) -> Endpoint:
    """What a title, a name or a file name of A1111's means; nothing means the usual model."""
    bare = _SUFFIX.sub("", _HASH.sub("", name.strip()).rstrip())
    if bare in ("", "None"):
        return catalog.find(catalog.default)
    known = {id.lower(): id for id in ids(catalog)}
    try:
        return catalog.find(known.get(bare.lower(), bare))
    except Fault as fault:
        raise Fault(Kind.NOT_FOUND, fault.message, "sd_model_checkpoint") from None
