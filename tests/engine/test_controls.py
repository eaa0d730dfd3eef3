"""ControlNets: they steer what is painted, within their part of the steps, and beside pictures that
have none they share forwards and change no byte.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image

from imagemill.conditions import Control
from imagemill.engine.footprints import footprint
from imagemill.engine.stand_ins import adapt, prepare
from imagemill.errors import Fault, Kind
from imagemill.generation import Generation
from imagemill.model_spec import controlled
from imagemill.pipelines import noise
from imagemill.pipelines.controlling import OTHER
from imagemill.pipelines.controls import denoiser_of, image_argument
from imagemill.pipelines.loading import Loaded
from tests.checkpoints import Checkpoint, controlnet, lora
from tests.checkpoints.controlnets import CONTROLNETS, WEIGHTS, in_ldm
from tests.engine.test_engine_adapters import weights
from tests.studio import ASKED, Studio, painted, png
from tests.studio import inference as inference

SIDE = 64  # px
SERVED = ("sd15", "sdxl", "sdxl-small", "sd3", "sd35", "sd35-large", "flux", "flux-xlabs")
PLAIN = replace(ASKED, width=SIDE, height=SIDE, steps=2, guidance_scale=3.0)
Steered = Callable[[str], Loaded]  # a family's model with a ControlNet of a kind


def _edges() -> bytes:
    pixels = np.zeros((SIDE, SIDE, 3), np.uint8)
    pixels[16:48, 16:18] = pixels[16:18, 16:48] = 255
    return png(pixels)


INPUTS = {"control": _edges(), "image": png(np.full((SIDE, SIDE, 3), 90, np.uint8))}
INPUTS["mask"] = png(np.kron([[0, 255]], np.ones((SIDE, SIDE // 2))).astype(np.uint8))


def steering(**values: Any) -> Generation:
    """The plain generation with a control."""
    own = {name: values.pop(name) for name in ("scale", "start", "end") if name in values}
    return replace(PLAIN, control=Control("control", "net", **own), **values)


@pytest.fixture(scope="module")
def net(checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A ControlNet's folder, made once."""
    root = tmp_path_factory.mktemp("controlnets")
    return cache(lambda kind: controlnet(kind, checkpoint(CONTROLNETS[kind][0]), root / kind))


@pytest.fixture(scope="module")
def steered(checkpoint: Checkpoint, net: Callable[[str], Path]) -> Steered:
    return cache(
        lambda kind: prepare(controlled(str(checkpoint(CONTROLNETS[kind][0])), str(net(kind))))
    )


def files(loaded: Loaded, generation: Generation) -> tuple[bytes, ...]:
    return studio(loaded, it=generation).files("it")


def studio(loaded: Loaded, rounds: int = 1, **generations: Generation) -> Studio:
    own = Studio(inputs=INPUTS)
    own.runner.exact.enough = 1  # pictures this small prove little
    for _ in range(rounds):
        own.start(loaded, **generations)
        own.run()
    return own


@contextmanager
def counted(module: torch.nn.Module) -> Iterator[list[int]]:
    """Rows of each forward."""
    rows: list[int] = []

    def count(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any], __: Any) -> None:
        leaves = (x for x in (*args, *kwargs.values()) if torch.is_tensor(x) and x.dim() > 1)
        rows.append(next(leaves).shape[0])

    handle = module.register_forward_hook(count, with_kwargs=True)
    yield rows
    handle.remove()


def network(loaded: Loaded) -> Any:
    return loaded.controls["paint"].controlnet.real


@pytest.mark.parametrize("kind", SERVED)
def test_a_control_steers_as_stock_diffusers_does(
    kind: str, checkpoint: Checkpoint, net: Callable[[str], Path], steered: Steered
) -> None:
    loaded, asked = steered(kind), steering(scale=0.8)
    picture = painted(loaded, asked, INPUTS).pictures[0].astype(float)
    wanted = stock(loaded, checkpoint(CONTROLNETS[kind][0]), net(kind), asked)
    assert np.abs(picture - wanted).mean() < 2, "of 255: the engine pads a lone row to two"
    plain = painted(loaded, PLAIN, INPUTS).pictures[0].astype(float)
    assert np.abs(picture - plain).mean() > 2


