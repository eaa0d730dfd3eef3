"""Hugging Face's clients by the names of providers: the Hub's look-ups, then the router."""

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
from PIL import Image

from conformance.snippets import node

PROVIDERS = ("hf-inference", "fal-ai", "replicate", "together")
TASKS = ("text-to-image", "image-to-image")
CALLS = [(provider, task) for provider in PROVIDERS for task in TASKS]
HUB, HUB_JS = "huggingface_hub", "@huggingface/inference"
ASYNCHRONOUS = pytest.param("async ", marks=pytest.mark.cell(HUB, "router", "asynchronous"))
PATHS = {
    "fal-ai": "fal-ai/flux/dev",
    "hf-inference": "models/black-forest-labs/FLUX.1-dev",
    "nebius": "v1/images/generations",
    "replicate": "v1/models/black-forest-labs/flux-dev/predictions",
    "together": "v1/images/generations",
}
Told = dict[str, Any]  # by "provider task": a size, or an error's text

# Two assignments before the import, in place of the hosts that the client has built in.
PYTHON = """
import asyncio, io, json, os, sys
from huggingface_hub import constants
constants.INFERENCE_PROXY_TEMPLATE = os.environ["HF_ENDPOINT"] + "/{provider}"
from huggingface_hub import AsyncInferenceClient, InferenceClient
from PIL import Image

DEV = "black-forest-labs/FLUX.1-dev"
buffer = io.BytesIO()
Image.new("RGB", (128, 64), "red").save(buffer, "png")
DRAWN = buffer.getvalue()
SIZE = {"width": 128, "height": 64}
SMALL = {"num_inference_steps": 2, "guidance_scale": 3.5, "negative_prompt": "green"}

def call(client, task, **more):
    if task == "text-to-image":
        asked = {**SIZE, "seed": 42, "scheduler": "EulerDiscreteScheduler", **SMALL, **more}
        return client.text_to_image("a red cat", model=DEV, **asked)
    asked = {"target_size": SIZE, **SMALL, **more}
    return client.image_to_image(
        DRAWN, prompt="a red cat", model=DEV + "_image-to-image", strength=0.6, **asked
    )

def told(image):
    return list(image.size)

async def both(calls):
    found = {}
    for provider, task in calls:
        client = InferenceClient(provider=provider, api_key="hf_abc")
        found[f"{provider} {task}"] = attempt(lambda: told(call(client, task)))
        async with AsyncInferenceClient(provider=provider, api_key="hf_abc") as client:
            try:
                image = await call(client, task)
                found[f"async {provider} {task}"] = told(image)
            except Exception as error:
                found[f"async {provider} {task}"] = repr(error)
    return found

def attempt(work):
    try:
        return work()
    except Exception as error:
        return f"{type(error).__name__}: {error}"

calls = json.loads(sys.argv[1])
found = asyncio.run(both(calls))
for provider in dict(calls):
    client = InferenceClient(provider=provider, api_key="hf_abc")
    found["bad " + provider] = attempt(lambda: told(call(client, "text-to-image", width=63)))
    found["task " + provider] = attempt(
        lambda: client.text_to_image("a red cat", model=DEV + "_image-to-image")
    )
plain = InferenceClient(provider="hf-inference", api_key="hf_abc")
found["no parameters"] = attempt(
    lambda: told(plain.image_to_image(DRAWN, model=DEV + "_image-to-image"))
)
found["no model"] = attempt(lambda: told(plain.text_to_image("a cat", **SIZE, **SMALL)))
auto = InferenceClient(api_key="hf_abc")
found["auto"] = attempt(lambda: told(auto.text_to_image("a cat", model=DEV, **SIZE, **SMALL)))
kontext = InferenceClient(provider="together", api_key="hf_abc")
found["kontext"] = attempt(
    lambda: told(
        kontext.image_to_image(
            DRAWN, prompt="a cat", model="black-forest-labs/FLUX.1-Kontext-dev",
            target_size=SIZE, **SMALL,
        )
    )
)
print(json.dumps(found))
"""

