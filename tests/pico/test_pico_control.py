"""The ControlNet of pico, as it is shipped: things go where a control image has them."""

import io
from dataclasses import replace
from statistics import median

import pytest
import torch
from PIL import Image

from imagemill.conditions import Control
from imagemill.engine import inline
from imagemill.engine.encoding import OWN_CONTROLNET
from imagemill.generation import GeneratedImages, Generation
from imagemill.model_spec import controlled
from imagemill.pico import folder
from imagemill.pico.looks import FIELDS, ROWS, Choice, Field
from imagemill.pico.matching import edges
from training.control_effect import SIDE, Effect, placed, shipped
from training.control_images import box_of

LATENT, MAP = 32, 128  # positions of an image's latents, px of its map
SEEDS = 20  # `python -m training.control_effect --measure 100` has more
TURNED = Choice(turned=True)


@pytest.fixture(scope="module")
def effect() -> Effect:
    return Effect(shipped())


def test_things_go_where_the_edges_have_them_and_nowhere_else(effect: Effect) -> None:
    shares, others = (effect.overlaps(SEEDS, shuffled) for shuffled in (False, True))
    assert sum(after > before + 0.02 for before, after in shares) >= 0.85 * SEEDS
    assert median(after for _, after in shares) > 0.7
    assert median(after for _, after in others) < 0.4


@torch.inference_mode()
def test_a_thing_that_the_seed_turns_round_goes_there_too(effect: Effect) -> None:
    wanted, usual = placed("teapot", 0.3, 0.65, 0.4), placed("teapot")
    image = effect.image(wanted).flip(-1)  # as it is seen, turned: at 0.7
    there = effect.moved(usual, image, TURNED)
    assert there.overlap(box_of(wanted, MAP, MAP)) > 0.6  # the sketcher turns it back
    assert there.overlap(box_of(replace(wanted, anchor_x=0.7), MAP, MAP)) < 0.2


@torch.inference_mode()
def test_lines_on_paper_say_the_same_as_lines_on_black(effect: Effect) -> None:
    image = effect.image(placed("car", 0.4, 0.7, 0.5))
    black, white = effect.map(image), effect.map(1 - image)
    assert (black - white).abs().mean() < 0.01
    assert edges(black[None]).mean() > 0.02


@torch.inference_mode()
def test_letters_go_with_the_thing_that_they_are_on(effect: Effect) -> None:
    looks = effect.rows(placed("car"), placed("letter:A", 0.5, 0.6, 0.1))
    values = effect.map(effect.image(placed("car", 0.35, 0.7, 0.4)))
    car, letter = effect.pipeline.controlnet.change(values, looks, Choice())[:2]
    assert car.abs().sum() > 0
    assert torch.allclose(letter[Field.DX], car[Field.DX], atol=0.02)
    assert float(letter[Field.SIDE]) == pytest.approx(float(car[Field.SIDE]) / 5, abs=1e-3)


@torch.inference_mode()
def test_what_nothing_is_seen_of_stays(effect: Effect) -> None:
    faint = 0.01 * torch.rand(1, MAP, MAP, generator=torch.Generator().manual_seed(1))
    change = effect.pipeline.controlnet.change(faint, effect.rows(placed("cat")), Choice())
    assert not change.any()


def painted(effect: Effect, image: Image.Image, scale: float, end: float = 1.0) -> bytes:
    with torch.random.fork_rng():
        torch.manual_seed(0)  # of the noise that encoding a control image takes
        result = effect.pipeline(
            "a teapot", control_image=image, controlnet_conditioning_scale=scale,
            control_guidance_end=end, num_inference_steps=4, guidance_scale=1.0, width=256,
            height=256, generator=torch.Generator().manual_seed(1),
        )  # fmt: skip
    return bytes(result.images[0].tobytes())


@torch.inference_mode()
def test_stock_pipelines_paint_with_it_from_nothing_at_0_to_all_at_1(effect: Effect) -> None:
    shown = effect.image(placed("teapot", 0.3, 0.7, 0.35))[0, 0]
    image = Image.fromarray((255 * shown).byte().numpy()).convert("RGB")
    plain = painted(effect, image, 0.0)
    assert painted(effect, Image.new("RGB", (SIDE, SIDE)), 1.0) == plain  # nothing to follow
    assert painted(effect, image, 1.0, end=0.1) == plain  # over before the first step ends
    half, whole = painted(effect, image, 0.5), painted(effect, image, 1.0)
    assert len({plain, half, whole}) == 3
    assert painted(effect, image, 2.0) == whole


def by_the_engine(image: Image.Image, scale: float) -> GeneratedImages:
    file = io.BytesIO()
    image.save(file, "png")
    place = str(folder("control"))
    generation = Generation(
        "a teapot", "imagemill/pico", 128, 128, 2, 1.0, 1, control=Control("it", place, scale)
    )
    source = controlled("pico", place) if scale else "pico"
    return inline.paint(generation, source, lambda *_: None, inputs={"it": file.getvalue()})


def test_the_engine_paints_with_it_and_says_so(effect: Effect) -> None:
    with torch.inference_mode():
        shown = effect.image(placed("teapot", 0.3, 0.7, 0.35))[0, 0]
    image = Image.fromarray((255 * shown).byte().numpy())
    plain, steered, again = (by_the_engine(image, scale) for scale in (0.0, 1.0, 1.0))
    assert steered.pictures != plain.pictures
    assert steered.pictures == again.pictures
    assert OWN_CONTROLNET in steered.ignored
    assert OWN_CONTROLNET not in plain.ignored


@torch.inference_mode()
def test_what_it_gives_is_as_large_as_placements(effect: Effect) -> None:
    looks = effect.rows(placed("cat"))[None].expand(2, -1, -1)
    latents = torch.zeros(2, 49, LATENT, LATENT)
    control = effect.pipeline.controlnet
    (change,) = control(latents, latents, encoder_hidden_states=looks, return_dict=False)[0]
    assert change.shape == (2, ROWS, FIELDS + 1)
    assert bool((change[..., FIELDS] == 1).all())