def stock(loaded: Loaded, base: Path, net: Path, asked: Generation) -> Any:
    """What the class paints when it is called as its documentation says."""
    steered = loaded.controls["paint"]
    dtype = denoiser_of(loaded.pipe).dtype
    own = type(network(loaded)).from_pretrained(net, dtype=dtype)
    pipe = type(steered).from_pretrained(base, controlnet=own, dtype=dtype)
    pipe.set_progress_bar_config(disable=True)
    if pipe.vae.config.get("force_upcast"):
        pipe.vae.register_to_config(force_upcast=False)
    assert asked.control is not None
    # Of what is drawn from the process's generator.
    torch.default_generator.set_state(noise.generator(asked.seed ^ OTHER).get_state())
    image = pipe(
        **{image_argument(pipe, "paint"): Image.fromarray(_pixels(INPUTS["control"]))},
        prompt=asked.prompt, width=SIDE, height=SIDE, num_inference_steps=asked.steps,
        guidance_scale=asked.guidance_scale, output_type="np",
        generator=torch.Generator().manual_seed(asked.seed),
        controlnet_conditioning_scale=asked.control.scale,
    ).images[0]  # fmt: skip
    return image * 255


def _pixels(content: bytes) -> Any:
    return np.asarray(Image.open(BytesIO(content)).convert("RGB"))


@pytest.mark.parametrize("kind", ["sd15", "sd3", "flux"])
def test_steered_and_plain_pictures_share_forwards_and_keep_their_bytes(
    kind: str, steered: Steered
) -> None:
    loaded = steered(kind)
    company = {
        "one": steering(seed=2, scale=0.5),
        "other": steering(seed=3, scale=1.5, end=0.5),
        "plain": PLAIN,
        "second": replace(PLAIN, seed=4),
    }
    with counted(denoiser_of(loaded.pipe).real) as apart:
        before = {name: files(loaded, each) for name, each in company.items()}
    proving = studio(loaded, 2, **company)
    assert {name: proving.files(name) for name in company} == before
    proved = Studio(inputs=INPUTS)
    proved.runner.exact = proving.runner.exact
    with counted(denoiser_of(loaded.pipe).real) as denoised, counted(network(loaded)) as steps:
        proved.start(loaded, **company)
        proved.run()
    assert {name: proved.files(name) for name in company} == before
    rows = 1 if kind == "flux" else 2  # of a picture, as guidance is a number or a pair
    assert max(denoised) == 4 * rows, "two plain ones and both others"
    assert len(denoised) < len(apart)
    assert steps[0] >= 2 * rows, "at two scales"


def test_outside_of_its_part_of_the_steps_a_controlnet_is_not_computed(steered: Steered) -> None:
    loaded = steered("sdxl")  # whose scheduler asks once a step
    for start, end, calls in ((0.0, 1.0, 4), (0.0, 0.5, 2), (0.5, 1.0, 2), (0.25, 0.5, 1)):
        with counted(network(loaded)) as steps:
            files(loaded, steering(steps=4, start=start, end=end))
        assert len(steps) == calls, (start, end)


@pytest.mark.parametrize("kind", ["sd15", "sd3", "flux"])
def test_without_scale_or_steps_the_picture_is_the_plain_one(kind: str, steered: Steered) -> None:
    loaded = steered(kind)
    with counted(network(loaded)) as steps:
        pictures = {
            files(loaded, each)
            for each in (PLAIN, steering(scale=0.0), steering(start=0.4, end=0.4))
        }
    assert (len(pictures), steps) == (1, [])


def test_what_comes_after_the_control_follows_the_plain_schedule(steered: Steered) -> None:
    """The picture lies between the plain and the wholly steered one."""
    loaded = steered("sd15")
    plain, early, whole = (
        painted(loaded, each, INPUTS).pictures[0].astype(float)
        for each in (replace(PLAIN, steps=4), steering(steps=4, end=0.25), steering(steps=4))
    )
    assert 0 < np.abs(early - plain).mean() < np.abs(whole - plain).mean()


def test_more_scale_leads_further_from_the_plain_picture(steered: Steered) -> None:
    loaded = steered("sdxl")
    plain, *others = (
        painted(loaded, each, INPUTS).pictures[0].astype(float)
        for each in (PLAIN, *(steering(scale=scale) for scale in (0.25, 0.5, 1.0)))
    )
    away = [np.abs(each - plain).mean() for each in others]
    assert away == sorted(away)
    assert away[0] > 0


