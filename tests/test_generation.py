import math
from dataclasses import FrozenInstanceError
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagemill.conditions import Control, ImagePrompt
from imagemill.errors import Fault, Kind
from imagemill.generation import (
    FORMATS,
    MAX_GUIDANCE,
    MAX_IMAGES,
    MAX_SEED,
    MAX_SIDE,
    MAX_STEPS,
    MIN_SIDE,
    Generation,
)
from imagemill.scheduler_names import SCHEDULERS
from imagemill.value_checks import MAX_PROMPT

RANGES: dict[str, tuple[int, int]] = {
    "width": (MIN_SIDE, MAX_SIDE),
    "height": (MIN_SIDE, MAX_SIDE),
    "steps": (1, MAX_STEPS),
    "seed": (0, MAX_SEED),
    "num_images": (1, MAX_IMAGES),
}
NUMBERS = [*RANGES, "guidance_scale"]


def make_generation(**changes: Any) -> Generation:
    asked: dict[str, Any] = {
        "prompt": "a red cat",
        "model": "imagemill/pico",
        "width": 512,
        "height": 512,
        "steps": 20,
        "guidance_scale": 4.0,
        "seed": 7,
    }
    return Generation(**asked | changes)


def refused(**changes: Any) -> Fault:
    with pytest.raises(Fault) as caught:
        make_generation(**changes)
    assert caught.value.kind is Kind.INVALID
    return caught.value


@given(
    width=st.integers(MIN_SIDE, MAX_SIDE),
    height=st.integers(MIN_SIDE, MAX_SIDE),
    steps=st.integers(1, MAX_STEPS),
    guidance_scale=st.floats(0, MAX_GUIDANCE),
    seed=st.integers(0, MAX_SEED),
    num_images=st.integers(1, MAX_IMAGES),
    scheduler=st.none() | st.sampled_from(SCHEDULERS),
    format=st.sampled_from(FORMATS),
)
def test_whatever_is_within_the_limits_is_taken_as_it_is(**asked: Any) -> None:
    generation = make_generation(**asked)
    assert {name: getattr(generation, name) for name in asked} == asked


@pytest.mark.parametrize("name", RANGES)
def test_both_ends_of_a_range_belong_to_it_and_their_neighbours_do_not(name: str) -> None:
    low, high = RANGES[name]
    make_generation(**{name: low})
    make_generation(**{name: high})
    for beyond in (low - 1, high + 1):
        fault = refused(**{name: beyond})
        assert fault.field == name
        assert str(fault) == f"{name} {beyond} is out of range; give {low} to {high}"


@given(st.sampled_from(list(RANGES)), st.integers())
def test_an_integer_is_taken_exactly_when_it_is_in_range(name: str, value: int) -> None:
    low, high = RANGES[name]
    if low <= value <= high:
        assert getattr(make_generation(**{name: value}), name) == value
    else:
        assert refused(**{name: value}).field == name


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_finite_number_is_refused(name: str, value: float) -> None:
    assert refused(**{name: value}).field == name


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("digits", [400, 5000])
def test_a_number_too_large_for_a_float_or_to_print_is_refused(name: str, digits: int) -> None:
    # `math.isfinite` raised OverflowError for the first, `str` ValueError for the last.
    assert refused(**{name: -(10**digits)}).field == name
    fault = refused(**{name: 10**digits})
    assert fault.field == name
    assert len(str(fault)) < 200


@pytest.mark.parametrize("value", [-0.001, MAX_GUIDANCE + 0.001])
def test_guidance_beyond_its_range_is_refused(value: float) -> None:
    assert refused(guidance_scale=value).field == "guidance_scale"


@pytest.mark.parametrize("prompt", ["", " ", "\n\t ", "\u3000"])
def test_a_prompt_without_a_word_is_refused(prompt: str) -> None:
    assert refused(prompt=prompt).field == "prompt"


@pytest.mark.parametrize("name", ["prompt", "negative_prompt"])
def test_a_text_that_is_too_long_is_refused_with_its_length(name: str) -> None:
    make_generation(**{name: "x" * MAX_PROMPT})
    fault = refused(**{name: "x" * (MAX_PROMPT + 1)})
    assert fault.field == name
    assert str(MAX_PROMPT + 1) in str(fault)


@pytest.mark.parametrize("name", ["prompt", "negative_prompt"])
def test_half_of_a_surrogate_pair_is_refused(name: str) -> None:
    # JSON's "\ud83d" is one; it cannot be written to a file nor given to a tokenizer.
    assert refused(**{name: "a \ud83d cat"}).field == name


