"""The requests that applications send to OpenAI's API for images, sent again to the live server."""

import base64
import io
from typing import Any

import pytest
import requests
from PIL import Image

PROMPT = "a red cat"
SMALL = "256x256"


@pytest.mark.cell("requests", "openai", "as n8n asks")
def test_a_picture_of_n8n(server: str) -> None:
    """Its node for OpenAI: an image of dall-e-2, a file in the workflow; the key may be empty."""
    body: dict[str, Any] = {
        "prompt": PROMPT,
        "model": "dall-e-2",
        "response_format": "b64_json",
        "n": 2,
        "size": SMALL,
    }
    reply = post(server, "generations", json=body)
    assert [opened(each["b64_json"]).size for each in reply["data"]] == [(256, 256)] * 2


@pytest.mark.cell("requests", "openai", "as n8n asks")
def test_links_of_n8n(server: str) -> None:
    """With "Respond with Image URL(s)": every entry goes on as it is."""
    body: dict[str, Any] = {
        "prompt": PROMPT,
        "model": "dall-e-3",
        "response_format": "url",
        "quality": "standard",
        "size": "1024x1024",
        "style": "vivid",
    }
    (entry,) = post(server, "generations", json=body)["data"]
    picture = requests.get(entry["url"], timeout=60).content
    assert Image.open(io.BytesIO(picture)).size == (1024, 1024)


@pytest.mark.cell("requests", "openai", "as n8n asks")
def test_an_edit_of_n8n(server: str) -> None:
    """Its edits send several files in a form, whose numbers are text."""
    form = {
        "model": "gpt-image-1",
        "prompt": PROMPT,
        "n": "1",
        "size": "1024x1024",
        "quality": "low",
        "input_fidelity": "low",
        "output_format": "webp",
        "output_compression": "85",
    }
    images = [("image[]", (f"{colour}.png", painted(colour), "image/png")) for colour in COLOURS]
    (entry,) = post(server, "edits", data=form, files=images)["data"]
    assert (opened(entry["b64_json"]).size, opened(entry["b64_json"]).format) == (
        (1024, 1024),
        "WEBP",
    )


@pytest.mark.cell("requests", "openai", "as Open WebUI asks")
def test_the_calls_of_open_webui(server: str) -> None:
    """Its engine openai: no form of answer for gpt-image, base64 from all others, then an edit."""
    today = {"model": "gpt-image-1", "prompt": PROMPT, "n": 1, "size": "1024x1024"}
    earlier = {
        "model": "dall-e-2", "prompt": PROMPT, "n": 1, "size": SMALL, "response_format": "b64_json",
    }  # fmt: skip
    for body, side in ((today, 1024), (earlier, 256)):
        (entry,) = post(server, "generations", json=body)["data"]
        assert opened(entry["b64_json"]).size == (side, side)
    images = {"image": ("image.png", painted("navy"), "image/png")}
    (edited,) = post(server, "edits", data=today, files=images)["data"]
    assert opened(edited["b64_json"]).size == (1024, 1024)


COLOURS = ("navy", "olive")


def post(server: str, operation: str, **said: Any) -> Any:
    headers = {"authorization": "Bearer ", "accept": "application/json"}
    reply = requests.post(
        f"{server}/openai/v1/images/{operation}", headers=headers, timeout=120, **said
    )
    assert reply.ok, reply.text
    return reply.json()


def painted(colour: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (128, 128), colour).save(buffer, "png")
    return buffer.getvalue()


def opened(content: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(content)))
