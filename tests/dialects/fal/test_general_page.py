"""Applications of fal's that no page describes, read by the usual names of fields."""

import json
from typing import Any

import pytest

from imagemill.catalog import Catalog
from imagemill.catalog.media import made_by
from imagemill.dialects.fal.pages import general
from imagemill.dialects.fal.read import app
from imagemill.errors import Fault, Kind
from imagemill.generation import Defaults, Draft, Generation, Lora
from imagemill.http.unknown_fields import UnknownFields, everywhere
from tests.conftest import Serving
from tests.documented_pages import PRINTED
from tests.engines import PlainEngine
from tests.framework_ids import TYPES
from tests.replies import picture
from tests.test_framework_ids import fal_input

KEY = {"authorization": "Key id:secret"}
USUAL = Defaults(512, 512, 12, 4.0)
IMAGE, OTHER, MASK = "https://a.test/1.png", "https://a.test/2.png", "https://a.test/mask.png"
CLIENT: dict[str, Any] = json.loads(TYPES.read_text("utf-8"))


def taken(**fields: Any) -> tuple[Draft, tuple[str, ...]]:
    """What the general page reads, and what it drops."""
    page = general.page("someone/something")
    value, dropped = page.understand({"prompt": "a cat", **fields})
    return page.draft(page.Input.model_validate(value)), dropped


def read(**fields: Any) -> Draft:
    """The same where nothing is dropped."""
    draft, dropped = taken(**fields)
    assert dropped == ()
    return draft


@pytest.mark.parametrize(
    ("fields", "size"),
    [
        ({}, (None, None)),
        ({"image_size": "portrait_4_3"}, (768, 1024)),
        ({"image_size": {"width": 128, "height": 64}}, (128, 64)),
        ({"image_size": "128x64"}, (128, 64)),
        ({"size": "1536X1024"}, (1536, 1024)),
        ({"image_size": "auto"}, (None, None)),
        ({"width": 128, "height": 64}, (128, 64)),
        ({"width": 128, "height": 64, "aspect_ratio": "1:1"}, (128, 64)),
        ({"width": 128}, (128, None)),
        ({"aspect_ratio": "16:9"}, (1360, 768)),
        ({"aspect_ratio": "21:9"}, (1568, 672)),
        ({"aspect_ratio": "1:8"}, (256, 2048)),
        ({"aspect_ratio": "auto"}, (None, None)),
        ({"aspect_ratio": "1:1", "resolution": "2K"}, (2048, 2048)),
        ({"aspect_ratio": "1:1", "resolution": "0.5k"}, (512, 512)),
        ({"aspect_ratio": "16:9", "resolution": "4K"}, (2048, 1152)),
        ({"resolution": "1K"}, (None, None)),
        ({"resolution": "2K"}, (2048, 2048)),
        ({"image_url": IMAGE, "resolution": "2K"}, (None, None)),
    ],
)
def test_sizes_are_read_in_every_usual_form(
    fields: dict[str, Any], size: tuple[int | None, int | None]
) -> None:
    draft = read(**fields)
    assert (draft.width, draft.height) == size
    assert draft.image_sized == ("image_url" in fields)


@pytest.mark.parametrize(
    ("fields", "name", "value"),
    [
        ({"n": 3}, "num_images", 3),
        ({"num_outputs": 2}, "num_images", 2),
        ({"steps": 7}, "steps", 7),
        ({"cfg_scale": 2.5}, "guidance_scale", 2.5),
        ({"guidance": 2}, "guidance_scale", 2),
        ({"format": "jpg"}, "format", "jpeg"),
        ({"output_format": "webp"}, "format", "webp"),
        ({"output_format": "PNG"}, "format", "png"),
        ({}, "format", "jpeg"),
        ({"enhance_prompt": True}, "expand", True),
        ({"seed": -1}, "seed", None),
        ({"seed": 5}, "seed", 5),
        ({"acceleration": "high"}, "acceleration", "high"),
        ({"negative_prompt": "dogs"}, "negative_prompt", "dogs"),
        ({"loras": [{"path": IMAGE, "scale": 0.5}]}, "loras", (Lora(IMAGE, 0.5),)),
        ({"loras": [{"url": IMAGE, "weight": 2}, IMAGE]}, "loras", (Lora(IMAGE, 2.0), Lora(IMAGE))),
        ({"scheduler": "DDIMScheduler"}, "scheduler", "DDIMScheduler"),
        ({"safety_tolerance": "6"}, "strength", None),
    ],
)
def test_counts_formats_and_the_rest_are_read_by_any_usual_name(
    fields: dict[str, Any], name: str, value: Any
) -> None:
    assert getattr(read(**fields), name) == value