@pytest.mark.parametrize(
    ("name", "value"), [("scheduler", "EulerAncestral"), ("scheduler", ""), ("format", "gif")]
)
def test_an_unknown_choice_is_refused_with_those_there_are(name: str, value: str) -> None:
    fault = refused(**{name: value})
    assert fault.field == name
    assert repr(value) in str(fault)
    assert "png" in str(fault) or "UniPCMultistepScheduler" in str(fault)


def test_a_long_unknown_choice_is_cut_in_the_message() -> None:
    assert len(str(refused(format="x" * 10_000))) < 200


def test_a_generation_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        make_generation().steps = 3  # type: ignore[misc]


def test_each_picture_of_several_has_its_own_seed() -> None:
    assert [make_generation(seed=7).seed_of(i) for i in range(3)] == [7, 8, 9]


def test_after_the_largest_seed_comes_zero() -> None:
    assert make_generation(seed=MAX_SEED).seed_of(1) == 0


@pytest.mark.parametrize(
    ("said", "field", "words"),
    [
        ({"scale": 2.1}, "control.scale", "2.1 is out of range; give 0 to 2"),
        ({"scale": math.nan}, "control.scale", "nan is out of range"),
        ({"start": -0.1}, "control.start", "-0.1 is out of range; give 0 to 1"),
        ({"end": 1.1}, "control.end", "1.1 is out of range; give 0 to 1"),
        ({"start": 0.8, "end": 0.2}, "control.start", "starts at 0.8 of the steps and ends at 0.2"),
        ({"path": "x" * 9000}, "control.path", "9000 characters"),
    ],
)
def test_what_is_wrong_with_a_control_is_said(said: dict[str, Any], field: str, words: str) -> None:
    with pytest.raises(Fault) as caught:
        Control(**{"image": "file:x", "path": "canny"} | said)
    assert (caught.value.kind, caught.value.field) == (Kind.INVALID, field)
    assert words in caught.value.message


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ({"scale": 2.1}, "ip_adapter.scale"),
        ({"mask_threshold": -0.1}, "ip_adapter.mask_threshold"),
        ({"path": "x" * 9000}, "ip_adapter.path"),
        ({"weight_name": "x" * 600}, "ip_adapter.weight_name"),
        ({"encoder_path": "x" * 9000}, "ip_adapter.encoder_path"),
    ],
)
def test_what_is_wrong_with_an_ip_adapter_is_said(said: dict[str, Any], field: str) -> None:
    with pytest.raises(Fault) as caught:
        ImagePrompt(**{"image": "file:x", "path": "owner/name"} | said)
    assert (caught.value.kind, caught.value.field) == (Kind.INVALID, field)


def test_every_image_has_a_name_by_which_it_is_replaced() -> None:
    url = "https://one.example/"
    generation = make_generation(
        image=url + "a", mask=url + "b", control=Control(url + "c", "canny"),
        ip_adapter=ImagePrompt(url + "d", "owner/name", mask=url + "e"),
        references=(url + "f", url + "g"), style_images=(url + "h",),
    )  # fmt: skip
    assert list(generation.images) == [
        "image", "mask", "control_image", "ip_adapter_image", "ip_adapter_mask", "references.0",
        "references.1", "style_images.0",
    ]  # fmt: skip
    names = {name: f"{name}:" for name in generation.images}
    assert generation.with_images(names).images == names
    one = generation.with_images({"references.1": "x"})
    assert (one.references, one.image, one.control) == (
        (url + "f", "x"), generation.image, generation.control,
    )  # fmt: skip


@pytest.mark.parametrize("name", ["references", "style_images"])
def test_eleven_images_are_too_many(name: str) -> None:
    fault = refused(**{name: ("file:x",) * 11})
    assert (fault.field, "at most 10" in fault.message) == (name, True)


def test_a_foreground_needs_its_image() -> None:
    assert refused(keep_foreground=True).field == "keep_foreground"


def test_a_control_s_image_gives_the_size_where_there_is_no_other() -> None:
    control = Control("https://one.example/x.png", "https://two.example/net.safetensors")
    generation = make_generation(control=control, image_sized=True)
    assert generation.images == {"control_image": control.image}
    assert (generation.needs_inputs, generation.host) == (True, "one.example")
    assert refused(image_sized=True).field == "image_sized"
    assert refused(control=Control("x" * 9000, "canny")).field == "control_image"
