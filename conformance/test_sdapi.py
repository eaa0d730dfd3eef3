"""A client of A1111's API, unmodified, against the live server: webuiapi."""

import base64
import threading
from collections.abc import Callable
from typing import Any

import pytest
import requests
import webuiapi
from PIL import Image

PROMPT = "a red cat above a yellow boat on the sea"
SMALL: dict[str, Any] = {"width": 128, "height": 64, "steps": 2}


@pytest.fixture
def api(server: str) -> webuiapi.WebUIApi:
    return webuiapi.WebUIApi(baseurl=f"{server}/sdapi/v1", username="user", password="pass")


def halves() -> Image.Image:
    image = Image.new("RGB", (128, 64), "blue")
    image.paste("red", (64, 0, 128, 64))
    return image


def until(told: Callable[[], bool]) -> None:
    """Asks until it is so, for what another thread has begun."""
    assert any(told() for _ in range(5000))


class TestWebuiapi:
    @pytest.mark.cell("webuiapi", "sdapi", "text to image")
    def test_txt2img(self, api: webuiapi.WebUIApi) -> None:
        result = api.txt2img(prompt=PROMPT, negative_prompt="green", seed=7, cfg_scale=4, **SMALL)
        assert (result.image.size, result.image.format) == ((128, 64), "PNG")
        assert result.info["seed"] == 7
        assert result.parameters["prompt"] == PROMPT
        assert "Seed: 7" in result.info["infotexts"][0]

    @pytest.mark.cell("webuiapi", "sdapi", "several images")
    def test_several_pictures_are_one_seed_apart(self, api: webuiapi.WebUIApi) -> None:
        result = api.txt2img(prompt=PROMPT, seed=7, batch_size=2, n_iter=1, **SMALL)
        assert len(result.images) == 2
        assert result.info["all_seeds"] == [7, 8]

    @pytest.mark.cell("webuiapi", "sdapi", "image to image")
    def test_img2img(self, api: webuiapi.WebUIApi) -> None:
        result = api.img2img([halves()], prompt=PROMPT, seed=7, denoising_strength=0.5, **SMALL)
        assert result.image.size == (128, 64)

    @pytest.mark.cell("webuiapi", "sdapi", "inpainting")
    @pytest.mark.parametrize("only_masked", [True, False])
    def test_inpaint(self, api: webuiapi.WebUIApi, only_masked: bool) -> None:
        mask = Image.new("L", (128, 64))
        mask.paste(255, (8, 8, 40, 40))
        result = api.img2img(
            [halves()],
            mask_image=mask,
            inpaint_full_res=only_masked,
            inpaint_full_res_padding=8,
            prompt=PROMPT,
            seed=7,
            **SMALL,
        )
        picture = result.image.convert("RGB")
        assert (picture.size, picture.getpixel((120, 56))) == ((128, 64), (255, 0, 0))
        assert picture.tobytes() != halves().tobytes()

    @pytest.mark.cell("webuiapi", "sdapi", "progress", "interrupt")
    def test_progress_and_interrupt(self, api: webuiapi.WebUIApi) -> None:
        results = list[webuiapi.WebUIApiResult]()
        other = webuiapi.WebUIApi(baseurl=api.baseurl, username="user", password="pass")
        thread = threading.Thread(
            target=lambda: results.append(
                api.txt2img(prompt=PROMPT, width=128, height=128, steps=150)
            )
        )
        thread.start()
        until(lambda: other.get_progress()["current_image"] is not None)
        told = other.get_progress()
        assert other.interrupt() == {}
        thread.join()
        assert 0 < told["progress"] < 1
        assert told["state"]["sampling_steps"] == 150
        assert results[0].image.size == (128, 128)
        assert results[0].info["imagemill"]["interrupted"]
        other.util_wait_for_ready()

    @pytest.mark.cell("webuiapi", "sdapi", "options", "models")
    def test_options_and_models(self, api: webuiapi.WebUIApi) -> None:
        titles = api.util_get_model_names()
        api.util_set_model(titles[-1])
        assert api.util_get_current_model() == titles[-1]
        assert api.set_options(api.get_options()) is None
        api.set_options({"sd_model_checkpoint": "imagemill/pico"})
        assert api.util_get_current_model() == "imagemill/pico"
        assert {"Euler", "DPM++ 2M"} <= set(api.util_get_sampler_names())
        names = sorted(api.util_get_scheduler_names())
        assert names == ["automatic", "exponential", "karras", "sgm_uniform"]

    @pytest.mark.cell("webuiapi", "sdapi", "lists")
    def test_every_list(self, api: webuiapi.WebUIApi) -> None:
        for name in (
            "cmd_flags",
            "sd_vae",
            "upscalers",
            "latent_upscale_modes",
            "loras",
            "hypernetworks",
            "face_restorers",
            "realesrgan_models",
            "prompt_styles",
            "scripts",
            "embeddings",
            "memory",
        ):
            assert isinstance(getattr(api, f"get_{name}")(), list | dict)
        assert api.refresh_checkpoints() is None
        assert api.skip() is None

    @pytest.mark.cell("webuiapi", "sdapi", "png-info")
    def test_png_info(self, api: webuiapi.WebUIApi) -> None:
        painted = api.txt2img(prompt=PROMPT, seed=7, **SMALL).image
        result = api.png_info(painted)
        assert result.info.startswith(PROMPT)
        assert result.parameters["Seed"] == "7"

    @pytest.mark.cell("webuiapi", "sdapi", "errors")
    def test_an_error_is_shown(self, api: webuiapi.WebUIApi) -> None:
        with pytest.raises(RuntimeError, match="width 63 is out of range; give 64 to 2048"):
            api.txt2img(prompt=PROMPT, width=63)
        with pytest.raises(RuntimeError, match="not enlarged here"):
            api.extra_single_image(halves())


@pytest.mark.cell("requests", "sdapi", "hanging up")
def test_who_hangs_up_leaves_nothing_behind(server: str) -> None:
    headers = {"authorization": "Basic " + base64.b64encode(b"gone:gone").decode()}
    body: dict[str, Any] = {"prompt": PROMPT, "width": 512, "height": 512, "steps": 150}
    with pytest.raises(requests.Timeout):
        requests.post(f"{server}/sdapi/v1/txt2img", json=body, headers=headers, timeout=0.5)

    def idle() -> bool:
        told = requests.get(f"{server}/sdapi/v1/progress", headers=headers, timeout=60).json()
        return bool(told["state"]["job_count"] == 0)

    until(idle)
