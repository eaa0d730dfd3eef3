"""What every route answers, as a file: `python -m tests.replies` writes tests/replies.jsonl anew.

Every route is asked well and badly, in one server whose engine paints plain colours; dates, ids,
keys and durations are replaced, so that the same build writes the same file. A change of code that
is to change no reply is held to it by tests/http/test_replies.py.
"""

import asyncio
import base64
import hashlib
import io
import json
import re
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI
from PIL import Image

from imagemill.app import create_app
from imagemill.settings import Settings
from tests.engines import PlainEngine

RECORD = Path(__file__).with_suffix(".jsonl")
LONG = 1500  # characters of a reply that stand in the record; longer ones as their digest
KEY = {"authorization": "Key test"}
BEARER = {"authorization": "Bearer test"}
PROMPT = {"prompt": "a red cat"}

# What stands for the parameters of a path, where a call names no other.
SAMPLES = {
    "owner": "black-forest-labs", "name": "FLUX.1-schnell", "path": "fal-ai/flux/schnell",
    "prediction_id": "nothing", "token": "nothing", "version_id": "nothing", "slug": "nothing",
    "file_id": "nothing", "id": "nothing", "number": "1", "rest": "nothing.png",
    "provider": "fal-ai",
}  # fmt: skip

BODIES: tuple[bytes | Any, ...] = (
    b"", b"{", b"[]", b"null", b'"x"', b"\xff\xfe", {}, {"prompt": 7}, {"prompt": ""},
    PROMPT | {"surprise": 1}, {"inputs": "a red cat", "surprise": 1}, {"input": {"prompt": 7}},
)  # fmt: skip


def picture(width: int = 64, height: int = 64) -> str:
    """A data URI of a PNG of one colour."""
    file = io.BytesIO()
    Image.new("RGB", (width, height), (200, 120, 40)).save(file, "png")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


@dataclass(frozen=True)
class Call:
    """body: bytes, or what becomes JSON. form: fields and files of a form instead. keep: names
    under which later calls use values of the reply, by the keys that lead to them.
    """

    method: str
    path: str
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    form: Mapping[str, Any] = field(default_factory=dict)
    keep: Mapping[str, tuple[str | int, ...]] = field(default_factory=dict)


SMALL = {"width": 128, "height": 128}
FORM = {"files": {"image": ("a.png", base64.b64decode(picture().partition(",")[2]), "image/png")}}

