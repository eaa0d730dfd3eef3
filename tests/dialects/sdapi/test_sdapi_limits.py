"""The dialect sdapi and those who send it too much, or what is made to be slow to read."""

import base64
import io
import json
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from PIL import Image

from imagemill import infotext
from imagemill.catalog import Catalog
from imagemill.dialects.sdapi import checkpoints, inpainting, options, prompts
from imagemill.errors import Fault
from imagemill.http.operation import SHORT
from imagemill.threads import BODIES
from tests.conftest import Serving
from tests.engines import PlainEngine

pytestmark = pytest.mark.anyio

V1 = "/sdapi/v1"
SMALL: dict[str, Any] = {"prompt": "a red cat", "width": 64, "height": 64, "steps": 2}
LONG = 200_000  # of what was once read in the square of its length, or worse: minutes to years


class Noted(ThreadPoolExecutor):
    """Knows from which modules work was given to it."""

    def __init__(self) -> None:
        super().__init__(4)
        self.modules = set[str]()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        inner = getattr(fn, "args", None) or (fn,)  # of asyncio's own: context.run, what, ...
        self.modules.add(inner[0].__module__)
        return super().submit(fn, *args, **kwargs)


def test_a_lora_of_many_colons_is_told_at_once() -> None:
    """A pattern tried each way to divide them: 20 took a second, and each further one doubled."""
    with pytest.raises(Fault, match="there is no LoRA 'a:11:11"):
        prompts.read("<lora:a" + ":11" * 600 + "x>", "http://h")


@pytest.mark.parametrize(
    ("tag", "scale"),
    [("", 1.0), (":1", 1.0), (":+.5", 0.5), (": 2. ", 2.0), (":0.5:0.5", 0.5), (":-1", -1.0)],
)
def test_the_weight_of_a_lora_stands_behind_its_last_colons(tag: str, scale: float) -> None:
    (lora,) = prompts.read(f"cat <lora:http://a:80/b{tag}>", "http://h").loras
    assert (lora.path, lora.scale) == ("http://a:80/b", scale)


@pytest.mark.parametrize(
    "text", ["(:" + "1" * LONG, "(a:" + " " * LONG + "x", "(" * LONG, "[" * LONG]
)
def test_a_long_weight_is_read_in_one_go(text: str) -> None:
    assert prompts.plain(text) == (text, False)


@pytest.mark.parametrize(
    ("prompt", "text"),
    [
        ("(a:1:2)", "a:1"),
        ("(:1.2)", ""),
        ("(1.2)", "1.2"),
        ("(a:x)", "a:x"),
        ("(a: nan)", "a: nan"),
    ],
)
def test_only_a_number_behind_a_colon_is_a_weight(prompt: str, text: str) -> None:
    assert prompts.plain(prompt) == (text, True)


def test_a_long_name_of_a_checkpoint_is_read_in_one_go() -> None:
    with pytest.raises(Fault, match="is not a model id"):
        checkpoints.find(Catalog({}, True, lambda _: "1"), "a" + " " * LONG + "b")


def test_a_long_infotext_is_read_in_one_go() -> None:
    text = "a" + " " * infotext.LONGEST + "b"
    assert infotext.read(text)["Prompt"] == text


@pytest.mark.parametrize(
    ("params", "loc", "message"),
    [
        ({"prompt": "(" * 10_001}, ["prompt"], "at most 10000 characters"),
        ({"negative_prompt": "(" * 10_001}, ["negative_prompt"], "at most 10000 characters"),
        ({"styles": [""] * 17}, ["styles"], "at most 16 items"),
        ({"subseed_strength": 0.9}, ["subseed_strength"], "seeds are not mixed; give 0"),
        (
            {"override_settings": {"sd_vae": "x" * 201}},
            ["override_settings", "sd_vae"],
            "at most 200 characters",
        ),
    ],
)
async def test_what_is_too_much_is_refused_before_it_is_read(
    serving: Serving, params: dict[str, Any], loc: list[str], message: str
) -> None:
    async with serving(PlainEngine()) as client:
        reply = await client.post(f"{V1}/txt2img", json=SMALL | params)
    assert reply.status_code == 422, reply.text
    (detail,) = reply.json()["detail"]
    assert detail["loc"] == ["body", *loc]
    assert message in detail["msg"]


