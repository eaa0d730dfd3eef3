"""The dialect sdapi, through a whole server: every field, every list, every refusal."""

import base64
import io
import json
import re
from typing import Any

import httpx
import pytest
from PIL import Image

from imagemill.dialects.hub_models import UNSAID
from imagemill.dialects.sdapi import bodies, lists, options, samplers, vocabulary
from imagemill.dialects.sdapi.routes import refuse
from imagemill.engine.events import State
from imagemill.errors import Fault, Kind
from imagemill.http.replies import IGNORED_FIELDS
from imagemill.job import Status
from imagemill.scheduler_names import SCHEDULERS, UNHEEDED
from tests.conftest import Serving
from tests.engines import PlainEngine

pytestmark = pytest.mark.anyio

V1 = "/sdapi/v1"
SMALL: dict[str, Any] = {"prompt": "a red cat", "width": 64, "height": 64, "steps": 2}


def basic(pair: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(pair.encode()).decode()}


def opened(reply: httpx.Response) -> list[Image.Image]:
    assert reply.status_code == 200, reply.text
    return [Image.open(io.BytesIO(base64.b64decode(each))) for each in reply.json()["images"]]


def info_of(reply: httpx.Response) -> dict[str, Any]:
    info: dict[str, Any] = json.loads(reply.json()["info"])
    return info


async def test_a_prompt_alone_is_painted_as_the_model_likes_it(serving: Serving) -> None:
    engine = PlainEngine()
    async with serving(engine) as client:
        reply = await client.post(f"{V1}/txt2img", json={"prompt": "a red cat"})
    (image,) = opened(reply)
    assert (image.size, image.format) == ((512, 512), "PNG")
    generation = engine.submitted[0]
    assert (generation.steps, generation.guidance_scale, generation.scheduler) == (12, 4.0, None)
    assert list(reply.json()) == ["images", "parameters", "info"]
    assert reply.headers["x-imagemill-model"] == "pico"


async def test_every_field_reaches_the_engine(serving: Serving) -> None:
    engine = PlainEngine()
    fields = {
        "prompt": "a red cat",
        "negative_prompt": "green",
        "styles": ["ideogram/anime"],
        "seed": 2**64 - 1,
        "sampler_name": "DPM++ 2M",
        "scheduler": "Automatic",
        "batch_size": 2,
        "n_iter": 2,
        "steps": 3,
        "cfg_scale": 7,
        "width": 128,
        "height": 64,
        "override_settings": {"sd_model_checkpoint": "someone/something"},
    }
    async with serving(engine) as client:
        reply = await client.post(f"{V1}/txt2img", json=fields)
    assert [each.size for each in opened(reply)] == [(128, 64)] * 4
    (generation,) = engine.submitted
    assert (generation.prompt, generation.negative_prompt, generation.model) == (
        "a red cat",
        "green",
        "someone/something",
    )
    assert (generation.steps, generation.guidance_scale, generation.num_images) == (3, 7.0, 4)
    assert (generation.scheduler, generation.style) == (
        "DPMSolverMultistepScheduler",
        "ideogram/anime",
    )
    info = info_of(reply)
    assert info["all_seeds"] == [2**64 - 1, 0, 1, 2]
    assert info["sampler_name"] == "DPM++ 2M"
    assert info["sd_model_name"] == "someone/something"
    assert info["infotexts"][1] == (
        "a red cat\nNegative prompt: green\nSteps: 3, Sampler: DPM++ 2M, Schedule type: Automatic, "
        f"CFG scale: 7.0, Seed: 0, Size: 128x64, Model: pico, Version: {info['version']}"
    )
    assert info["infotexts"] == [each.info["parameters"] for each in opened(reply)]
    assert re.fullmatch("[0-9a-f]{10}", info["sd_model_hash"]), "clients take its first digits"
    assert reply.json()["parameters"]["batch_size"] == 2


@pytest.mark.parametrize("seed", [-1, None, "-1"])
async def test_a_seed_that_is_left_open_is_drawn_and_told(serving: Serving, seed: Any) -> None:
    engine = PlainEngine()
    async with serving(engine) as client:
        reply = await client.post(f"{V1}/txt2img", json=SMALL | {"seed": seed})
    assert info_of(reply)["seed"] == engine.submitted[0].seed


