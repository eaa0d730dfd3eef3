"""Together's own clients of every generation, unmodified, against the live server."""

import asyncio
import base64
import io
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import requests
import uvicorn
from PIL import Image
from starlette.types import ASGIApp, Receive, Scope, Send
from together import AsyncTogether, Together
from together.types import ImageDataB64

from conformance import generations
from conformance.snippets import node
from imagemill.app import create_app
from imagemill.settings import Settings
from tests.engines import PlainEngine

NEWEST = "together (Python)"
OLDER = ("2.42.0", "1.5.35")
JAVASCRIPT = "together (JavaScript)"
MODEL = "black-forest-labs/FLUX.1-schnell"
SMALL: dict[str, Any] = {
    "model": MODEL,
    "prompt": "a red cat",
    "width": 96,
    "height": 64,
    "steps": 2,
}

PYTHON = """
import json, sys
from together import Together
client, asked = Together(api_key="abc"), json.loads(sys.argv[1])
try:
    reply = client.images.generate(**asked)
    told = [{"url": getattr(each, "url", None), "b64_json": getattr(each, "b64_json", None)}
            for each in reply.data]
except Exception as error:
    told = [type(error).__name__, str(error)]
print(json.dumps(told))
"""
MODELS = """
from together import Together
print(*(each.id for each in Together(api_key="abc").models.list()))
"""


def cell(client: str, call: str) -> pytest.MarkDecorator:
    return pytest.mark.cell(client, "together", call)


def of_all_python(call: str) -> pytest.MarkDecorator:
    """A test for each release, by the release; None is the newest."""
    older = [
        pytest.param(release, marks=cell(f"{NEWEST} {release}", call), id=release)
        for release in OLDER
    ]
    newest = pytest.param(None, marks=cell(NEWEST, call), id="newest")
    return pytest.mark.parametrize("release", [newest, *older])


def python(server: str, release: str | None, code: str, *arguments: str) -> str:
    """What `code` prints where this release is pointed here as its documents say."""
    environment = os.environ | {
        "TOGETHER_BASE_URL": f"{server}/together",
        "TOGETHER_NO_BANNER": "1",
    }
    if release is not None:
        environment["TOGETHER_BASE_URL"] += "/v1"
        environment["PYTHONPATH"] = str(generations.folder(f"together=={release}"))
    run = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


def asked(server: str, release: str | None, **fields: Any) -> list[Any]:
    told: list[Any] = json.loads(python(server, release, PYTHON, json.dumps(SMALL | fields)))
    return told


def javascript(server: str, folder: Path, call: str) -> Any:
    """What `call` of the client comes to, or its error's status and message."""
    code = f"""
        import Together from "together-ai";
        const client = new Together({{
            apiKey: "abc", baseURL: {json.dumps(server + "/together/v1")},
        }});
        const small = {json.dumps(SMALL)};
        let told;
        try {{
            told = await {call};
        }} catch (error) {{
            told = [error.status, error.message];
        }}
        process.stdout.write(JSON.stringify(told));
        """
    return json.loads(node(code, folder))


def opened(picture: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(picture)))


def fetched(url: str) -> Image.Image:
    return Image.open(io.BytesIO(requests.get(url, timeout=60).content))


def uri() -> str:
    buffer = io.BytesIO()
    Image.new("RGB", (96, 64), "teal").save(buffer, "png")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


@of_all_python("text to image (base64)")
def test_every_python_client_gets_its_pictures(server: str, release: str | None) -> None:
    told = asked(server, release, response_format="base64", n=2)
    pictures = [opened(each["b64_json"]) for each in told]
    assert [(each.size, each.format) for each in pictures] == [((96, 64), "JPEG")] * 2
    assert [each["url"] for each in told] == [None, None]


@of_all_python("text to image (url)")
def test_every_python_client_is_told_where_its_picture_lies(
    server: str, release: str | None
) -> None:
    (told,) = asked(server, release, output_format="png")
    picture = fetched(told["url"])
    assert (picture.size, picture.format) == ((96, 64), "PNG")


@of_all_python("image to image")
def test_every_python_client_paints_over_an_image(server: str, release: str | None) -> None:
    (told,) = asked(server, release, image_url=uri(), response_format="base64")
    assert opened(told["b64_json"]).size == (96, 64)