# Calls that are well made, those of one story in their order.
STORIES: tuple[Call, ...] = (
    Call("POST", "/hf-inference/models/a/b", {"inputs": "a red cat", "parameters": SMALL}),
    Call("POST", "/models/a/b", {"inputs": "a red cat", "parameters": SMALL | {"seed": 5}}),
    Call("POST", "/models/a/b", {"inputs": "a red cat", "parameters": {"guidance_scale": 99}}),
    Call("POST", "/models/a/b", {"inputs": "x"}, {"accept": "image/webp"}),
    Call("POST", "/", {"inputs": "a red cat"} | SMALL),
    Call("POST", "/flat/a/b", PROMPT | SMALL | {"inference_steps": 2, "seed": 1}),
    Call("POST", "/fal/run/fal-ai/flux/schnell", PROMPT | {"image_size": SMALL, "seed": 1}, KEY),
    Call("POST", "/fal/run/fal-ai/flux/dev", PROMPT | {"num_images": 2, "seed": 1}, KEY),
    Call("POST", "/fal/run/fal-ai/flux/dev", PROMPT | {"num_images": 99}, KEY),
    Call("POST", "/fal/run/fal-ai/ideogram/v3/remix",
         PROMPT | {"image_url": picture(), "seed": 1}, KEY),
    Call("POST", "/fal/run/fal-ai/ideogram/v3/edit",
         PROMPT | {"image_url": picture(), "mask_url": picture(), "seed": 1}, KEY),
    Call("POST", "/fal/run/fal-ai/flux-1/schnell/stream", PROMPT | {"seed": 1}, KEY),
    Call("POST", "/fal/run/fal-ai/stable-diffusion-v35-large",
         PROMPT | {"image_size": "square", "sync_mode": True, "seed": 1}, KEY),
    Call("POST", "/fal/run/fal-ai/recraft/v2/text-to-image",
         PROMPT | {"style": "vector_illustration"}, KEY),
    Call("POST", "/fal/run/fal-ai/ideogram/v3", PROMPT | {"seed": 3}, KEY),
    Call("POST", "/fal/run/fal-ai/imagen4/preview", PROMPT | {"aspect_ratio": "16:9"}, KEY),
    Call("POST", "/fal/run/fal-ai/ideogram/v2", PROMPT | {"seed": 3, "num_images": 1}, KEY),
    Call("POST", "/fal/run/fal-ai/flux-2", PROMPT | {"image_size": SMALL, "seed": 1}, KEY),
    Call("POST", "/fal/run/bria/text-to-image/3.2", PROMPT, KEY),
    Call("POST", "/fal/run/a/b/inpainting",
         PROMPT | {"image_url": picture(), "mask_url": picture(), "n": 1, "surprise": 1, "seed": 1},
         KEY),
    Call("POST", "/fal/run/fal-ai/veo3", PROMPT, KEY),
    Call("POST", "/fal/queue/fal-ai/flux/schnell", PROMPT | {"seed": 1}, KEY,
         keep={"request": ("request_id",)}),
    Call("GET", "/fal/queue/fal-ai/flux/requests/{request}/status?logs=1", None, KEY),
    Call("GET", "/fal/queue/fal-ai/flux/requests/{request}/status/stream", None, KEY),
    Call("GET", "/fal/queue/fal-ai/flux/requests/{request}", None, KEY),
    Call("PUT", "/fal/queue/fal-ai/flux/requests/{request}/cancel", None, KEY),
    Call("GET", "/fal/queue/fal-ai/flux/requests/{request}", None, {}),
    Call("POST", "/fal-ai/flux/schnell", PROMPT | {"seed": 1}, KEY),
    Call("POST", "/fal/rest/storage/auth/token?storage_type=fal-cdn-v3", {}, KEY),
    Call("POST", "/fal/rest/storage/upload/initiate",
         {"file_name": "a.png", "content_type": "image/png"}, KEY),
    Call("POST", "/fal/cdn/files/upload", b"abc", KEY | {"content-type": "text/plain"}),
    Call("POST", "/fal/rest/tokens", {"allowed_apps": ["flux"], "token_expiration": 60}, KEY),
    Call("POST", "/fal/rest/tokens/realtime", {"allowed_apps": ["flux"]}, KEY),
    Call("GET", "/fal/openapi.json?endpoint_id=fal-ai/flux/dev"),
    Call("GET", "/fal/openapi.json?endpoint_id=a/b"),
    Call("GET", "/fal/api/v1/models?limit=2", None, KEY),
    Call("GET", "/fal/api/v1/models?limit=100", None, KEY),
    Call("GET", "/fal/api/v1/models?endpoint_id=a/b", None, KEY),
    Call("GET", "/fal/api/v1/models/pricing?endpoint_id=fal-ai/flux/dev,a/b", None, KEY),
    Call("POST", "/replicate/v1/models/black-forest-labs/flux-schnell/predictions",
         {"input": PROMPT | {"seed": 1}}, BEARER | {"prefer": "wait"}),
    Call("POST", "/replicate/v1/models/black-forest-labs/flux-schnell/predictions",
         {"input": PROMPT | {"seed": 1}}, BEARER, keep={"prediction": ("id",)}),
    Call("POST", "/replicate/v1/models/a/b/predictions",
         {"input": PROMPT | {"size": "128x128", "seed": 1}}, BEARER | {"prefer": "wait"}),
    Call("GET", "/replicate/v1/predictions/{prediction}", None, BEARER),
    Call("GET", "/replicate/v1/predictions/{prediction}", None, {"authorization": "Bearer other"}),
    Call("POST", "/replicate/v1/predictions/{prediction}/cancel", None, BEARER),
    Call("POST", "/replicate/v1/predictions",
         {"version": "stability-ai/sdxl", "input": PROMPT | SMALL}, BEARER | {"prefer": "wait=5"}),
    Call("GET", "/replicate/v1/predictions", None, BEARER),
    Call("GET", "/replicate/v1/models/black-forest-labs/flux-schnell", None, BEARER),
    Call("GET", "/replicate/v1/account", None, BEARER),
    Call("POST", "/replicate/v1/files", None, BEARER,
         {"files": {"content": ("a.png", b"abc", "image/png")}}, {"file": ("id",)}),
    Call("GET", "/replicate/v1/files/{file}", None, BEARER),
    Call("GET", "/replicate/v1/files", None, BEARER),
    Call("DELETE", "/replicate/v1/files/{file}", None, BEARER),
    Call("POST", "/openai/v1/images/generations", PROMPT | {"size": "256x256", "n": 2}, BEARER),
    Call("POST", "/openai/v1/images/generations",
         PROMPT | {"model": "dall-e-3", "response_format": "url", "size": "1024x1024"}, BEARER),
    Call("POST", "/openai/v1/images/generations",
         PROMPT | {"model": "gpt-image-1", "stream": True, "partial_images": 1}, BEARER),
    Call("POST", "/openai/v1/images/edits", None, BEARER, FORM | {"data": PROMPT}),
    Call("POST", "/openai/v1/images/variations", None, BEARER, FORM),
    Call("GET", "/openai/v1/models/gpt-image-1", None, BEARER),
    Call("POST", "/together/v1/images/generations",
         PROMPT | SMALL | {"model": "black-forest-labs/FLUX.1-schnell", "steps": 2}, BEARER),
    Call("POST", "/together/v1/images/generations",
         PROMPT | SMALL | {"model": "black-forest-labs/FLUX.1-dev", "response_format": "base64"},
         BEARER),
    Call("POST", "/nebius/v1/images/generations",
         PROMPT | SMALL | {"model": "black-forest-labs/flux-dev"}, BEARER),
    Call("POST", "/nebula/api/v1/images/generation",
         PROMPT | {"model_name": "black-forest-labs/FLUX.1-schnell"} | SMALL, BEARER),
    Call("POST", "/nebula/api/v1/images/generation",
         PROMPT | {"model_name": "nothing-of-the-kind"}, BEARER),
    Call("POST", "/sdapi/v1/txt2img", PROMPT | SMALL | {"steps": 2, "seed": 1}),
    Call("POST", "/sdapi/v1/img2img",
         PROMPT | SMALL | {"steps": 2, "seed": 1, "init_images": [picture(128, 128)]}),
    Call("POST", "/sdapi/v1/png-info", {"image": picture()}),
    Call("POST", "/sdapi/v1/extra-single-image", {"image": picture(), "upscaling_resize": 2}),
    Call("POST", "/sdapi/v1/options", {"sd_model_checkpoint": "pico"}),
    Call("GET", "/api/partners/fal-ai/models?inference=warm"),
    Call("GET", "/api/models/black-forest-labs/FLUX.1-schnell?expand=inferenceProviderMapping"),
    Call("GET", "/nothing/of/the/kind"),
    Call("GET", "/health", None, {"host": "elsewhere.example"}),
    Call("POST", "/fal/run/fal-ai/flux/dev", PROMPT, {"origin": "https://elsewhere.example"}),
)  # fmt: skip


