"""OpenAI's own clients, unmodified, against the live server."""

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from openai import AsyncOpenAI, BadRequestError, NotFoundError, OpenAI
from PIL import Image

from conformance.snippets import node

# Any model takes these, beside OpenAI's own fields.
OWN: dict[str, Any] = {"width": 128, "height": 128, "num_inference_steps": 4, "seed": 3}
FLUX = "black-forest-labs/FLUX.1-dev"


@pytest.fixture
def client(server: str) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{server}/openai/v1", api_key="sk-x", max_retries=0) as client:
        yield client


def opened(content: str | None) -> Image.Image:
    assert content is not None
    return Image.open(io.BytesIO(base64.b64decode(content, validate=True)))


def png(picture: Image.Image) -> io.BytesIO:
    buffer = io.BytesIO()
    picture.save(buffer, "png")
    buffer.seek(0)
    return buffer


def painted(colour: str = "navy") -> io.BytesIO:
    return png(Image.new("RGB", (128, 128), colour))


def clear_on_the_left() -> io.BytesIO:
    mask = Image.new("RGBA", (128, 128), "black")
    mask.paste((0, 0, 0, 0), (0, 0, 64, 128))
    return png(mask)


@pytest.mark.cell("openai (Python)", "openai", "text to image (base64)", "usage")
@pytest.mark.parametrize("model", ["gpt-image-1", "gpt-image-1.5", "gpt-image-2"])
def test_a_model_of_today_answers_in_base64(client: OpenAI, model: str) -> None:
    reply = client.images.generate(
        model=model, prompt="a red cat", quality="low", output_format="webp", extra_body=OWN
    )
    (item,) = reply.data or []
    assert (opened(item.b64_json).size, opened(item.b64_json).format) == ((128, 128), "WEBP")
    assert requests.get(str(item.url), timeout=60).content == base64.b64decode(str(item.b64_json))
    assert (reply.quality, reply.output_format, reply.background) == ("low", "webp", "opaque")
    assert reply.usage is not None
    assert (reply.usage.input_tokens, reply.usage.output_tokens) == (3, 6)
    assert reply.created > 1_700_000_000


@pytest.mark.cell("openai (Python)", "openai", "text to image (url)")
def test_a_model_of_old_answers_with_a_url_as_well(client: OpenAI) -> None:
    reply = client.images.generate(model="dall-e-2", prompt="a red cat", extra_body=OWN)
    (item,) = reply.data or []
    assert opened(item.b64_json).size == (128, 128)
    picture = requests.get(str(item.url), timeout=60)
    assert Image.open(io.BytesIO(picture.content)).size == (128, 128)


@pytest.mark.cell("openai (Python)", "openai", "text to image (svg)")
def test_an_svg_is_traced_from_the_picture(client: OpenAI) -> None:
    reply = client.images.generate(
        model="gpt-image-1", prompt="a red cat", output_format="svg", extra_body=OWN
    )
    (item,) = reply.data or []
    drawing = base64.b64decode(str(item.b64_json)).decode()
    assert drawing.startswith("<svg")
    assert 'width="128" height="128"' in drawing


@pytest.mark.cell("openai (Python)", "openai", "several images", "seed")
def test_two_pictures_differ_and_the_same_seed_paints_the_same(client: OpenAI) -> None:
    def paint(n: int) -> list[Any]:
        reply = client.images.generate(
            model=FLUX, prompt="a red cat", n=n, size="128x128", response_format="b64_json",
            extra_body={"num_inference_steps": 4, "seed": 3},
        )  # fmt: skip
        return [np.asarray(opened(item.b64_json)) for item in reply.data or []]

    first, second = paint(2)
    (alone,) = paint(1)
    assert (first == alone).all()
    assert (first != second).any()


@pytest.mark.cell("openai (Python)", "openai", "inpainting")
def test_what_the_mask_leaves_alone_stays_as_it_was(client: OpenAI) -> None:
    reply = client.images.edit(
        model="gpt-image-1", image=painted(), mask=clear_on_the_left(), prompt="a red cat",
        extra_body={"num_inference_steps": 6, "seed": 3},
    )  # fmt: skip
    pixels = np.asarray(opened((reply.data or [])[0].b64_json)).astype(int)
    changed = np.abs(pixels - (0, 0, 128)).max(axis=-1)
    assert changed[:, 72:].max() <= 2
    assert changed[:, :56].mean() > 20


@pytest.mark.cell("openai (Python)", "openai", "image to image", "several inputs", "usage")
def test_several_images_are_edited_together(client: OpenAI) -> None:
    reply = client.images.edit(
        model="gpt-image-1.5", image=[painted("red"), painted("navy")], prompt="a boat on the sea",
        input_fidelity="high", extra_body={"num_inference_steps": 4, "strength": 0.2},
    )  # fmt: skip
    picture = np.asarray(opened((reply.data or [])[0].b64_json)).astype(int)
    assert picture.shape == (128, 128, 3)
    assert picture[:, :48, 0].mean() > picture[:, 80:, 0].mean() + 50
    assert reply.usage is not None
    assert reply.usage.input_tokens_details.image_tokens == 2 * 194


@pytest.mark.cell("openai (Python)", "openai", "variations")
@pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")  # of the client's own method
def test_a_picture_is_varied(client: OpenAI) -> None:
    reply = client.images.create_variation(
        image=painted(), n=2, size="256x256", response_format="b64_json",
        extra_body={"num_inference_steps": 3},
    )  # fmt: skip
    assert [opened(item.b64_json).size for item in reply.data or []] == [(256, 256)] * 2