@of_all_python("errors")
def test_every_python_client_shows_our_error(server: str, release: str | None) -> None:
    name, message = asked(server, release, steps=0)
    assert name in ("BadRequestError", "InvalidRequestError")
    assert "steps 0 is out of range; give 1 to 150" in message


@pytest.mark.parametrize(
    "release", [pytest.param(each, marks=cell(f"{NEWEST} {each}", "models")) for each in OLDER]
)
def test_the_older_python_clients_list_the_models(server: str, release: str) -> None:
    assert {"imagemill/pico", MODEL} <= set(python(server, release, MODELS).split())


@cell(NEWEST, "strict validation")
def test_replies_are_what_the_newest_python_client_declares(server: str) -> None:
    with Together(
        api_key="abc", base_url=f"{server}/together", _strict_response_validation=True
    ) as client:
        for format in ("base64", "url"):
            reply = client.images.generate(
                **SMALL, seed=7, response_format=format, image_loras=[], disable_safety_checker=True
            )
            assert (reply.object, reply.model, len(reply.data)) == ("list", MODEL, 1)


@pytest.mark.anyio
@cell(NEWEST, "asynchronous")
async def test_the_asynchronous_python_client_gets_its_picture(server: str) -> None:
    async with AsyncTogether(api_key="abc", base_url=f"{server}/together") as client:
        reply = await client.images.generate(**SMALL, seed=7, response_format="base64")
    (datum,) = reply.data
    assert isinstance(datum, ImageDataB64)
    assert opened(datum.b64_json).size == (96, 64)


class Counted:
    """An application that tells how often a call came again."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.again = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if dict(scope.get("headers", ())).get(b"x-stainless-retry-count", b"0") != b"0":
            self.again.set()
        await self.app(scope, receive, send)


@pytest.mark.anyio
@cell(NEWEST, "sent again")
async def test_a_call_that_the_client_sends_again_is_painted_once(tmp_path: Path) -> None:
    engine = PlainEngine()
    engine.gate.clear()
    app = Counted(create_app(Settings(data_dir=tmp_path), engine))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        running = uvicorn.Server(uvicorn.Config(app, log_config=None))
        serving = asyncio.create_task(running.serve([listening]))
        base = f"http://127.0.0.1:{listening.getsockname()[1]}/together"
        async with AsyncTogether(api_key="abc", base_url=base, timeout=1.0) as client:
            call = asyncio.create_task(client.images.generate(**SMALL, response_format="base64"))
            await app.again.wait()
            engine.gate.set()
            reply = await call
        running.should_exit = True
        await serving
    assert len(reply.data) == 1
    assert len(engine.submitted) == 1


@cell(JAVASCRIPT, "text to image (base64)")
def test_the_javascript_client_gets_its_picture(server: str, packages: Path) -> None:
    call = 'client.images.generate({ ...small, seed: 7, response_format: "base64" })'
    reply = javascript(server, packages, call)
    assert (reply["object"], reply["model"]) == ("list", MODEL)
    (datum,) = reply["data"]
    assert opened(datum["b64_json"]).size == (96, 64)


@cell(JAVASCRIPT, "text to image (url)")
def test_the_javascript_client_is_told_where_its_pictures_lie(server: str, packages: Path) -> None:
    reply = javascript(server, packages, "client.images.generate({ ...small, n: 2 })")
    assert [fetched(each["url"]).size for each in reply["data"]] == [(96, 64)] * 2


@cell(JAVASCRIPT, "image to image")
def test_the_javascript_client_paints_over_an_image(server: str, packages: Path) -> None:
    image = json.dumps([uri()])
    call = f"client.images.generate({{ ...small, reference_images: {image}, seed: 7 }})"
    (datum,) = javascript(server, packages, call)["data"]
    assert fetched(datum["url"]).size == (96, 64)


@cell(JAVASCRIPT, "errors")
def test_the_javascript_client_shows_our_error(server: str, packages: Path) -> None:
    status, message = javascript(server, packages, "client.images.generate({ ...small, n: 11 })")
    assert status == 400
    assert "n: num_images 11 is out of range; give 1 to 10" in message


@cell(JAVASCRIPT, "models")
def test_the_javascript_client_lists_the_models(server: str, packages: Path) -> None:
    models = javascript(server, packages, "client.models.list()")
    assert {"imagemill/pico", MODEL} <= {each["id"] for each in models}