JAVASCRIPT = """
import { InferenceClient } from "@huggingface/inference";
const base = %s;
const to = (url) => String(url).replace(/^https:\\/\\/(router\\.)?huggingface\\.co/, base);
const client = new InferenceClient("hf_abc", { fetch: (url, init) => fetch(to(url), init) });
const dev = "black-forest-labs/FLUX.1-dev";
const drawn = await fetch("data:image/png;base64,%s").then((reply) => reply.blob());
const size = { width: 128, height: 64 };
const small = { num_inference_steps: 2, guidance_scale: 3.5, negative_prompt: "green" };
const found = {};
async function call(provider, task, more) {
    const shared = { provider, urlTransform: to };
    if (task === "text-to-image") {
        const parameters = { ...size, ...small, seed: 42, ...more };
        return client.textToImage({ ...shared, model: dev, inputs: "a red cat", parameters });
    }
    const parameters = { prompt: "a red cat", target_size: size, strength: 0.6, ...small };
    return client.imageToImage({
        ...shared, model: dev + "_image-to-image", inputs: drawn, parameters,
    });
}
async function attempt(name, work) {
    try {
        const blob = await work();
        found[name] = Buffer.from(await blob.arrayBuffer()).toString("base64");
    } catch (error) {
        found[name] = "error: " + error.message;
    }
}
for (const [provider, task] of %s) {
    await attempt(`${provider} ${task}`, () => call(provider, task, {}));
    await attempt(`bad ${provider}`, () => call(provider, "text-to-image", { width: 63 }));
}
await attempt("auto", () => call("auto", "text-to-image", {}));
process.stdout.write(JSON.stringify(found));
"""


def cell(client: str, call: str, provider: str) -> pytest.MarkDecorator:
    return pytest.mark.cell(client, "router", f"{call} ({provider})")


def calls(client: str) -> pytest.MarkDecorator:
    """A test for each task of each provider, which shows that this works."""
    return pytest.mark.parametrize(
        ("provider", "task"),
        [
            pytest.param(provider, task, marks=cell(client, task.replace("-", " "), provider))
            for provider, task in CALLS
        ],
    )


def providers(client: str, call: str) -> pytest.MarkDecorator:
    """A test for each provider, which shows that this works."""
    return pytest.mark.parametrize(
        "provider", [pytest.param(each, marks=cell(client, call, each)) for each in PROVIDERS]
    )