@pytest.mark.cell("openai (Python)", "openai", "stream with partial images")
def test_partial_pictures_come_before_the_last(client: OpenAI) -> None:
    events = list(
        client.images.generate(
            model="gpt-image-1", prompt="a red cat", stream=True, partial_images=2,
            output_format="jpeg", extra_body=OWN,
        )
    )  # fmt: skip
    assert [event.type for event in events] == [
        "image_generation.partial_image",
        "image_generation.partial_image",
        "image_generation.completed",
    ]
    assert {opened(event.b64_json).format for event in events} == {"JPEG"}
    assert opened(events[-1].b64_json).size == (128, 128)


@pytest.mark.cell("openai (Python)", "openai", "stream with partial images")
def test_an_edit_is_streamed(client: OpenAI) -> None:
    events = client.images.edit(
        model="gpt-image-1", image=painted(), prompt="a red cat", stream=True, partial_images=1,
        extra_body={"num_inference_steps": 4},
    )  # fmt: skip
    types = [event.type for event in events]
    assert types == ["image_edit.partial_image", "image_edit.completed"]


@pytest.mark.cell("openai (Python)", "openai", "errors")
def test_faults_are_the_clients_own_exceptions(client: OpenAI) -> None:
    with pytest.raises(BadRequestError, match="Supported values are: '1024x1024'") as wrong:
        client.images.generate(model="gpt-image-1", prompt="a", size="512x512")
    assert (wrong.value.param, wrong.value.code) == ("size", "invalid_value")
    assert wrong.value.type == "invalid_request_error"
    assert wrong.value.request_id
    with pytest.raises(BadRequestError, match="nothing in it is transparent") as wrong:
        client.images.edit(image=painted(), mask=painted(), prompt="a")
    assert wrong.value.param == "mask"
    with pytest.raises(NotFoundError) as missing:
        client.images.generate(model="a//c", prompt="a")
    assert missing.value.code == "model_not_found"


@pytest.mark.cell("openai (Python)", "openai", "models")
def test_models_are_listed(client: OpenAI) -> None:
    ids = [model.id for model in client.models.list()]
    assert {"gpt-image-1", FLUX} <= set(ids)
    assert client.models.retrieve(FLUX).owned_by == "black-forest-labs"


@pytest.mark.cell("openai (Python)", "openai", "asynchronous")
@pytest.mark.anyio
async def test_the_asynchronous_client_paints_edits_and_streams(server: str) -> None:
    async with AsyncOpenAI(base_url=f"{server}/openai/v1", api_key="sk-x") as client:
        reply = await client.images.generate(model=FLUX, prompt="a red cat", extra_body=OWN)
        (item,) = reply.data or []
        assert item.url is not None
        assert opened(item.b64_json).size == (128, 128)
        edited = await client.images.edit(
            model="gpt-image-1", image=painted(), mask=clear_on_the_left(), prompt="a boat",
            extra_body={"num_inference_steps": 3},
        )  # fmt: skip
        assert opened((edited.data or [])[0].b64_json).size == (128, 128)
        stream = await client.images.generate(
            model="gpt-image-1", prompt="a red cat", stream=True, partial_images=1, extra_body=OWN
        )
        assert [event.type.rpartition(".")[2] async for event in stream] == [
            "partial_image",
            "completed",
        ]
        assert [model.id async for model in client.models.list()]


SCRIPT = """
import OpenAI, { toFile } from "openai";
const client = new OpenAI({ baseURL: %(base)s, apiKey: "sk-x", maxRetries: 0 });
const own = { width: 128, height: 128, num_inference_steps: 4, seed: 3 };
const told = {};
const prompt = "a red cat", model = "gpt-image-1";
const generated = await client.images.generate({ model, prompt, ...own });
told.generated = generated.data[0].b64_json;
told.tokens = generated.usage.output_tokens;
const image = await toFile(Buffer.from(told.generated, "base64"), "cat.png", { type: "image/png" });
const mask = await toFile(Buffer.from(%(mask)s, "base64"), "mask.png", { type: "image/png" });
const edited = await client.images.edit({ model, image, mask, prompt, num_inference_steps: 3 });
told.edited = edited.data[0].b64_json;
told.both = (await client.images.edit({ model, image: [image, image], prompt })).data.length;
const url = await client.images.createVariation({ image, size: "256x256", num_inference_steps: 2 });
told.url = url.data[0].url;
const stream = await client.images.generate(
  { model, prompt, stream: true, partial_images: 1, ...own });
told.events = [];
for await (const event of stream) told.events.push(event.type);
try {
  await client.images.generate({ model, prompt, n: 0 });
} catch (error) {
  told.error = [error.status, error.param, error.code, error.constructor.name];
}
told.models = (await client.models.list()).data.length;
process.stdout.write(JSON.stringify(told));
"""


@pytest.mark.cell(
    "openai (JavaScript)",
    "openai",
    "text to image (base64)",
    "image to image",
    "inpainting",
    "several inputs",
    "variations",
    "stream with partial images",
    "errors",
    "models",
    "usage",
)
def test_the_javascript_client_paints_edits_varies_and_streams(server: str, packages: Path) -> None:
    mask = base64.b64encode(clear_on_the_left().getvalue()).decode()
    code = SCRIPT % {"base": json.dumps(f"{server}/openai/v1"), "mask": json.dumps(mask)}
    told = json.loads(node(code, packages))
    assert opened(told["generated"]).size == opened(told["edited"]).size == (128, 128)
    assert (told["tokens"], told["both"]) == (20, 1)
    assert requests.get(told["url"], timeout=60).ok
    assert told["events"] == ["image_generation.partial_image", "image_generation.completed"]
    assert told["error"] == [400, "n", "integer_below_min_value", "BadRequestError"]
    assert told["models"] > 10
