"""Replicate's next client for Python, a pre-release, as it is, against the live server.

It is a folder beside the suite, whose environment has the client of today: this module's program
runs with it in a process of its own.
"""

import io
import json
import os
import subprocess
import sys
from typing import Any

import httpx
import pytest
from PIL import Image

from conformance import generations
from imagemill.dialects.replicate import DIALECT

RELEASE = "2.0.0b4"
CLIENT = f"replicate (Python) {RELEASE}"

# Prints what every call comes to: addresses, words, or the name and the text of an error.
PROGRAM = """
import asyncio, io, json, sys, time
import replicate
from replicate import AsyncReplicate, Replicate

MODEL = "black-forest-labs/flux-schnell"
SMALL = {"prompt": "a red cat", "width": 96, "height": 64, "num_inference_steps": 2}
client = Replicate(bearer_token="r8_abc")
owner, name = MODEL.split("/")

def over_an_image():
    file = io.BytesIO(bytes.fromhex(sys.argv[1]))
    file.name = "cat.png"
    given = {"prompt": "a red cat", "num_inference_steps": 2, "prompt_strength": 0.5}
    return client.run(MODEL, input=given | {"image": file})

def polled():
    made = client.predictions.create(version=MODEL, input=SMALL)
    until = time.monotonic() + 60
    while time.monotonic() < until:
        made = client.predictions.get(prediction_id=made.id)
        if made.status in ("succeeded", "failed", "canceled"):
            return made.output
        time.sleep(0.05)

def cancelled():
    long = SMALL | {"width": 512, "height": 512, "num_outputs": 4}
    made = client.predictions.create(version=f"{owner}/sdxl", input=long)
    return client.predictions.cancel(prediction_id=made.id).status

async def asynchronous():
    async with AsyncReplicate(bearer_token="r8_abc") as client:
        return await client.run(MODEL, input=SMALL)

def path(url):
    return str(replicate.get_path_url(url) or url)

CALLS = {
    "run": lambda: client.run(MODEL, input=SMALL),
    "run and poll": lambda: client.run(MODEL, input=SMALL, wait=False),
    "run with a version": lambda: client.run("someone/x:" + "ab" * 32, input=SMALL),
    "run by the module": lambda: replicate.run(MODEL, input=SMALL),
    "use by the module": lambda: [path(each) for each in replicate.use(MODEL)(**SMALL)],
    "use by a client": lambda: client.use(MODEL),
    "image to image": over_an_image,
    "asynchronous": lambda: asyncio.run(asynchronous()),
    "predictions": polled,
    "cancel": cancelled,
    "models": lambda: client.models.get(model_owner=owner, model_name=name).name,
    "versions": lambda: [
        each.id for each in client.models.versions.list(model_owner=owner, model_name=name)
    ],
    "deployments": lambda: [each.name for each in client.deployments.list()],
    "collections": lambda: [each.slug for each in client.collections.list()],
    "hardware": lambda: [each.sku for each in client.hardware.list()],
    "accounts": lambda: client.account.get().username,
    "files": lambda: [each.content_type for each in client.files.list()],
    "webhook secret": lambda: client.webhooks.default.secret.get().key,
    "errors": lambda: client.run(MODEL, input={"prompt": 7}),
}
told = {"release": replicate.__version__}
for name_, call in CALLS.items():
    try:
        told[name_] = call()
    except Exception as error:
        told[name_] = f"{type(error).__name__}: {error}"
print(json.dumps(told))
"""
PAINTED = (
    "run", "run and poll", "run with a version", "run by the module", "use by the module",
    "image to image", "asynchronous", "predictions",
)  # fmt: skip


def cell(*calls: str) -> Any:
    marks = [pytest.mark.cell(CLIENT, DIALECT, call) for call in calls]

    def mark(test: Any) -> Any:
        for each in marks:
            test = each(test)
        return test

    return mark


@pytest.fixture(scope="module")
def told(server: str) -> dict[str, Any]:
    """What the program prints, pointed here as the client's documents say."""
    file = io.BytesIO()
    Image.new("RGB", (96, 64), "red").save(file, "png")
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM, file.getvalue().hex()],
        env={name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        | {
            "PYTHONPATH": str(generations.folder(f"replicate=={RELEASE}")),
            "REPLICATE_API_TOKEN": "r8_abc",
            "REPLICATE_BASE_URL": f"{server}/replicate/v1",
        },
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    answers: dict[str, Any] = json.loads(run.stdout)
    return answers


@cell(
    *("text to image", "image to image", "run", "run with a version", "asynchronous"),
    *("predictions", "use"),
)
def test_the_next_client_gets_addresses_of_pictures(told: dict[str, Any]) -> None:
    assert told["release"] == "2.0.0-beta.4"
    for name in PAINTED:
        assert isinstance(told[name], list), f"{name}: {told[name]}"
        (url,) = told[name]
        content = httpx.get(url).content
        assert Image.open(io.BytesIO(content)).size == (96, 64), name


@cell("cancel", "models", "versions", "deployments", "collections", "hardware", "accounts", "files")
def test_the_next_client_reads_all_that_is_listed(told: dict[str, Any]) -> None:
    assert told["cancel"] in ("canceled", "starting", "processing")
    assert (told["models"], told["accounts"]) == ("flux-schnell", "imagemill")
    assert [len(each) for each in told["versions"]] == [64]
    assert "flux-schnell" in told["deployments"]
    assert told["collections"]
    assert told["hardware"] == ["local"]
    assert told["files"], "what was uploaded to be painted over"


@cell("webhook secret")
def test_the_next_client_reads_what_signs_webhooks(told: dict[str, Any]) -> None:
    assert told["webhook secret"].startswith("whsec_")


@cell("errors")
def test_the_next_client_shows_our_error(told: dict[str, Any]) -> None:
    assert told["errors"].startswith("UnprocessableEntityError: Error code: 422")
    assert "Invalid type. Expected: string, given: integer" in told["errors"]


def test_a_client_s_use_fails_before_it_asks_anything(told: dict[str, Any]) -> None:
    """A fault of this release, named in docs/compatibility.md; the module's own `use` works."""
    assert told["use by a client"] == "TypeError: issubclass() arg 1 must be a class"