@pytest.mark.parametrize(
    "fields",
    [
        {"image_url": IMAGE},
        {"image_urls": [IMAGE]},
        {"image_urls": [IMAGE], "image_url": IMAGE},
        {"reference_image_url": IMAGE},
        {"control_image_url": IMAGE},
        {"images": [{"url": IMAGE}]},
        {"image_urls": ["", IMAGE]},
        {"subject_image": IMAGE},
        {"image_url": IMAGE, "mask_url": ""},
    ],
)
def test_an_image_field_of_any_usual_name_is_edited_by_the_prompt(fields: dict[str, Any]) -> None:
    draft, dropped = taken(**fields)
    assert (draft.references, draft.image, draft.mask, draft.image_sized) == (
        (IMAGE,), None, None, True,
    )  # fmt: skip
    assert set(dropped) <= {"mask_url"}


def test_an_image_with_a_strength_is_painted_over() -> None:
    draft = read(image_url=IMAGE, strength=0.4)
    assert (draft.references, draft.image, draft.strength) == ((), IMAGE, 0.4)


@pytest.mark.parametrize(
    "fields",
    [
        {"image_urls": [IMAGE, OTHER, IMAGE]},
        {"human_image_url": IMAGE, "garment_image_url": OTHER},
    ],
)
def test_several_images_are_read_by_an_edit(fields: dict[str, Any]) -> None:
    draft, dropped = taken(**fields)
    assert draft.references == (IMAGE, OTHER)
    assert dropped == ()


@pytest.mark.parametrize("name", ["mask_url", "mask_image_url", "mask", "mask_image"])
def test_with_a_mask_what_it_shows_is_painted_anew(name: str) -> None:
    draft = read(image_url=IMAGE, **{name: MASK})
    assert (draft.image, draft.mask, draft.strength) == (IMAGE, MASK, 1.0)
    assert read(image_url=IMAGE, strength=0.4, **{name: MASK}).strength == 0.4


@pytest.mark.parametrize(
    ("id", "mask", "kept"),
    [
        ("fal-ai/bria/background/replace", {}, True),
        ("bria/replace-background", {}, True),
        ("fal-ai/image-editing/background-change", {}, True),
        ("bria/replace-background", {"mask_url": MASK}, False),
        ("someone/background-music-cover", {}, False),
    ],
)
def test_applications_that_replace_backgrounds_keep_what_stands_in_front(
    id: str, mask: dict[str, str], kept: bool
) -> None:
    page = general.page(id)
    value, _ = page.understand({"prompt": "a beach", "image_url": IMAGE, **mask})
    draft = page.draft(page.Input.model_validate(value))
    assert draft.keep_foreground == kept
    assert not kept or (draft.image, draft.references) == (IMAGE, ())


def test_an_image_without_words_is_painted_over_all_the_same() -> None:
    assert read(prompt="", image_url=IMAGE).prompt
    assert read(prompt="", image_url=IMAGE, image_prompt_strength=0.25).strength == 0.75


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({"nag_scale": 3, "elements": [{}]}, ("nag_scale", "elements")),
        ({"output_format": "gif", "acceleration": "full"}, ("output_format", "acceleration")),
        ({"image_size": "huge", "aspect_ratio": "wide"}, ("image_size", "aspect_ratio")),
        ({"resolution": "720p", "scheduler": "K_EULER"}, ("resolution", "scheduler")),
        ({"guidance": [{"scale": 2}]}, ("guidance",)),
        ({"mask_url": MASK}, ("mask_url",)),
        ({"image_urls": [IMAGE, OTHER, IMAGE], "strength": 0.5}, ("image_urls[1]",)),
        (
            {"human_image_url": IMAGE, "garment_image_url": OTHER, "mask_url": MASK},
            ("garment_image_url",),
        ),
        ({"image": "a photo"}, ("image",)),
        ({"loras": [5, IMAGE, {"scale": 1}]}, ("loras[0]", "loras[2]")),
        ({"x" * 200: 1}, ("x" * 80,)),
    ],
)
def test_what_is_not_understood_is_dropped_and_named(
    fields: dict[str, Any], names: tuple[str, ...]
) -> None:
    assert taken(**fields)[1] == names