async def test_null_leaves_every_field_open_and_numbers_may_be_quoted(serving: Serving) -> None:
    empty = dict.fromkeys(bodies.Txt2imgBody.model_fields)
    async with serving(PlainEngine()) as client:
        reply = await client.post(f"{V1}/txt2img", json=empty | {"prompt": "a cat", "steps": "2"})
    assert reply.json()["parameters"]["steps"] == 2


async def test_what_changes_nothing_is_told_with_its_reason(serving: Serving) -> None:
    params = SMALL | {
        "sampler_name": "Euler a",
        "scheduler": "normal",
        "eta": 1.0,
        "clip_skip": 2,
        "prompt": "a (red:1.3) [cat] \\(not\\) {here}",
        "override_settings": {"CLIP_stop_at_last_layers": 2, "sd_vae": None},
    }
    engine = PlainEngine(ignored=("here",))
    async with serving(engine) as client:
        reply = await client.post(f"{V1}/txt2img", json=params)
    info = info_of(reply)["imagemill"]
    assert set(info["ignored"]) == {
        "sampler_name",
        "scheduler",
        "eta",
        "clip_skip",
        "prompt",
        "override_settings.CLIP_stop_at_last_layers",
    }
    assert all(info["ignored"].values())
    assert info["unknown_words"] == ["here"]
    assert engine.submitted[0].prompt == "a red cat (not) {here}"
    assert engine.submitted[0].scheduler == "EulerDiscreteScheduler"
    assert info_of(reply)["prompt"] == params["prompt"]


@pytest.mark.parametrize(
    ("params", "size"),
    [
        ({"enable_hr": True}, (128, 192)),
        ({"enable_hr": True, "hr_scale": 1.5}, (96, 144)),
        ({"enable_hr": True, "hr_resize_x": 128, "hr_resize_y": 64}, (128, 64)),
        ({"enable_hr": True, "hr_resize_x": 128}, (128, 192)),
        ({"enable_hr": True, "firstphase_width": 64, "firstphase_height": 64}, (64, 96)),
        ({"enable_hr": False, "hr_scale": 4, "hr_upscaler": "Latent", "hr_prompt": "x"}, (64, 96)),
    ],
)
async def test_hires_gives_the_size_of_its_second_pass(
    serving: Serving, params: dict[str, Any], size: tuple[int, int]
) -> None:
    async with serving(PlainEngine()) as client:
        reply = await client.post(f"{V1}/txt2img", json=SMALL | {"height": 96} | params)
    assert opened(reply)[0].size == size


async def test_pictures_may_be_left_out_and_be_kept(serving: Serving) -> None:
    async with serving(PlainEngine()) as client:
        body = SMALL | {"send_images": False, "save_images": True}
        reply = await client.post(f"{V1}/txt2img", json=body)
        (address,) = info_of(reply)["imagemill"]["files"]
        file = await client.get(address)
    assert reply.json()["images"] == []
    assert Image.open(io.BytesIO(file.content)).size == (64, 64)


async def test_files_of_a_lora_are_named_in_the_prompt(serving: Serving) -> None:
    async with serving(PlainEngine()) as client:
        params = SMALL | {"prompt": "a cat <lora:http://127.0.0.1:9/x.safetensors:0.5>"}
        unreachable = await client.post(f"{V1}/txt2img", json=params)
        left_out = await client.post(
            f"{V1}/txt2img", json=params | {"disable_extra_networks": True}
        )
    (detail,) = unreachable.json()["detail"]
    assert (unreachable.status_code, detail["loc"]) == (422, ["body", "prompt"])
    assert opened(left_out)