def routes(app: FastAPI) -> Iterator[tuple[str, str]]:
    """The method and path of every route."""
    for path, operations in app.openapi()["paths"].items():
        for method in operations:
            yield method.upper(), path


def bad(app: FastAPI) -> Iterator[Call]:
    """Calls of every route that few would answer."""
    for method, template in routes(app):
        path = re.sub(r"\{(\w+)\}", lambda found: SAMPLES[found[1]], template)
        yield Call(method, path)
        yield Call(method, f"{path}?surprise=1", {} if method == "POST" else None, KEY)
        yield Call("PATCH", path, {}, BEARER)
        if method in ("POST", "PUT"):
            for body in BODIES:
                yield Call(method, path, body, KEY)
            yield Call(method, path, b"prompt=x", BEARER | {"content-type": "text/plain"})


# --- replies, without what differs from run to run

HEADERS = ("date", "x-request-id", "content-length", "openai-processing-ms")  # not kept
NUMBERS = (
    "inference", "predict_time", "total_time", "inference_time", "duration", "eta_relative",
    "file_size", "size", "bytes", "created", "exp", "free", "used", "total",
)  # fmt: skip
STRINGS = ("x", "kid", "key", "token", "signing_secret", "upload_url", "uploadId", "revised_prompt")
IDS = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
    r"|(?<![\w+=-])(?:[0-9a-f]{24,64}|[a-z2-7]{26}(?:[0-9a-f]{32})?)(?![\w+=])"
    r"|eyJ[\w-]+\.[\w-]+\.[\w-]+"
    r"|(?<=/files/b/)[0-9a-f]{8}|(?<![\w-])[\w-]{22}(?:[\w-]{6})?(?=\.\w|_a\.)"
)
BASE64 = re.compile(r"(?:iVBOR|UklGR|/9j/)[A-Za-z0-9+/]{60,}={0,2}")  # of pictures
HASHES = re.compile(r'(?<=model_hash": ")[0-9a-f]{10}')  # of A1111, of weights
SEEDS = re.compile(r"(?<=[Ss]eed)((?:\W|es|s)*)\d{5,}")
MOMENTS = re.compile(
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d[.\d]*(?:Z|[+-]\d\d:\d\d)?|\b1[789]\d{8}(?:\.\d+)?\b"
    r"|\b20\d{12}\b|\[\d\d:\d\d<[^\]]*\]"  # of A1111, and of progress bars
)


