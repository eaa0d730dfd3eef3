"""The pages: what the endpoints' documentation prints holds, and errors say where and what."""

import hashlib
import json
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from imagemill.dialects.fal.pages import FAMILIES, PAGES, listed
from imagemill.dialects.fal.pages.omnigen import NEGATIVE
from imagemill.generation import MAX_SEED
from tests.documented_pages import (
    EDIT,
    EXAMPLES,
    F_LITE,
    FLUX,
    HIDREAM,
    IMAGE,
    IMAGEN,
    MUST,
    OMNIGEN,
    PRINTED,
    PRINTED_CHOICES,
    RECRAFT,
    REMIX,
    SD,
    V3,
    ask,
    required,
)

every_page = pytest.mark.parametrize("id", PRINTED)


def wrong(id: str, **changed: Any) -> Any:
    """The one error of the least of a page with something changed."""
    with pytest.raises(ValidationError) as raised:
        ask(id, **changed)
    (error,) = raised.value.errors(include_url=False)
    return error


def test_no_two_pages_have_one_id() -> None:
    assert len(PAGES) == sum(len(family.PAGES) for family in FAMILIES)
    assert len({page.Input.__name__ for page in listed.PAGES}) == len(listed.PAGES)


@every_page
def test_the_example_is_taken_and_comes_back_the_same(id: str) -> None:
    page = PAGES[id]
    params = page.Input.model_validate(page.example)
    values = params.model_dump(exclude_unset=True)
    assert values == page.example
    assert page.Input.model_validate(values) == params
    assert page.Input.model_validate_json(json.dumps(page.example)) == params


@pytest.mark.parametrize("id", EXAMPLES)
def test_the_example_is_printed_word_for_word(id: str) -> None:
    printed = json.dumps(PAGES[id].example).encode()
    assert hashlib.sha256(printed).hexdigest().startswith(EXAMPLES[id])


@every_page
def test_the_printed_answer_is_one(id: str) -> None:
    page = PAGES[id]
    answer = page.Output.model_validate(page.output_example)
    assert answer.model_dump(exclude_unset=True) == page.output_example


@every_page
def test_fields_and_their_defaults_are_as_printed(id: str) -> None:
    assert list(PRINTED[id]) == list(PAGES[id].Input.model_fields)
    for name, field in PAGES[id].Input.model_fields.items():
        default = MUST if field.is_required() else field.get_default()
        shown = default.model_dump() if isinstance(default, BaseModel) else default
        assert shown == PRINTED[id][name], name


def test_the_long_negative_prompt_is_the_default_where_one_is_printed() -> None:
    assert PRINTED[OMNIGEN]["negative_prompt"] == NEGATIVE
    assert ask(OMNIGEN).model_dump()["negative_prompt"] == NEGATIVE


@every_page
def test_every_field_says_what_it_is(id: str) -> None:
    properties = PAGES[id].Input.model_json_schema()["properties"]
    assert [name for name, each in properties.items() if not each.get("description")] == []


@pytest.mark.parametrize(("id", "name"), PRINTED_CHOICES)
def test_every_printed_choice_is_taken_and_no_other(id: str, name: str) -> None:
    for choice in PRINTED_CHOICES[id, name].split(", "):
        assert getattr(ask(id, **{name: choice}), name) == choice
    error = wrong(id, **{name: "another"})
    assert error["type"] == "literal_error"
    assert error["loc"] == (name,)
    for choice in PRINTED_CHOICES[id, name].split(", "):
        assert f"'{choice}'" in error["ctx"]["expected"]


@every_page
def test_null_leaves_open_what_may_be_left_open(id: str) -> None:
    open_ = {name: None for name, default in PRINTED[id].items() if default != MUST}
    params = ask(id, **open_)
    assert params == ask(id)
    assert params.model_fields_set == set(required(id))


@every_page
def test_every_required_field_is_missed(id: str) -> None:
    with pytest.raises(ValidationError) as raised:
        PAGES[id].Input.model_validate({})
    missed = [(error["type"], error["loc"]) for error in raised.value.errors()]
    assert missed == [("missing", (name,)) for name in required(id)]


@every_page
def test_unknown_fields_are_named(id: str) -> None:
    page = PAGES[id]
    for value in (1, None):
        with pytest.raises(ValidationError) as raised:
            page.Input.model_validate({**page.example, "colour": value})
        (error,) = raised.value.errors()
        assert (error["type"], error["loc"]) == ("extra_forbidden", ("colour",))


