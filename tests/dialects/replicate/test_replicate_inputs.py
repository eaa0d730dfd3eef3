"""Inputs at Replicate's door: what every field does, and what models say of theirs."""

import io
from typing import Any

import pytest
from PIL import Image

from imagemill.dialects.replicate.predictors import PREDICTORS, Usual, predictor
from imagemill.dialects.replicate.predictors.drafts import IGNORED
from imagemill.dialects.replicate.predictors.inputs import RATIOS, SCHEDULERS
from imagemill.errors import Fault
from imagemill.scheduler_names import SCHEDULERS as OWN_SCHEDULERS
from tests.conftest import Serving
from tests.dialects.replicate.test_replicate import ROOT, SMALL, WAIT, create, data_uri
from tests.engines import PlainEngine

pytestmark = pytest.mark.anyio

DEV = f"{ROOT}/models/black-forest-labs/flux-dev"
SDXL = f"{ROOT}/models/stability-ai/sdxl"
ANY = f"{ROOT}/models/someone/something"


async def generated(serving: Serving, path: str = ANY, **input: Any) -> tuple[Any, dict[str, Any]]:
    """What reached the engine, and the prediction."""
    engine = PlainEngine()
    async with serving(engine) as client:
        body = {"input": {"prompt": "a cat"} | input}
        reply = await client.post(f"{path}/predictions", json=body, headers=WAIT)
        assert reply.status_code == 201, reply.text
        prediction = reply.json()
        assert prediction["status"] == "succeeded", prediction["error"]
    return engine.submitted[0], prediction


async def test_every_plain_field_reaches_the_engine(serving: Serving) -> None:
    generation, _ = await generated(
        serving,
        negative_prompt="green",
        width=192,
        height=64,
        num_inference_steps=3,
        guidance_scale=2.5,
        scheduler="K_EULER",
        seed=2**64 - 1,
        num_outputs=2,
        output_format="jpg",
    )
    assert (generation.prompt, generation.negative_prompt) == ("a cat", "green")
    assert (generation.width, generation.height) == (192, 64)
    assert (generation.steps, generation.guidance_scale) == (3, 2.5)
    assert generation.scheduler == "EulerDiscreteScheduler"
    assert (generation.seed, generation.num_images) == (2**64 - 1, 2)
    assert generation.format == "jpeg"


@pytest.mark.parametrize(
    ("path", "steps", "guidance", "size", "format"),
    [
        (f"{ROOT}/models/black-forest-labs/flux-schnell", 4, 4.0, (1024, 1024), "webp"),
        (DEV, 28, 3.0, (1024, 1024), "webp"),
        (SDXL, 50, 7.5, (1024, 1024), "png"),
        (f"{ROOT}/models/stability-ai/stable-diffusion-3.5-large", 35, 3.5, (1024, 1024), "webp"),
        (ANY, 12, 4.0, (512, 512), "webp"),
    ],
)
async def test_what_is_left_open_is_as_the_model_has_it(
    serving: Serving, path: str, steps: int, guidance: float, size: tuple[int, int], format: str
) -> None:
    generation, _ = await generated(serving, path, seed=None, image=None)
    assert (generation.steps, generation.guidance_scale) == (steps, guidance)
    assert (generation.width, generation.height) == size
    assert (generation.format, generation.scheduler) == (format, None)


@pytest.mark.parametrize(
    ("input", "size"),
    [
        ({"aspect_ratio": "16:9"}, (1344, 768)),
        ({"aspect_ratio": "9:21", "megapixels": "0.25"}, (320, 768)),
        ({"megapixels": "0.25"}, (512, 512)),
        ({"aspect_ratio": "custom", "width": 128, "height": 64}, (128, 64)),
        ({"aspect_ratio": "16:9", "width": 128, "height": 64}, (128, 64)),
        ({"target_size": {"width": 128, "height": 64}}, (128, 64)),
        ({"size": "128x64"}, (128, 64)),
        ({"size": "128*64", "aspect_ratio": "custom"}, (128, 64)),
        ({"image": data_uri((96, 64))}, (96, 64)),
        ({"image": data_uri((96, 64)), "aspect_ratio": "match_input_image"}, (96, 64)),
        ({"image": data_uri((96, 64)), "aspect_ratio": "1:1"}, (1024, 1024)),
        ({"image": data_uri((96, 64)), "target_size": {"width": 64, "height": 64}}, (64, 64)),
    ],
)
async def test_the_size_follows_what_is_said_of_it(
    serving: Serving, input: dict[str, Any], size: tuple[int, int]
) -> None:
    generation, _ = await generated(serving, **input)
    assert (generation.width, generation.height) == size


