"""The pages of applications that frameworks name: as the types of fal's own client have them."""

import json
import re
from typing import Any, get_args

import pytest

from imagemill.dialects.fal.pages import PAGES, listed
from imagemill.dialects.fal.pages.recraft import Style
from imagemill.generation import Defaults
from tests.conftest import Serving
from tests.engines import PlainEngine
from tests.framework_ids import TYPES

FIELDS: dict[str, dict[str, dict[str, Any]]] = json.loads(TYPES.read_text("utf-8"))["pages"]
USUAL = Defaults(512, 512, 12, 4.0)
IMAGE = "https://example.com/image.png"
every_row = pytest.mark.parametrize("page", listed.PAGES, ids=lambda page: page.id)


def test_there_are_more_than_twenty() -> None:
    assert len(FIELDS) == len(listed.PAGES) > 20
    assert {*FIELDS} <= {*PAGES}


@every_row
def test_fields_are_those_of_fal_s_own_client(page: Any) -> None:
    assert {*page.Input.model_fields} == {*FIELDS[page.id]}
    required = {name for name, field in FIELDS[page.id].items() if field["required"]}
    assert {n for n, field in page.Input.model_fields.items() if field.is_required()} == required


@every_row
def test_defaults_are_those_of_fal_s_own_client(page: Any) -> None:
    for name, field in FIELDS[page.id].items():
        default = page.Input.model_fields[name].default
        if "default" not in field:  # nothing is told where it is false, empty or left open
            assert field["required"] or default in (None, False, []), name
            continue
        shown = str(default).lower() if isinstance(default, bool) else str(default)
        assert shown.removesuffix(".0") == field["default"], name


@every_row
def test_choices_are_those_of_fal_s_own_client(page: Any) -> None:
    document = page.Input.model_json_schema()["properties"]
    for name, field in FIELDS[page.id].items():
        choices = set(re.findall(r'"([^"]+)"', field["type"]))
        whole = json.dumps(document[name]) if "ImageSize" not in field["type"] else ""
        enums = {each for enum in re.findall(r'"enum": \[([^]]*)\]', whole)
                 for each in re.findall(r'"([^"]+)"', enum)}  # fmt: skip
        if whole and choices:
            assert enums == choices, name


@every_row
def test_the_example_can_be_painted_and_every_field_says_what_it_is(page: Any) -> None:
    generation = page.draft(page.Input.model_validate(page.example)).complete(page.id, USUAL)
    assert generation.prompt == page.example["prompt"]
    images = {generation.image, *generation.references}
    assert (IMAGE in images) == (page.category == "image-to-image")
    page.Output.model_validate(page.output_example)
    properties = page.Input.model_json_schema()["properties"]
    assert [name for name, each in properties.items() if not each.get("description")] == []


@pytest.mark.parametrize(
    ("id", "changed", "expected"),
    [
        ("fal-ai/flux-pro/v1.1", {}, (1024, 768, None, "jpeg")),
        ("fal-ai/flux-pro/v1.1-ultra", {"aspect_ratio": "21:9"}, (1568, 672, None, "jpeg")),
        ("fal-ai/flux-pro/v1.1-ultra", {"image_url": IMAGE}, (1360, 768, None, "jpeg")),
        ("fal-ai/flux/dev/image-to-image", {}, (None, None, 40, "jpeg")),
        ("fal-ai/flux-lora/image-to-image", {"image_size": "square"}, (512, 512, 28, "jpeg")),
        ("fal-ai/flux-pro/kontext", {"aspect_ratio": "1:1"}, (1024, 1024, None, "jpeg")),
        ("fal-ai/flux-kontext/dev", {}, (None, None, 28, "jpeg")),
        ("fal-ai/flux-kontext/dev", {"resolution_mode": "3:2"}, (1248, 832, 28, "jpeg")),
        ("fal-ai/nano-banana-2", {}, (None, None, None, "png")),
        ("fal-ai/nano-banana-pro", {"resolution": "4K"}, (2048, 2048, None, "png")),
        ("fal-ai/imagen4/preview/ultra", {"output_format": "webp"}, (1024, 1024, None, "webp")),
        ("fal-ai/fast-sdxl", {"format": "png"}, (1024, 1024, 25, "png")),
        ("bria/text-to-image/3.2", {"aspect_ratio": "4:5"}, (912, 1152, 30, "png")),
        ("fal-ai/recraft/v3/text-to-image", {"style": "any"}, (1024, 1024, None, "webp")),
    ],
)
def test_fields_reach_the_draft(id: str, changed: dict[str, Any], expected: Any) -> None:
    page = PAGES[id]
    draft = page.draft(page.Input.model_validate({**page.example, **changed}))
    assert (draft.width, draft.height, draft.steps, draft.format) == expected
    images = draft.references or draft.image
    assert draft.image_sized == (bool(images) and draft.width is None)


def test_an_image_prompt_is_kept_as_far_as_it_is_strong() -> None:
    page = PAGES["fal-ai/flux-pro/v1.1-ultra"]
    draft = page.draft(page.Input.model_validate({"prompt": "a cat", "image_url": IMAGE}))
    assert draft.strength == 0.9
    alone = page.draft(page.Input.model_validate({"prompt": "a cat"}))
    assert (alone.strength, alone.image) == (None, None)


def test_version_three_of_recraft_has_all_styles_but_the_icons() -> None:
    (style,) = re.findall(r'"enum": \[([^]]*)\]', json.dumps(
        PAGES["fal-ai/recraft/v3/text-to-image"].Input.model_json_schema()["properties"]["style"]
    ))  # fmt: skip
    named = re.findall(r'"([^"]+)"', style)
    assert named == [each for each in get_args(Style) if not each.startswith("icon/")]


@pytest.mark.anyio
async def test_the_images_are_told_in_the_form_of_each_page(serving: Serving) -> None:
    async with serving(PlainEngine()) as client:
        one = await client.post("/fal/run/bria/text-to-image/3.2", json={"prompt": "a"})
        many = await client.post("/fal/run/fal-ai/nano-banana", json={"prompt": "a"})
    assert list(one.json()) == ["image"]
    assert one.json()["image"]["content_type"] == "image/png"
    assert list(many.json()) == ["images", "description"]
    assert many.json()["images"][0]["file_name"].endswith(".png")