@pytest.mark.parametrize(
    ("id", "changed", "loc", "ctx"),
    [
        (HIDREAM, {"num_images": 5}, "num_images", {"le": 4}),
        (HIDREAM, {"num_images": 0}, "num_images", {"ge": 1}),
        (IMAGEN, {"num_images": 5}, "num_images", {"le": 4}),
        (FLUX, {"num_inference_steps": 51}, "num_inference_steps", {"le": 50}),
        (FLUX, {"num_inference_steps": 0}, "num_inference_steps", {"ge": 1}),
        (SD, {"guidance_scale": 20.5}, "guidance_scale", {"le": 20}),
        (SD, {"guidance_scale": -1}, "guidance_scale", {"ge": 0}),
        (FLUX, {"seed": 2**64}, "seed", {"le": MAX_SEED}),
        (FLUX, {"seed": -1}, "seed", {"ge": 0}),
        (FLUX, {"prompt": ""}, "prompt", {"min_length": 1}),
        (FLUX, {"prompt": " \n"}, "prompt", {"min_length": 1}),
        (FLUX, {"prompt": "a" * 10_001}, "prompt", {"max_length": 10_000}),
        (F_LITE, {"negative_prompt": "a" * 10_001}, "negative_prompt", {"max_length": 10_000}),
        (FLUX, {"image_size": {"width": 4096}}, "image_size.width", {"le": 2048}),
        (FLUX, {"image_size": {"height": 63}}, "image_size.height", {"ge": 64}),
        (SD, {"loras": [{"path": "a"}] * 9}, "loras", {"max_length": 8}),
        (SD, {"loras": [{"path": "a", "scale": 5}]}, "loras.0.scale", {"le": 4}),
        (REMIX, {"strength": 0}, "strength", {"ge": 0.01}),
        (RECRAFT, {"colors": [{"r": 256}]}, "colors.0.r", {"le": 255}),
        (RECRAFT, {"colors": [{}] * 33}, "colors", {"max_length": 32}),
        (V3, {"image_urls": [IMAGE] * 11}, "image_urls", {"max_length": 10}),
        (EDIT, {"mask_url": ""}, "mask_url", {"min_length": 1}),
        (OMNIGEN, {"cfg_range_end": 1.5}, "cfg_range_end", {"le": 1}),
        (OMNIGEN, {"cfg_range_start": 0.5, "cfg_range_end": 0.25}, "cfg_range_end", {"ge": 0.5}),
        (OMNIGEN, {"input_image_urls": [IMAGE] * 4}, "input_image_urls", {"max_length": 3}),
        (
            V3,
            {"color_palette": {"members": [{"rgb": {}, "color_weight": 2}]}},
            "color_palette.members.0.color_weight",
            {"le": 1},
        ),
        (
            V3,
            {"color_palette": {"name": "EMBER", "members": [{"rgb": {}}]}},
            "color_palette",
            {"expected": ["name", "members"]},
        ),
    ],
)
def test_a_value_out_of_range_is_named_with_its_limit(
    id: str, changed: dict[str, Any], loc: str, ctx: dict[str, Any]
) -> None:
    error = wrong(id, **changed)
    assert ".".join(map(str, error["loc"])) == loc
    assert {name: error["ctx"][name] for name in ctx} == ctx


@pytest.mark.parametrize(
    ("changed", "type", "loc"),
    [
        ({"num_inference_steps": "four"}, "int_parsing", "num_inference_steps"),
        ({"num_inference_steps": 4.5}, "int_from_float", "num_inference_steps"),
        ({"num_images": [1]}, "int_type", "num_images"),
        ({"guidance_scale": "high"}, "float_parsing", "guidance_scale"),
        ({"guidance_scale": {}}, "float_type", "guidance_scale"),
        ({"guidance_scale": 10**400}, "float_type", "guidance_scale"),
        ({"guidance_scale": float("inf")}, "finite_number", "guidance_scale"),
        ({"sync_mode": 2}, "bool_parsing", "sync_mode"),
        ({"sync_mode": "maybe"}, "bool_parsing", "sync_mode"),
        ({"prompt": None}, "string_type", "prompt"),
        ({"prompt": "\ud800"}, "string_unicode", "prompt"),
        ({"image_size": {"width": "wide"}}, "int_parsing", "image_size.width"),
        ({"image_size": {"side": 512}}, "extra_forbidden", "image_size.side"),
        ({"image_size": [512, 512]}, "literal_error", "image_size"),
        ({"image_size": 512}, "literal_error", "image_size"),
        ({"loras": {}}, "list_type", "loras"),
        ({"loras": [{}]}, "missing", "loras.0.path"),
        ({"loras": [{"path": "a", "weight_name": "b"}]}, "extra_forbidden", "loras.0.weight_name"),
        ({"controlnet": "a/b"}, "model_type", "controlnet"),
    ],
)
def test_nothing_is_taken_for_what_it_is_not(changed: dict[str, Any], type: str, loc: str) -> None:
    error = wrong(SD, **changed)
    assert (error["type"], ".".join(map(str, error["loc"]))) == (type, loc)


@pytest.mark.parametrize("value", [[], "a cat", 1, None])
def test_a_body_that_is_no_object_is_an_error(value: Any) -> None:
    with pytest.raises(ValidationError) as raised:
        PAGES[FLUX].Input.model_validate(value)
    assert raised.value.errors()[0]["type"] == "model_type"


def test_whole_numbers_are_taken_for_others() -> None:
    assert ask(SD, guidance_scale=7).model_dump()["guidance_scale"] == 7.0


def test_a_style_code_has_eight_digits() -> None:
    error = wrong(V3, style_codes=["AAFF57", "AAFF5733"])
    assert error["loc"] == ("style_codes", 0)
