"""Drafts: what is said to a page, in the words of a generation."""

from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from imagemill.conditions import Swatch
from imagemill.dialects.fal.pages import PAGES, STYLES
from imagemill.dialects.fal.pages.ideogram import REFRAMED
from imagemill.dialects.fal.pages.omnigen import NEGATIVE
from imagemill.dialects.fal.pages.palettes import PALETTES
from imagemill.dialects.fal.pages.palettes import Name as PaletteName
from imagemill.dialects.fal.pages.recraft import Style
from imagemill.dialects.fal.pages.types import RATIOS, SIZES
from imagemill.errors import Fault, Kind
from imagemill.generation import ACCELERATIONS, Defaults, Draft, Generation, Lora
from tests.documented_pages import (
    BACKGROUND,
    EDIT,
    EXAMPLES,
    F_LITE,
    FLUX,
    FLUX_DEV,
    FLUX_OLD,
    HIDREAM,
    HIDREAM_FAST,
    IMAGE,
    IMAGEN,
    IMAGEN_FAST,
    MASK,
    OMNIGEN,
    PRINTED,
    PRINTED_CHOICES,
    RECRAFT,
    REFRAME,
    REMIX,
    SD,
    TEXTURE,
    V2,
    V3,
    ask,
)


def draft(id: str, **changed: Any) -> Draft:
    return PAGES[id].draft(ask(id, **changed))


def painted(id: str, draft: Draft) -> Generation:
    """Raises where a draft could not be painted."""
    return draft.complete(id, Defaults(512, 512, 20, 4.0))


DRAFTS: dict[str, Draft] = {
    HIDREAM: Draft("p", format="jpeg", width=1024, height=1024, steps=50, guidance_scale=5.0),
    HIDREAM_FAST: Draft("p", format="jpeg", width=1024, height=1024, steps=16),
    V2: Draft("p", width=1024, height=1024, steps=28, format="png", expand=True),
    V3: Draft("p", width=1024, height=1024, steps=28, format="png", expand=True),
    EDIT: Draft(
        "p",
        steps=28,
        format="png",
        expand=True,
        image=IMAGE,
        mask=MASK,
        strength=1.0,
        image_sized=True,
    ),
    REMIX: Draft(
        "p",
        width=1024,
        height=1024,
        steps=28,
        format="png",
        expand=True,
        image=IMAGE,
        strength=0.2,
    ),
    REFRAME: Draft(
        REFRAMED,
        width=1024,
        height=576,
        steps=28,
        format="png",
        image=IMAGE,
        strength=1.0,
        outpaint=True,
    ),
    SD: Draft("p", format="jpeg", width=1024, height=768, steps=28, guidance_scale=3.5),
    OMNIGEN: Draft(
        "p",
        format="jpeg",
        negative_prompt=NEGATIVE,
        width=1024,
        height=1024,
        steps=50,
        guidance_scale=5.0,
        scheduler="FlowMatchEulerDiscreteScheduler",
    ),
    IMAGEN: Draft("p", width=1024, height=1024, format="png"),
    IMAGEN_FAST: Draft("p", width=1024, height=1024, steps=12, format="png"),
    FLUX: Draft("p", width=1024, height=768, steps=4, format="png", acceleration="regular"),
    FLUX_OLD: Draft(
        "p",
        width=1024,
        height=768,
        steps=4,
        guidance_scale=3.5,
        format="png",
        acceleration="regular",
    ),
    FLUX_DEV: Draft("p", format="jpeg", width=1024, height=768, steps=28, guidance_scale=3.5),
    RECRAFT: Draft("p", width=1024, height=1024, format="webp", style="recraft/realistic_image"),
    F_LITE: Draft("p", format="jpeg", width=1024, height=768, steps=28, guidance_scale=3.5),
    TEXTURE: Draft("p", format="jpeg", width=1024, height=768, steps=28, guidance_scale=3.5),
}


@pytest.mark.parametrize("id", DRAFTS)
def test_what_a_page_s_defaults_say(id: str) -> None:
    assert draft(id) == DRAFTS[id]


@pytest.mark.parametrize("id", DRAFTS)
def test_the_example_asks_for_what_can_be_painted(id: str) -> None:
    page = PAGES[id]
    example = {name: each for name, each in page.example.items() if name not in page.lacking}
    made = page.draft(page.Input.model_validate(example))
    assert painted(id, made).prompt == example.get("prompt", REFRAMED)
    assert (made.width, made.height) == (DRAFTS[id].width, DRAFTS[id].height)
    assert (made.steps, made.format) == (DRAFTS[id].steps, DRAFTS[id].format)


def test_all_pages_have_a_draft_but_the_one_that_is_not_served() -> None:
    assert PRINTED.keys() - DRAFTS.keys() == {BACKGROUND}


