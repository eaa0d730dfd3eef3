"""Whoever comes to no route is refused in the words of the API that was asked."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from imagemill.doors import DIALECTS
from tests.test_admission import PAGE, REBOUND, SIMPLE, all_routes, open_server

pytestmark = pytest.mark.anyio

# A path of each API, and its errors: `...` is where its clients look for the sentence.
FLAT: Any = {"error": ...}
DETAILS = {"code": None, "param": None, "type": "invalid_request_error"}
ERRORS: Mapping[str, Any] = {
    "/hf-inference/models/a/b": FLAT,
    "/models/a/b": FLAT,
    "/fal/run/fal-ai/flux/dev": {"detail": ..., "error_type": str, "message": ...},
    "/fal/rest/storage/upload/initiate": {"detail": ..., "error_type": str, "message": ...},
    "/fal-ai/flux/dev": {"detail": ..., "error_type": str, "message": ...},
    "/replicate/v1/predictions": {"title": str, "detail": ..., "status": int, "error": ...},
    "/openai/v1/images/generations": {"error": {"message": ...} | DETAILS},
    "/together/v1/images/generations": {"error": {"message": ...} | DETAILS},
    "/nebius/v1/images/generations": {"detail": ..., "error": {"message": ...}},
    "/nebula/api/v1/images/generation": {"message": ..., "status": "failed"},
    "/sdapi/v1/txt2img": {"error": "HTTPException", "detail": ..., "body": "", "errors": ...},
    "/queue/status": {"error": "HTTPException", "detail": ..., "body": "", "errors": ...},
    "/api/models": FLAT,
    "/flat/a/b": FLAT,
    "/": FLAT,
}
# How a call is refused, by its verb and headers: the status, and how the sentence ends.
REFUSALS: Mapping[str, tuple[str, dict[str, str], int, str]] = {
    "page": ("POST", SIMPLE | {"origin": PAGE}, 403, "their origin in the setting origins"),
    "name": ("POST", {"host": REBOUND}, 421, "add the name to the setting hosts"),
    "host": ("POST", {"host": "a b"}, 400, "send a name or an address, and a port if need be"),
    "verb": ("DELETE", {}, 405, "method not allowed; see /docs"),
}
# What is this server's own, beside the APIs that it answers.
OWN = ("/docs", "/files", "/health", "/metrics", "/openapi.json", "/static-offline-docs")


def sentences(shape: Any, body: Any) -> list[str]:
    """What stands where a sentence is to be; the rest must be as in `shape`."""
    if shape is ...:
        return [body]
    if isinstance(shape, list):
        assert len(body) == len(shape), (shape, body)
        return [each for pair in zip(shape, body, strict=True) for each in sentences(*pair)]
    if not isinstance(shape, dict):
        fits = type(body) is shape if isinstance(shape, type) else body == shape
        assert fits, f"{body!r} is not {shape!r}, as ERRORS has it"
        return []
    assert body.keys() == shape.keys()
    return [each for name in shape for each in sentences(shape[name], body[name])]


@pytest.mark.parametrize("how", REFUSALS)
@pytest.mark.parametrize("path", ERRORS)
async def test_a_refusal_has_the_words_of_the_api_that_was_asked(
    path: str, how: str, tmp_path: Path
) -> None:
    verb, headers, status, way_out = REFUSALS[how]
    async with open_server(tmp_path) as client:
        reply = await client.request(verb, path, content=b"{}", headers=headers)
    assert reply.status_code == status, reply.text
    body = reply.json()
    assert body.get("status") in (None, "failed", status), "Replicate's stands in the body, too"
    found = sentences(ERRORS[path], body)
    assert len({*found}) == 1
    assert found[0].endswith(way_out)
    assert ("allow" in reply.headers) is (how == "verb")


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("/fal/nowhere", ["detail"]),
        ("/replicate/v1/nowhere", ["detail"]),
        ("/openai/v1/nowhere", ["error", "message"]),
        ("/nebula/nowhere", ["message"]),
        ("/api/now%0Ahere", ["error"]),
        ("/nowhere", ["error"]),
    ],
)
async def test_a_path_that_is_not_there_is_told_in_the_words_of_its_api(
    path: str, place: list[str], tmp_path: Path
) -> None:
    async with open_server(tmp_path) as client:
        reply = await client.get(path)
    told = reply.json()
    for name in place:
        told = told[name]
    assert reply.status_code == 404
    assert told == f"GET {path.replace('%0A', chr(10))}: not found; see /docs"
    assert "\n" not in reply.headers.get("x-error-message", "")


async def test_who_comes_through_hugging_face_s_router_is_told_in_the_one_way_that_it_shows(
    tmp_path: Path,
) -> None:
    headers = {"user-agent": "unknown/None; hf_hub/1.0.0", "host": REBOUND}
    async with open_server(tmp_path) as client:
        for path in ("/together/v1/images/generations", "/nebius/v1/images/generations"):
            reply = await client.post(path, content=b"{}", headers=headers)
            assert sentences(FLAT, reply.json())


def test_every_path_of_an_api_is_below_one_of_its_dialect_s(tmp_path: Path) -> None:
    """So that no dialect is refused in the words of another, which stands for what is left."""
    *dialects, last = DIALECTS
    below = tuple(beginning for dialect in dialects for beginning in dialect.below)
    left = {path for _, path in all_routes(tmp_path) if not path.startswith((*below, *OWN))}
    assert left == {"/", "/flat/1/1"}
    assert last.below == ("",)
