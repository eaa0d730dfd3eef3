"""The requests that applications send to A1111's API, sent again to the live server."""

import base64
import io
import json
from typing import Any

import pytest
import requests
from PIL import Image

from conformance.test_sdapi import PROMPT, SMALL, halves


@pytest.mark.cell("requests", "sdapi", "as Open WebUI asks")
def test_the_calls_of_open_webui(server: str) -> None:
    """Its engine automatic1111: verify the URL, list models, choose one, paint; no password."""
    headers = {"authorization": "Basic " + base64.b64encode(b"").decode()}
    options = requests.get(f"{server}/sdapi/v1/options", headers=headers, timeout=60).json()
    models = requests.get(f"{server}/sdapi/v1/sd-models", headers=headers, timeout=60).json()
    listed = [{"id": model["title"], "name": model["model_name"]} for model in models]
    options["sd_model_checkpoint"] = listed[0]["id"]
    requests.post(
        f"{server}/sdapi/v1/options", json=options, headers=headers, timeout=60
    ).raise_for_status()
    reply = requests.post(
        f"{server}/sdapi/v1/txt2img",
        json={"prompt": PROMPT, "batch_size": 1, "negative_prompt": "green", **SMALL},
        headers=headers,
        timeout=60,
    ).json()
    assert json.loads(reply["info"])["seed"] >= 0
    assert [_size(each) for each in reply["images"]] == [(128, 64)]


@pytest.mark.cell("requests", "sdapi", "as SillyTavern asks")
def test_the_calls_of_sillytavern(server: str) -> None:
    """Its extension for pictures, by its server: the whole of what the page sends goes on."""
    headers = {"authorization": "Basic " + base64.b64encode(b"").decode()}

    def get(name: str) -> Any:
        reply = requests.get(f"{server}/sdapi/v1/{name}", headers=headers, timeout=60)
        reply.raise_for_status()
        return reply.json()

    assert get("upscalers")[0]["name"] == "None"
    assert isinstance([each["name"] for each in get("latent-upscale-modes")], list)
    assert [each["model_name"] for each in get("sd-vae")] == []
    assert isinstance(get("sd-modules"), list)
    names = sorted(each["name"] for each in get("schedulers"))
    assert names == ["automatic", "exponential", "karras", "sgm_uniform"]
    assert get("samplers")[0]["name"]
    title = get("sd-models")[0]["title"]
    chosen = requests.post(
        f"{server}/sdapi/v1/options",
        json={"sd_model_checkpoint": title},
        headers=headers,
        timeout=60,
    )
    assert chosen.ok
    progress = get("progress")
    assert (progress["progress"], progress["state"]["job_count"]) == (0.0, 0)
    assert "forge_preset" not in get("options")
    body: dict[str, Any] = {
        "url": server,
        "auth": "",
        "prompt": PROMPT,
        "negative_prompt": "green",
        "sampler_name": "DDIM",
        "scheduler": "normal",
        "cfg_scale": 7,
        "restore_faces": False,
        "enable_hr": False,
        "hr_upscaler": "Latent",
        "hr_scale": 2.0,
        "denoising_strength": 0.7,
        "hr_second_pass_steps": 0,
        "override_settings": {"CLIP_stop_at_last_layers": 1},
        "override_settings_restore_afterwards": True,
        "clip_skip": 1,
        "save_images": True,
        "send_images": True,
        "do_not_save_grid": False,
        "do_not_save_samples": False,
        **SMALL,
    }
    reply = requests.post(
        f"{server}/sdapi/v1/txt2img", json=body, headers=headers, timeout=60
    ).json()
    assert _size(reply["images"][0]) == (128, 64)
    assert requests.post(f"{server}/sdapi/v1/interrupt", headers=headers, timeout=60).json() == {}


@pytest.mark.cell("requests", "sdapi", "as Krita's plug-in asks")
def test_the_calls_of_kritas_plugin(server: str) -> None:
    """Cyanic SD: whether the server lives, its lists, then inpainting with what its page holds."""
    assert requests.get(f"{server}/queue/status", timeout=60).ok
    for name in ("sd-models", "sd-vae", "samplers", "upscalers", "face-restorers", "scripts"):
        assert requests.get(f"{server}/sdapi/v1/{name}", timeout=60).ok
    mask = Image.new("L", (128, 64))
    mask.paste(255, (8, 8, 40, 40))
    body: dict[str, Any] = {
        "prompt": PROMPT,
        "negative_prompt": "",
        "init_images": [_base64(halves())],
        "mask": _base64(mask),
        "mask_blur": 4,
        "inpainting_mask_invert": 0,
        "inpainting_fill": 1,
        "inpaint_full_res": 0,
        "inpaint_full_res_padding": 32,
        "denoising_strength": 0.8,
        "seed": -1,
        "n_iter": 1,
        "batch_size": 1,
        "sampler_name": "Euler",
        "refiner_switch_at": 0.8,
        "override_settings": {
            "sd_model_checkpoint": "imagemill/pico",
            "sd_vae": "",
            "img2img_color_correction": True,
        },
        "override_settings_restore_afterwards": False,
        "alwayson_scripts": {},
        **SMALL,
    }
    reply = requests.post(f"{server}/sdapi/v1/img2img", json=body, timeout=60).json()
    told = json.loads(reply["info"])
    assert (told["width"], told["height"]) == (128, 64)
    assert _size(reply["images"][0]) == (128, 64)


@pytest.mark.cell("requests", "sdapi", "as Photoshop's plug-in asks")
def test_the_calls_of_photoshops_plugin(server: str) -> None:
    """Auto-Photoshop: numbers in quotes, and notes of its own among the fields."""
    body: dict[str, Any] = {
        "selection_info": {"left": 0, "top": 0},
        "prompt": PROMPT,
        "negative_prompt": "",
        "original_prompt": PROMPT,
        "original_negative_prompt": "",
        "sampler_index": "Euler a",
        "denoising_strength": 0.7,
        "batch_size": 1,
        "cfg_scale": 7,
        "seed": "-1",
        "mask_blur": 4,
        "clip_skip": 1,
        "use_sharp_mask": False,
        "use_prompt_shortcut": False,
        "prompt_shortcut_ui_dict": {},
        "uniqueDocumentId": "1234",
        "mode": "img2img",
        "restore_faces": False,
        "tiling": False,
        "init_images": [_base64(halves())],
        "alwayson_scripts": {},
        **SMALL,
    }
    reply = requests.post(f"{server}/sdapi/v1/img2img", json=body, timeout=60).json()
    given = {"image": "data:image/png;base64," + reply["images"][0]}
    told = requests.post(f"{server}/sdapi/v1/png-info", json=given, timeout=60).json()
    assert "Steps: 2" in told["info"]
    del body["init_images"]
    body["mode"] = "txt2img"
    assert _size(
        requests.post(f"{server}/sdapi/v1/txt2img", json=body, timeout=60).json()["images"][0]
    ) == (128, 64)


def _base64(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "png")
    return base64.b64encode(buffer.getvalue()).decode()


def _size(picture: str) -> tuple[int, int]:
    return Image.open(io.BytesIO(base64.b64decode(picture))).size