@dataclass
class Plain:
    """Replaces ids by numbers, in the order in which they are first seen."""

    seen: dict[str, str] = field(default_factory=dict)

    def text(self, said: str) -> str:
        said = BASE64.sub(lambda found: described(base64.b64decode(found[0])), said)
        said = HASHES.sub("<hash>", SEEDS.sub(r"\1<seed>", said))
        named = IDS.sub(
            lambda found: self.seen.setdefault(found[0], f"<id {len(self.seen)}>"), said
        )
        return MOMENTS.sub("<time>", named)

    def value(self, said: Any, key: str = "") -> Any:
        match said:
            case dict():
                return {self.text(name): self.value(each, name) for name, each in said.items()}
            case list():
                return [self.value(each, key) for each in said]
            case int() | float() if key in NUMBERS:
                return f"<{key}>"
            case str() if key in STRINGS and said:
                return f"<{key}>"
            case int() if "seed" in key and said > 10_000:
                return "<seed>"
            case str():
                return self.text(said)
        return said

    def reply(self, call: Call, response: httpx.Response) -> dict[str, Any]:
        headers = sorted(
            [name, self.text(f"{name} {value}").removeprefix(f"{name} ")]
            for name, value in response.headers.multi_items()
            if name not in HEADERS
        )
        asked = self.text(f"{call.method} {call.path}")
        return {
            "call": asked, "status": response.status_code, "headers": headers,
            "body": self.body(response),
        }  # fmt: skip

    def body(self, response: httpx.Response) -> Any:
        kind = response.headers.get("content-type", "")
        if "prometheus" in kind or response.request.url.path == "/metrics":
            return "<metrics>"
        if kind.startswith("image/") or "octet-stream" in kind:
            return described(response.content)
        try:
            told = self.value(response.json())
        except ValueError:
            told = self.text(response.text)
        written = json.dumps(told, ensure_ascii=False)
        return told if len(written) < LONG else f"<{digest(written.encode())}>"


def described(content: bytes) -> str:
    """A picture by its format and size, whose pixels are other suites'; else a digest."""
    try:
        with Image.open(io.BytesIO(content)) as image:
            return f"<{image.format} {image.width}x{image.height}>"
    except OSError:
        return f"<{digest(content)}>"


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


# --- a run


@asynccontextmanager
async def server(folder: Path) -> AsyncIterator[tuple[FastAPI, httpx.AsyncClient]]:
    app = create_app(Settings(data_dir=folder), PlainEngine())
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://localhost:8000") as client,
    ):
        yield app, client


async def replies(folder: Path) -> AsyncIterator[dict[str, Any]]:
    async with server(folder) as (app, client):
        plain, kept, backend = Plain(), dict[str, str](), app.state.backend
        for call in (*STORIES, *bad(app)):
            response = await ask(client, call, kept)
            yield plain.reply(call, response)
            while backend.worker.busy or await backend.service.waiting():
                await asyncio.sleep(0)  # so that what is asked next finds every job at its end


async def ask(client: httpx.AsyncClient, call: Call, kept: dict[str, str]) -> httpx.Response:
    path = re.sub(r"\{(\w+)\}", lambda found: kept[found[1]], call.path)
    body = call.body if isinstance(call.body, bytes | None) else json.dumps(call.body).encode()
    headers = dict(call.headers)
    if body is not None:
        headers.setdefault("content-type", "application/json")
    response = await client.request(call.method, path, content=body, headers=headers, **call.form)
    for name, keys in call.keep.items():
        value = response.json()
        for key in keys:
            value = value[key]
        kept[name] = value
    return response


def lines(record: list[dict[str, Any]]) -> list[str]:
    return [json.dumps(each, ensure_ascii=False) for each in record]


async def recorded(folder: Path) -> list[dict[str, Any]]:
    return [each async for each in replies(folder)]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        found = asyncio.run(recorded(Path(place)))
    RECORD.write_text("\n".join(lines(found)) + "\n", "utf-8")
    print(f"{len(found)} replies in {RECORD.name}")
