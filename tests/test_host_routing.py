"""Hosts and shared paths: every call reaches the door that it was meant for, with its body."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from starlette.types import Message, Receive, Scope, Send

from imagemill.host_routing import HostRouting
from imagemill.http.request_body import Bodies, Pace
from tests.conftest import Serving
from tests.engines import PlainEngine

pytestmark = pytest.mark.anyio

LIMIT = 1000  # bytes of a body that are looked at


@dataclass
class Inner:
    """What comes behind: keeps the scope and the messages of the last call."""

    scope: Scope = field(default_factory=dict)
    messages: list[Message] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope, self.messages = scope, []
        while not self.messages or self.messages[-1].get("more_body"):
            self.messages.append(await receive())
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.messages)


async def reached(
    path: str,
    host: str = "localhost:8000",
    agent: str = "curl/8",
    body: Any = None,
    verb: str = "POST",
    content: bytes = b"",
    headers: dict[str, str] | None = None,
) -> Inner:
    inner = Inner()
    transport = httpx.ASGITransport(HostRouting(inner, LIMIT, "imagemill/pico"))
    content = content if body is None else json.dumps(body).encode()
    sent = {"host": host, "user-agent": agent, **(headers or {})}
    async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
        await client.request(verb, path, headers=sent, content=content)
    if "content-length" in (told := dict(inner.scope["headers"])):
        assert int(told["content-length"]) == len(inner.body)
    return inner


@pytest.mark.parametrize(
    ("host", "path", "expected"),
    [
        ("fal.run", "/fal-ai/flux/dev", "/fal/run/fal-ai/flux/dev"),
        ("FAL.RUN:443", "/fal-ai/flux/dev", "/fal/run/fal-ai/flux/dev"),
        ("queue.fal.run", "/fal-ai/flux/dev", "/fal/queue/fal-ai/flux/dev"),
        ("queue.fal.run", "/fal/queue/a/b", "/fal/queue/a/b"),
        ("fal.run", "/fal/cdn/files/a.png", "/fal/cdn/files/a.png"),
        ("fal.run", "/files/a.png", "/files/a.png"),
        ("v3.fal.media", "/files/a.png", "/fal/cdn/files/a.png"),
        ("v3b.fal.media", "/files/a.png", "/fal/cdn/files/a.png"),
        ("rest.alpha.fal.ai", "/storage/upload/initiate", "/fal/rest/storage/upload/initiate"),
        ("api.fal.ai", "/v1/models", "/fal/api/v1/models"),
        ("huggingface.co", "/api/inference-proxy/together/v1/models", "/together/v1/models"),
        ("api.replicate.com", "/v1/predictions", "/replicate/v1/predictions"),
        ("api.replicate.com", "/replicate/v1/predictions/a", "/replicate/v1/predictions/a"),
        ("api.replicate.com", "/replicated", "/replicate/replicated"),
        ("api.together.xyz", "/v1/images/generations", "/together/v1/images/generations"),
        ("api.studio.nebius.ai", "/v1/images/generations", "/nebius/v1/images/generations"),
        ("api.openai.com", "/v1/images/generations", "/openai/v1/images/generations"),
        ("api.openai.com", "/v1/models", "/openai/v1/models"),
        ("api.nebulablock.com", "/api/v1/images/generation", "/nebula/api/v1/images/generation"),
        ("router.huggingface.co", "/fal-ai/fal-ai/flux/dev", "/fal-ai/fal-ai/flux/dev"),
        ("router.huggingface.co", "/together/v1/models", "/together/v1/models"),
        ("huggingface.co", "/api/models/a/b", "/api/models/a/b"),
        ("api-inference.huggingface.co", "/models/a/b", "/models/a/b"),
    ],
)
async def test_a_host_that_is_answered_for_leads_to_its_door(
    host: str, path: str, expected: str
) -> None:
    inner = await reached(path, host)
    assert (inner.scope["path"], inner.scope["raw_path"]) == (expected, expected.encode())
    assert inner.scope["scheme"] == "https"


@pytest.mark.parametrize("host", ["localhost", "fal.run.example", "fal.run:8000", "xfal.run"])
async def test_other_hosts_are_left_as_they_are(host: str) -> None:
    inner = await reached("/fal-ai/flux/dev", host)
    assert (inner.scope["path"], inner.scope["scheme"]) == ("/fal-ai/flux/dev", "http")


@pytest.mark.parametrize(
    ("verb", "path", "agent", "door"),
    [
        ("POST", "/v1/predictions", "", "/replicate"),
        ("GET", "/v1/predictions/abc", "", "/replicate"),
        ("POST", "/v1/models/a/b/predictions", "", "/replicate"),
        ("POST", "/v1/deployments/a/b/predictions", "", "/replicate"),
        ("GET", "/v1/account", "", "/replicate"),
        ("POST", "/v1/files", "", "/replicate"),
        ("GET", "/v1/webhooks/default/secret", "", "/replicate"),
        ("GET", "/v1/hardware", "", "/replicate"),
        ("GET", "/v1/collections/text-to-image", "", "/replicate"),
        ("QUERY", "/v1/models", "", "/replicate"),
        ("GET", "/v1/models", "replicate-python/1.0.7", "/replicate"),
        ("GET", "/v1/models", "Together/Python 3.1.1", "/together"),
        ("GET", "/v1/models/a/b", "OpenAI/Python 3.52.0", "/openai"),
        ("GET", "/v1/models", "", "/openai"),
        ("GET", "/v1/models/gpt-image-1", "", "/openai"),
        ("POST", "/v1/images/edits", "", "/openai"),
        ("POST", "/v1/images/variations", "", "/openai"),
        ("GET", "/v1/images/generations", "", "/openai"),
        ("POST", "/api/v1/images/generation", "", "/nebula"),
        ("GET", "/api/v1/serverless/models", "", "/nebula"),
        ("GET", "/v1/accounts", "", ""),
        ("GET", "/api/v1/models", "", ""),
        ("POST", "/predictions", "", ""),
    ],
)
async def test_a_path_of_one_api_leads_to_its_door(
    verb: str, path: str, agent: str, door: str
) -> None:
    assert (await reached(path, verb=verb, agent=agent)).scope["path"] == door + path


@pytest.mark.parametrize(
    "path", ["/v1/images/generations", "/images/generations", "/v1/v1/images/generations"]
)
@pytest.mark.parametrize(
    ("agent", "body", "door"),
    [
        ("Together/JS 0.52.0", {"prompt": "a"}, "/together"),
        ("Together/v1 PythonBindings/1.5.35", {"prompt": "a"}, "/together"),
        ("OpenAI/Python 3.52.0", {"prompt": "a"}, "/openai"),
        ("OpenAI/Python 3.52.0", {"prompt": "a", "response_extension": "png"}, "/nebius"),
        ("curl", {"prompt": "a", "response_format": "b64_json"}, "/openai"),
        ("curl", {"prompt": "a", "response_format": "base64"}, "/together"),
        ("curl", {"prompt": "a", "steps": 4}, "/together"),
        ("curl", {"prompt": "a", "image_loras": []}, "/together"),
        ("curl", {"prompt": "a", "num_inference_steps": 4, "width": 64, "height": 64}, "/nebius"),
        ("curl", {"prompt": "a", "num_inference_steps": 4, "size": "64x64"}, "/openai"),
        ("curl", [1], "/openai"),
        ("curl", "a", "/openai"),
    ],
)
async def test_the_shared_path_leads_to_who_would_send_such_a_body(
    path: str, agent: str, body: Any, door: str
) -> None:
    inner = await reached(path, agent=agent, body=body)
    assert inner.scope["path"] == f"{door}/v1/images/generations"
    assert inner.body == json.dumps(body).encode()


DEV, SCHNELL = "black-forest-labs/FLUX.1-dev", "black-forest-labs/FLUX.1-schnell"
FLUX = {"model": "black-forest-labs/flux-schnell"}
ROUTES: list[tuple[str, dict[str, Any], str]] = [
    ("/fal-ai/fal-ai/flux/dev", {}, DEV),
    ("/fal-ai/flux/dev", {}, DEV),
    ("/fal-ai/fal-ai/flux-1/schnell", {}, SCHNELL),
    ("/fal-ai/someone/something/more", {}, "someone/something"),
    ("/replicate/v1/models/black-forest-labs/flux-dev/predictions", {}, DEV),
    ("/replicate/v1/models/a/b/predictions", {"model": "c/d"}, "a/b"),
    ("/replicate/v1/predictions", {}, "imagemill/pico"),
    ("/together/v1/images/generations", {}, "imagemill/pico"),
    ("/together/v1/images/generations", {"model": "a/b"}, "a/b"),
    ("/nebius/v1/images/generations", FLUX, SCHNELL),
    ("/nebius/v1/images/generations", {"model": ""}, "imagemill/pico"),
]


@pytest.mark.parametrize(("path", "more", "model"), ROUTES)
async def test_a_body_with_inputs_is_for_hf_inference_wherever_it_comes(
    path: str, more: dict[str, Any], model: str
) -> None:
    inner = await reached(f"{path}?ai_project_id=1", body={"inputs": "a cat", **more})
    assert inner.scope["path"] == f"/hf-inference/models/{model}"
    assert inner.scope["query_string"] == b""
    assert json.loads(inner.body) == {"inputs": "a cat"}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/fal-ai/fal-ai/flux/dev", {"prompt": "a cat", "inputs": "a cat"}),
        ("/fal-ai/fal-ai/flux/dev", {"prompt": "inputs"}),
        ("/replicate/v1/predictions", {"input": {"inputs": "a cat"}}),
        ("/replicate/v1/files", {"inputs": "a cat"}),
        ("/together/v1/models", {"inputs": "a cat"}),
        ("/fal/run/fal-ai/flux/dev", {"inputs": "a cat"}),
        ("/nebius/v1/images/generations", ["inputs"]),
        ("/nebius/v1/images/generations", {"inputs": "x" * LIMIT}),
    ],
)
async def test_other_bodies_stay_where_they_are(path: str, body: Any) -> None:
    inner = await reached(path, body=body)
    assert inner.scope["path"] == path
    assert inner.body == json.dumps(body).encode()


@pytest.mark.parametrize(
    ("content", "headers"),
    [
        (b"", {}),
        (b'{"inputs": "\xff"}', {}),
        (b"[" * 900, {}),
        (b"{" + b" " * 20 * LIMIT, {}),
        (b'{"inputs": "a cat"}', {"content-type": "multipart/form-data; boundary=x"}),
    ],
)
async def test_what_is_no_json_is_passed_on_as_it_came(
    content: bytes, headers: dict[str, str]
) -> None:
    path = "/together/v1/images/generations"
    inner = await reached(path, content=content, headers=headers)
    assert (inner.scope["path"], inner.body) == (path, content)


async def test_a_hang_up_is_heard_behind_a_body_that_was_looked_at() -> None:
    inner, sent = Inner(), [{"type": "http.request", "body": b'{"inp', "more_body": True}]

    async def receive() -> Message:
        return sent.pop() if sent else {"type": "http.disconnect"}

    async def send(_: Message) -> None:
        pass

    scope = {"type": "http", "method": "POST", "path": "/fal-ai/a/b", "headers": []}
    await HostRouting(inner, LIMIT, "a/b")(scope, receive, send)
    assert [message["type"] for message in inner.messages] == ["http.disconnect"]


async def test_a_body_that_comes_too_slowly_is_told_of_by_its_door(serving: Serving) -> None:
    async def slowly() -> AsyncIterator[bytes]:
        yield b'{"inputs": "a'
        await asyncio.Event().wait()

    bodies = Bodies(pace=Pace(silence=0.01))
    async with serving(PlainEngine(), bodies=bodies) as client:
        for path in ("/v1/images/generations", "/fal-ai/fal-ai/flux/dev"):
            reply = await client.post(path, content=slowly())
            assert reply.status_code == 408, reply.text
            assert "nothing came of the body for 0.01 seconds" in reply.text


async def test_who_announces_too_much_is_not_told_to_go_on() -> None:
    asked = False

    async def receive() -> Message:
        nonlocal asked
        asked = True
        return {"type": "http.request"}

    async def behind(scope: Scope, receive: Receive, send: Send) -> None:
        assert not asked

    async def send(_: Message) -> None:
        pass

    headers = [(b"content-length", str(LIMIT + 1).encode()), (b"expect", b"100-continue")]
    scope = {"type": "http", "method": "POST", "path": "/fal-ai/a/b", "headers": headers}
    await HostRouting(behind, LIMIT, "a/b")(scope, receive, send)


async def test_sockets_are_led_to_their_door_too() -> None:
    found: list[Scope] = []

    async def behind(scope: Scope, receive: Receive, send: Send) -> None:
        found.append(scope)

    async def nothing(*_: Any) -> Any:
        raise AssertionError("nothing is read before the door does")

    headers = [(b"host", b"fal.run")]
    scope = {"type": "websocket", "scheme": "ws", "path": "/fal-ai/a/realtime", "headers": headers}
    app = HostRouting(behind, LIMIT, "a/b")
    await app(scope, nothing, nothing)
    await app({"type": "lifespan"}, nothing, nothing)
    assert (found[0]["path"], found[0]["scheme"]) == ("/fal/run/fal-ai/a/realtime", "wss")


async def test_a_path_below_a_root_keeps_it() -> None:
    inner = Inner()

    async def receive() -> Message:
        return {"type": "http.request", "body": b""}

    async def send(_: Message) -> None:
        pass

    path = "/mill/v1/predictions"
    scope = {"type": "http", "method": "POST", "path": path, "root_path": "/mill", "headers": []}
    await HostRouting(inner, LIMIT, "a/b")(scope, receive, send)
    assert inner.scope["path"] == "/mill/replicate/v1/predictions"


@pytest.mark.parametrize(("path", "more"), [(path, more) for path, more, _ in ROUTES])
async def test_the_printed_calls_of_every_provider_get_bytes_of_a_picture(
    serving: Serving, path: str, more: dict[str, Any]
) -> None:
    async with serving(PlainEngine()) as client:
        body = {"inputs": "Astronaut riding a horse", **more}
        reply = await client.post(path, json=body, headers={"authorization": "Bearer hf_abc"})
    assert reply.status_code == 200, reply.text
    assert reply.headers["content-type"] == "image/jpeg"


async def test_addresses_in_answers_are_of_the_host_that_was_asked(serving: Serving) -> None:
    body = {"prompt": "a cat", "image_size": {"width": 64, "height": 64}}
    async with serving(PlainEngine()) as client:
        reply = await client.post("/fal-ai/flux/dev", json=body, headers={"host": "fal.run"})
        (image,) = reply.json()["images"]
        found = await client.get(httpx.URL(image["url"]).path, headers={"host": "fal.run"})
    assert image["url"].startswith("https://fal.run/")
    assert found.status_code == 200


async def test_a_model_by_a_bare_name_is_served_where_the_body_names_it(serving: Serving) -> None:
    engine = PlainEngine()
    async with serving(engine) as client:
        body = {"inputs": "a cat", "model": "gpt-image-1"}
        reply = await client.post("/together/v1/images/generations", json=body)
    assert reply.status_code == 200
    assert engine.submitted[0].model == "gpt-image-1"