@pytest.fixture(scope="module")
def python(server: str) -> Told:
    """What the Python client got of every provider."""
    run = subprocess.run(
        [sys.executable, "-c", PYTHON, json.dumps(CALLS)],
        env={**os.environ, "HF_ENDPOINT": server, "HF_HUB_DISABLE_TELEMETRY": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    told: Told = json.loads(run.stdout)
    return told


@pytest.fixture(scope="module")
def javascript(server: str, packages: Path) -> Told:
    """What the JavaScript client got of every provider, pictures by their size."""
    code = JAVASCRIPT % (json.dumps(server), drawn(), json.dumps(CALLS))
    last = node(code, packages).splitlines()[-1]  # before it, which provider `auto` became
    return {name: _size(value) for name, value in json.loads(last).items()}


def drawn() -> str:
    buffer = io.BytesIO()
    Image.new("RGB", (128, 64), "red").save(buffer, "png")
    return base64.b64encode(buffer.getvalue()).decode()


def _size(value: str) -> Any:
    if value.startswith("error: "):
        return value
    return list(Image.open(io.BytesIO(base64.b64decode(value))).size)


@calls(HUB)
@pytest.mark.parametrize("form", ["", ASYNCHRONOUS])
def test_the_python_client_gets_a_picture_of_every_provider(
    python: Told, provider: str, task: str, form: str
) -> None:
    assert python[f"{form}{provider} {task}"] == [128, 64]


@providers(HUB, "errors")
def test_the_python_client_shows_what_was_wrong(python: Told, provider: str) -> None:
    kind, _, message = python[f"bad {provider}"].partition(":")
    assert kind in ("HfHubHTTPError", "BadRequestError")
    assert "width" in message
    assert "64" in message  # the limit


@pytest.mark.parametrize("provider", PROVIDERS)
def test_the_python_client_refuses_a_model_of_another_task(python: Told, provider: str) -> None:
    assert "ValueError" in python[f"task {provider}"]


@pytest.mark.parametrize(
    "call",
    [
        pytest.param("no parameters", marks=cell(HUB, "image to image", "hf-inference")),
        pytest.param("no model", marks=pytest.mark.cell(HUB, "router", "model left open")),
        pytest.param("auto", marks=cell(HUB, "text to image", "auto")),
        pytest.param("kontext", marks=cell(HUB, "image to image", "together")),
    ],
)
def test_the_python_client_may_leave_things_open(python: Told, call: str) -> None:
    assert python[call] == [128, 64]


@calls(HUB_JS)
def test_the_javascript_client_gets_a_picture_of_every_provider(
    javascript: Told, provider: str, task: str
) -> None:
    assert javascript[f"{provider} {task}"] == [128, 64]


@providers(HUB_JS, "errors")
def test_the_javascript_client_shows_what_was_wrong(javascript: Told, provider: str) -> None:
    message = javascript[f"bad {provider}"]
    assert message.startswith("error: Failed to perform inference: ")
    assert "width" in message
    assert "64" in message  # the limit


@cell(HUB_JS, "text to image", "auto")
def test_the_javascript_client_may_leave_the_provider_open(javascript: Told) -> None:
    assert javascript["auto"] == [128, 64]


@pytest.mark.parametrize(
    "task",
    [
        pytest.param(task, marks=pytest.mark.cell(HUB_JS, "hf-inference", task.replace("-", " ")))
        for task in TASKS
    ],
)
def test_the_javascript_client_with_an_endpoint_url_gets_a_picture(
    server: str, packages: Path, task: str
) -> None:
    call = {"text-to-image": "textToImage", "image-to-image": "imageToImage"}[task]
    code = f"""
        import {{ InferenceClient }} from "@huggingface/inference";
        const endpointUrl = "{server}/hf-inference/models/someone/something";
        const client = new InferenceClient("hf_abc", {{ endpointUrl }});
        const drawn = await fetch("data:image/png;base64,{drawn()}").then((got) => got.blob());
        const size = {{ width: 128, height: 64 }}, steps = {{ num_inference_steps: 2 }};
        const asked = {{
            textToImage: {{ inputs: "a red cat", parameters: {{ ...size, ...steps }} }},
            imageToImage: {{ inputs: drawn, parameters: {{ prompt: "a red cat", ...steps }} }},
        }};
        const image = await client.{call}(asked.{call});
        process.stdout.write(Buffer.from(await image.arrayBuffer()));
    """
    assert Image.open(io.BytesIO(node(code, packages))).size == (128, 64)


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(
            f"/{provider}/{path}", marks=cell("requests", "printed body", provider), id=provider
        )
        for provider, path in PATHS.items()
    ],
)
def test_the_printed_body_gets_bytes_of_a_picture_on_every_route(server: str, path: str) -> None:
    body: dict[str, Any] = {
        "inputs": "Astronaut riding a horse",
        "parameters": {"width": 64, "height": 64, "num_inference_steps": 1},
    }
    headers = {"authorization": "Bearer hf_abc", "content-type": "application/json"}
    reply = requests.post(server + path, json=body, headers=headers, timeout=60)
    assert reply.status_code == 200, reply.text
    assert Image.open(io.BytesIO(reply.content)).size == (64, 64)