def test_everything_that_is_asked_reaches_the_draft() -> None:
    made = draft(
        HIDREAM,
        negative_prompt="rain",
        seed=0,
        num_images=4,
        guidance_scale=0,
        output_format="png",
        image_size={"width": 64},
        loras=[{"path": "owner/name", "weight_name": "a.safetensors", "scale": -1}],
    )
    assert (made.negative_prompt, made.seed, made.num_images) == ("rain", 0, 4)
    assert (made.guidance_scale, made.format) == (0.0, "png")
    assert (made.width, made.height) == (64, 512)
    assert made.loras == (Lora("owner/name", -1.0, "a.safetensors"),)
    assert draft(SD, loras=[{"path": "a"}]).loras == (Lora("a"),)


@given(st.integers(64, 2048), st.integers(64, 2048), st.sampled_from([FLUX, HIDREAM, V3, RECRAFT]))
def test_any_size_in_range_is_painted_as_asked(width: int, height: int, id: str) -> None:
    made = draft(id, image_size={"width": width, "height": height})
    assert (made.width, made.height) == (width, height)


@given(st.dictionaries(st.sampled_from(["width", "height"]), st.integers(-(2**70), 2**70)))
def test_a_size_is_in_range_or_an_error(size: dict[str, int]) -> None:
    if all(64 <= side <= 2048 for side in size.values()):
        made = draft(FLUX, image_size=size)
        assert (made.width, made.height) == (size.get("width", 512), size.get("height", 512))
    else:
        with pytest.raises(ValidationError):
            ask(FLUX, image_size=size)


@given(st.sampled_from([V2, IMAGEN]), st.sampled_from(list(RATIOS)))
def test_any_ratio_gives_about_a_megapixel_of_that_ratio(id: str, ratio: str) -> None:
    if ratio not in PRINTED_CHOICES[id, "aspect_ratio"].split(", "):
        return
    made = draft(id, aspect_ratio=ratio)
    assert made.width is not None
    assert made.height is not None
    assert made.width % 16 == made.height % 16 == 0
    assert all(64 <= side <= 2048 for side in (made.width, made.height))
    across, down = map(int, ratio.split(":"))
    assert made.width / made.height == pytest.approx(across / down, rel=0.01)
    assert made.width * made.height == pytest.approx(2**20, rel=0.06)


def test_every_named_size_is_the_documented_one() -> None:
    for name, size in SIZES.items():
        made = draft(FLUX, image_size=name)
        assert (made.width, made.height) == size
    assert SIZES["portrait_16_9"] == (576, 1024)


def test_acceleration_reaches_the_draft() -> None:
    drafts = [draft(FLUX, acceleration=choice).acceleration for choice in ACCELERATIONS]
    assert drafts == ["none", "regular", "high"]


def test_a_range_of_guidance_and_a_scheduler_reach_the_draft() -> None:
    made = draft(OMNIGEN, cfg_range_start=0.25, cfg_range_end=0.75, scheduler="dpmsolver")
    assert made.guidance_range == (0.25, 0.75)
    assert made.scheduler == "DPMSolverMultistepScheduler"
    assert draft(OMNIGEN, cfg_range_start=1).guidance_range == (1.0, 1.0)


def test_rendering_speeds_take_fewer_steps_or_more() -> None:
    steps = [draft(V3, rendering_speed=speed).steps for speed in ("TURBO", "BALANCED", "QUALITY")]
    assert steps == [12, 28, 50]


@pytest.mark.parametrize("strength", [0.01, 0.5, 0.8, 1])
def test_a_stronger_image_is_repainted_less_but_never_not_at_all(strength: float) -> None:
    repainted = draft(REMIX, strength=strength).strength
    assert repainted is not None
    assert repainted == pytest.approx(max(1 - strength, 0.02))
    assert 0 < repainted < 1


@pytest.mark.parametrize("style", get_args(Style))
def test_a_style_is_a_preset_and_vectors_come_as_svg(style: str) -> None:
    made = draft(RECRAFT, style=style)
    assert made.style == (None if style == "any" else f"recraft/{style}")
    vector = style.startswith(("vector_illustration", "icon/"))
    assert made.format == ("svg" if vector else "webp")


@pytest.mark.parametrize(
    ("id", "style", "preset"),
    [
        (V2, "auto", None),
        (V2, "general", None),
        (V2, "anime", "ideogram/anime"),
        (V2, "render_3D", "ideogram/render_3d"),
        (V3, "AUTO", None),
        (V3, "GENERAL", None),
        (V3, "REALISTIC", "ideogram/realistic"),
        (REMIX, "DESIGN", "ideogram/design"),
        (REFRAME, "DESIGN", "ideogram/design"),
    ],
)
def test_both_versions_words_for_a_style_name_one_preset(
    id: str, style: str, preset: str | None
) -> None:
    assert draft(id, style=style).style == preset
    assert preset is None or preset in STYLES


def test_every_preset_is_listed_once() -> None:
    assert len(set(STYLES)) == len(STYLES) == 4 + len(get_args(Style)) - 1


@pytest.mark.parametrize("name", get_args(PaletteName))
def test_a_named_palette_has_colours_of_its_own(name: str) -> None:
    palette = draft(V3, color_palette={"name": name}).palette
    assert palette == PALETTES[name]
    assert len({(each.red, each.green, each.blue) for each in palette}) == 5
    assert [each.weight for each in palette] == sorted((e.weight for e in palette), reverse=True)


