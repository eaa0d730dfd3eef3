"""Vercel's AI SDK: 7 on the Node that it needs, and 6, the last that runs on Node 20."""

import base64
import io
import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from PIL import Image

from conformance import frameworks
from conformance.matrix import AI_SDK
from conformance.test_openai import clear_on_the_left, painted, png

SIX = "6.0.325"
SIZE = (128, 64)
Outcome = Mapping[str, Any]
Outcomes = dict[str, dict[str, Outcome]]


@pytest.fixture(scope="module")
def outcomes(server: str) -> Outcomes:
    """By release and case: the files, or the error."""
    code = (frameworks.LOCKS / "ai_sdk.mjs").read_text("utf-8")
    images = {"IMAGE": painted(), "CLEAR": clear_on_the_left(), "WHITE": white_on_the_left()}
    environment = {name: base64.b64encode(file.read()).decode() for name, file in images.items()}

    def run(major: str) -> dict[str, Outcome]:
        *_, line = frameworks.ai_sdk(major, code, IMAGEMILL_URL=server, **environment)
        outcomes: dict[str, Outcome] = json.loads(line)
        return outcomes

    with ThreadPoolExecutor() as pool:
        return dict(zip(frameworks.AI_SDKS, pool.map(run, frameworks.AI_SDKS), strict=True))


def shows(door: str, *calls: str) -> pytest.MarkDecorator:
    """The test is run with each release, and shows these calls."""
    return pytest.mark.parametrize(
        "major",
        [
            pytest.param(major, id=name, marks=pytest.mark.cell(name, door, *calls))
            for major in frameworks.AI_SDKS
            for name in [f"{AI_SDK} {SIX}" if major == "6" else AI_SDK]
        ],
    )


def images(outcome: Outcome) -> list[Image.Image]:
    assert "files" in outcome, outcome
    return [Image.open(io.BytesIO(base64.b64decode(file))) for _, file in outcome["files"]]


def bytes_of(outcome: Outcome) -> list[str]:
    assert "files" in outcome, outcome
    return [file for _, file in outcome["files"]]


def white_on_the_left() -> io.BytesIO:
    mask = Image.new("L", (128, 128))
    mask.paste(255, (0, 0, 64, 128))
    return png(mask)


def kept_on_the_right(image: Image.Image) -> bool:
    """Of the image that was edited, only the left half was to be painted over."""
    pixels = np.asarray(image.convert("RGB")).astype(int)
    changed = np.abs(pixels - (0, 0, 128)).max(axis=-1)
    return bool(changed[:, 80:].mean() < 8 and changed[:, :48].mean() > 20)


def test_each_release_is_the_one_that_was_run() -> None:
    assert frameworks.ai_sdk_release("6") == SIX


@shows("fal", "text to image", "seed")
def test_fal_paints_the_size_and_the_seed(outcomes: Outcomes, major: str) -> None:
    first, again, other = (
        outcomes[major][f"fal {seed}"] for seed in ("seed", "same seed", "other seed")
    )
    assert [image.size for image in images(first)] == [SIZE]
    assert [kind for kind, _ in first["files"]] == ["image/png"]
    assert bytes_of(first) == bytes_of(again) != bytes_of(other)
    assert first["warnings"] == []


@shows("fal", "several images", "aspect ratio")
def test_fal_paints_several_and_a_ratio(outcomes: Outcomes, major: str) -> None:
    first, second = images(outcomes[major]["fal several"])
    assert (first.size, second.size, first.format) == (SIZE, SIZE, "JPEG")
    assert (np.asarray(first) != np.asarray(second)).any()
    assert [image.size for image in images(outcomes[major]["fal ratio"])] == [(1024, 768)]


@shows("fal", "errors")
def test_fal_refuses_in_a_sentence(outcomes: Outcomes, major: str) -> None:
    outcome = outcomes[major]["fal error"]
    assert (outcome.get("error"), outcome.get("status")) == ("AI_APICallError", 422)
    assert "image_size.height: Input should be greater than or equal to 64" in outcome["message"]


@shows("fal", "image to image", "inpainting")
def test_fal_edits(outcomes: Outcomes, major: str) -> None:
    assert [image.size for image in images(outcomes[major]["fal edit"])] == [(128, 128)]
    [inpainted] = images(outcomes[major]["fal mask"])
    assert kept_on_the_right(inpainted)


