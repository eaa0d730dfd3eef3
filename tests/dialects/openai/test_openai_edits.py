"""The dialect openai: edits and variations, as forms and as JSON."""

import base64
import io
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from imagemill.images.encode import encode
from imagemill.jobs.job_inputs import image_key
from tests.conftest import Serving
from tests.dialects.openai.test_openai import body_of, opened
from tests.engines import PlainEngine

pytestmark = pytest.mark.anyio

EDITS, VARIATIONS = "/openai/v1/images/edits", "/openai/v1/images/variations"
FIELDS = {"model": "someone/something", "prompt": "a red cat", "num_inference_steps": "2"}
Files = list[tuple[str, tuple[str | None, bytes]]]


def png(colour: str = "blue", size: tuple[int, int] = (64, 64), mode: str = "RGB") -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, size, colour).save(buffer, "png")
    return buffer.getvalue()


def half_clear(size: tuple[int, int] = (64, 64)) -> bytes:
    """Transparent on the left."""
    image, buffer = Image.new("RGBA", size, "white"), io.BytesIO()
    image.paste((0, 0, 0, 0), (0, 0, size[0] // 2, size[1]))
    image.save(buffer, "png")
    return buffer.getvalue()


def uri(content: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(content).decode()


def made(*files: tuple[str, bytes], **changes: str) -> Files:
    fields: Files = [(name, (None, value.encode())) for name, value in (FIELDS | changes).items()]
    return fields + [(name, ("upload", content)) for name, content in files]


def form_of(files: Files) -> tuple[str, bytes]:
    """The content type and the body, as browsers send them: httpx gives no file an empty name."""
    body = b""
    for name, (filename, content) in files:
        head = f'--b\r\nContent-Disposition: form-data; name="{name}"'
        head += "" if filename is None else f'; filename="{filename}"'
        body += head.encode() + b"\r\n\r\n" + content + b"\r\n"
    return "multipart/form-data; boundary=b", body + b"--b--\r\n"


def pixels(content: bytes) -> Any:
    return np.asarray(Image.open(io.BytesIO(content)))


def error(reply: httpx.Response, status: int = 400) -> dict[str, Any]:
    assert reply.status_code == status, reply.text
    fault: dict[str, Any] = reply.json()["error"]
    return fault


async def test_every_field_of_a_form_reaches_the_engine(serving: Serving) -> None:
    engine = PlainEngine()
    files = made(
        ("image", png()), n="2", size="128x64", seed="7", guidance_scale="2.5", strength="0.3",
        output_format="jpeg", negative_prompt="green", quality="high", stream="false",
    )  # fmt: skip
    async with serving(engine) as client:
        body = body_of(await client.post(EDITS, files=files))
    (painted,), (inputs,) = engine.submitted, engine.inputs
    assert (painted.prompt, painted.negative_prompt, painted.num_images) == (
        "a red cat",
        "green",
        2,
    )
    assert (painted.steps, painted.guidance_scale, painted.strength) == (2, 2.5, 0.3)
    assert (painted.width, painted.height, painted.seed, painted.format) == (128, 64, 7, "jpeg")
    assert painted.image is not None
    assert (pixels(inputs[painted.image]) == (0, 0, 255)).all()
    assert opened(body["data"][0]).size == (128, 64)


@pytest.mark.parametrize("size", [None, "auto"])
async def test_a_picture_that_is_edited_keeps_its_size(serving: Serving, size: str | None) -> None:
    files = made(("image", png(size=(96, 64))), **({} if size is None else {"size": size}))
    async with serving(PlainEngine()) as client:
        body = body_of(await client.post(EDITS, files=files))
    assert body["size"] == "96x64"
    assert body["usage"]["input_tokens_details"] == {"text_tokens": 3, "image_tokens": 194}


async def test_what_is_transparent_in_the_mask_is_repainted(serving: Serving) -> None:
    engine = PlainEngine()
    async with serving(engine) as client:
        files = made(("mask", half_clear()), ("image[]", png()))
        body_of(await client.post(EDITS, files=files))
    mask = pixels(engine.inputs[0][image_key("mask")])
    assert (mask[:, :32] == 255).all()
    assert (mask[:, 32:] == 0).all()
    assert engine.submitted[0].strength == 1.0


@pytest.mark.parametrize(("model", "masked"), [("dall-e-2", True), ("gpt-image-1", False)])
async def test_for_some_models_a_transparent_image_is_its_own_mask(
    serving: Serving, model: str, masked: bool
) -> None:
    engine = PlainEngine()
    async with serving(engine) as client:
        for image in (half_clear(), png(mode="RGBA")):
            files = made(("image", image), model=model, width="64", height="64")
            body_of(await client.post(EDITS, files=files))
    assert [image_key("mask") in each for each in engine.inputs] == [masked, False]


@pytest.mark.parametrize(("fidelity", "near"), [("low", 1.5), (None, 2.0), ("high", 3.0)])
async def test_fidelity_decides_how_near_an_edit_stays_to_its_image(
    serving: Serving, fidelity: str | None, near: float
) -> None:
    engine = PlainEngine()
    said = {} if fidelity is None else {"input_fidelity": fidelity}
    async with serving(engine) as client:
        body_of(await client.post(EDITS, files=made(("image", png()), **said)))
    (generation,) = engine.submitted
    assert generation.image_guidance_scale == near
    assert (len(generation.references), generation.image) == (1, None)


@pytest.mark.parametrize(("fidelity", "strength"), [("low", 1.0), ("high", 0.8)])
async def test_fidelity_decides_how_much_is_repainted_within_a_mask(
    serving: Serving, fidelity: str, strength: float
) -> None:
    engine = PlainEngine()
    async with serving(engine) as client:
        files = made(("image", png()), ("mask", half_clear()), input_fidelity=fidelity)
        body_of(await client.post(EDITS, files=files))
    assert engine.submitted[0].strength == strength


async def test_several_images_are_read_one_by_one_by_an_edit(serving: Serving) -> None:
    engine = PlainEngine()
    colours = {"red": (255, 0, 0), "lime": (0, 255, 0), "blue": (0, 0, 255)}
    async with serving(engine) as client:
        files = made(*(("image[]", png(each)) for each in colours), size="128x64")
        body_of(await client.post(EDITS, files=files))
    (generation,), (inputs,) = engine.submitted, engine.inputs
    seen = [tuple(pixels(inputs[each])[0, 0]) for each in generation.references]
    assert seen == [*colours.values()]


async def test_several_images_lie_side_by_side_in_what_is_painted_over(serving: Serving) -> None:
    engine = PlainEngine()
    colours = ("red", "lime", "blue")
    async with serving(engine) as client:
        images = (("image[]", png(each)) for each in colours)
        files = made(*images, size="128x64", strength="0.5")
        body_of(await client.post(EDITS, files=files))
    (painted,), (inputs,) = engine.submitted, engine.inputs
    sheet = pixels(inputs[painted.image or ""])
    assert sheet.shape == (64, 128, 3)
    cells = [tuple(sheet[at]) for at in ((16, 32), (16, 96), (48, 64))]
    assert cells == [(255, 0, 0), (0, 255, 0), (0, 0, 255)]


async def test_a_mask_that_nobody_chose_is_none(serving: Serving) -> None:
    """Browsers send an empty file for a field that was left as it was."""
    engine = PlainEngine()
    async with serving(engine) as client:
        chosen = [*made(("image", png())), ("mask", ("", b""))]
        kind, body = form_of(chosen)
        body_of(await client.post(EDITS, content=body, headers={"content-type": kind}))
    assert image_key("mask") not in engine.inputs[0]


async def test_a_mask_with_several_images_is_refused(serving: Serving) -> None:
    async with serving(PlainEngine()) as client:
        files = made(("image[]", png()), ("image[]", png()), ("mask", half_clear()))
        assert error(await client.post(EDITS, files=files))["param"] == "mask"


async def test_an_edit_as_json_names_its_images(serving: Serving) -> None:
    engine = PlainEngine()
    body = {
        "model": "gpt-image-1.5",
        "prompt": "a cat",
        "images": [{"image_url": uri(png())}],
        "mask": {"image_url": uri(half_clear())},
        "num_inference_steps": 2,
    }
    async with serving(engine) as client:
        first = body_of(await client.post(EDITS, json=body | {"size": "auto"}))
        assert opened(first["data"][0]).size == (64, 64)
    assert image_key("mask") in engine.inputs[0]


async def test_a_picture_of_ours_is_edited_by_its_address(serving: Serving) -> None:
    engine, path = PlainEngine(), "/openai/v1/images/generations"
    small = {"prompt": "a cat", "width": 64, "height": 64, "num_inference_steps": 1}
    async with serving(engine) as client:
        (item,) = body_of(await client.post(path, json=small))["data"]
        body = {"prompt": "a dog", "images": [{"image_url": item["url"]}], "num_inference_steps": 1}
        body_of(await client.post(EDITS, json=body))
    edited = engine.inputs[1][engine.submitted[1].references[0]]
    assert (pixels(edited) == np.asarray(opened(item))).all()


# What is wrong with an edit as JSON, the parameter that is named, and the code.
WRONG: tuple[tuple[dict[str, Any], str, str], ...] = (
    ({"images": None}, "images", "missing_required_parameter"),
    ({"images": []}, "images", "missing_required_parameter"),
    ({"images": [{}]}, "images.image_url", "missing_required_parameter"),
    ({"images": [{"file_id": "file-1"}]}, "images.file_id", "unsupported_value"),
    ({"images": [{"image_url": "data:image/png;base64,x"}]}, "image", "invalid_image_file"),
    ({"images": [{"image_url": "cat.png"}]}, "image", "invalid_value"),
    ({"images": [{"image_url": uri(b"<html>")}]}, "image", "invalid_image_file"),
    ({"images": [{"image_url": "http://10.0.0.1/x"}]}, "image", "invalid_image_url"),
    ({"images": [{"image_url": "http://localhost/files/a/b.png"}]}, "image", "invalid_image_url"),
    ({"images": [{"image_url": uri(png())}] * 17}, "images", "array_above_max_length"),
    ({"mask": {"image_url": uri(png())}}, "mask", "invalid_image_file"),
    ({"mask": {"image_url": uri(half_clear((96, 96)))}}, "mask", "invalid_value"),
    ({"model": "dall-e-3"}, "model", "invalid_value"),
    ({"strength": 2}, "strength", "invalid_value"),
    ({"markup": "x"}, "markup", "unsupported_value"),
    ({"image": "x"}, "image", "unknown_parameter"),
)


async def test_what_is_wrong_with_an_edit_is_named(serving: Serving) -> None:
    async with serving(PlainEngine()) as client:
        for changes, param, code in WRONG:
            body = {"prompt": "a cat", "images": [{"image_url": uri(png())}]} | changes
            fault = error(await client.post(EDITS, json=body))
            assert (fault["param"], fault["code"]) == (param, code), fault["message"]


WRONG_FORMS: tuple[tuple[Files, str], ...] = (
    (made(), "image"),
    (made(*[("image[]", png())] * 17), "image"),
    (made(("image", png()), ("mask", half_clear()), ("mask", half_clear())), "mask"),
    (made(("image", b"nope")), "image"),
    (made(("image", png()), ("n", b"3"), ("n", b"3")), "n"),
    (made(("image", png()), n="many"), "n"),
    (made(("image", png()), strength="very"), "strength"),
    (made(("image", png()), strength="nan"), "strength"),
    (made(("image", png()), stream="maybe"), "stream"),
    (made(("image", png()), ("svg[model]", b"m")), "svg"),
    (made(("image", png()), ("wifth", b"3")), "wifth"),
    (made(("image", png()), prompt=""), "prompt"),
    # Of these the body was told not to be UTF-8.
    (made(("image", png()), ("mask[]", half_clear())), "mask[]"),
    (made(("images[]", png())), "images[]"),
    (made(("image", png()), ("images", png())), "images"),
    (made(("image", png()), ("user", png())), "user"),
)


async def test_what_is_wrong_with_a_form_is_named(serving: Serving) -> None:
    async with serving(PlainEngine(), strict=True) as client:
        for files, param in WRONG_FORMS:
            fault = error(await client.post(EDITS, files=files))
            assert fault["param"] == param, fault["message"]


async def test_another_of_a_picture_of_ours_has_its_prompt(serving: Serving) -> None:
    engine = PlainEngine()
    async with serving(engine) as client:
        fields = {"model": "dall-e-2", "n": "2", "num_inference_steps": "1", "size": "256x256"}
        stranger = await client.post(VARIATIONS, data=fields, files={"image": ("a.png", png())})
        painted = engine.submitted[0]
        pictured = encode(np.zeros((64, 64, 3), np.uint8), "png", {"prompt": "owl"})
        body_of(await client.post(VARIATIONS, data=fields, files={"image": ("a.png", pictured)}))
    assert (painted.width, painted.num_images, painted.strength) == (256, 2, 0.6)
    assert len(body_of(stranger)["data"]) == 2
    assert [each.prompt for each in engine.submitted] == ["a picture", "owl"]


def remarked(format: str) -> bytes:
    """A picture whose remarks about itself nobody can read."""
    buffer, nested = io.BytesIO(), PngInfo()
    nested.add_itxt("imagemill", "[" * 200_000)
    kinds: dict[str, dict[str, Any]] = {"webp": {"exif": b"Exif\0\0garbage!!"}}
    remarks = kinds.get(format, {"pnginfo": nested})
    Image.new("RGB", (64, 64)).save(buffer, format, **remarks)
    return buffer.getvalue()


@pytest.mark.parametrize("format", ["png", "webp"])
@pytest.mark.parametrize("path", [EDITS, VARIATIONS])
async def test_a_picture_is_not_refused_for_broken_remarks_about_it(
    serving: Serving, path: str, format: str
) -> None:
    engine = PlainEngine()
    fields = {"prompt": "a picture"} if path == EDITS else {}
    fields |= {"num_inference_steps": "1"}
    async with serving(engine) as client:
        files = {"image": ("a", remarked(format))}
        body_of(await client.post(path, data=fields, files=files))
    assert engine.submitted[0].prompt == "a picture"


@pytest.mark.parametrize(
    ("files", "param"),
    [
        ([("image", ("a.png", png()))] * 2, "image"),
        ([("image", ("a.png", png())), ("mask", ("m.png", half_clear()))], "image"),
        ([("image", ("a.png", png())), ("model", (None, b"gpt-image-1"))], "model"),
        ([("image", ("a.png", png())), ("quality", (None, b"high"))], "quality"),
        ([("model", (None, b"dall-e-2"))], "image"),
    ],
)
async def test_what_is_wrong_with_a_variation_is_named(
    serving: Serving, files: Files, param: str
) -> None:
    async with serving(PlainEngine()) as client:
        assert error(await client.post(VARIATIONS, files=files))["param"] == param
        assert "multipart" in error(await client.post(VARIATIONS, json={}))["message"]


async def test_what_is_no_whole_form_is_refused(serving: Serving) -> None:
    headers = {"content-type": "multipart/form-data; boundary=b"}
    async with serving(PlainEngine()) as client:
        for path in (EDITS, VARIATIONS):
            fault = error(await client.post(path, content=b"--b\r\n", headers=headers))
            assert "last boundary" in fault["message"]
            assert fault["param"] is None
