"""Pages told to programs: an endpoint's own OpenAPI document, and the list of endpoints."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic.json_schema import models_json_schema

from imagemill.dialects.fal.pages.model_page import ModelPage

QUEUE = "https://queue.fal.run"
RUN = "https://fal.run"
SITE = "https://fal.ai"
REFERENCE = "#/components/schemas/"
NULL = {"type": "null"}
PUBLISHED = "2026-11-20T00:00:00Z"  # when these pages were written


def openapi(
    page: ModelPage[Any], queue: str = QUEUE, site: str = SITE, statuses: Sequence[str] = ()
) -> dict[str, Any]:
    """How to ask for a picture by the queue. statuses: the wire's words, which a dialect knows."""
    schemas, taken, answered = _schemas(page)
    return {
        "openapi": "3.0.4",
        "info": {
            "title": f"Queue OpenAPI for {page.id}",
            "version": "1.0.0",
            "description": f"The queue of {page.id}: {page.description}",
            "x-fal-metadata": {
                "endpointId": page.id,
                "category": page.category,
                "thumbnailUrl": "",
                "playgroundUrl": f"{site}/models/{page.id}",
                "documentationUrl": f"{site}/models/{page.id}/api",
                "about": page.description,
            },
        },
        "components": {
            "securitySchemes": {
                "apiKeyAuth": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "Authorization",
                    "description": "Key and the key itself.",
                }
            },
            "schemas": {"QueueStatus": _queue_status(statuses), **schemas},
        },
        "paths": _paths(page, taken, answered),
        "servers": [{"url": queue}],
        "security": [{"apiKeyAuth": []}],
    }


def listing(
    pages: Iterable[ModelPage[Any]],
    run: str = RUN,
    next_cursor: str | None = None,
    expand: bool = False,
    queue: str = QUEUE,
    site: str = SITE,
    statuses: Sequence[str] = (),
) -> dict[str, Any]:
    """One answer of the platform's list. expand: each with its OpenAPI document."""
    items = [(page, _item(page, run)) for page in pages]
    if expand:
        for page, item in items:
            item["openapi"] = openapi(page, queue, site, statuses)
    return {
        "models": [item for _, item in items],
        "next_cursor": next_cursor,
        "has_more": next_cursor is not None,
    }


def _item(page: ModelPage[Any], run: str) -> dict[str, Any]:
    return {
        "endpoint_id": page.id,
        "metadata": {
            "display_name": page.title,
            "category": page.category,
            "description": page.description,
            "status": "active",
            "tags": ["open-weights"] if page.model.weights else [],
            "updated_at": PUBLISHED,
            "is_favorited": False,
            "thumbnail_url": "",
            "model_url": f"{run}/{page.id}",
            "date": PUBLISHED,
            "highlighted": False,
            "pinned": False,
        },
    }


def _paths(page: ModelPage[Any], taken: str, answered: str) -> dict[str, Any]:
    request = f"/{page.id}/requests/{{request_id}}"
    by_id = {
        "name": "request_id",
        "in": "path",
        "required": True,
        "schema": {"type": "string"},
        "description": "As the submission answered.",
    }
    logs = {
        "name": "logs",
        "in": "query",
        "required": False,
        "schema": {"type": "number"},
        "description": "1 to have the log lines too.",
    }
    body = {"schema": {"$ref": REFERENCE + taken}, "example": page.example}
    status = _content("How far the request is.", {"$ref": f"{REFERENCE}QueueStatus"})
    cancelled = {"type": "object", "properties": {"success": {"type": "boolean"}}}
    result = _content("What was painted.", {"$ref": REFERENCE + answered}, page.output_example)
    return {
        f"/{page.id}": {
            "post": {
                "requestBody": {"required": True, "content": {"application/json": body}},
                "responses": {"200": status},
            }
        },
        f"{request}/status": {
            "get": {"parameters": [by_id, logs], "responses": {"200": status, "202": status}}
        },
        f"{request}/cancel": {
            "put": {
                "parameters": [by_id],
                "responses": {"200": _content("Whether it was cancelled.", cancelled)},
            }
        },
        request: {"get": {"parameters": [by_id], "responses": {"200": result}}},
    }


def _content(description: str, schema: Mapping[str, Any], example: Any = None) -> dict[str, Any]:
    shown = {"schema": dict(schema)} | ({} if example is None else {"example": example})
    return {"description": description, "content": {"application/json": shown}}


def _queue_status(statuses: Sequence[str]) -> dict[str, Any]:
    text = {"type": "string"}
    properties: dict[str, Any] = {
        "status": {**text, "enum": list(statuses)} if statuses else text,
        "request_id": text,
        "response_url": text,
        "status_url": text,
        "cancel_url": text,
        "logs": {"type": "array", "items": {"type": "object"}, "nullable": True},
        "metrics": {"type": "object"},
        "queue_position": {"type": "integer", "description": "How many are before it."},
    }
    return {
        "type": "object",
        "properties": properties,
        "required": ["status", "request_id"],
        "x-fal-order-properties": list(properties),
    }


def _schemas(page: ModelPage[Any]) -> tuple[dict[str, Any], str, str]:
    """All schemas by name, and which of them are the input's and the output's."""
    references, whole = models_json_schema(
        [(page.Input, "validation"), (page.Output, "serialization")], ref_template="{model}"
    )
    definitions = whole["$defs"]
    # Two classes may tell of a type by one name, each on its own pages.
    names = {key: schema.get("title", key) for key, schema in definitions.items()}
    schemas = {names[key]: _in_openapi(schema, names) for key, schema in definitions.items()}
    taken = references[page.Input, "validation"]["$ref"]
    answered = references[page.Output, "serialization"]["$ref"]
    return schemas, names[taken], names[answered]


def _in_openapi(part: Any, names: Mapping[str, str]) -> Any:
    """A JSON Schema as OpenAPI 3.0 has it: no type null, no const, nothing beside a reference."""
    if isinstance(part, list):
        return [_in_openapi(one, names) for one in part]
    if not isinstance(part, dict):
        return part
    schema = {name: _in_openapi(value, names) for name, value in part.items()}
    if "$ref" in schema:
        reference = {"$ref": REFERENCE + names[schema.pop("$ref")]}
        return {"allOf": [reference], **schema} if schema else reference
    if "const" in schema:
        schema["enum"] = [schema.pop("const")]
    if NULL in schema.get("anyOf", []):
        kinds = [kind for kind in schema.pop("anyOf") if kind != NULL]
        if len(kinds) > 1:
            return {"anyOf": kinds, "nullable": True, **schema}
        only = {"allOf": kinds} if "$ref" in kinds[0] else kinds[0]
        return {**only, "nullable": True, **schema}
    return schema
