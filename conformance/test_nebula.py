"""Nebula Block has no client of its own: what its callers write with curl, requests and fetch.

Bodies and headers are those of its reference, at sizes that are painted at once.
"""

import base64
import io
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from PIL import Image

from conformance.snippets import node

PATH = "/nebula/api/v1/images/generation"
HEADERS = {"Content-Type": "application/json", "Authorization": "Bearer ak_abc"}
PAINTING: dict[str, Any] = {
    "model": "stabilityai/stable-diffusion-xl-base-1.0",
    "prompt": "a red cat",
    "num_steps": 4,
    "guidance_scale": 4.5,
    "negative_prompt": None,
    "width": 128,
    "height": 128,
}
FILLING = PAINTING | {"model": "black-forest-labs/FLUX.1-Fill-dev", "prompt": "a yellow boat"}
Pixels = np.ndarray[tuple[int, ...], np.dtype[np.int_]]
Call = Callable[[str, dict[str, Any], Path], dict[str, Any]]


def with_curl(url: str, body: dict[str, Any], folder: Path, verb: str = "POST") -> dict[str, Any]:
    headers = [part for name in HEADERS for part in ("--header", f"{name}: {HEADERS[name]}")]
    command = ["curl", "--silent", "--request", verb, url, *headers, "--data-raw", json.dumps(body)]
    run = subprocess.run(command, capture_output=True, check=True, timeout=300)
    reply: dict[str, Any] = json.loads(run.stdout)
    return reply


def with_curl_and_get(url: str, body: dict[str, Any], folder: Path) -> dict[str, Any]:
    return with_curl(url, body, folder, "GET")


def with_requests(url: str, body: dict[str, Any], folder: Path) -> dict[str, Any]:
    reply: dict[str, Any] = requests.post(url, headers=HEADERS, json=body, timeout=300).json()
    return reply


def with_fetch(url: str, body: dict[str, Any], folder: Path) -> dict[str, Any]:
    options = {"method": "POST", "headers": HEADERS}
    code = f"""
        const data = {json.dumps(body)};
        fetch({json.dumps(url)}, {{ ...{json.dumps(options)}, body: JSON.stringify(data) }})
            .then(response => response.json())
            .then(data => console.log(JSON.stringify(data, null, 2)))
            .catch(error => console.error("Error:", error));
    """
    reply: dict[str, Any] = json.loads(node(code, folder))
    return reply


CALLERS: dict[str, tuple[Call, ...]] = {
    "curl": (with_curl, with_curl_and_get),
    "requests": (with_requests,),
    "fetch of Node": (with_fetch,),
}


def by_every_caller(shown: str) -> pytest.MarkDecorator:
    """A test for each caller, which shows that this works with it."""
    return pytest.mark.parametrize(
        "call",
        [
            pytest.param(call, marks=pytest.mark.cell(client, "nebula", shown), id=call.__name__)
            for client, calls in CALLERS.items()
            for call in calls
        ],
    )


def opened(reply: dict[str, Any]) -> Image.Image:
    assert reply["status"] == "success", reply
    (datum,) = reply["data"]
    assert datum["timings"]["inference"] > 0
    return Image.open(io.BytesIO(base64.b64decode(datum["b64_json"], validate=True)))


def in_base64(image: Image.Image, format: str) -> str:
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, format)
    return base64.b64encode(buffer.getvalue()).decode()


def right_half(width: int, height: int) -> Image.Image:
    pixels = np.zeros((height, width), np.uint8)
    pixels[:, width // 2 :] = 255
    return Image.fromarray(pixels)


def pixels(image: Image.Image) -> Pixels:
    return np.asarray(image.convert("RGB")).astype(int)


@pytest.fixture(scope="module")
def painted(server: str) -> Image.Image:
    """A picture to fill, of 128 px."""
    return opened(with_requests(server + PATH, PAINTING, Path()))


@by_every_caller("text to image")
def test_a_text_becomes_a_picture(server: str, packages: Path, call: Call) -> None:
    reply = call(server + PATH, PAINTING, packages)
    assert opened(reply).size == (128, 128)
    assert (reply["model"], reply["object"]) == (PAINTING["model"], "list")


@by_every_caller("inpainting")
@pytest.mark.parametrize("names", [("image", "mask"), ("input_image", "mask_image")])
def test_a_picture_is_filled_where_its_mask_is_white(
    server: str, packages: Path, painted: Image.Image, call: Call, names: tuple[str, str]
) -> None:
    given = in_base64(painted, "png"), in_base64(right_half(128, 128), "png")
    filled = opened(call(server + PATH, FILLING | dict(zip(names, given, strict=True)), packages))
    change = np.abs(pixels(filled) - pixels(painted))
    assert change[:, :64].max() == 0
    assert change[:, 64:].mean() > 2


@pytest.mark.cell("requests", "nebula", "inpainting")
@pytest.mark.parametrize("format", ["jpeg", "png", "webp"])
def test_every_format_of_the_page_is_filled(server: str, painted: Image.Image, format: str) -> None:
    image, mask = in_base64(painted, format), in_base64(right_half(128, 128), format)
    given = Image.open(io.BytesIO(base64.b64decode(image)))
    reply = with_requests(server + PATH, FILLING | {"image": image, "mask": mask}, Path())
    change = np.abs(pixels(opened(reply)) - pixels(given))
    assert change[:, :56].max() <= 4  # beside the edge, a mask that loses detail is not quite black
    assert change[:, 72:].mean() > 2


@pytest.mark.cell("requests", "nebula", "inpainting")
def test_filling_comes_back_in_multiples_of_16(server: str, painted: Image.Image) -> None:
    sizes = {"width": 100, "height": 90}
    given = {"image": in_base64(painted, "png"), "mask": in_base64(right_half(50, 50), "png")}
    reply = with_requests(server + PATH, FILLING | sizes | given, Path())
    assert opened(reply).size == (96, 80)


@pytest.mark.cell("requests", "nebula", "seed")
def test_schnell_paints_the_same_again_from_a_seed_but_not_from_minus_one(server: str) -> None:
    body: dict[str, Any] = {
        "model": "black-forest-labs/FLUX.1-schnell",
        "prompt": "a red cat",
        "num_steps": 4,
        "guidance_scale": 3.5,
        "width": 64,
        "height": 64,
    }
    replies = [with_requests(server + PATH, body | {"seed": seed}, Path()) for seed in (7, 7, -1)]
    first, second, other = (pixels(opened(reply)) for reply in replies)
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)


@pytest.mark.cell("fetch of Node", "nebula", "errors")
def test_an_empty_prompt_is_told_in_the_usual_envelope(server: str, packages: Path) -> None:
    assert with_fetch(server + PATH, PAINTING | {"prompt": ""}, packages) == {
        "message": "the prompt is empty; say what to paint",
        "status": "failed",
    }


@pytest.mark.cell("requests", "nebula", "models")
def test_the_models_are_listed(server: str) -> None:
    reply = requests.get(f"{server}/nebula/api/v1/serverless/models", headers=HEADERS, timeout=30)
    names = [model["model_name"] for model in reply.json()["data"]["models"]]
    assert {PAINTING["model"], FILLING["model"]} < set(names)