@pytest.mark.parametrize("nothing", [None, "", []])
def test_a_field_that_says_nothing_is_not_named_as_dropped(nothing: Any) -> None:
    draft = read(negative_prompt=nothing, image_url=nothing, mask_url=nothing, nag_scale=nothing)
    assert (draft.image, draft.mask, draft.negative_prompt) == (None, None, "")


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"image_url": "iVBORw0KGgo"}, "image_url: the address has no scheme"),
        ({"image_url": "/files/a.png"}, "image_url: the address has no scheme"),
        ({"image_urls": ["ftp://a.test/1.png"]}, "image_url: 'ftp' is no scheme that is fetched"),
        ({"prompt": ["a cat"]}, "prompt: a list is not a string"),
    ],
)
async def test_nothing_else_is_painted_for_an_image_or_a_prompt_that_cannot_be_read(
    serving: Serving, fields: dict[str, Any], message: str
) -> None:
    body = {"prompt": "a cat", "image_size": "64x64", **fields}
    async with serving(PlainEngine()) as client:
        reply = await client.post("/fal/run/fal-ai/flux-general", json=body, headers=KEY)
    assert reply.status_code == 422
    assert reply.json()["message"].startswith(message)


@pytest.mark.parametrize(
    "id", [id for id in CLIENT["images"] if made_by(id) == "images" and id not in PRINTED]
)
def test_what_fal_s_own_client_may_send_to_an_application_can_be_painted(id: str) -> None:
    path = id.removesuffix("/stream").removesuffix("/realtime")  # which are no part of a name
    page = app(Catalog({}, stand_ins=True), path).page
    value, _ = page.understand(fal_input(id))
    generation = page.draft(UnknownFields(everywhere).take(page.Input, value)).complete(id, USUAL)
    assert isinstance(generation, Generation)


def test_few_applications_are_taken_for_what_they_are_not() -> None:
    refused = [id for id in CLIENT["images"] if made_by(id) != "images"]
    painted = [id for id in CLIENT["other"] if made_by(id) == "images"]
    assert len(refused) < len(CLIENT["images"]) / 50, refused
    assert len(painted) < len(CLIENT["other"]) / 7, painted


@pytest.mark.parametrize(
    ("id", "medium"),
    [
        ("fal-ai/veo3", "video"),
        ("fal-ai/kling-video/v2/master/text-to-video", "video"),
        ("fal-ai/kling-image/o1", "images"),
        ("fal-ai/wan/v2.2-5b/text-to-image", "images"),
        ("fal-ai/whisper", "text"),
        ("fal-ai/any-llm", "text"),
        ("fal-ai/elevenlabs/tts/turbo-v2.5", "sound"),
        ("fal-ai/trellis-2", "3D models"),
        ("fal-ai/qwen-image-trainer", "weights"),
        ("black-forest-labs/FLUX.1-dev", "images"),
    ],
)
def test_an_id_tells_what_its_model_makes(id: str, medium: str) -> None:
    assert made_by(id) == medium


