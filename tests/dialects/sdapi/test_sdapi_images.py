"""img2img: what is painted over, where, and how it comes back."""

import base64
import io
import json
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image, ImageDraw, PngImagePlugin

from imagemill import infotext
from imagemill.dialects.hub_models import UNSAID
from imagemill.dialects.sdapi import inpainting, prompts
from imagemill.errors import Fault
from imagemill.images.decode import provenance_of, texts_of
from imagemill.images.encode import encode
from tests.conftest import Serving
from tests.engines import PlainEngine

pytestmark = pytest.mark.anyio

V1 = "/sdapi/v1"
BLUE, RED, GREEN = (0, 0, 255), (255, 0, 0), (0, 128, 0)


def png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "png")
    return buffer.getvalue()


def base64_of(image: Image.Image) -> str:
    return base64.b64encode(png(image)).decode()


def halves(size: tuple[int, int] = (128, 64)) -> Image.Image:
    """Blue at the left, red at the right."""
    image = Image.new("RGB", size, BLUE)
    image.paste(RED, (size[0] // 2, 0, *size))
    return image


def square(box: tuple[int, int, int, int], size: tuple[int, int] = (128, 64)) -> Image.Image:
    mask = Image.new("L", size)
    mask.paste(255, box)
    return mask


def body_with(**more: Any) -> dict[str, Any]:
    usual = {"prompt": "a cat", "steps": 2, "seed": 1, "init_images": [base64_of(halves())]}
    return usual | more


def opened(reply: httpx.Response) -> Image.Image:
    assert reply.status_code == 200, reply.text
    return Image.open(io.BytesIO(base64.b64decode(reply.json()["images"][0]))).convert("RGB")


async def painted_over(
    serving: Serving, body: dict[str, Any]
) -> tuple[PlainEngine, Image.Image, Image.Image | None]:
    """The engine, and the picture and the mask that it was given."""
    engine = PlainEngine()
    async with serving(engine) as client:
        opened(await client.post(f"{V1}/img2img", json=body))
    (inputs,) = engine.inputs
    images = [Image.open(io.BytesIO(each)) for each in inputs.values()]
    return engine, images[0], images[1] if len(images) > 1 else None


async def test_what_is_left_open_is_as_the_picture_is(serving: Serving) -> None:
    engine, image, mask = await painted_over(serving, body_with())
    assert (engine.submitted[0].width, engine.submitted[0].height) == (128, 64)
    assert engine.submitted[0].strength == 0.75
    assert (image.size, mask) == ((128, 64), None)


async def test_a_picture_is_painted_over_without_a_prompt(serving: Serving) -> None:
    body = {name: value for name, value in body_with().items() if name != "prompt"}
    engine, image, _ = await painted_over(serving, body | {"restore_faces": "False"})
    assert engine.submitted[0].prompt == UNSAID
    assert image.size == (128, 64)


@pytest.mark.parametrize("form", ["{}", "data:image/png;base64,{}", "\n{}\n"])
async def test_pictures_come_bare_or_as_data_uris(serving: Serving, form: str) -> None:
    body = body_with(init_images=[form.format(base64_of(halves()))], denoising_strength=0.3)
    engine, _, _ = await painted_over(serving, body)
    assert engine.submitted[0].strength == 0.3


@pytest.mark.parametrize(
    ("mode", "corner", "middle"),
    [
        (0, BLUE, BLUE),  # stretched: blue up to the middle
        (1, BLUE, BLUE),  # cropped
        (2, BLUE, BLUE),  # the whole in the middle, its edges continued
        (3, BLUE, BLUE),
    ],
)
async def test_a_picture_of_another_shape_is_fitted(
    serving: Serving, mode: int, corner: Any, middle: Any
) -> None:
    _, image, _ = await painted_over(serving, body_with(width=128, height=128, resize_mode=mode))
    assert image.size == (128, 128)
    assert (image.getpixel((0, 0)), image.getpixel((40, 64))) == (corner, middle)
    assert image.getpixel((127, 127)) == RED


async def test_a_padded_picture_keeps_its_shape_and_a_cropped_one_loses_its_sides() -> None:
    image = Image.new("RGB", (128, 64), GREEN)
    image.paste(BLUE, (0, 0, 8, 64))
    brush = inpainting.Brush()
    cropped, padded, stretched = (
        Image.open(io.BytesIO(inpainting.prepared(png(image), None, (64, 64), mode, brush).image))
        for mode in (1, 2, 0)
    )
    assert cropped.getpixel((0, 32)) == GREEN
    assert padded.getpixel((0, 0)) == padded.getpixel((0, 32)) == BLUE
    assert padded.getpixel((20, 2)) == GREEN
    assert stretched.getpixel((0, 32)) == BLUE


async def test_the_whole_is_painted_where_the_mask_is_white(serving: Serving) -> None:
    mask = square((0, 0, 32, 64))
    body = body_with(mask=base64_of(mask), inpaint_full_res=False, mask_blur=0, inpainting_fill=1)
    _, image, shown = await painted_over(serving, body)
    assert shown is not None
    assert np.array_equal(np.asarray(shown), np.asarray(mask))
    assert np.array_equal(np.asarray(image), np.asarray(halves()))


async def test_a_mask_may_be_turned_round_and_softened(serving: Serving) -> None:
    body = body_with(
        mask=base64_of(square((0, 0, 64, 64))),
        inpaint_full_res=False,
        inpainting_mask_invert=1,
        mask_blur=8,
        mask_blur_y=0,
        inpainting_fill=1,
    )
    _, _, shown = await painted_over(serving, body)
    assert shown is not None
    across = [shown.getpixel((x, 32)) for x in (0, 63, 127)]
    assert across[0] == 0
    assert 0 < int(str(across[1])) < 255
    assert across[2] == 255


async def test_a_mask_that_is_drawn_on_nothing_counts_where_it_is_drawn(serving: Serving) -> None:
    mask = Image.new("RGBA", (128, 64))
    ImageDraw.Draw(mask).rectangle((0, 0, 31, 63), fill=(0, 0, 0, 200))
    body = body_with(mask=base64_of(mask), inpaint_full_res=0, mask_blur=0)
    _, _, shown = await painted_over(serving, body)
    assert shown is not None
    assert (shown.getpixel((10, 10)), shown.getpixel((40, 10))) == (255, 0)


async def test_colours_flow_into_the_hole(serving: Serving) -> None:
    image = Image.new("RGB", (128, 64), GREEN)
    image.paste(RED, (48, 16, 80, 48))
    body = body_with(
        init_images=[base64_of(image)],
        mask=base64_of(square((48, 16, 80, 48))),
        inpaint_full_res=False,
        mask_blur=0,
        inpainting_fill=0,
    )
    _, image, _ = await painted_over(serving, body)
    assert np.abs(np.asarray(image, dtype=int) - GREEN).max() <= 2


async def test_the_masked_part_alone_is_painted_large_and_put_back(serving: Serving) -> None:
    body = body_with(
        mask=base64_of(square((8, 8, 24, 24))),
        mask_blur=0,
        inpaint_full_res_padding=4,
        inpainting_fill=1,
        width=128,
        height=128,
    )
    engine = PlainEngine()
    async with serving(engine) as client:
        whole = opened(await client.post(f"{V1}/img2img", json=body))
    (inputs,) = engine.inputs
    image, mask = (Image.open(io.BytesIO(each)) for each in inputs.values())
    assert image.size == mask.size == (128, 128)
    assert image.getpixel((127, 127)) == BLUE  # of 24 px at the left
    assert mask.getpixel((64, 64)) == 255
    assert whole.size == (128, 64)
    assert (whole.getpixel((30, 30)), whole.getpixel((100, 30))) == (BLUE, RED)
    assert whole.getpixel((16, 16)) not in (BLUE, RED)


async def test_an_empty_mask_leaves_the_picture_whole(serving: Serving) -> None:
    body = body_with(mask=base64_of(Image.new("L", (128, 64))), mask_blur=0)
    _, image, mask = await painted_over(serving, body)
    assert mask is not None
    assert (image.size, mask.getbbox()) == ((128, 64), None)


async def test_noise_beneath_the_mask_is_the_same_as_the_picture_once_all_is_noise(
    serving: Serving,
) -> None:
    mask = base64_of(square((0, 0, 32, 64)))
    await painted_over(serving, body_with(mask=mask, inpainting_fill=2, denoising_strength=1))


@pytest.mark.parametrize(("include", "there"), [(True, True), (False, False), (None, False)])
async def test_init_images_come_back_where_they_are_wanted(
    serving: Serving, include: bool | None, there: bool
) -> None:
    async with serving(PlainEngine()) as client:
        reply = await client.post(f"{V1}/img2img", json=body_with(include_init_images=include))
    params = reply.json()["parameters"]
    assert (params["init_images"] is not None) is there
    assert params["denoising_strength"] == 0.75


@pytest.mark.parametrize(
    ("params", "loc", "message"),
    [
        ({"init_images": ["aGVsbG8="]}, "init_images", "is text, no picture"),
        ({"init_images": ["%%%"]}, "init_images", "broken content"),
        ({"init_images": ["x", "y"]}, "init_images", "one at a time"),
        ({"init_images": ["http://127.0.0.1:9/a.png"]}, "init_images", ""),
        ({"mask": "aGVsbG8="}, "mask", "is text, no picture"),
        ({"resize_mode": 4}, "resize_mode", "give 0, 1, 2 or 3"),
        ({"inpainting_fill": 2}, "inpainting_fill", "denoising_strength 1"),
        ({"inpainting_fill": 9}, "inpainting_fill", "give 0 or 1"),
        ({"inpaint_full_res_padding": -1}, "inpaint_full_res_padding", "0 or more"),
        ({"denoising_strength": 2}, "denoising_strength", "out of range; give 0 to 1"),
        ({"width": 10**6}, "width", "out of range"),
        ({"height": 0}, "height", "out of range"),
        ({"latent_mask": "x"}, "latent_mask", "given as mask"),
        ({"initial_noise_multiplier": 0.5}, "initial_noise_multiplier", "give 1"),
        ({"mask_blur": 1e6, "mask": base64_of(square((0, 0, 9, 9)))}, "mask_blur", "0 to 256"),
        ({"enable": True}, "enable", "unknown field"),
    ],
)
async def test_what_cannot_be_painted_over_is_told(
    serving: Serving, params: dict[str, Any], loc: str, message: str
) -> None:
    async with serving(PlainEngine(), strict=True) as client:
        reply = await client.post(f"{V1}/img2img", json=body_with(**params))
    assert reply.status_code == 422, reply.text
    (detail,) = reply.json()["detail"]
    assert detail["loc"] == ["body", loc]
    assert message in detail["msg"]


async def test_fields_of_the_other_call_are_told_and_change_nothing(serving: Serving) -> None:
    async with serving(PlainEngine()) as client:
        reply = await client.post(
            f"{V1}/img2img", json=body_with(enable_hr=True, hr_prompt="a dog")
        )
        small = {"prompt": "a cat", "width": 64, "height": 64, "steps": 1, "mask_blur": 4}
        other = await client.post(f"{V1}/txt2img", json=small)
        refused = await client.post(f"{V1}/txt2img", json=small | {"init_images": ["x"]})
    assert ignored(reply) == dict.fromkeys(("enable_hr", "hr_prompt"), "of txt2img alone")
    assert ignored(other) == {"mask_blur": "of img2img alone"}
    assert "post it there" in refused.json()["detail"][0]["msg"]


def ignored(reply: httpx.Response) -> Any:
    return json.loads(reply.json()["info"])["imagemill"]["ignored"]


async def test_a_file_of_ours_is_read_without_http(serving: Serving) -> None:
    engine = PlainEngine()
    async with serving(engine) as client:
        first = await client.post(
            f"{V1}/txt2img",
            json={"prompt": "a dog", "width": 64, "height": 64, "steps": 1, "save_images": True},
        )
        address = infotext_files(first)[0]
        opened(await client.post(f"{V1}/img2img", json=body_with(init_images=[address])))
        missing = await client.post(
            f"{V1}/img2img", json=body_with(init_images=[address.replace("files/", "files/no/")])
        )
    assert engine.submitted[1].width == 64
    assert missing.status_code == 422


def infotext_files(reply: httpx.Response) -> list[str]:
    files: list[str] = json.loads(reply.json()["info"])["imagemill"]["files"]
    return files


def test_a_picture_that_was_put_back_says_how_it_was_made() -> None:
    facts: dict[str, Any] = {"prompt": "a cat", "seed": 7, "size": "64x64"}
    part = encode(np.zeros((64, 64, 3), dtype=np.uint8), "png", facts)
    brush = inpainting.Brush(padding=0, blur=(0, 0))
    mask = png(square((0, 0, 32, 32)))
    canvas = inpainting.prepared(png(halves()), mask, (64, 64), 0, brush)
    whole = inpainting.finished(part, canvas, "png")
    assert provenance_of(whole) == {"prompt": "a cat", "seed": 7, "size": "128x64"}


def test_a_picture_without_a_patch_is_given_as_it_is() -> None:
    assert inpainting.finished(b"as it is", None, "png") == b"as it is"


@pytest.mark.parametrize(
    ("box", "size", "expected"),
    [
        ((10, 10, 20, 20), (64, 64), (10, 10, 20, 20)),
        ((10, 10, 20, 20), (128, 64), (5, 10, 25, 20)),
        ((0, 10, 10, 20), (128, 64), (0, 10, 20, 20)),
        ((118, 10, 128, 20), (128, 64), (108, 10, 128, 20)),
        ((0, 0, 128, 10), (64, 64), (0, 0, 128, 64)),
    ],
)
def test_what_is_cut_out_has_the_shape_of_what_is_painted(
    box: tuple[int, int, int, int], size: tuple[int, int], expected: tuple[int, int, int, int]
) -> None:
    brush = inpainting.Brush(padding=0, blur=(0, 0))
    canvas = inpainting.prepared(png(halves()), png(square(box)), size, 0, brush)
    assert canvas.patch is not None
    assert canvas.patch.box == expected


def test_a_mask_of_another_size_is_scaled_to_its_picture() -> None:
    brush = inpainting.Brush(blur=(0, 0))
    mask = png(square((0, 0, 32, 32), (64, 32)))
    canvas = inpainting.prepared(png(halves()), mask, (128, 64), 0, brush)
    assert canvas.mask is not None
    assert Image.open(io.BytesIO(canvas.mask)).getpixel((60, 60)) == 255


@pytest.mark.parametrize(
    ("prompt", "text"),
    [
        ("a (red) cat", "a red cat"),
        ("((a (red:1.5))) cat", "a red cat"),
        ("[a] cat", "a cat"),
        ("[red:blue:0.5] cat", "[red:blue:0.5] cat"),
        ("\\(as it is\\)", "(as it is)"),
        ("(unclosed", "(unclosed"),
        ("a cat", "a cat"),
    ],
)
def test_weights_are_taken_out_of_a_prompt(prompt: str, text: str) -> None:
    assert prompts.plain(prompt)[0] == text


def test_a_lora_is_named_by_its_address_with_its_weight() -> None:
    said = prompts.read(
        "<lora:http://a:80/b.safetensors:-0.5> cat <lora:http://h/files/x>", "http://h"
    )
    assert said.text == "cat"
    assert [(each.path, each.scale) for each in said.loras] == [
        ("http://a:80/b.safetensors", -0.5),
        ("file:files/x", 1.0),
    ]


def test_an_infotext_is_read_as_it_was_written() -> None:
    pairs = [("Steps", 20), ("Sampler", "Euler"), ("Size", "64x96"), ("Model", "a, b: c")]
    params = infotext.read(infotext.write("a cat\nsits", "green", pairs))
    assert params == {
        "Prompt": "a cat\nsits",
        "Negative prompt": "green",
        "Steps": "20",
        "Sampler": "Euler",
        "Size-1": "64",
        "Size-2": "96",
        "Model": "a, b: c",
    }


@pytest.mark.parametrize(
    ("text", "prompt"),
    [("a cat", "a cat"), ("a: b, c: d", "a: b, c: d"), ('x\na: 1, b: 2, c: "', "x")],
)
def test_any_text_is_read_as_an_infotext(text: str, prompt: str) -> None:
    assert infotext.read(text)["Prompt"] == prompt


@pytest.mark.parametrize("format", ["png", "jpeg", "webp"])
def test_the_texts_of_our_own_files_are_read(format: Any) -> None:
    facts: dict[str, Any] = {
        "prompt": "a cat",
        "steps": 4,
        "seed": 7,
        "size": "64x64",
        "guidance_scale": 4.0,
    }
    content = encode(np.zeros((64, 64, 3), dtype=np.uint8), format, facts)
    text, items = texts_of(content, "png")
    assert infotext.read(text)["Seed"] == "7"
    assert "parameters" not in items


def test_the_texts_of_others_are_read_too() -> None:
    chunks = PngImagePlugin.PngInfo()
    chunks.add_text("parameters", "a dog\nSteps: 20, Sampler: Euler a, Seed: 3, Size: 512x512")
    chunks.add_text("Author", "somebody")
    buffer = io.BytesIO()
    Image.new("RGB", (32, 32)).save(buffer, "png", pnginfo=chunks)
    text, items = texts_of(buffer.getvalue(), "png")
    assert infotext.read(text)["Sampler"] == "Euler a"
    assert items == {"Author": "somebody"}


def test_what_is_no_picture_has_no_texts() -> None:
    with pytest.raises(Fault, match="no picture"):
        texts_of(b"hello", "png")
    gif = io.BytesIO()
    Image.new("RGB", (32, 32)).save(gif, "gif")
    with pytest.raises(Fault, match="PNG, JPEG or WebP"):
        texts_of(gif.getvalue(), "png")
