"""Nebius by the clients that its documents name: OpenAI's, and Hugging Face's while they had it."""

import base64
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import requests
from openai import OpenAI, UnprocessableEntityError
from PIL import Image

from conformance import generations
from conformance.snippets import node

PYTHON, JAVASCRIPT = "openai (Python)", "openai (JavaScript)"
HUB, HUB_JS = "huggingface_hub 1.20.0", "@huggingface/inference 4.13.21"
MODEL = "black-forest-labs/flux-schnell"
EXTRAS: dict[str, Any] = {
    "width": 96,
    "height": 64,
    "num_inference_steps": 2,
    "seed": -1,
    "guidance_scale": 4,
    "negative_prompt": "green",
    "response_extension": "png",
}

# What is fixed in Hugging Face's clients is changed from outside, the clients are not.
ROUTED = """
import os, sys
from huggingface_hub import constants
constants.INFERENCE_PROXY_TEMPLATE = os.environ["HF_ENDPOINT"] + "/{provider}"
from huggingface_hub import InferenceClient
client = InferenceClient(provider="nebius", api_key="hf_abc")
try:
    image = client.text_to_image(
        "a red cat", model="black-forest-labs/FLUX.1-schnell", width=96, height=64,
        num_inference_steps=int(sys.argv[1]), guidance_scale=3.5, seed=42,
        negative_prompt="blurry", scheduler="EulerDiscreteScheduler",
    )
    print(image.size)
except Exception as error:
    print(error)
"""


def cell(client: str, call: str) -> pytest.MarkDecorator:
    return pytest.mark.cell(client, "nebius", call)


def routed(client: str, call: str) -> pytest.MarkDecorator:
    return pytest.mark.cell(client, "router", f"{call} (nebius)")


def opened(picture: str | None) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(picture or "")))


@cell(PYTHON, "text to image")
def test_openai_s_python_client_gets_what_it_asks_for(server: str) -> None:
    with OpenAI(
        api_key="abc", base_url=f"{server}/nebius/v1", _strict_response_validation=True
    ) as client:
        inline = client.images.generate(
            model=MODEL, prompt="a red cat", response_format="b64_json", extra_body=EXTRAS
        )
        linked = client.images.generate(
            model=MODEL,
            prompt="a red cat",
            response_format="url",
            extra_body=EXTRAS,
            extra_query={"ai_project_id": "p1"},
        )
    assert inline.data
    assert linked.data
    assert inline.data[0].url is None
    picture = opened(inline.data[0].b64_json)
    assert (picture.size, picture.format) == ((96, 64), "PNG")
    content = requests.get(str(linked.data[0].url), timeout=60).content
    assert Image.open(io.BytesIO(content)).size == (96, 64)


@cell(PYTHON, "errors")
def test_openai_s_python_client_shows_our_error(server: str) -> None:
    with (
        OpenAI(api_key="abc", base_url=f"{server}/nebius/v1") as client,
        pytest.raises(UnprocessableEntityError, match="63 is too small; give at least 64"),
    ):
        client.images.generate(model=MODEL, prompt="a red cat", extra_body={"width": 63})


@cell(PYTHON, "models")
def test_openai_s_python_client_lists_the_models(server: str) -> None:
    with OpenAI(api_key="abc", base_url=f"{server}/nebius/v1") as client:
        assert MODEL in {each.id for each in client.models.list()}
        assert client.models.retrieve(MODEL).owned_by == "black-forest-labs"


def javascript(server: str, folder: Path, **fields: Any) -> str:
    """The picture that OpenAI's JavaScript client gets, in base64, or its error's message."""
    asked = EXTRAS | {"model": MODEL, "prompt": "a red cat", "response_format": "b64_json"}
    code = f"""
        import OpenAI from "openai";
        const client = new OpenAI({{
            apiKey: "abc", baseURL: {json.dumps(server + "/nebius/v1")},
        }});
        try {{
            const reply = await client.images.generate({json.dumps(asked | fields)});
            process.stdout.write(reply.data[0].b64_json);
        }} catch (error) {{
            process.stdout.write(error.message);
        }}
        """
    return node(code, folder).decode()


@cell(JAVASCRIPT, "text to image")
def test_openai_s_javascript_client_gets_its_picture(server: str, packages: Path) -> None:
    assert opened(javascript(server, packages)).size == (96, 64)


@cell(JAVASCRIPT, "errors")
def test_openai_s_javascript_client_shows_our_error(server: str, packages: Path) -> None:
    told = javascript(server, packages, width=63)
    assert told == "422 width: 63 is too small; give at least 64"


@pytest.mark.parametrize(
    ("steps", "told"),
    [
        pytest.param("2", "(96, 64)", marks=routed(HUB, "text to image"), id="picture"),
        pytest.param(
            "99", "99 is too large; give at most 80", marks=routed(HUB, "errors"), id="error"
        ),
    ],
)
def test_the_last_python_client_of_hugging_face_that_has_nebius(
    server: str, steps: str, told: str
) -> None:
    environment = os.environ | {
        "HF_ENDPOINT": server,
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "PYTHONPATH": str(generations.folder("huggingface_hub==1.20.0")),
    }
    run = subprocess.run(
        [sys.executable, "-c", ROUTED, steps],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert told in run.stdout


@pytest.mark.parametrize(
    ("steps", "told"),
    [
        pytest.param(2, None, marks=routed(HUB_JS, "text to image"), id="picture"),
        pytest.param(
            99, "99 is too large; give at most 80", marks=routed(HUB_JS, "errors"), id="error"
        ),
    ],
)
def test_the_last_javascript_client_of_hugging_face_that_has_nebius(
    server: str, packages: Path, steps: int, told: str | None
) -> None:
    parameters = {"width": 96, "height": 64, "num_inference_steps": steps, "seed": 42}
    code = f"""
        import {{ InferenceClient }} from "huggingface-inference-4.13.21";
        const local = {json.dumps(server)};
        const here = (url) => String(url).replace(/^https:..(router.)?huggingface.co/, local);
        const fetch = (url, options) => globalThis.fetch(here(url), options);
        const client = new InferenceClient("hf_abc", {{ fetch }});
        try {{
            const image = await client.textToImage({{
                provider: "nebius",
                model: "black-forest-labs/FLUX.1-schnell",
                inputs: "a red cat",
                parameters: {json.dumps(parameters)},
            }});
            process.stdout.write(Buffer.from(await image.arrayBuffer()));
        }} catch (error) {{
            process.stdout.write(error.message);
        }}
        """
    written = node(code, packages)
    if told is None:
        assert Image.open(io.BytesIO(written)).size == (96, 64)
    else:
        assert told in written.decode()