@pytest.mark.parametrize(
    ("params", "loc", "message"),
    [
        ({"steps": 0}, ["body", "steps"], "steps 0 is out of range; give 1 to 150"),
        ({"cfg_scale": 51}, ["body", "cfg_scale"], "out of range"),
        ({"width": 63}, ["body", "width"], "width 63 is out of range; give 64 to 2048"),
        ({"width": 4000, "enable_hr": True}, ["body", "width"], "out of range"),
        ({"enable_hr": True, "hr_scale": 1e300}, ["body", "hr_scale"], "out of range"),
        ({"enable_hr": True, "hr_resize_x": 9**99}, ["body", "hr_resize_x"], "out of range"),
        (
            {"batch_size": 3, "n_iter": 4},
            ["body", "batch_size"],
            "12 is out of range; give 1 to 10",
        ),
        ({"n_iter": 0}, ["body", "n_iter"], "less than 1"),
        ({"seed": -2}, ["body", "seed"], "seed -2 is out of range"),
        ({"steps": "many"}, ["body", "steps"], "unable to parse string as an integer"),
        ({"sampler": "Euler"}, ["body", "sampler"], "near it are sampler_name"),
        ({"script_name": "X/Y plot"}, ["body", "script_name"], "Script 'X/Y plot' not found"),
        (
            {"alwayson_scripts": {"ControlNet": {"args": []}}},
            ["body", "alwayson_scripts"],
            "always on script ControlNet not found",
        ),
        ({"styles": ["none such"]}, ["body", "styles"], "no style 'none such'"),
        ({"styles": ["ideogram/anime", "ideogram/design"]}, ["body", "styles"], "has one"),
        ({"restore_faces": True}, ["body", "restore_faces"], "there is no face restorer"),
        ({"tiling": True}, ["body", "tiling"], "not painted"),
        ({"s_churn": 0.4}, ["body", "s_churn"], "give 0"),
        ({"enable_hr": True, "hr_prompt": "a dog"}, ["body", "hr_prompt"], "one prompt"),
        ({"prompt": "<lora:nice:1> cat"}, ["body", "prompt"], "there is no LoRA 'nice' here"),
        ({"prompt": "<lora:nice:1:2> cat"}, ["body", "prompt"], "several weights"),
        ({"prompt": "<hypernet:nice:1> cat"}, ["body", "prompt"], "no hypernetworks"),
        ({"prompt": "<lora:http://a/b:1>" * 9}, ["body", "prompt"], "at most 8"),
        (
            {"override_settings": {"nonsense": 1}},
            ["body", "override_settings", "nonsense"],
            "unknown option 'nonsense'",
        ),
        (
            {"override_settings": {"samples_format": "gif"}},
            ["body", "override_settings", "samples_format"],
            "one of png, jpg",
        ),
    ],
)
async def test_wrong_input_is_told_in_the_form_of_fastapi(
    serving: Serving, params: dict[str, Any], loc: list[str], message: str
) -> None:
    engine = PlainEngine()
    async with serving(engine, strict=True) as client:
        reply = await client.post(f"{V1}/txt2img", json=SMALL | params)
    assert reply.status_code == 422, reply.text
    (detail,) = reply.json()["detail"]
    assert detail["loc"] == loc
    assert message in detail["msg"]
    assert engine.submitted == []


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b'{"eta": 1e999}', b'{"eta": NaN}'])
async def test_a_body_that_is_none_is_refused(serving: Serving, content: bytes) -> None:
    async with serving(PlainEngine()) as client:
        for path in ("txt2img", "img2img", "options", "png-info"):
            reply = await client.post(f"{V1}/{path}", content=content)
            assert reply.status_code == 422, (path, reply.text)


async def test_half_of_a_surrogate_pair_breaks_nothing(serving: Serving) -> None:
    async with serving(PlainEngine()) as client:
        for params in ({"sampler_name": "\ud800"}, {"\ud800": 1}, {"eta": "\ud800"}):
            reply = await client.post(f"{V1}/txt2img", content=json.dumps(SMALL | params))
            assert reply.status_code in (200, 404, 422)


@pytest.mark.parametrize(
    ("path", "params", "message"),
    [
        ("txt2img", {"sampler_name": "DPM fast"}, "Sampler not found"),
        ("txt2img", {"override_settings": {"sd_model_checkpoint": "a//c"}}, "Model not found"),
        ("img2img", {}, "Init image not found"),
    ],
)
async def test_what_is_missing_is_told_in_the_words_of_a1111(
    serving: Serving, path: str, params: dict[str, Any], message: str
) -> None:
    async with serving(PlainEngine()) as client:
        reply = await client.post(f"{V1}/{path}", json=SMALL | params)
    assert reply.status_code == 404
    body = reply.json()
    assert (body["error"], body["detail"], body["body"]) == ("HTTPException", message, "")
    assert len(body["errors"]) > 20


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": ""},
        {"authorization": "Basic "},  # as SillyTavern and Open WebUI without a password
        basic("user:password"),
    ],
)
async def test_any_credential_of_the_right_form_is_taken(
    serving: Serving, headers: dict[str, str]
) -> None:
    async with serving(PlainEngine()) as client:
        reply = await client.get(f"{V1}/options", headers=headers)
    assert reply.status_code == 200