async def test_many_pictures_to_paint_over_are_not_looked_at(serving: Serving) -> None:
    async with serving(PlainEngine()) as client:
        reply = await client.post(f"{V1}/img2img", json=SMALL | {"init_images": ["x"] * 1000})
    (detail,) = reply.json()["detail"]
    assert (detail["loc"], detail["type"]) == (["body", "init_images"], "too_long")


async def test_seeds_that_are_not_mixed_are_fine(serving: Serving) -> None:
    async with serving(PlainEngine()) as client:
        params = SMALL | {"subseed": 3, "subseed_strength": 0.0}
        assert (await client.post(f"{V1}/txt2img", json=params)).status_code == 200


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sd_vae", "x" * 201),
        ("eta_ancestral", "nan"),
        ("eta_ancestral", "inf"),
        ("jpeg_quality", 10**400),
        ("forge_additional_modules", ["a"] * 17),
        ("forge_additional_modules", ["x" * 201]),
    ],
)
async def test_an_option_is_kept_only_where_it_is_small_and_can_be_told(
    serving: Serving, name: str, value: Any
) -> None:
    """What one caller without a credential had set was told to all others: NaN is no JSON."""
    async with serving(PlainEngine()) as client:
        reply = await client.post(f"{V1}/options", json={name: value})
        kept = json.loads((await client.get(f"{V1}/options")).content)
    assert reply.status_code == 422
    assert kept[name] == options.DEFAULTS[name]


async def test_of_many_unknown_options_some_are_told(serving: Serving) -> None:
    async with serving(PlainEngine(), strict=True) as client:
        reply = await client.post(f"{V1}/options", json=dict.fromkeys(map(str, range(1000))))
    assert len(reply.json()["detail"]) == 8


@pytest.mark.parametrize("path", ["txt2img", "img2img", "options"])
@pytest.mark.parametrize("length", [1, SHORT])
async def test_long_bodies_are_read_beside_the_loop(
    serving: Serving, monkeypatch: pytest.MonkeyPatch, path: str, length: int
) -> None:
    noted = Noted()
    monkeypatch.setattr(BODIES, "_threads", noted)
    async with serving(PlainEngine(), strict=True) as client:
        reply = await client.post(f"{V1}/{path}", json={"no such": "x" * length})
    assert reply.status_code == 422
    assert ("imagemill.dialects.sdapi.routes" in noted.modules) is (length == SHORT)


async def test_what_is_nested_deeply_is_refused(serving: Serving) -> None:
    """A thread reads deeper than the loop, with all that stands upon it, can write."""
    deep = "[" * 960 + "]" * 960
    body = json.dumps(SMALL | {"comments": "x" * SHORT})[:-1] + f', "subseed": {deep}}}'
    async with serving(PlainEngine()) as client:
        reply = await client.post(f"{V1}/txt2img", content=body)
    assert reply.status_code == 422
    assert "at most 64 levels" in reply.text


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "P"])
def test_of_an_opaque_mask_the_white_part_is_painted(mode: str) -> None:
    """Canvases export masks with an opacity that is 255 everywhere, which masked all of it."""
    mask = Image.new("L", (128, 64))
    mask.paste(255, (64, 0, 128, 64))
    brush = inpainting.Brush(blur=(0, 0))
    image = Image.new("RGB", (128, 64), "teal")
    canvas = inpainting.prepared(png(image), png(mask.convert(mode)), (128, 64), 0, brush)
    assert canvas.mask is not None
    assert Image.open(io.BytesIO(canvas.mask)).tobytes() == mask.tobytes()


async def test_an_opaque_mask_keeps_what_is_black_in_it(serving: Serving) -> None:
    mask = Image.new("RGBA", (128, 64), "black")
    mask.paste("white", (64, 0, 128, 64))
    engine = PlainEngine()
    body = SMALL | {
        "width": 128,
        "init_images": [base64.b64encode(png(Image.new("RGB", (128, 64), "teal"))).decode()],
        "mask": base64.b64encode(png(mask)).decode(),
        "mask_blur": 0,
        "inpaint_full_res": False,
    }
    async with serving(engine) as client:
        assert (await client.post(f"{V1}/img2img", json=body)).status_code == 200
    _, content = engine.inputs[0].values()
    shown = Image.open(io.BytesIO(content))
    assert (shown.getpixel((10, 10)), shown.getpixel((100, 10))) == (0, 255)


def png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "png")
    return buffer.getvalue()
