"""What pico takes from a reference: its colours and its thing, more with scale, within a mask."""

from dataclasses import replace
from io import BytesIO
from statistics import median

import numpy as np
import pytest
import torch
from PIL import Image

from imagemill import Engine, InvalidInputError, IPAdapter, Params
from imagemill.conditions import Control, ImagePrompt
from imagemill.engine.encoding import OWN_IP_ADAPTER, encode
from imagemill.engine.stand_ins import prepare
from imagemill.generation import Generation
from imagemill.model_spec import AdapterPlace, controlled, image_prompted
from imagemill.pico import folder
from imagemill.pico.looks import CELLS, CODES, FIELDS, Choice
from imagemill.pico.reference import GROUND, KNOWN, THING, ReferenceProcessor, acting, thing_of
from imagemill.pico.reference_scene import sketched
from imagemill.pipelines.controls import denoiser_of
from imagemill.pipelines.loading import Loaded
from tests.engine.test_controls import counted
from tests.studio import Studio, painted, png
from tests.studio import inference as inference
from training.ip_effect import SCALES, Effect, Measured, measure, shipped

SEEDS = 4  # `python -m training.ip_effect --measure 100` has more
OWN = AdapterPlace("pico", "pico")
PLAIN = Generation("a dog on a beach", "imagemill/pico", 128, 128, 3, 3.0, seed=1)


@pytest.fixture(scope="module")
def effect() -> Effect:
    return Effect(shipped(), steps=3)


@pytest.fixture(scope="module")
def measured(effect: Effect) -> Measured:
    return measure(effect, range(SEEDS))


def test_colours_come_nearer_with_every_scale(measured: Measured) -> None:
    middles = [median(measured.colours[scale]) for scale in SCALES]
    assert middles == sorted(middles, reverse=True)
    assert middles[-1] < 0.7 * middles[0]
    for one in zip(*(measured.colours[scale] for scale in SCALES), strict=True):
        assert one[-1] < one[0], "with each seed"


def test_its_thing_is_seen_and_no_other_s(measured: Measured) -> None:
    assert sum(measured.seen[1.0]) >= SEEDS - 1
    assert sum(measured.seen[0.0]) == 0
    assert sum(measured.other_seen) == 0, "another's reference"
    assert median(measured.other_colours) > 1.3 * median(measured.colours[1.0])


def test_a_mask_keeps_it_inside(measured: Measured) -> None:
    assert sum(measured.masked_seen) >= SEEDS - 1
    before, after = zip(*measured.masked, strict=True)
    assert median(after) < median(before)
    outside, inside = zip(*measured.changed, strict=True)
    assert max(outside) < 2, "of 255"
    assert min(inside) > 10


@torch.inference_mode()
def test_the_same_thing_of_a_scene_turns_into_the_reference_s(effect: Effect) -> None:
    """Also its mirror image, and at its own place: there is no second one."""
    prompt = "a red car on a street"
    plain = np.asarray(effect.painted(prompt, 3), int)
    reference = effect.painted("a green car in a studio", 11)
    for image in (reference, reference.transpose(Image.Transpose.FLIP_LEFT_RIGHT)):
        turned = np.asarray(effect.painted(prompt, 3, image, 1.0), int)
        for pixels, channel, other in ((plain, 0, 1), (turned, 1, 0)):
            strong = pixels[..., channel] - pixels[..., other] > 60
            assert strong.mean() > 0.08
        assert (turned[..., 0] - turned[..., 1] > 60).mean() < 0.02


def test_a_thing_on_a_plain_ground_is_told_from_it_and_from_its_shadow() -> None:
    image = torch.full((3, 96, 128), 0.9)
    image[:, 70:80, 30:90] = 0.78  # a shadow
    image[:, 20:74, 40:80] = torch.tensor([0.8, 0.2, 0.1])[:, None, None]
    alpha = thing_of(image)[0] > 0.5
    wanted = torch.zeros(96, 128, dtype=torch.bool)
    wanted[20:74, 40:80] = True
    assert (alpha & wanted).sum() / (alpha | wanted).sum() > 0.95


@torch.inference_mode()
def test_an_image_without_a_thing_lends_its_colours_alone(effect: Effect) -> None:
    encoded = effect.encoded(Image.new("RGB", (80, 50), (20, 120, 200)))
    assert encoded[0, THING, KNOWN] == 0
    assert encoded[0, GROUND, 2:5].tolist() == pytest.approx([20 / 255, 120 / 255, 200 / 255])
    plain, blue = (
        np.asarray(effect.painted("a desert", 3, image), int).mean((0, 1))
        for image in (None, Image.new("RGB", (80, 50), (20, 120, 200)))
    )
    assert blue[2] - blue[0] > plain[2] - plain[0] + 60