@pytest.mark.parametrize("kind", ["sd15", "sdxl", "flux"])
def test_a_control_steers_over_an_image_and_within_a_mask(kind: str, steered: Steered) -> None:
    loaded = steered(kind)
    over: dict[str, Any] = {"image": "image", "strength": 1.0}
    for more in (over, over | {"mask": "mask"}):
        apart = painted(loaded, steering(**more), INPUTS).pictures[0]
        assert (apart != painted(loaded, replace(PLAIN, **more), INPUTS).pictures[0]).any()
        if "mask" in more:
            assert (apart[:, : SIDE // 2] == 90).all()


def test_guidance_in_some_steps_alone_saves_the_controlnets_rows_as_well(steered: Steered) -> None:
    loaded = steered("sd15")
    with counted(network(loaded)) as steps:
        files(loaded, steering(num_images=2, guidance_range=(0.0, 0.5)))
        files(loaded, steering(num_images=2, guidance_range=(0.0, 0.5)))
    assert 4 in steps
    assert 2 in steps


def test_an_image_that_is_asked_for_again_draws_the_same_numbers(steered: Steered) -> None:
    """Stable Diffusion 3 encodes the control with a sample of the process's generator."""
    loaded = steered("sd3")
    first = files(loaded, steering())
    torch.manual_seed(7)
    assert files(loaded, steering()) == first


def test_a_lora_goes_with_a_control(steered: Steered) -> None:
    loaded = steered("sdxl")
    adapted = adapt(loaded, weights((lora(loaded.pipe, parts=("unet",)), 1.0)))
    assert adapted.controls["paint"].unet.added is not None
    assert files(adapted, steering()) not in (files(loaded, steering()), files(adapted, PLAIN))


def test_models_with_and_without_a_control_are_the_same_modules(
    checkpoint: Checkpoint, net: Callable[[str], Path], steered: Steered
) -> None:
    loaded, base = steered("sd15"), str(checkpoint("sd15"))
    plain = prepare(base, [loaded])
    assert (plain.source, plain.controls) == (base, {})
    assert plain.pipe.unet is loaded.pipe.unet
    again = prepare(controlled(base, str(net("sd15") / WEIGHTS)), [plain])
    assert again.pipe.unet is loaded.pipe.unet
    assert files(again, steering()) == files(loaded, steering()), "by the tensors alone"


@pytest.mark.parametrize("prefix", ["control_model.", ""])
def test_the_authors_layout_of_one_file_is_read(
    prefix: str,
    checkpoint: Checkpoint,
    net: Callable[[str], Path],
    steered: Steered,
    tmp_path: Path,
) -> None:
    path = in_ldm(net("sd15"), tmp_path / "canny.safetensors", prefix)
    loaded = prepare(controlled(str(checkpoint("sd15")), str(path)), [steered("sd15")])
    assert files(loaded, steering()) == files(steered("sd15"), steering())


@pytest.mark.parametrize("kind", SERVED)
def test_a_file_says_by_its_tensors_what_its_config_says(
    kind: str, checkpoint: Checkpoint, net: Callable[[str], Path], steered: Steered
) -> None:
    base, folder = str(checkpoint(CONTROLNETS[kind][0])), net(kind)
    by_file = prepare(controlled(base, str(folder / WEIGHTS)), [steered(kind)])
    written, read = (_config(each) for each in (steered(kind), by_file))
    assert read == {name: written[name] for name in read} | SAID.get(kind, {})


# In other words, or of blocks that are not there.
SAID: dict[str, dict[str, Any]] = {
    "sd15": {"transformer_layers_per_block": [1, 1, 1, 1]},
    "sdxl-small": {"transformer_layers_per_block": [1, 1, 1]},
    "sd35-large": {"pos_embed_type": "sincos", "dual_attention_layers": []},
}


def _config(loaded: Loaded) -> dict[str, Any]:
    config = network(loaded).config
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in config.items()
        if not name.startswith("_")
    }


@pytest.mark.parametrize(
    ("base", "kind", "named"),
    [
        ("sdxl", "sd15", ("Stable Diffusion", "SDXL")),
        ("sd15", "sdxl", ("SDXL", "Stable Diffusion")),
        ("sd3", "flux", ("FLUX.1", "Stable Diffusion 3")),
        ("flux-dev", "sd3", ("Stable Diffusion 3", "FLUX.1")),
    ],
)
def test_a_controlnet_of_another_family_is_refused_and_both_are_named(
    base: str, kind: str, named: tuple[str, str], checkpoint: Checkpoint, net: Callable[[str], Path]
) -> None:
    for place in (net(kind), net(kind) / WEIGHTS):
        fault = refused(str(checkpoint(base)), place)
        assert (fault.kind, fault.field) == (Kind.UNSUPPORTED, "control.path")
        its, own = named
        assert f"was made for {its}, and this model is {own};" in fault.message


def refused(base: str, place: Path) -> Fault:
    with pytest.raises(Fault) as raised:
        prepare(controlled(base, str(place)))
    assert str(place) not in raised.value.message
    return raised.value


def test_one_of_several_modes_is_refused(
    checkpoint: Checkpoint, net: Callable[[str], Path]
) -> None:
    for place in (net("flux-union"), net("flux-union") / WEIGHTS):
        assert "several modes" in refused(str(checkpoint("flux-dev")), place).message


def test_one_of_another_size_is_refused_with_both_sizes(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    base = checkpoint("sd15")
    unet = diffusers.UNet2DConditionModel.load_config(base / "unet")
    wide = diffusers.UNet2DConditionModel.from_config(unet | {"cross_attention_dim": 96})
    diffusers.ControlNetModel.from_unet(wide).save_pretrained(tmp_path)
    for place in (tmp_path, tmp_path / WEIGHTS):
        fault = refused(str(base), place)
        assert fault.kind is Kind.UNSUPPORTED
        assert "96" in fault.message
        assert "64" in fault.message


def test_what_is_no_controlnet_is_told_what_it_seems_to_be(
    checkpoint: Checkpoint, net: Callable[[str], Path], tmp_path: Path
) -> None:
    base = checkpoint("sd15")
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes((net("sd15") / WEIGHTS).read_bytes()[:-1000])
    page = tmp_path / "page.safetensors"
    page.write_text("<!doctype html>")
    for path, words in {
        base / "unet" / WEIGHTS: "seems to be a denoiser in diffusers' layout",
        cut: "its download was cut off",
        page: "is a web page",
    }.items():
        fault = refused(str(base), path)
        assert (fault.kind, fault.field) == (Kind.UNREADABLE, "control.path")
        assert words in fault.message


@pytest.mark.parametrize(
    ("family", "more", "words"),
    [
        ("sd3", {"image": "image"}, "only where it paints from words alone"),
        ("sd15", {}, "takes no ControlNet"),
    ],
)
def test_what_a_model_cannot_do_under_a_control_is_said(
    family: str, more: dict[str, str], words: str, checkpoint: Checkpoint, steered: Steered
) -> None:
    loaded = steered(family) if more else prepare(str(checkpoint(family)))
    own = studio(loaded, it=steering(**more))
    assert (own.fault("it"), own.field("it")) == (Kind.UNSUPPORTED, "control")
    last: Any = own.said["it"][-1]
    assert words in last.fault.message


def test_a_model_that_no_controlnet_is_for_is_told_by_its_class(
    checkpoint: Checkpoint, net: Callable[[str], Path]
) -> None:
    fault = refused(str(checkpoint("sana")), net("sd15"))
    assert (fault.kind, fault.field) == (Kind.UNSUPPORTED, "control")
    assert "SanaPipeline, takes no ControlNet" in fault.message


def test_the_memory_of_a_control_counts_beside_that_of_its_model_once(
    checkpoint: Checkpoint, net: Callable[[str], Path]
) -> None:
    base, place = str(checkpoint("sd15")), net("sd15")
    plain, steered = (footprint(each, "cpu", 4) for each in (base, controlled(base, str(place))))
    assert plain is not None
    assert steered is not None
    assert plain.parts.items() < steered.parts.items()
    own = steered.bytes - plain.bytes
    assert own == 2 * (place / WEIGHTS).stat().st_size - 2 * own_header(place)


def own_header(place: Path) -> int:
    """Bytes of the file before its weights, which are of two bytes each there."""
    start = (place / WEIGHTS).read_bytes()[:8]
    return 8 + int.from_bytes(start, "little")
