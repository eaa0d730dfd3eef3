"""Host routing: which dialect answers for which host, and for paths that several callers share.

Every dialect has a prefix of its own. What comes under the name of a host that is answered for, or
to a path that belongs to one API alone, is put below that prefix before it is routed. A few callers
can only be told apart by what they send, so bodies of some paths are looked at, and passed on as
they came.
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from imagemill.catalog.models import named_by
from imagemill.errors import Fault, Kind
from imagemill.http import json_body
from imagemill.http.addresses import at, path_of
from imagemill.http.hosts import FAL_CDN, HOSTS
from imagemill.http.operation import reading
from imagemill.http.request_body import WHOLE, Whole, announced, bodies_of
from imagemill.threads import BODIES

SECURE = {"http": "https", "ws": "wss"}  # who names such a host has come through TLS
FILES = "/files/"  # every dialect's images

# Paths that belong to one API alone, and the prefix below which they are.
ROOT: tuple[tuple[re.Pattern[str], str], ...] = (
    (
        re.compile(
            "/v1/(predictions|deployments|account|files|webhooks|hardware|collections)(/.*)?"
        ),
        "/replicate",
    ),
    (re.compile("/v1/models/[^/]+/.+"), "/replicate"),
    (re.compile("/v1/images/(edits|variations)"), "/openai"),
    (re.compile("/v1/models(/[^/]+)?"), "/openai"),
    (re.compile("/api/v1/(images/generation|serverless/models)"), "/nebula"),
)
# Paths of several APIs, as clients ask whose base URL has a version too few or too many.
SHARED = re.compile(r"(/v1)?(/v1)?/images/generations")
GENERATIONS = "/v1/images/generations"
MODELS = re.compile(r"/v1/models(/.*)?")
# Where the router was before it had a host of its own: huggingface_hub 0.28 looks for it there.
ROUTER_BEFORE = re.compile("/api/inference-proxy(/.+)")
# Who asks, by the beginning of the user agent; Nebius is called by OpenAI's clients too.
AGENTS: Mapping[str, str] = {
    "Together/": "/together",
    "OpenAI/": "/openai",
    "AsyncOpenAI/": "/openai",
    "replicate-python/": "/replicate",
    "replicate-javascript/": "/replicate",
}
# Fields that only one of the callers of the shared path has.
TELLTALES: tuple[tuple[str, Callable[[Mapping[str, Any]], bool]], ...] = (
    ("/together", lambda body: body.get("response_format") == "base64"),
    ("/together", lambda body: bool(body.keys() & {"steps", "image_loras", "reference_images"})),
    ("/together", lambda body: bool(body.keys() & {"image_url", "disable_safety_checker"})),
    ("/nebius", lambda body: bool(body.keys() & {"response_extension", "loras"})),
    (
        "/nebius",
        lambda body: (
            body.keys() >= {"num_inference_steps", "width", "height"}
            and not body.keys() & {"size", "n", "quality"}
        ),
    ),
)
# Where Hugging Face's router has each provider, and the model in a path below that.
ROUTER: Mapping[str, re.Pattern[str]] = {
    "fal-ai": re.compile(r"/fal-ai/(?P<model>.+)"),
    "replicate": re.compile(r"/replicate/v1/(models/(?P<model>.+)/)?predictions"),
    "together": re.compile(r"/together/v1/images/generations"),
    "nebius": re.compile(r"/nebius/v1/images/generations"),
}
INFERENCE = "/hf-inference/models/"
OTHERS = ("prompt", "input")  # a body with one of them is the provider's own

_PLACES = {*HOSTS.values()} - {""}


class HostRouting:
    """`limit` bytes of a body are looked at, at most; what the body's own dialect allows is checked
    there.

    default: the model where neither path nor body names one.
    """

    def __init__(self, app: ASGIApp, limit: int, default: str) -> None:
        self.app, self.limit, self.default = app, limit, default

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        scope = _of_host(scope)
        path = path_of(scope)
        shared = SHARED.fullmatch(path) is not None
        provider = next((name for name, way in ROUTER.items() if way.fullmatch(path)), None)
        if shared or provider:
            scope, receive = await self._by_body(scope, receive, provider)
        await self.app(scope, receive, send)

    async def _by_body(
        self, scope: Scope, receive: Receive, provider: str | None
    ) -> tuple[Scope, Receive]:
        body = dict[str, Any]()
        if scope.get("method") == "POST" and announced(scope) <= self.limit:
            whole = await bodies_of(scope).whole(scope, receive, self.limit)
            body, receive = await _object(scope, whole), _replayed(whole, receive)
        if provider is None:
            return at(scope, _of_caller(body) + GENERATIONS), receive
        if "inputs" not in body or body.keys() & set(OTHERS):
            return scope, receive
        return await _inferred(scope, provider, body, self.default), receive


def _of_host(scope: Scope) -> Scope:
    """The same under the path that it has here, as far as headers tell."""
    headers, path = Headers(scope=scope), path_of(scope)
    host = headers.get("host", "").lower().removesuffix(":443").removesuffix(".")
    if host in HOSTS:
        scope = {**scope, "scheme": SECURE.get(scope.get("scheme", ""), scope.get("scheme"))}
        if HOSTS[host]:
            return scope if _canonical(path, HOSTS[host]) else at(scope, HOSTS[host] + path)
    return _of_root(scope, path, headers.get("user-agent", ""))


def _canonical(path: str, prefix: str) -> bool:
    """Whether a path is one of ours already: URLs that we gave come back so."""
    if path.startswith(FILES):
        return prefix != FAL_CDN  # where all files are below it
    dialect = prefix.split("/")[1]
    below = (each for each in _PLACES if each.split("/")[1] == dialect)
    return any(path.startswith(f"{each}/") for each in below)


def _of_root(scope: Scope, path: str, agent: str) -> Scope:
    caller = next((prefix for begins, prefix in AGENTS.items() if agent.startswith(begins)), None)
    if SHARED.fullmatch(path):
        return at(scope, caller + GENERATIONS) if caller == "/together" else scope
    if MODELS.fullmatch(path) and (caller or scope.get("method") == "QUERY"):
        return at(scope, (caller or "/replicate") + path)
    if before := ROUTER_BEFORE.fullmatch(path):
        return at(scope, before[1])
    prefix = next((prefix for pattern, prefix in ROOT if pattern.fullmatch(path)), None)
    return scope if prefix is None else at(scope, prefix + path)


def _of_caller(body: Mapping[str, Any]) -> str:
    return next((prefix for prefix, tells in TELLTALES if tells(body)), "/openai")


async def _inferred(scope: Scope, provider: str, body: dict[str, Any], default: str) -> Scope:
    """The same as a call of hf-inference: raw bytes of a picture are expected in return."""
    model = body.pop("model", None)
    path = ROUTER[provider].fullmatch(path_of(scope))
    assert path is not None
    name = path.groupdict().get("model") or (model if isinstance(model, str) and model else None)
    scope = at(scope, INFERENCE + (default if name is None else _model(provider, name)))
    scope["query_string"] = b""  # it is the provider's
    if model is None:
        return scope
    content = await BODIES.run(_encoded, body)  # without the model, which the path has now
    await scope[WHOLE].replace(content)
    scope = {**scope, "headers": [*scope["headers"]]}
    MutableHeaders(scope=scope)["content-length"] = str(len(content))
    return scope


def _model(provider: str, name: str) -> str:
    """The Hub's id of what a provider calls `name`."""
    for each in (name, f"{provider}/{name}"):
        if id := named_by(provider, each):
            return id
    return "/".join(name.split("/")[:2])


async def _object(scope: Scope, whole: Whole) -> dict[str, Any]:
    """The JSON object in a body; empty where it is anything else, which its dialect will tell."""
    if Headers(scope=scope).get("content-type", "").lower().startswith("multipart/"):
        return {}
    try:
        async with bodies_of(scope).memory.holding(whole.memory):
            return await reading(content := await whole.content(), _parsed, content)
    except Fault as fault:
        if fault.kind is Kind.BUSY:
            whole.fault = fault  # there was no memory for it
        return {}


def _parsed(content: bytes) -> dict[str, Any]:
    value = json_body.parse(json_body.text(content))
    return value if isinstance(value, dict) else {}


def _encoded(body: dict[str, Any]) -> bytes:
    return json.dumps(body).encode()


def _replayed(whole: Whole, receive: Receive) -> Receive:
    """Gives the body once more to whoever asks for it by message."""

    async def again() -> Message:
        if not whole.open:
            return await receive()
        content = await whole.content()
        whole.close()
        return {"type": "http.request", "body": content}

    return again
