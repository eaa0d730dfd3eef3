"""Hugging Face's own clients, unmodified, against the live server."""

import io
import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from huggingface_hub import AsyncInferenceClient, InferenceClient
from huggingface_hub.errors import BadRequestError, HfHubHTTPError
from PIL import Image

from conformance.snippets import node

MODEL = "/hf-inference/models/black-forest-labs/FLUX.1-dev"


def javascript(url: str, arguments: Mapping[str, object], folder: Path) -> bytes:
    """The picture that the JavaScript client gets, or its error's message."""
    return node(
        f"""
        import {{ InferenceClient }} from "@huggingface/inference";
        const client = new InferenceClient("hf_abc", {{ endpointUrl: {json.dumps(url)} }});
        try {{
            const image = await client.textToImage({json.dumps(arguments)});
            process.stdout.write(Buffer.from(await image.arrayBuffer()));
        }} catch (error) {{
            process.stdout.write(error.message);
        }}
        """,
        folder,
    )


@pytest.mark.cell("huggingface_hub", "hf-inference", "text to image")
def test_the_python_client_with_base_url_gets_the_asked_size(server: str) -> None:
    client = InferenceClient(base_url=server + MODEL, api_key="hf_abc")
    image = client.text_to_image("a red cat", width=192, height=128, num_inference_steps=2)
    assert (image.size, image.format) == ((192, 128), "PNG")


@pytest.mark.cell("huggingface_hub", "hf-inference", "text to image")
def test_the_python_client_with_a_url_for_model_gets_the_asked_size(server: str) -> None:
    client = InferenceClient(model=server + "/models/someone/something")
    assert client.text_to_image("a red cat", width=128, height=192, num_inference_steps=2).size == (
        128,
        192,
    )


@pytest.mark.cell("huggingface_hub", "hf-inference", "every parameter")
def test_every_parameter_of_the_python_client_is_taken(server: str) -> None:
    client = InferenceClient(base_url=server + MODEL, api_key="hf_abc")

    def paint() -> Image.Image:
        return client.text_to_image(
            "a red cat",
            negative_prompt="green",
            width=128,
            height=128,
            num_inference_steps=3,
            guidance_scale=3.5,
            scheduler="EulerDiscreteScheduler",
            seed=42,
        )

    assert paint().tobytes() == paint().tobytes()


@pytest.mark.cell("huggingface_hub", "hf-inference", "asynchronous")
@pytest.mark.anyio
async def test_the_asynchronous_python_client_gets_the_asked_size(server: str) -> None:
    async with AsyncInferenceClient(base_url=server + MODEL, api_key="hf_abc") as client:
        image = await client.text_to_image("a red cat", width=192, height=64, num_inference_steps=2)
    assert image.size == (192, 64)


@pytest.mark.cell("huggingface_hub", "hf-inference", "errors")
def test_the_python_client_shows_our_error(server: str) -> None:
    client = InferenceClient(base_url=server + MODEL, api_key="hf_abc")
    with pytest.raises(BadRequestError, match="width 63 is out of range; give 64 to 2048"):
        client.text_to_image("a red cat", width=63)


@pytest.mark.cell("huggingface_hub", "hf-inference", "errors")
def test_the_python_client_is_told_of_an_unknown_route(server: str) -> None:
    client = InferenceClient(base_url=server + "/nowhere", api_key="hf_abc")
    with pytest.raises(HfHubHTTPError, match="/nowhere: not found"):
        client.text_to_image("a red cat")


@pytest.mark.cell("@huggingface/inference", "hf-inference", "text to image")
def test_the_javascript_client_gets_the_asked_size(server: str, packages: Path) -> None:
    picture = javascript(
        server + MODEL,
        {
            "inputs": "a red cat",
            "parameters": {"width": 192, "height": 128, "num_inference_steps": 2, "seed": 7},
        },
        packages,
    )
    image = Image.open(io.BytesIO(picture))
    assert (image.size, image.format) == ((192, 128), "JPEG")


@pytest.mark.cell("@huggingface/inference", "hf-inference", "errors")
def test_the_javascript_client_shows_our_error(server: str, packages: Path) -> None:
    arguments = {"inputs": "a red cat", "parameters": {"num_inference_steps": 0}}
    message = javascript(server + MODEL, arguments, packages).decode()
    assert "num_inference_steps: steps 0 is out of range; give 1 to 150" in message