@shows("fal", "any id")
def test_an_id_of_fal_that_has_no_page_paints(outcomes: Outcomes, major: str) -> None:
    assert [image.size for image in images(outcomes[major]["fal other id"])] == [SIZE]


@shows("fal", "errors")
def test_what_is_wrong_in_a_list_is_told_as_well(outcomes: Outcomes, major: str) -> None:
    outcome = outcomes[major]["fal error in a list"]
    assert (outcome.get("error"), outcome.get("status")) == ("AI_APICallError", 422)
    assert "scale" in outcome["message"]


@shows("replicate", "size")
def test_replicate_leaves_out_what_it_does_not_know(outcomes: Outcomes, major: str) -> None:
    [image] = images(outcomes[major]["replicate size"])
    assert image.format == "PNG"


@shows("replicate", "text to image", "aspect ratio")
def test_replicate_paints_a_ratio(outcomes: Outcomes, major: str) -> None:
    [square] = images(outcomes[major]["replicate seed"])
    [wide] = images(outcomes[major]["replicate ratio"])
    assert square.size == (512, 512)
    assert wide.width / wide.height == pytest.approx(16 / 9, abs=0.1)
    assert (square.format, wide.format) == ("PNG", "PNG")


@shows("replicate", "inpainting")
def test_replicate_paints_where_the_mask_is_white(outcomes: Outcomes, major: str) -> None:
    [image] = images(outcomes[major]["replicate edit"])
    assert kept_on_the_right(image)


@shows("replicate", "errors")
def test_replicate_refuses_in_a_sentence(outcomes: Outcomes, major: str) -> None:
    outcome = outcomes[major]["replicate error"]
    assert (outcome.get("error"), outcome.get("status")) == ("AI_APICallError", 422)
    assert 'input.aspect_ratio must be one of the following: "1:1"' in outcome["message"]


@shows("together", "text to image", "several images")
def test_together_paints_one_and_several(outcomes: Outcomes, major: str) -> None:
    [alone] = images(outcomes[major]["together seed"])
    first, second = images(outcomes[major]["together several"])
    assert (alone.size, first.size, second.size) == (SIZE, SIZE, SIZE)
    assert (np.asarray(first) != np.asarray(second)).any()


@shows("together", "image to image")
def test_together_edits(outcomes: Outcomes, major: str) -> None:
    [image] = images(outcomes[major]["together edit"])
    assert image.size == (128, 128)


@shows("together", "errors")
def test_together_refuses_in_a_sentence(outcomes: Outcomes, major: str) -> None:
    outcome = outcomes[major]["together error"]
    assert (outcome.get("error"), outcome.get("status")) == ("AI_APICallError", 400)
    assert outcome["message"] == "steps 1000 is out of range; give 1 to 150"


@shows("openai", "text to image", "several images")
def test_openai_paints_one_and_several(outcomes: Outcomes, major: str) -> None:
    [alone] = images(outcomes[major]["openai"])
    assert (alone.size, alone.format) == (SIZE, "WEBP")
    first, second = images(outcomes[major]["openai several"])
    assert (np.asarray(first) != np.asarray(second)).any()
    assert [image.size for image in images(outcomes[major]["openai any model"])] == [SIZE]


@shows("openai", "inpainting", "several inputs")
def test_openai_edits(outcomes: Outcomes, major: str) -> None:
    [inpainted] = images(outcomes[major]["openai edit"])
    assert kept_on_the_right(inpainted)
    assert [image.size for image in images(outcomes[major]["openai edit of several"])] == [
        (128, 128)
    ]


@shows("openai", "openai-compatible")
def test_the_compatible_provider_paints_and_edits(outcomes: Outcomes, major: str) -> None:
    first, second = images(outcomes[major]["compatible several"])
    assert (first.size, second.size) == (SIZE, SIZE)
    assert (np.asarray(first) != np.asarray(second)).any()
    [edited] = images(outcomes[major]["compatible edit"])
    assert kept_on_the_right(edited)
    refused = outcomes[major]["compatible error"]
    assert (refused.get("error"), refused.get("status")) == ("AI_APICallError", 400)
    assert refused["message"] == "width 32 is out of range; give 64 to 2048"


@shows("openai", "errors")
def test_openai_refuses_in_a_sentence(outcomes: Outcomes, major: str) -> None:
    outcome = outcomes[major]["openai error"]
    assert (outcome.get("error"), outcome.get("status")) == ("AI_APICallError", 400)
    assert outcome["message"].startswith("Invalid value: '512x512'. Supported values are:")