@pytest.mark.parametrize("value", ["Bearer abc", "Basic !", "Basic dW5kZWZpbmVk", "abc", "Basic é"])
async def test_another_form_is_refused(serving: Serving, value: str) -> None:
    async with serving(PlainEngine()) as client:
        headers = {b"authorization": value.encode()}
        for verb, path in (("GET", "options"), ("POST", "txt2img"), ("GET", "sd-models")):
            body = SMALL if verb == "POST" else None
            reply = await client.request(verb, f"{V1}/{path}", headers=headers, json=body)
            assert reply.status_code == 401
            assert reply.headers["www-authenticate"] == "Basic"
            assert reply.json()["detail"] == "Invalid authentication credentials"
            assert "user:password" in reply.json()["errors"]


async def test_nothing_of_a_password_in_the_body_comes_back(serving: Serving) -> None:
    async with serving(PlainEngine()) as client:
        params = SMALL | {"url": "http://a", "auth": "user:secret"}
        reply = await client.post(f"{V1}/txt2img", json=params)
    assert reply.status_code == 200
    assert "secret" not in reply.text


async def test_a_model_that_is_still_loading_is_waited_for(serving: Serving) -> None:
    engine = PlainEngine(State.STARTING)

    async def become_ready(_: httpx.Request) -> None:
        engine.state = State.READY

    async with serving(engine) as client:
        client.event_hooks = {"request": [become_ready]}
        assert opened(await client.post(f"{V1}/txt2img", json=SMALL))


async def test_an_engine_that_is_dead_is_told_as_a1111_tells_it(serving: Serving) -> None:
    async with serving(PlainEngine(State.DEAD)) as client:
        reply = await client.post(f"{V1}/txt2img", json=SMALL)
    assert reply.status_code == 500
    assert "the engine has stopped" in reply.json()["detail"]


@pytest.mark.parametrize("name", lists.LISTS)
async def test_every_list_is_there(serving: Serving, name: str) -> None:
    async with serving(PlainEngine()) as client:
        reply = await client.get(f"{V1}/{name}")
    assert reply.status_code == 200
    assert isinstance(reply.json(), list | dict)


async def test_models_are_told_by_title_and_name(serving: Serving) -> None:
    async with serving(PlainEngine(), models={"my/model": "folder"}) as client:
        rows = (await client.get(f"{V1}/sd-models")).json()
    assert rows[0]["title"] == "my/model"
    assert "imagemill/pico" in [each["model_name"] for each in rows]
    assert {tuple(each) for each in rows} == {
        ("title", "model_name", "hash", "sha256", "filename", "config")
    }


async def test_without_stand_ins_no_other_models_are_told(serving: Serving) -> None:
    async with serving(PlainEngine(), models={"my/model": "folder"}, stand_ins=False) as client:
        rows = (await client.get(f"{V1}/sd-models")).json()
    assert {each["title"] for each in rows} == {
        "my/model",
        "imagemill/pico",
        "imagemill/pico-fast",
    }


async def test_every_sampler_that_is_told_is_taken(serving: Serving) -> None:
    engine = PlainEngine()
    async with serving(engine) as client:
        rows = (await client.get(f"{V1}/samplers")).json()
        for each in rows:
            for name in (each["name"], *each["aliases"]):
                opened(await client.post(f"{V1}/txt2img", json=SMALL | {"sampler_index": name}))
    used = {generation.scheduler for generation in engine.submitted}
    assert used <= {None, *SCHEDULERS}
    assert len(used) == sum(not each.noise for each in samplers.SAMPLERS)