@pytest.mark.parametrize(
    ("input", "ignored"),
    [
        ({"width": 64, "height": 64}, {"aspect_ratio", "megapixels"}),
        ({"target_size": {"width": 64, "height": 64}}, {"aspect_ratio", "megapixels"}),
        ({"image": "data:,x", "aspect_ratio": "match_input_image"}, {"megapixels"}),
        ({"width": 64, "height": 64, "aspect_ratio": "custom"}, {"megapixels"}),
        ({"aspect_ratio": "custom"}, {"aspect_ratio"}),
        ({"aspect_ratio": "match_input_image"}, {"aspect_ratio"}),
        ({"width": None, "height": None}, set()),
    ],
)
def test_what_has_no_say_in_the_size_is_told(input: dict[str, Any], ignored: set[str]) -> None:
    params: dict[str, Any] = {"prompt": "x", "aspect_ratio": "16:9", "megapixels": "1"} | input
    _, remarks = predictor("a/b").read(Usual(**params))
    assert {each.partition(":")[0] for each in remarks} == ignored


async def test_an_image_decides_the_shape_where_the_model_says_so(serving: Serving) -> None:
    params = {"image": data_uri((96, 64)), "aspect_ratio": "1:1", "prompt_strength": 0.5}
    generation, body = await generated(serving, DEV, **params)
    assert (generation.width, generation.height) == (96, 64)
    assert generation.strength == 0.5
    assert "ignored: aspect_ratio: the picture has the shape of the image" in body["logs"]


@pytest.mark.parametrize(
    "names",
    [
        {"image": None},
        {"input_image": None},
        {"images": []},
        {"input_images": []},
        {"image_input": []},
        # As Hugging Face's clients send it: under every name that some model has.
        {"image": None, "images": [], "input_image": None, "input_images": []},
    ],
)
async def test_an_image_is_found_under_all_its_names(
    serving: Serving, names: dict[str, Any]
) -> None:
    uri = data_uri((96, 64), "red")
    input: dict[str, Any] = {name: [uri] if kind == [] else uri for name, kind in names.items()}
    engine = PlainEngine()
    async with serving(engine) as client:
        body = await create(client, ANY, strength=0.4, **input)
    generation, (inputs,) = engine.submitted[0], engine.inputs
    image = Image.open(io.BytesIO(inputs[generation.image or ""]))
    assert image.getpixel((0, 0)) == (255, 0, 0)
    assert generation.strength == 0.4
    echoed = str(body["input"])
    assert "characters)" in echoed or len(uri) < 200


async def test_white_in_a_mask_is_repainted(serving: Serving) -> None:
    engine = PlainEngine()
    async with serving(engine) as client:
        await create(client, SDXL, image=data_uri(), mask=data_uri(colour="white"))
        await create(client, SDXL, image=data_uri(), mask_image=data_uri(colour="black"))
    masks = [
        Image.open(io.BytesIO(inputs[generation.mask or ""])).getpixel((0, 0))
        for generation, inputs in zip(engine.submitted, engine.inputs, strict=True)
    ]
    assert masks == [255, 0]


@pytest.mark.parametrize("name", [*SCHEDULERS, *OWN_SCHEDULERS])
def test_every_scheduler_that_is_named_is_one_of_ours(name: str) -> None:
    draft, _ = predictor("a/b").read(Usual(prompt="x", scheduler=name))
    assert draft.scheduler in OWN_SCHEDULERS


