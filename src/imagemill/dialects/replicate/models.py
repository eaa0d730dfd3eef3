"""What can be asked of this server, in Replicate's words: models, versions, deployments."""

import base64
from dataclasses import dataclass
from typing import Any

from fastapi import Request, Response
from fastapi.responses import JSONResponse

from imagemill.dialects.replicate import ids
from imagemill.dialects.replicate.files import OWNER
from imagemill.dialects.replicate.read import credential
from imagemill.dialects.replicate.targets import Target, at_version, by_model, version_of
from imagemill.dialects.replicate.targets import ids as model_ids
from imagemill.dialects.replicate.write import PREFIX
from imagemill.errors import Fault, Kind, invalid
from imagemill.http import json_body, operation
from imagemill.http.context import AppContext
from imagemill.http.identity import caller_of

# Clients take schemas for what they were from this version of Cog on.
COG_VERSION = "0.16.0"
WRITTEN = "2026-11-20T00:00:00.000Z"  # when the schemas were
PAGE = 20  # models of one page
MAX_QUERY = 2**12  # bytes
HARDWARE = [{"sku": "local", "name": "What this server runs on"}]
ACCOUNT = {"type": "user", "username": OWNER, "name": OWNER, "github_url": None}
COLLECTIONS: dict[str, dict[str, str]] = {
    "text-to-image": {
        "name": "Generate images",
        "slug": "text-to-image",
        "description": "The models that this server answers for by name.",
    },
}


@dataclass(frozen=True)
class Models:
    """The routes that tell."""

    #: Of the server.
    context: AppContext

    async def list(self, request: Request) -> Response:
        """The models that this server knows by name; it answers for others, too."""
        credential(request.headers)
        names, start = model_ids(self.context.catalog), _start(request)
        more = start + PAGE < len(names)
        path = f"{self.context.base(request)}{PREFIX}/models"
        body = {
            "previous": f"{path}?cursor={_cursor(max(0, start - PAGE))}" if start else None,
            "next": f"{path}?cursor={_cursor(start + PAGE)}" if more else None,
            "results": [self._model(request, id) for id in names[start : start + PAGE]],
        }
        return JSONResponse(body)

    async def search(self, request: Request) -> Response:
        """The models whose name or description has all the words of the body."""
        credential(request.headers)
        text = json_body.text(await operation.read_body(request, MAX_QUERY))
        words = text.strip().strip('"').lower().split()
        every = [self._model(request, id) for id in model_ids(self.context.catalog)]
        matching = [each for each in every if all(word in _searched(each) for word in words)]
        return JSONResponse({"previous": None, "next": None, "results": matching})

    async def get(self, request: Request, owner: str, name: str) -> Response:
        """A model with its latest version."""
        credential(request.headers)
        return JSONResponse(self._model(request, f"{owner}/{name}"))

    async def versions(self, request: Request, owner: str, name: str) -> Response:
        """The versions of a model: the one that its weights make."""
        credential(request.headers)
        target = by_model(self.context.catalog, f"{owner}/{name}")
        return JSONResponse({"previous": None, "next": None, "results": [_version(target)]})

    async def version(self, request: Request, owner: str, name: str, version_id: str) -> Response:
        """A version with its schema; one that is not known is told as it would be served."""
        credential(request.headers)
        return JSONResponse(
            _version(at_version(self.context.catalog, f"{owner}/{name}", version_id))
        )

    async def deployments(self, request: Request) -> Response:
        """Every model can be called as a deployment."""
        credential(request.headers)
        results = [self._deployment(id) for id in model_ids(self.context.catalog)]
        return JSONResponse({"previous": None, "next": None, "results": results})

    async def deployment(self, request: Request, owner: str, name: str) -> Response:
        """The deployment of a model."""
        credential(request.headers)
        return JSONResponse(self._deployment(f"{owner}/{name}"))

    async def collections(self, request: Request) -> Response:
        """The collections of models."""
        credential(request.headers)
        results = [*COLLECTIONS.values()]
        return JSONResponse({"previous": None, "next": None, "results": results})

    async def collection(self, request: Request, slug: str) -> Response:
        """A collection with its models."""
        credential(request.headers)
        if slug not in COLLECTIONS:
            known = ", ".join(COLLECTIONS)
            raise Fault(Kind.NOT_FOUND, f"there is no collection {slug!r:.80}; there is {known}")
        models = [self._model(request, id) for id in model_ids(self.context.catalog)]
        return JSONResponse(COLLECTIONS[slug] | {"models": models})

    async def hardware(self, request: Request) -> Response:
        """The hardware that there is."""
        credential(request.headers)
        return JSONResponse(HARDWARE)

    async def account(self, request: Request) -> Response:
        """Who the caller is: the same for all."""
        credential(request.headers)
        return JSONResponse(ACCOUNT)

    async def secret(self, request: Request) -> Response:
        """What webhooks for this caller are signed with."""
        credential(request.headers)
        caller = caller_of(request.headers)
        if not caller:  # one key for all of them would let each forge what the others are told
            raise Fault(Kind.DENIED, "a key belongs to a token; send a token, which may be any")
        key = ids.signing_key(self.context.service.signing_secret(), caller)
        return JSONResponse({"key": ids.encoded_key(key)})

    def _model(self, request: Request, id: str) -> dict[str, Any]:
        target = by_model(self.context.catalog, id)
        owner, _, name = id.partition("/")
        return {
            "url": f"{self.context.base(request)}{PREFIX}/models/{id}",
            "owner": owner,
            "name": name,
            "description": target.predictor.description,
            "visibility": "public",
            "github_url": None,
            "paper_url": None,
            "license_url": None,
            "run_count": 0,  # nobody counts
            "cover_image_url": None,
            "default_example": None,
            "latest_version": _version(target),
        }

    def _deployment(self, id: str) -> dict[str, Any]:
        target = by_model(self.context.catalog, id)
        owner, _, name = id.partition("/")
        return {
            "owner": owner,
            "name": name,
            "current_release": {
                "number": 1,
                "model": id,
                "version": version_of(target.endpoint),
                "created_at": WRITTEN,
                "created_by": ACCOUNT,
                "configuration": {
                    "hardware": HARDWARE[0]["sku"],
                    "min_instances": 1,
                    "max_instances": 1,
                },
            },
        }


def _searched(model: dict[str, Any]) -> str:
    return f"{model['owner']}/{model['name']} {model['description']}".lower()


def _version(target: Target) -> dict[str, Any]:
    return {
        "id": target.version,
        "created_at": WRITTEN,
        "cog_version": COG_VERSION,
        "openapi_schema": target.predictor.openapi(),
    }


def _cursor(start: int) -> str:
    return base64.urlsafe_b64encode(str(start).encode()).decode().rstrip("=")


def _start(request: Request) -> int:
    cursor = request.query_params.get("cursor")
    if cursor is None:
        return 0
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii")
    except ValueError:
        text = ""
    if not (text.isdigit() and len(text) < 10):
        raise invalid("cursor", f"cursor {cursor!r:.80} was not given here; begin without one")
    return int(text)
