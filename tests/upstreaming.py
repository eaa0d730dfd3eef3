"""Upstreams as tests need them: another imagemill on loopback, and servers that misbehave."""

import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image

from imagemill.app import create_app
from imagemill.settings import Settings
from tests.engines import PlainEngine
from tests.realtime_harness import serving as listening
from tests.sites import make_answer

# By kind, where an imagemill speaks it.
PLACES = {
    "fal": "/fal/queue",
    "openai": "/openai/v1",
    "replicate": "/replicate/v1",
    "together": "/together/v1",
}
QUEUES = ("fal", "replicate")
MODEL = "imagemill/pico"  # at the other server
KEY = "sk-of-the-operator-alone"


@asynccontextmanager
async def painting(folder: Path, engine: PlainEngine, **settings: Any) -> AsyncIterator[str]:
    """Another server, on loopback; its address."""
    app = create_app(Settings(data_dir=folder / "other", **settings), engine)
    async with listening(app, "on") as port:
        yield f"http://127.0.0.1:{port}"


def options(address: str, *kinds: str, model: str = MODEL, **more: Any) -> dict[str, Any]:
    """The settings of a server whose models `a/KIND` are painted there, in all ways or in some."""
    chosen = kinds or tuple(PLACES)
    return {
        "upstreams": {
            kind: {"kind": kind, "url": address + PLACES[kind], **more} for kind in chosen
        },
        "models": {f"a/{kind}": f"upstream:{kind}/{model}" for kind in chosen},
        "shutdown_time": 0.0,
    }


def image(width: int = 64, height: int = 64, format: str = "png") -> bytes:
    buffer = BytesIO()
    Image.new("RGB", (width, height), "teal").save(buffer, format)
    return buffer.getvalue()


def uri(content: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"


def answer(status: int, body: Any, **headers: str) -> bytes:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return make_answer(status, content, content_type="application/json", **headers)


def submitted(id: str = "r1") -> bytes:
    """fal's answer to a submission."""
    return answer(200, {"request_id": id, "status": "IN_QUEUE"})


def completed(**more: Any) -> bytes:
    """fal's status of what is over."""
    return answer(200, {"status": "COMPLETED", "logs": None, **more})


def result(content: bytes | None = None, **headers: str) -> bytes:
    """fal's result, with the image in it."""
    body = {"images": [{"url": uri(image() if content is None else content)}], "seed": 7}
    return answer(200, body, **headers)
