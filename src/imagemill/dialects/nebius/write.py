"""What was painted, and what can paint, in Nebius' words."""

import base64
from collections.abc import Iterator
from itertools import zip_longest
from typing import Any

from imagemill.catalog import Catalog
from imagemill.dialects import hub_models
from imagemill.dialects.nebius.vocabulary import DIALECT
from imagemill.errors import Fault, Kind
from imagemill.job import Job


def reply(id: str, created: float, images: tuple[bytes, ...], urls: list[str]) -> dict[str, Any]:
    """Pictures, or where they lie, or both; `created` is for OpenAI's clients, which read it."""
    texts = [base64.b64encode(each).decode() for each in images]
    data = [{"b64_json": text, "url": url} for text, url in zip_longest(texts, urls)]
    return {"id": id, "created": int(created), "data": data}


def urls(job: Job, base: str) -> list[str]:
    """Where the pictures of a job that has succeeded lie."""
    assert job.result is not None
    return [f"{base}/{file.key}" for file in job.result.files]


def models(catalog: Catalog) -> dict[str, Any]:
    return {"object": "list", "data": [_model(name) for name in _names(catalog)]}


def model(catalog: Catalog, name: str) -> dict[str, Any]:
    """Raises a Fault where there is none of this name."""
    if name not in _names(catalog):
        message = f"there is no model {name!r:.200}; GET /nebius/v1/models lists them"
        raise Fault(Kind.NOT_FOUND, message, "model")
    return _model(name)


def _names(catalog: Catalog) -> Iterator[str]:
    for id in catalog.models():
        if catalog.serves(id):  # fal's applications have no name that Nebius could say
            yield hub_models.mapped(id).get(DIALECT, id)


def _model(name: str) -> dict[str, Any]:
    owner = name.rpartition("/")[0]
    return {"id": name, "object": "model", "created": 0, "owned_by": owner}