@pytest.mark.parametrize(
    ("path", "address"),
    [
        ("https://a.example/b.safetensors", "https://a.example/b.safetensors"),
        ("a/b", "https://huggingface.co/a/b/resolve/main/pytorch_lora_weights.safetensors"),
        (
            "https://huggingface.co/a/b",
            "https://huggingface.co/a/b/resolve/main/pytorch_lora_weights.safetensors",
        ),
        (
            "huggingface.co/a/b/c.safetensors",
            "https://huggingface.co/a/b/resolve/main/c.safetensors",
        ),
        (
            "https://huggingface.co/a/b/blob/v1/d/c.safetensors",
            "https://huggingface.co/a/b/resolve/v1/d/c.safetensors",
        ),
    ],
)
def test_a_lora_is_found_where_it_is_named(path: str, address: str) -> None:
    params = Usual(prompt="x", lora_weights=path, lora_scale=0.5, extra_lora="c/d")
    draft, _ = predictor("a/b").read(params)
    assert (draft.loras[0].path, draft.loras[0].scale) == (address, 0.5)
    assert (draft.loras[1].path.split("/")[3], draft.loras[1].scale) == ("c", 1.0)


@pytest.mark.parametrize(
    ("input", "message"),
    [
        ({"lora_weights": "civitai.com/models/1"}, "is no LoRA; give the address"),
        ({"refine": "base_image_refiner"}, "there is no refiner here"),
        ({"replicate_weights": "https://a.example/b.tar"}, "give the address of a safetensors"),
        (
            {"image": "http://a", "images": ["http://b"], "strength": 0.5},
            "2 images are given; one can be painted over",
        ),
        ({"num_inference_steps": 3, "steps": 4}, "they differ; give one"),
        ({"width": 64, "target_size": {"width": 65, "height": 64}}, "width and target_size differ"),
        ({"width": 64, "size": "65x64"}, "width and size differ"),
        ({"scheduler": "KLMS"}, "scheduler 'KLMS' is not served here; one of K_EULER"),
    ],
)
def test_what_cannot_be_honoured_is_refused(input: dict[str, Any], message: str) -> None:
    with pytest.raises(Fault, match=message):
        predictor("a/b").read(Usual(prompt="x", **input))


async def test_what_does_nothing_is_told_in_the_log(serving: Serving) -> None:
    params: dict[str, Any] = {
        "output_quality": 50,
        "go_fast": True,
        "apply_watermark": False,
        "high_noise_frac": 0.5,
        "refine_steps": 3,
        "model": "dev",
    }
    assert params.keys() == IGNORED.keys()
    _, body = await generated(serving, **params)
    for name, why in IGNORED.items():
        assert f"ignored: {name}: {why}" in body["logs"]


async def test_a_prompt_is_enriched_where_that_is_asked_for(serving: Serving) -> None:
    generation, _ = await generated(serving, **SMALL, prompt_upsampling=True)
    assert generation.prompt != "a cat"


@pytest.mark.parametrize("id", [*PREDICTORS, "someone/something"])
def test_a_schema_tells_what_its_model_takes(id: str) -> None:
    model = predictor(id)
    schemas = model.openapi()["components"]["schemas"]
    properties = schemas["Input"]["properties"]
    assert list(properties) == list(model.fields)
    assert [each["x-order"] for each in properties.values()] == list(range(len(properties)))
    assert all("anyOf" not in each and "type" in each for each in properties.values())
    assert ("prompt" in schemas["Input"]["required"]) == (id != "stability-ai/sdxl")
    assert schemas["Output"]["type"] == ("string" if model.single else "array")
    defaults = {name: each["default"] for name, each in properties.items() if "default" in each}
    model.Input.model_validate({"prompt": "x"} | defaults)


def test_every_ratio_has_about_a_megapixel_in_steps_that_models_like() -> None:
    for ratio, (width, height) in RATIOS.items():
        wide, high = map(int, ratio.split(":"))
        assert abs(width / height - wide / high) / (wide / high) < 0.05
        assert 0.9 < width * height / 2**20 < 1.1
        assert width % 32 == height % 32 == 0