@pytest.mark.parametrize(
    ("params", "scheduler", "spacing", "schedule"),
    [
        ({"sampler_name": "Euler a"}, "EulerAncestralDiscreteScheduler", None, "Automatic"),
        (
            {"sampler_name": "DPM++ 2M Karras"},
            "DPMSolverMultistepScheduler",
            "karras",
            "Karras",
        ),
        (
            {"sampler_name": "DPM++ 2M SDE", "scheduler": "Exponential"},
            "DPMSolverMultistepScheduler+sde",
            "exponential",
            "Exponential",
        ),
        ({"sampler_name": "DDIM", "scheduler": "normal"}, "DDIMScheduler", None, "Automatic"),
        ({"scheduler": "SGM Uniform"}, None, "sgm_uniform", "SGM Uniform"),
        (
            {"sampler_name": "Euler SGMUniform"},
            "EulerDiscreteScheduler",
            "sgm_uniform",
            "SGM Uniform",
        ),
        (
            {"sampler_name": "DPM++ 2M Karras", "scheduler": "simple"},
            "DPMSolverMultistepScheduler",
            None,
            "Automatic",
        ),
    ],
)
async def test_samplers_and_schedules_are_themselves_for_other_weights(
    serving: Serving,
    params: dict[str, Any],
    scheduler: str | None,
    spacing: str | None,
    schedule: str,
) -> None:
    """`Euler a` was once painted with Euler, whatever the weights."""
    engine = PlainEngine()
    async with serving(engine, models={"my/model": "folder"}, stand_ins=False) as client:
        body = SMALL | params | {"override_settings": {"sd_model_checkpoint": "my/model"}}
        reply = await client.post(f"{V1}/txt2img", json=body)
    assert (engine.submitted[0].scheduler, engine.submitted[0].spacing) == (scheduler, spacing)
    assert f"Schedule type: {schedule}" in reply.json()["info"]


async def test_a_schedule_that_means_nothing_to_the_model_is_painted_and_told(
    serving: Serving,
) -> None:
    """Nearly every saved setting of A1111's has `DPM++ 2M Karras`, whatever the model."""
    remark = UNHEEDED.format("karras")
    async with serving(PlainEngine(ignored=(remark,)), models={"my/model": "folder"}) as client:
        body = SMALL | {"sampler_name": "DPM++ 2M Karras"}
        body |= {"override_settings": {"sd_model_checkpoint": "my/model"}}
        info = info_of(await client.post(f"{V1}/txt2img", json=body))
    assert info["imagemill"]["unknown_words"] == [remark]
    assert info["extra_generation_params"] == {"Schedule type": "Automatic"}
    assert "Schedule type: Automatic" in info["infotexts"][0]


@pytest.mark.parametrize(
    ("params", "why"),
    [
        ({"sampler_name": "DPM++ 2M Karras"}, "as pico is of flow matching"),
        ({"sampler_name": "DPM++ SDE Karras"}, "as pico is of flow matching"),
        ({"sampler_name": "DPM2 a Karras"}, "as pico is of flow matching"),
        ({"scheduler": "Exponential"}, "as pico is of flow matching"),
        ({"scheduler": "beta"}, "there is no such schedule here"),
        ({"scheduler": "Align Your Steps"}, "there is no such schedule here"),
        ({"scheduler": "simple"}, "which is even too"),
    ],
)
async def test_a_schedule_that_pico_does_not_have_is_painted_with_its_own(
    serving: Serving, params: dict[str, Any], why: str
) -> None:
    engine = PlainEngine()
    async with serving(engine) as client:
        info = info_of(await client.post(f"{V1}/txt2img", json=SMALL | params))
    assert why in info["imagemill"]["ignored"]["scheduler"]
    assert engine.submitted[0].spacing is None


@pytest.mark.parametrize("value", ["False", "false", "0", " off ", "None", 0, False, None, ""])
async def test_what_asks_for_nothing_is_off_however_it_is_written(
    serving: Serving, value: Any
) -> None:
    names = ("restore_faces", "tiling", "subseed_strength", "seed_resize_from_h", "s_churn")
    off = dict.fromkeys(names, value) | {"refiner_checkpoint": "None", "s_min_uncond": "0.0"}
    async with serving(PlainEngine()) as client:
        opened(await client.post(f"{V1}/txt2img", json=SMALL | off))
        on = await client.post(f"{V1}/txt2img", json=SMALL | {"restore_faces": "True"})
    assert "there is no face restorer" in on.text


