from dataclasses import replace
from io import BytesIO
from typing import get_args
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image, TiffTags
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from imagemill import infotext
from imagemill.dialects.sdapi.samplers import SAMPLERS as TOLD
from imagemill.errors import Fault, Kind
from imagemill.generation import FORMATS, MAX_SEED, Format, Generation
from imagemill.images.decode import provenance_of, size_of
from imagemill.images.encode import MEDIA_TYPES, Pixels, encode, encode_svg
from imagemill.images.provenance import SOFTWARE, as_parameters, provenance
from imagemill.scheduler_names import SCHEDULERS
from imagemill.value_checks import MAX_PROMPT

SAMPLERS = {each.name for each in TOLD}
RASTERS: tuple[Format, ...] = tuple(format for format in FORMATS if format != "svg")

FACTS: dict[str, str | int | float] = {
    "prompt": "a red cat",
    "seed": 7,
    "steps": 20,
    "guidance_scale": 4.0,
    "model": "pico",
}


def make_pixels(width: int = 96, height: int = 64) -> Pixels:
    """A red square on blue: flat, saturated colour, as the embedded model paints it."""
    pixels = np.full((height, width, 3), (37, 99, 217), np.uint8)
    pixels[height // 4 : height // 2, width // 4 : width // 2] = (214, 48, 49)
    return pixels


def make_generation(prompt: str = "a red cat", negative_prompt: str = "") -> Generation:
    return Generation(prompt, "some/model", 96, 64, 20, 4.0, 7, negative_prompt)


def make_svg(width: int = 96, height: int = 64) -> str:
    """As `finishing` traces it: a red square on blue."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}">\n<path d="M0 0h96v64H0z" fill="#2563D9"/>\n'
        '<path d="M24 16h24v16H24z" fill="#D63031"/>\n</svg>\n'
    )


def opened(data: bytes) -> Image.Image:
    return Image.open(BytesIO(data))


@pytest.mark.parametrize("format", RASTERS)
def test_a_picture_is_a_file_of_its_format_and_size(format: Format) -> None:
    data = encode(make_pixels(96, 64), format, FACTS)
    assert Image.MIME[str(opened(data).format)] == MEDIA_TYPES[format]
    assert size_of(data) == (96, 64)


def test_a_png_keeps_every_pixel() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 80, 3), np.uint8)
    assert np.array_equal(np.asarray(opened(encode(pixels, "png", FACTS))), pixels)


@pytest.mark.parametrize("format", ["jpeg", "webp"])
def test_flat_colours_survive_compression(format: Format) -> None:
    pixels = make_pixels()
    read = np.asarray(opened(encode(pixels, format, FACTS)).convert("RGB")).astype(int)
    assert np.abs(read - pixels).mean() < 3


def test_a_jpeg_keeps_colour_at_full_resolution() -> None:
    data = encode(make_pixels(), "jpeg", FACTS)
    assert {layer[1:3] for layer in opened(data).layer} == {(1, 1)}  # type: ignore[attr-defined]


@pytest.mark.parametrize("format", RASTERS)
def test_the_same_input_gives_the_same_bytes(format: Format) -> None:
    assert encode(make_pixels(), format, FACTS) == encode(make_pixels(), format, dict(FACTS))


@pytest.mark.parametrize("format", RASTERS)
@given(
    prompt=st.text(st.characters(exclude_categories=["Cs"]), max_size=300),
    number=st.integers(0, MAX_SEED) | st.floats(0, 50),
)
def test_provenance_is_read_back_as_it_was_written(
    format: Format, prompt: str, number: int | float
) -> None:
    facts = FACTS | {"prompt": prompt, "negative_prompt": prompt, "seed": number}
    assert provenance_of(encode(make_pixels(16, 16), format, facts)) == facts


def test_a_generation_tells_all_that_painted_it() -> None:
    facts = provenance(make_generation(negative_prompt="dogs"), seed=9, served_by="pico")
    assert facts == {
        "prompt": "a red cat",
        "negative_prompt": "dogs",
        "seed": 9,
        "steps": 20,
        "guidance_scale": 4.0,
        "size": "96x64",
        "model": "pico",
        "software": SOFTWARE,
    }


def test_a_png_is_readable_by_tools_that_know_nothing_of_us() -> None:
    generation = make_generation("une église", "dogs")
    facts = provenance(generation, 9, "pico", "EulerDiscreteScheduler+karras")
    text = opened(encode(make_pixels(), "png", facts)).info
    assert text["Software"] == SOFTWARE
    assert text["parameters"].split("\n") == [
        "une église",
        "Negative prompt: dogs",
        "Steps: 20, Sampler: Euler, Schedule type: Karras, CFG scale: 4.0, Seed: 9, Size: 96x64, "
        f"Model: pico, Version: {SOFTWARE}",
    ]


@pytest.mark.parametrize(("prompt", "chunk"), [("une église", b"tEXt"), ("教堂", b"iTXt")])
def test_texts_of_a_png_are_plain_where_they_can_be(prompt: str, chunk: bytes) -> None:
    """Many readers know tEXt alone, which holds Latin-1."""
    data = encode(make_pixels(), "png", FACTS | {"prompt": prompt})
    assert chunk + b"parameters\0" in data
    assert chunk + b"imagemill\0" in data
    assert opened(data).info["parameters"].startswith(prompt)


def test_labels_within_a_prompt_are_not_taken_for_labels() -> None:
    prompt = "a cat\nNegative prompt: dogs\nSteps: five\nof a Negative prompt:"
    facts = FACTS | {"prompt": prompt, "negative_prompt": "Negative prompt: green"}
    data = encode(make_pixels(), "png", facts)
    lines = str(opened(data).info["parameters"]).split("\n")
    assert lines[:4] == [
        "a cat",
        "Negative prompt : dogs",
        "Steps : five",
        "of a Negative prompt :",
    ]
    assert lines[4] == "Negative prompt: Negative prompt : green"
    assert provenance_of(data)["prompt"] == prompt


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_every_scheduler_has_a_name_that_image_tools_know(scheduler: str) -> None:
    name, spacing = infotext.sampler(scheduler)
    assert name in SAMPLERS
    assert spacing in ("Automatic", "Karras", "Exponential")


def test_a_picture_over_another_tells_how_much_was_repainted() -> None:
    generation = replace(make_generation(), image="file:a", strength=0.6)
    assert "Denoising strength: 0.6" in as_parameters(provenance(generation, 9, "pico"))


def test_a_scheduler_of_nobody_keeps_its_name() -> None:
    assert infotext.sampler("OwnScheduler+karras") == ("OwnScheduler", "Karras")


@pytest.mark.parametrize("format", ["jpeg", "webp"])
def test_exif_is_readable_by_tools_that_know_nothing_of_us(format: Format) -> None:
    facts = provenance(make_generation("une église"), seed=9, served_by="pico")
    exif = opened(encode(make_pixels(), format, facts)).getexif()
    assert exif[ExifTags.Base.Software] == SOFTWARE
    comment = exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment]
    inner = ImageFileDirectory_v2(exif.head, group=ExifTags.IFD.Exif)
    exif.fp.seek(exif[ExifTags.IFD.Exif])
    inner.load(exif.fp)
    assert inner.tagtype[ExifTags.Base.UserComment] == TiffTags.UNDEFINED
    assert comment[:8] == b"UNICODE\x00"
    assert comment[8:].decode("utf-16-be").startswith("une église\nSteps: 20")


@pytest.mark.parametrize("format", ["png", "webp"])
@pytest.mark.parametrize("character", ["x", "é", "🐱", "\x00"])
def test_the_longest_texts_fit(format: Format, character: str) -> None:
    facts = FACTS | dict.fromkeys(("prompt", "negative_prompt"), character * MAX_PROMPT)
    assert provenance_of(encode(make_pixels(), format, facts)) == facts


@pytest.mark.parametrize("character", ["x", "é", "🐱", "\x00"])
def test_a_jpeg_says_where_it_had_to_cut_a_text(character: str) -> None:
    # A segment of a JPEG holds 65,533 bytes, and no more than one of them may be EXIF.
    facts = FACTS | dict.fromkeys(("prompt", "negative_prompt"), character * MAX_PROMPT)
    read = provenance_of(encode(make_pixels(), "jpeg", facts))
    assert read.keys() == facts.keys()
    assert str(read["prompt"]).startswith(character * 3000)
    assert read["prompt"] == facts["prompt"] or str(read["prompt"]).endswith(" [...]")
    assert read["seed"] == 7


def test_a_picture_of_others_has_no_provenance() -> None:
    for format in RASTERS:
        buffer = BytesIO()
        Image.fromarray(make_pixels()).save(buffer, format)
        assert provenance_of(buffer.getvalue()) == {}


def test_a_description_of_others_is_no_provenance() -> None:
    for description in ("holiday", "[1]", "{"):
        exif, buffer = Image.Exif(), BytesIO()
        exif[ExifTags.Base.ImageDescription] = description
        Image.fromarray(make_pixels()).save(buffer, "jpeg", exif=exif)
        assert provenance_of(buffer.getvalue()) == {}


@pytest.mark.parametrize("data", [b"", b"no picture", b"GIF89a" + bytes(20)])
def test_what_is_no_picture_is_refused(data: bytes) -> None:
    for read in (size_of, provenance_of):
        with pytest.raises(Fault) as caught:
            read(data)
        assert caught.value.kind is Kind.INVALID


def test_every_format_has_a_media_type() -> None:
    assert tuple(MEDIA_TYPES) == get_args(Format)


def test_an_svg_keeps_its_shapes_and_its_size() -> None:
    data = encode_svg(make_svg(), FACTS)
    drawing = ElementTree.fromstring(data)
    assert drawing.get("viewBox") == "0 0 96 64"
    assert [path.get("fill") for path in drawing.findall("{*}path")] == ["#2563D9", "#D63031"]
    assert size_of(data) == (96, 64)


@given(prompt=st.text(st.characters(exclude_categories=["Cs"]), max_size=300))
def test_provenance_is_read_back_from_an_svg(prompt: str) -> None:
    facts = FACTS | {"prompt": prompt, "negative_prompt": prompt}
    data = encode_svg(make_svg(), facts)
    ElementTree.fromstring(data)  # well-formed, whatever the prompt
    assert provenance_of(data) == facts


@pytest.mark.parametrize(
    "prompt",
    [
        "</metadata><script>alert(1)</script>",
        "]]><image href='http://host/'/>",
        "&lt;script&gt; &xxe; \x00 \ufffe \ud800",
    ],
)
def test_a_prompt_stays_text_in_an_svg(prompt: str) -> None:
    data = encode_svg(make_svg(), FACTS | {"prompt": prompt})
    names = [element.tag.rpartition("}")[2] for element in ElementTree.fromstring(data).iter()]
    assert names == ["svg", "metadata", "path", "path"]


def test_an_svg_without_provenance_has_none() -> None:
    assert provenance_of(make_svg().encode()) == {}


@pytest.mark.parametrize(
    "text",
    [
        '<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY a "b">]>' + make_svg(),
        "<svg width='96' height='64'></svg>",
        make_svg().replace('width="96"', 'width="9999999"'),
    ],
)
def test_an_svg_of_others_is_no_image(text: str) -> None:
    for read in (size_of, provenance_of):
        with pytest.raises(Fault) as caught:
            read(text.encode())
        assert caught.value.kind is Kind.INVALID


def test_what_would_end_a_setting_is_quoted() -> None:
    content = encode(make_pixels(), "png", {"prompt": "a cat", "steps": 4, "model": "a/b, at: x"})
    assert opened(content).info["parameters"] == 'a cat\nSteps: 4, Model: "a/b, at: x"'
