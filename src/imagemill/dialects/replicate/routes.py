"""Replicate's routes."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import APIRouter, Request, Response

from imagemill.dialects.replicate import vocabulary
from imagemill.dialects.replicate.files import FileIndex, Files
from imagemill.dialects.replicate.models import Models
from imagemill.dialects.replicate.predictions import Predictions
from imagemill.dialects.replicate.predictors import PREDICTORS
from imagemill.dialects.replicate.progress_webhooks import Watchers
from imagemill.dialects.replicate.read import DIALECT, Create, CreateByVersion
from imagemill.dialects.replicate.write import PREFIX
from imagemill.errors import Fault, Kind
from imagemill.http import json_body, operation, replies
from imagemill.http.context import AppContext

# Verb, path, handler, summary, and what the OpenAPI document says beyond them.
Row = tuple[str, str, operation.Handler, str, dict[str, Any]]
MODEL, DEPLOYMENT = "/models/{owner}/{name}", "/deployments/{owner}/{name}"

# What is kept elsewhere here, and where.
MODELS = "models are configured by the operator, with the setting models"
DEPLOYMENTS = "every model can be called as a deployment; there is nothing to change"
TRAININGS = "nothing is trained here; give a finished LoRA as lora_weights"
ABSENT: tuple[tuple[str, str, str], ...] = (
    ("POST", "/models", MODELS),
    ("PATCH", "/models/{owner}/{name}", MODELS),
    ("DELETE", "/models/{owner}/{name}", MODELS),
    ("DELETE", "/models/{owner}/{name}/versions/{id}", MODELS),
    ("POST", "/deployments", DEPLOYMENTS),
    ("PATCH", "/deployments/{owner}/{name}", DEPLOYMENTS),
    ("DELETE", "/deployments/{owner}/{name}", DEPLOYMENTS),
    ("POST", "/models/{owner}/{name}/versions/{id}/trainings", TRAININGS),
    ("GET", "/trainings", TRAININGS),
    ("GET", "/trainings/{id}", TRAININGS),
    ("POST", "/trainings/{id}/cancel", TRAININGS),
)


def routes(context: AppContext) -> APIRouter:
    file_index, watchers = FileIndex(context.files), Watchers(context.service)

    @asynccontextmanager
    async def lifespan(_: object) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await watchers.close()

    router = APIRouter(prefix=PREFIX, tags=["replicate"], lifespan=lifespan)
    predictions = Predictions(context, file_index, watchers)
    files, models = Files(context, file_index), Models(context)
    for row in (*_of_predictions(predictions), *_of_models(models), *_of_files(files)):
        _add(router, context, *row)
    for verb, path, why in ABSENT:
        _add(router, context, verb, path, _absent(why), "Not served here", None)
    return router


def _of_predictions(predictions: Predictions) -> tuple[Row, ...]:
    return (
        ("POST", "/predictions", predictions.by_version, "Create a prediction", BY_VERSION),
        ("POST", f"{MODEL}/predictions", predictions.by_model, "Ask a model", BY_MODEL),
        ("POST", f"{DEPLOYMENT}/predictions", predictions.by_model, "Ask a deployment", BY_MODEL),
        ("GET", "/predictions", predictions.list, "List predictions", LISTING),
        ("GET", "/predictions/{prediction_id}", predictions.get, "A prediction", {}),
        ("POST", "/predictions/{prediction_id}/cancel", predictions.cancel, "Cancel it", {}),
        ("GET", "/streams/{token}", predictions.stream, "Watch a prediction", STREAM),
    )


def _of_models(models: Models) -> tuple[Row, ...]:
    return (
        ("GET", "/models", models.list, "List models", CURSOR),
        ("QUERY", "/models", models.search, "Search models", {}),
        ("GET", MODEL, models.get, "A model", {}),
        ("GET", f"{MODEL}/versions", models.versions, "Versions of a model", {}),
        ("GET", f"{MODEL}/versions/{{version_id}}", models.version, "A version", {}),
        ("GET", "/deployments", models.deployments, "List deployments", {}),
        ("GET", DEPLOYMENT, models.deployment, "A deployment", {}),
        ("GET", "/collections", models.collections, "List collections", {}),
        ("GET", "/collections/{slug}", models.collection, "A collection", {}),
        ("GET", "/hardware", models.hardware, "List hardware", {}),
        ("GET", "/account", models.account, "The account", {}),
        ("GET", "/webhooks/default/secret", models.secret, "What signs webhooks", {}),
    )


def _of_files(files: Files) -> tuple[Row, ...]:
    return (
        ("POST", "/files", files.create, "Upload a file", UPLOAD),
        ("GET", "/files", files.list, "List files", {}),
        ("GET", "/files/{file_id}", files.get, "A file", {}),
        ("DELETE", "/files/{file_id}", files.delete, "Delete a file", {}),
        ("GET", "/files/{file_id}/download", files.download, "Download a file", SIGNED),
    )


def _add(
    router: APIRouter,
    context: AppContext,
    verb: str,
    path: str,
    handler: operation.Handler,
    summary: str,
    document: dict[str, Any] | None,
) -> None:
    """document: what the OpenAPI document says beyond the path; None for nothing at all."""
    answers = (document or {}).get("responses", {})
    router.add_api_route(
        path,
        operation.answering(context, DIALECT, vocabulary.refuse, handler),
        methods=[verb],
        response_class=Response,
        status_code=min([code for code in answers if code < 300], default=200),
        summary=summary,
        operation_id=f"replicate_{verb.lower()}_{_plain(path)}",
        # OpenAPI 3.1 has no word for the method QUERY.
        include_in_schema=document is not None and verb != "QUERY",
        openapi_extra={
            name: each for name, each in (document or {}).items() if name != "responses"
        },
        responses=replies.responses(vocabulary.CODES, ERROR) | answers,
    )


def _plain(path: str) -> str:
    return path.strip("/").replace("/", "_").replace("{", "").replace("}", "")


def _absent(why: str) -> Callable[[Request], Any]:
    async def absent(request: Request) -> Response:
        raise Fault(Kind.UNSUPPORTED, f"{request.method} {request.url.path[:200]}: {why}")

    return absent


def _query(*names: str) -> list[dict[str, Any]]:
    return [{"name": name, "in": "query", "schema": {"type": "string"}} for name in names]


ERROR: dict[str, Any] = {
    "type": "object",
    "required": ["title", "detail", "status", "error"],
    "properties": {
        "title": {"type": "string"},
        "detail": {"type": "string"},
        "status": {"type": "integer"},
        "error": {"type": "string"},
        "invalid_fields": {"type": "array", "items": {"type": "object"}},
    },
}
_HEADERS = [
    {
        "name": "Prefer",
        "in": "header",
        "description": "wait, or wait=n: hold the answer for n seconds; more than 60 are 60.",
        "schema": {"type": "string"},
    },
    {
        "name": "Cancel-After",
        "in": "header",
        "description": "After how long the prediction is cancelled: 30s, 5m, 1h30m.",
        "schema": {"type": "string"},
    },
]
_INPUT = PREDICTORS["black-forest-labs/flux-dev"].openapi()["components"]["schemas"]["Input"]
_DONE: dict[int | str, Any] = {
    201: {"description": "The prediction; with its output, where that was waited for"},
    202: {"description": "The prediction, which took longer than was waited"},
}


def _creation(model: type[Create]) -> dict[str, Any]:
    schema = json_body.schema(model)
    schema["properties"]["input"] = _INPUT | {"description": "By the model's own schema."}
    content = {"application/json": {"schema": schema}}
    return {
        "requestBody": {"required": True, "content": content},
        "parameters": _HEADERS,
        "responses": _DONE,
    }


BY_VERSION, BY_MODEL = _creation(CreateByVersion), _creation(Create)
LISTING = {"parameters": _query("cursor", "created_after", "created_before", "source")}
CURSOR = {"parameters": _query("cursor")}
SIGNED = {"parameters": _query("owner", "expiry", "signature")}
STREAM = {"responses": {200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}}}
UPLOAD: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["content"],
                    "properties": {
                        "content": {"type": "string", "format": "binary"},
                        "metadata": {"type": "string", "description": "A JSON object."},
                    },
                }
            }
        },
    },
    "responses": {201: {"description": "The file"}},
}