@torch.inference_mode()
@pytest.mark.parametrize("size", [(400, 20), (20, 400), (16, 16)])
def test_images_of_any_shape_are_read(effect: Effect, size: tuple[int, int]) -> None:
    values = ReferenceProcessor()(Image.new("RGB", size)).pixel_values
    assert values.shape == (1, 4, 320, 320)
    assert bool(torch.isfinite(effect.encoded(Image.new("RGB", size))).all())


@torch.inference_mode()
def test_a_mask_of_nothing_leaves_the_sketch_as_it_is(effect: Effect) -> None:
    rows = effect.pipeline.text_encoder_3(
        effect.pipeline.tokenizer_3("a dog on a beach")["input_ids"]
    )[0][0].float()
    encoded = effect.encoded(effect.painted("a red teapot in a studio", 11))
    nowhere = acting(encoded, 1.0, torch.zeros(1, 64, 64))[0]
    sketcher = effect.pipeline.transformer.sketcher
    plain = sketcher(rows[None], [Choice()], 128, 128)[0]
    assert torch.equal(sketched(sketcher, rows, Choice(), nowhere, (128, 128)), plain)
    codes = encoded[0, THING, FIELDS:].view(CELLS, CODES)
    assert torch.allclose(sketcher.codes_of(sketcher.drawings(codes[None])[0]), codes, atol=0.8)


# --- by the engine


def reference() -> bytes:
    pixels = np.full((96, 96, 3), 235, np.uint8)
    pixels[20:80, 30:70] = 200, 30, 60
    return png(pixels)


INPUTS = {
    "it": reference(),
    "mask": png(np.kron([[0, 255]], np.ones((64, 32))).astype(np.uint8)),
    "control": png(np.eye(64, dtype=np.uint8)[..., None].repeat(3, 2) * 255),
}


def prompting(**values: object) -> Generation:
    return replace(PLAIN, ip_adapter=ImagePrompt("it", "pico", **values))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def loaded() -> Loaded:
    return prepare(image_prompted(controlled("pico", str(folder("control"))), OWN))


def run(loaded: Loaded, own: Studio | None = None, **company: Generation) -> dict[str, bytes]:
    own = own or Studio(inputs=INPUTS)
    own.runner.exact.enough = 1  # pictures this small prove little
    own.start(loaded, **company)
    own.run()
    return {name: own.files(name)[0] for name in company}


def test_at_a_scale_of_nothing_the_bytes_are_those_of_the_plain_image(loaded: Loaded) -> None:
    plain = run(loaded, it=PLAIN)
    assert run(loaded, it=prompting(scale=0.0)) == plain
    others = [run(loaded, it=prompting(scale=scale))["it"] for scale in (0.1, 1.0, 2.0)]
    assert len({plain["it"], *others}) == 4


def test_it_shares_forwards_with_plain_images_and_changes_none_of_their_bytes(
    loaded: Loaded,
) -> None:
    company = {
        "one": prompting(scale=0.5),
        "masked": prompting(mask="mask"),
        "plain": PLAIN,
        "steered": replace(PLAIN, seed=5, control=Control("control", "pico")),
        "both": replace(prompting(), control=Control("control", "pico")),
    }
    apart = {name: run(loaded, it=each)["it"] for name, each in company.items()}
    assert len(set(apart.values())) == len(company)
    own = Studio(inputs=INPUTS)
    assert run(loaded, own, **company) == apart
    proved = Studio(inputs=INPUTS)
    proved.runner.exact = own.runner.exact
    three = {name: company[name] for name in ("one", "masked", "plain")}
    with counted(denoiser_of(loaded.pipe).real) as rows:
        assert run(loaded, proved, **three) == {name: apart[name] for name in three}
    assert max(rows) >= 6, "a pair of each"


def test_what_stands_in_for_the_adapter_that_was_named_is_told(loaded: Loaded) -> None:
    assert OWN_IP_ADAPTER in encode(painted(loaded, prompting(), INPUTS), 1.0).ignored
    assert OWN_IP_ADAPTER not in encode(painted(loaded, PLAIN, INPUTS), 1.0).ignored


def test_programs_give_a_reference_as_an_image() -> None:
    image = Image.open(BytesIO(reference()))
    small: Params = {"width": 64, "height": 64, "steps": 1, "seed": 3}
    adapters = (None, IPAdapter(image, scale=0.0), IPAdapter(image))
    calls: list[Params] = [{**small, "ip_adapter": each} for each in adapters]
    with Engine() as engine:
        images = [engine.generate("a dog", **each).images[0].data for each in calls]
        assert images[0] == images[1] != images[2]
        with pytest.raises(InvalidInputError, match="scale 3"):
            engine.request("a dog", ip_adapter=IPAdapter(image, scale=3.0))
    with Engine({"mine": "/models/sd15"}) as engine:
        for adapter in (IPAdapter(image), IPAdapter(image, "nowhere.safetensors", "nowhere")):
            with pytest.raises(InvalidInputError, match="IP-Adapter has"):
                engine.request("a dog", ip_adapter=adapter)