def test_an_application_that_makes_no_images_is_refused_in_a_sentence() -> None:
    with pytest.raises(Fault, match="makes video, and nothing but images is made here") as raised:
        app(Catalog({}, stand_ins=True), "fal-ai/veo3/fast")
    assert raised.value.kind is Kind.NOT_FOUND


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("acme/flux-pro/v9", "folder"),  # configured by its whole name
        ("acme/lora", "other"),
        ("acme/lora/image-to-image", "other"),  # a path of what is configured
        ("fal-ai/qwen-image-edit-plus", "edit"),  # by the weights that fal calls so
    ],
)
def test_without_stand_ins_what_is_configured_is_served(path: str, source: str) -> None:
    models = {
        "acme/flux-pro/v9": "folder", "acme/lora": "other", "Qwen/Qwen-Image-Edit-2509": "edit",
    }  # fmt: skip
    catalog = Catalog(models, stand_ins=False, fingerprint=str)
    served = app(catalog, path)
    assert (served.page.id, served.endpoint.id, served.endpoint.source) == (path, path, source)
    for missing in ("acme/flux-pro", "fal-ai/flux-pro/v9", "acme/nothing"):
        with pytest.raises(Fault, match=r'Application "[\w-]+" not found'):
            app(catalog, missing)


@pytest.mark.anyio
async def test_a_reply_says_that_the_general_page_read_it_and_what_it_dropped(
    serving: Serving,
) -> None:
    engine = PlainEngine()
    small = {"prompt": "a cat", "image_size": "64x64", "seed": 7, "nag_scale": 3}
    async with serving(engine) as client:
        reply = await client.post("/fal/run/fal-ai/flux-general", json=small, headers=KEY)
        assert reply.headers["x-imagemill-page"] == "general"
        assert reply.headers["x-imagemill-ignored-fields"] == "nag_scale"
        assert reply.headers["x-imagemill-model"] == "pico"
        assert reply.json()["image"] == reply.json()["images"][0]
        queued = await client.post("/fal/queue/xai/some/model", json=small, headers=KEY)
        assert queued.headers["x-imagemill-page"] == "general"
        place = queued.json()["response_url"]
        assert "/fal/queue/xai/some/requests/" in place
        stream = await client.get(queued.json()["status_url"] + "/stream", headers=KEY)
        assert "COMPLETED" in stream.text
        result = await client.get(place, headers=KEY)
        assert result.json()["seed"] == 7
        streamed = await client.post("/fal/run/a/b/c/stream", json=small, headers=KEY)
        assert '"seed": 7' in streamed.text
        known = await client.post("/fal/run/fal-ai/flux-2", json={"prompt": "a"}, headers=KEY)
        assert "x-imagemill-page" not in known.headers
    assert [each.model for each in engine.submitted] == [
        "fal-ai/flux-general", "xai/some/model", "a/b/c", "fal-ai/flux-2",
    ]  # fmt: skip


@pytest.mark.anyio
async def test_what_the_general_page_takes_is_told_as_openapi(serving: Serving) -> None:
    async with serving(PlainEngine()) as client:
        reply = await client.get("/fal/openapi.json?endpoint_id=fal-ai/flux-general/inpainting")
        body = reply.json()
        assert body["info"]["x-fal-metadata"]["category"] == "image-to-image"
        fields = body["components"]["schemas"]["GeneralInput"]["properties"]
        assert {"prompt", "image_size", "mask_url", "n"} <= fields.keys()
        assert (await client.get("/fal/openapi.json?endpoint_id=fal-ai/veo3")).status_code == 404


@pytest.mark.anyio
async def test_a_picture_is_repainted_by_an_application_that_nobody_lists(serving: Serving) -> None:
    engine = PlainEngine()
    body = {"image_url": picture(96, 64), "upscaling_factor": 4}
    async with serving(engine) as client:
        reply = await client.post("/fal/run/fal-ai/aura-sr", json=body, headers=KEY)
    assert reply.status_code == 200, reply.text
    (generation,) = engine.submitted
    assert (generation.width, generation.height) == (96, 64)


@pytest.mark.anyio
async def test_a_strict_server_refuses_what_the_general_page_would_drop(serving: Serving) -> None:
    body = {"prompt": "a cat", "image_size": "64x64", "nag_scale": 3}
    async with serving(PlainEngine(), strict=True) as client:
        reply = await client.post("/fal/run/fal-ai/flux-general", json=body, headers=KEY)
    assert reply.status_code == 422
    assert reply.json()["detail"][0]["loc"] == ["body", "nag_scale"]