@pytest.mark.parametrize("prompt", ["", "  ", None])
async def test_without_a_prompt_something_is_painted(serving: Serving, prompt: str | None) -> None:
    engine = PlainEngine()
    async with serving(engine) as client:
        reply = await client.post(f"{V1}/txt2img", json=SMALL | {"prompt": prompt})
    assert engine.submitted[0].prompt == UNSAID
    assert info_of(reply)["prompt"] == (prompt or "")


async def test_the_whole_options_object_is_taken_back_with_another_checkpoint(
    serving: Serving,
) -> None:
    """Open WebUI sets the model so, with all that other extensions have put there."""
    async with serving(PlainEngine()) as client:
        options = (await client.get(f"{V1}/options")).json()
        strange = options | {"sd_model_checkpoint": "someone/something", "lora_functional": False}
        reply = await client.post(f"{V1}/options", json=strange)
        assert (reply.status_code, reply.json()) == (200, None)
        assert reply.headers[IGNORED_FIELDS] == "lora_functional"
        after = (await client.get(f"{V1}/options")).json()
        body = SMALL | {"override_settings": {"lora_functional": True}}
        painted = await client.post(f"{V1}/txt2img", json=body)
    assert after == options | {"sd_model_checkpoint": "someone/something"}
    assert painted.headers[IGNORED_FIELDS] == "override_settings.lora_functional"


@pytest.mark.parametrize(("name", "answer"), lists.DONE.items())
async def test_what_there_is_nothing_to_do_for_is_done(
    serving: Serving, name: str, answer: Any
) -> None:
    async with serving(PlainEngine()) as client:
        assert (await client.post(f"{V1}/{name}")).json() == answer


@pytest.mark.parametrize("name", lists.REFUSED)
async def test_what_is_not_done_here_is_refused_with_a_way_out(serving: Serving, name: str) -> None:
    async with serving(PlainEngine()) as client:
        reply = await client.post(f"{V1}/{name}", json={"image": "x"})
    assert reply.status_code == 422
    assert ";" in reply.json()["detail"][0]["msg"]


async def test_png_info_reads_what_a_picture_says_of_itself(serving: Serving) -> None:
    async with serving(PlainEngine()) as client:
        painted = await client.post(f"{V1}/txt2img", json=SMALL)
        own = await client.post(f"{V1}/png-info", json={"image": painted.json()["images"][0]})
        file = io.BytesIO()
        Image.new("RGB", (64, 64)).save(file, "png")
        plain = base64.b64encode(file.getvalue()).decode()
        bare = await client.post(f"{V1}/png-info", json={"image": plain})
        wrong = await client.post(f"{V1}/png-info", json={"image": "aGVsbG8="})
        missing = await client.post(f"{V1}/png-info", json={})
    assert [own.json()["info"]] == info_of(painted)["infotexts"]
    assert own.json()["parameters"]["Sampler"] == "Euler", "though the caller named none"
    assert bare.json() == {"info": "", "items": {}, "parameters": {}}
    assert (wrong.status_code, wrong.json()["detail"][0]["loc"]) == (422, ["body", "image"])
    assert missing.json()["detail"][0]["type"] == "missing"


def test_every_kind_of_fault_has_a_status_and_every_state_a_text() -> None:
    assert set(vocabulary.STATUSES) == set(Kind)
    assert set(vocabulary.TEXTINFO) == set(Status)
    for kind in Kind:
        assert refuse(Fault(kind, "told", retry_after=1)).status_code == vocabulary.STATUSES[kind]


@pytest.mark.parametrize("base", [bodies.Txt2img, bodies.Img2img])
def test_no_field_is_in_two_tables(base: type[bodies.SdapiBody]) -> None:
    honoured, idle, lacking = set(base.model_fields), bodies.IDLE_OF[base], bodies.LACKING_OF[base]
    assert not honoured & set(idle)
    assert not honoured & set(lacking)
    assert not set(idle) & set(lacking)


def test_no_option_is_in_two_tables() -> None:
    assert not set(options.HONOURED) & set(options.KEPT)