def test_no_two_palettes_are_alike() -> None:
    assert len(set(PALETTES.values())) == len(PALETTES) == 8


def test_colours_of_one_s_own_keep_their_weights() -> None:
    members = [{"rgb": {"r": 255}, "color_weight": 1}, {"rgb": {"b": 9}}]
    palette = draft(V3, color_palette={"members": members}).palette
    assert palette == (Swatch(255, 0, 0, 1.0), Swatch(0, 0, 9, 0.5))
    colours = draft(RECRAFT, colors=[{"r": 1, "g": 2, "b": 3}, {"r": 4}]).palette
    assert colours == (Swatch(1, 2, 3), Swatch(4, 0, 0))


@pytest.mark.parametrize("palette", [None, {}, {"members": []}, {"members": None, "name": None}])
def test_an_empty_palette_asks_for_none(palette: dict[str, Any] | None) -> None:
    assert draft(V3, color_palette=palette).palette == ()
    assert draft(V3, color_palette={"name": "EMBER", "members": []}).palette == PALETTES["EMBER"]


def test_omnigen_s_images_and_their_guidance_are_those_of_an_edit() -> None:
    said = draft(OMNIGEN, input_image_urls=[IMAGE, "https://a.example/b"], image_guidance_scale=1.3)
    assert (said.references, said.image) == ((IMAGE, "https://a.example/b"), None)
    assert said.image_guidance_scale == 1.3
    assert draft(OMNIGEN).image_guidance_scale is None


def test_a_fourth_image_is_refused_in_fal_s_words() -> None:
    with pytest.raises(ValidationError, match="at most 3 items"):
        ask(OMNIGEN, input_image_urls=[IMAGE] * 4)


def test_what_cannot_be_honoured_yet_is_refused_with_a_way_out() -> None:
    page, name = PAGES["fal-ai/fast-sdxl"], "embeddings"
    params = page.Input.model_validate({"prompt": "a cat", name: [{"path": "a/b"}]})
    ((loc, why),) = page.unsupported(params)
    assert loc == (name,)
    assert "not served here yet; " in why
    with pytest.raises(Fault, match="not served here yet") as raised:
        page.draft(params)
    assert raised.value.kind is Kind.UNSUPPORTED


@pytest.mark.parametrize("id", [V3, EDIT, REMIX, REFRAME, BACKGROUND])
def test_style_references_and_codes_are_read_on_every_ideogram_page(id: str) -> None:
    assert draft(id, image_urls=[IMAGE, MASK]).style_images == (IMAGE, MASK)
    one, both = (
        draft(id, style_codes=codes).style_vector
        for codes in (["0F8" + "0" * 5], ["0f800000", "00800000"])
    )
    assert one == (0, 15, 8, 0, 0, 0, 0, 0)
    assert both == (0, 7.5, 8, 0, 0, 0, 0, 0), "the mean of both"


@pytest.mark.parametrize("beside", [{"image_urls": [IMAGE]}, {"style": "DESIGN"}])
def test_style_codes_stand_alone_in_the_words_of_the_page(beside: dict[str, Any]) -> None:
    params = ask(V3, style_codes=["AAFF5733"], **beside)
    (((name,), why),) = PAGES[V3].at_odds(params)
    assert name == "style_codes"
    assert why.startswith("Cannot be used in conjunction with style_reference_images or style; ")
    assert next(iter(beside)) in why
    assert PAGES[V3].at_odds(ask(V3, **beside)) == []


def test_a_style_of_ones_own_stands_in_the_place_of_a_named_one() -> None:
    named = draft(RECRAFT, style="digital_illustration", style_id="mine")
    assert (named.style_id, named.style) == ("mine", None)
    assert draft(RECRAFT, style="icon/outline", style_id="mine").format == "svg"


def test_a_replaced_background_keeps_the_foreground_and_its_size() -> None:
    asked = draft(BACKGROUND, image_url=IMAGE, prompt="a beach")
    assert (asked.image, asked.keep_foreground, asked.image_sized) == (IMAGE, True, True)


@pytest.mark.parametrize("nothing", [None, []])
def test_nothing_given_is_nothing_refused(nothing: list[str] | None) -> None:
    assert PAGES[V3].unsupported(ask(V3, image_urls=nothing, style_codes=nothing)) == []
    assert draft(OMNIGEN, input_image_urls=nothing).references == ()


def test_open_weights_are_named_and_closed_ones_are_not() -> None:
    closed = {id for id in PRINTED if PAGES[id].model.weights is None}
    assert closed == {V2, V3, EDIT, REMIX, REFRAME, BACKGROUND, IMAGEN, IMAGEN_FAST, RECRAFT}


def test_pages_that_print_streaming_stream() -> None:
    assert {id for id in EXAMPLES if PAGES[id].streams} == {HIDREAM, HIDREAM_FAST}
