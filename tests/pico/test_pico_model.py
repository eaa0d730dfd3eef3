"""The model of pico: sketches, velocities, and a stock pipeline."""

import json
from dataclasses import replace
from itertools import product
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, StableDiffusion3Pipeline

from imagemill.engine.stand_ins import prepare
from imagemill.pico import stylising
from imagemill.pico.autoencoder import OverlappingAutoencoder
from imagemill.pico.backgrounds import BACKGROUNDS, VARIANTS, number
from imagemill.pico.denoiser import SketchTransformer, choices
from imagemill.pico.looks import (
    CELLS,
    CODES,
    FIELDS,
    FIXED,
    FLAT_COLOURS,
    ROWS,
    Choice,
    LookEncoder,
    Sketcher,
)
from imagemill.pico.placing import LENGTH, token_ids
from imagemill.pico.scene import COLOURS, PAINTS, Placement, Scene, Thing
from imagemill.pico.setting import NOTHING, POSITIONS, RESERVED, WORDS, SettingEncoder, setting
from imagemill.pico.tokenizers import NAMES, PlacementTokenizer, SettingTokenizer
from imagemill.pipelines.loading import Loaded
from tests.studio import ASKED, Studio, alone
from tests.studio import inference as inference
from training import looks as looks_
from training.looks import Looks

NAMED = ("cat", "horse", "astronaut", "apple")
SMALL = replace(ASKED, width=128, height=128, steps=3)


@pytest.fixture(scope="module")
def looks(tmp_path_factory: pytest.TempPathFactory) -> Looks:
    """Of four drawings: a disc, a ring, a square and a bar, each of two shades of its colour; and
    of backgrounds that are light on the left, each variant lighter than the one before.
    """
    y, x = np.mgrid[-1:1:256j, -1:1:256j]
    masks = (np.hypot(x, y) < 1, abs(np.hypot(x, y) - 0.75) < 0.25, (abs(x) < 2), abs(y) < 0.4)
    colours = ((240, 150, 40), (140, 90, 60), (230, 230, 240), (220, 30, 40))
    light, opaque = np.where(x < 0, 1, 0.6)[..., None], np.full((256, 256, 1), 255)
    cells = [
        np.concatenate([np.array(colour) * light, opaque], -1) * mask[..., None]
        for mask, colour in zip(masks, colours, strict=True)
    ]
    folder = tmp_path_factory.mktemp("atlas")
    np.save(folder / "atlas.npy", np.stack(cells).astype(np.uint8))
    (folder / "names.json").write_text(json.dumps(NAMED), "utf-8")
    light = np.linspace(200, 80, 128)[None, None, :, None] + 16 * np.arange(VARIANTS).reshape(
        -1, 1, 1, 1
    )
    pool = np.broadcast_to(np.tile(light, (len(BACKGROUNDS), 1, 1, 1)), (2064, 128, 128, 3))
    return looks_.make(pool.astype(np.uint8), folder)


def placed(looks: Looks, *placements: Placement, background: int | None = None) -> torch.Tensor:
    ids = token_ids(placements, looks.index, background)
    found: torch.Tensor = looks.encoder(torch.tensor([ids]))[0]
    return found


def drawn(looks: Looks, *placements: Placement, size: tuple[int, int] = (128, 128)) -> torch.Tensor:
    """Over nothing: colours times alpha, and alpha, 0 to 1."""
    pixels = looks.sketcher(placed(looks, *placements), [Choice()], size[1], size[0])[0]
    return torch.cat([(pixels[:3] + pixels[3:]) / 2, pixels[3:]])


MIDDLE = Placement("cat", "", 0.5, 0.5, 0.0, 0.0, 0.5, 0.5)


def test_a_look_is_told_in_so_many_numbers_and_nothing_else_is(looks: Looks) -> None:
    found = placed(looks, MIDDLE, replace(MIDDLE, concept="unheard of"))
    assert found.shape == (1, ROWS, FIELDS + CELLS * CODES)
    assert found[0, 0, 0] == 1
    assert found[0, 1:].abs().sum() == 0
    assert len(token_ids([MIDDLE] * 99, {"cat": 0})) == LENGTH


def test_a_sketch_shows_a_drawing_in_its_box_alone(looks: Looks) -> None:
    sketch = drawn(looks, MIDDLE)
    alpha = sketch[3]
    assert alpha[64, 64] > 0.95
    assert alpha[:31].max() == alpha[:, :31].max() == alpha[97:].max() == alpha[:, 97:].max() == 0
    assert alpha.mean() == pytest.approx(np.pi * 32**2 / 128**2, rel=0.05)
    expected = torch.tensor([240, 150, 40]) / 255
    assert torch.allclose(sketch[:3, 64, 50], expected, atol=0.08)
    assert torch.allclose(sketch[:3, 64, 78], 0.6 * expected, atol=0.08)


def test_a_sketch_follows_the_aspect_flips_and_covers(looks: Looks) -> None:
    wide = drawn(looks, replace(MIDDLE, anchor_x=0.25, dx=0.25), size=(256, 128))
    columns = wide[3].amax(0).nonzero()
    assert (columns.min() + columns.max()) / 2 == pytest.approx(0.25 * 256 + 0.25 * 128, abs=1)
    assert torch.allclose(
        drawn(looks, replace(MIDDLE, flip=True)), drawn(looks, MIDDLE).flip(-1), atol=0.02
    )
    over = drawn(looks, MIDDLE, replace(MIDDLE, concept="apple", width=0.2, height=0.08))
    assert over[0, 64, 60] > 0.7 > over[1, 64, 60] + 0.5


def test_a_sketch_is_drawn_in_its_style(looks: Looks) -> None:
    beach = number(Scene((), "beach"))
    styles = [stylising.number(each) for each in ("3d", "flat", "black and white")]
    ids = torch.tensor([token_ids([MIDDLE], looks.index, beach, style) for style in styles])
    usual, flat, grey = looks.sketcher(looks.encoder(ids)[0], [Choice()] * 3, 96, 128)
    assert torch.equal(flat[3], usual[3])
    assert torch.equal(grey[3], usual[3])
    assert torch.allclose(grey[0], grey[2])
    assert not torch.allclose(usual[0], usual[2], atol=0.1)
    inside = flat[:3, usual[3] > 0.999].T
    assert len((inside * 50).round().unique(dim=0)) < 3 * FLAT_COLOURS
    with_shades = usual[:3, usual[3] > 0.999].T
    assert len((with_shades * 50).round().unique(dim=0)) > len((inside * 50).round().unique(dim=0))


@pytest.mark.parametrize("colour", ["blue", "green", "white"])
def test_a_colour_takes_the_place_of_a_drawing_s_own(looks: Looks, colour: str) -> None:
    sketch = drawn(looks, replace(MIDDLE, colour=colour))
    own = drawn(looks, MIDDLE)
    assert torch.equal(sketch[3], own[3])
    red, green, blue = sketch[:3, 64, 50].tolist()
    strongest = {"blue": blue, "green": green, "white": min(red, green, blue)}[colour]
    assert strongest == max(red, green, blue) or colour == "white"
    assert strongest > 0.6
    assert sketch[:3, 64, 50].mean() > sketch[:3, 64, 78].mean()  # light and shade stay


def test_a_row_s_sketch_is_the_same_in_any_company(looks: Looks) -> None:
    one, other = placed(looks, MIDDLE), placed(looks, replace(MIDDLE, concept="horse"), MIDDLE)
    both = looks.sketcher(torch.cat([other, one]), [Choice(1), Choice()], 128, 96)
    assert torch.equal(both[1], looks.sketcher(one, [Choice()], 128, 96)[0])


def test_a_background_is_drawn_under_the_things_in_the_variant_that_was_chosen(
    looks: Looks,
) -> None:
    told_ = placed(looks, MIDDLE, background=number(Scene((), "beach")))
    sketches = [
        looks.sketcher(told_, [choice], 96, 128)[0]
        for choice in (Choice(), Choice(3), Choice(3, mirrored=True))
    ]
    first, fourth, mirrored = ((each[:3] + 1) * 127.5 for each in sketches)
    corner = (slice(None), 2, 2)
    assert torch.allclose(first[corner], torch.tensor(198.0), atol=4)
    assert torch.allclose(fourth[corner], torch.tensor(246.0), atol=4)
    assert torch.allclose(mirrored[corner], fourth[:, 2, -3], atol=4)
    assert torch.equal(sketches[0][3], sketches[2][3])  # the things stay
    assert sketches[0][3, 48, 64] > 0.95
    assert (fourth - first)[:, sketches[0][3] > 0.999].abs().max() < 1


def test_an_arrangement_is_turned_round_unless_something_is_written(looks: Looks) -> None:
    left = replace(MIDDLE, anchor_x=0.2, dx=0.05, width=0.3, height=0.3)
    plain, turned = (
        looks.sketcher(placed(looks, left), [Choice(turned=turned)], 96, 128)[0]
        for turned in (False, True)
    )
    assert torch.allclose(turned, plain.flip(-1), atol=0.02)
    ids = torch.tensor([token_ids([left], looks.index)])
    ids[0, FIELDS] = FIXED
    fixed = looks.sketcher(looks.encoder(ids)[0], [Choice(turned=True)], 96, 128)[0]
    assert torch.equal(fixed, plain)
    assert token_ids([replace(left, concept="letter:A")], {"letter:A": 0})[FIELDS] == FIXED


def test_what_lies_outside_or_is_tiny_draws_nothing(looks: Looks) -> None:
    for gone in (replace(MIDDLE, dx=1.9), replace(MIDDLE, width=0.001, height=0.001)):
        assert drawn(looks, gone).abs().sum() == 0


def test_a_setting_is_a_number_a_position() -> None:
    night = Scene((Thing("owl"),), "city", "night", "rain", "watercolour", closeup=True)
    assert [WORDS[i] for i in setting(night)] == [
        "place city", "time night", "weather rain", "style watercolour", "shown closeup",
    ]  # fmt: skip
    assert [WORDS[i] for i in setting(Scene())][-1] == "shown empty"
    assert not set(setting(night)) & set(NOTHING)


@pytest.fixture(scope="module")
def folder(looks: Looks, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pipeline with little in it that was never trained."""
    torch.manual_seed(0)
    folder, names = tmp_path_factory.mktemp("pico"), tmp_path_factory.mktemp("names") / NAMES
    names.write_text(json.dumps(NAMED), "utf-8")
    transformer = SketchTransformer(num_layers=2, num_attention_heads=2, caption_projection_dim=64)
    transformer.sketcher.load_state_dict(looks.sketcher.state_dict())
    autoencoder = OverlappingAutoencoder()
    StableDiffusion3Pipeline(
        transformer=transformer, scheduler=FlowMatchEulerDiscreteScheduler(), vae=autoencoder,
        text_encoder=SettingEncoder(48), tokenizer=SettingTokenizer(),
        text_encoder_2=SettingEncoder(16), tokenizer_2=SettingTokenizer(),
        text_encoder_3=looks.encoder, tokenizer_3=PlacementTokenizer(str(names)),
    ).save_pretrained(folder)  # fmt: skip
    return folder


def test_stock_diffusers_loads_and_paints(folder: Path) -> None:
    pipe = StableDiffusion3Pipeline.from_pretrained(folder)
    assert isinstance(pipe.transformer, SketchTransformer)
    assert isinstance(pipe.text_encoder_3, LookEncoder)
    assert pipe.text_encoder_3.codes.dtype is torch.int8
    ids = pipe.tokenizer_3(["an astronaut riding a horse", ""]).input_ids
    assert ids.shape == (2, LENGTH)
    assert BACKGROUNDS[ids[0, 0] - 1].place == "space"
    assert [int(id) for id in ids[0, 1 : 3 * FIELDS : FIELDS]] == [3, 2, 0]  # the rider is behind
    assert ids[1].abs().sum() == 0
    pictures = [
        np.asarray(
            pipe(
                prompt, negative_prompt="rain", width=128, height=96, num_inference_steps=2,
                guidance_scale=2.0, generator=torch.Generator().manual_seed(seed),
            ).images[0]
        )
        for prompt, seed in (("a cat", 1), ("a cat", 2), ("a horse", 1))
    ]  # fmt: skip
    assert pictures[0].shape == (96, 128, 3)
    assert not np.array_equal(pictures[0], pictures[1])
    assert not np.array_equal(pictures[0], pictures[2])


def test_a_velocity_leads_to_the_sketch_where_the_network_tells_no_difference(
    folder: Path,
) -> None:
    """Of a picture that is its sketch and all noise; and of no noise what is left is that."""
    transformer = StableDiffusion3Pipeline.from_pretrained(folder).transformer
    torch.manual_seed(1)
    noise, sketch = torch.randn(1, 48, 4, 4), torch.randn(1, 68, 4, 4)
    base, nothing = sketch[:, :48], torch.zeros(1, 96, 4, 4)
    velocity = transformer.velocity(noise, sketch, nothing, torch.ones(1, 1, 1, 1))
    assert torch.allclose(velocity, noise - base, atol=1e-5)
    other = torch.randn(1, 48, 4, 4)
    velocity = transformer.velocity(other, sketch, nothing, torch.zeros(1, 1, 1, 1))
    assert torch.allclose(velocity, -other, atol=1e-5)  # whatever is there is the picture


@pytest.mark.parametrize(
    ("around", "kept"), [(-5.0, 0.0), (0.0, 0.6 * 0.49 / 0.3364), (3.0, 1 / 0.6)]
)
def test_the_surer_the_network_is_the_less_noise_is_kept(
    folder: Path, around: float, kept: float
) -> None:
    transformer = StableDiffusion3Pipeline.from_pretrained(folder).transformer
    transformer.spreads.data.fill_(0.7)
    torch.manual_seed(1)
    noise, sketch, differing = (torch.randn(1, n, 4, 4) for n in (48, 68, 48))
    mean, sigma = sketch[:, :48] + 0.7 * differing, torch.full((1, 1, 1, 1), 0.4)
    noisy = 0.6 * mean + 0.4 * noise
    told_ = torch.cat([differing, torch.full_like(differing, around)], 1)
    picture = noisy - 0.4 * transformer.velocity(noisy, sketch, told_, sigma)
    assert torch.allclose(picture, mean + kept * (noisy - 0.6 * mean), atol=2e-2)


@pytest.fixture(scope="module")
def loaded(folder: Path) -> Loaded:
    return prepare(str(folder))


def test_requests_share_forwards_and_have_the_same_bytes(loaded: Loaded) -> None:
    asked = {
        f"r{i}": replace(SMALL, prompt=prompt, seed=i)
        for i, prompt in enumerate(("a red cat", "an astronaut riding a horse", "rain in a city"))
    }
    studio = Studio()
    studio.start(loaded, **asked)
    studio.run()
    for id, generation in asked.items():
        assert studio.files(id) == alone(loaded, generation), id
    counted = Studio()
    counted.start(loaded, **asked)
    calls = 0
    while counted.runner.step():
        calls += 1
    assert calls < 3 * 3 + 6


def test_the_seed_s_choices_stay_to_the_last_step(folder: Path) -> None:
    """Whatever is painted: the last channel of the latents keeps the signs of its noise."""
    pipe = StableDiffusion3Pipeline.from_pretrained(folder)
    noise = torch.randn(1, 49, 6, 8, generator=torch.Generator().manual_seed(3))
    latents = pipe(
        "a cat", width=128, height=96, num_inference_steps=5, guidance_scale=3.0, latents=noise,
        output_type="latent",
    ).images  # fmt: skip
    assert torch.equal(latents[:, -1].sign(), noise[:, -1].sign())
    assert choices(latents[:, -1:]) == choices(noise[:, -1:])
    assert {each for seed in range(60) for each in choices(_plane(seed))} == {
        Choice(*each) for each in product(range(VARIANTS), (False, True), (False, True))
    }


def _plane(seed: int) -> torch.Tensor:
    return torch.randn(1, 1, 2, 2, generator=torch.Generator().manual_seed(seed))


def test_a_sketch_is_drawn_once_for_all_steps(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe = StableDiffusion3Pipeline.from_pretrained(folder)
    drawn = Mock(side_effect=pipe.transformer.sketcher.forward)
    monkeypatch.setattr(pipe.transformer.sketcher, "forward", drawn)
    for prompt, steps in (("a cat", 4), ("a cat", 4), ("a horse", 4)):
        pipe(
            prompt, width=128, height=96, num_inference_steps=steps, guidance_scale=1.0,
            generator=torch.Generator().manual_seed(1),
        )  # fmt: skip
    assert drawn.call_count == 2


def test_the_autoencoder_is_the_best_that_is_linear() -> None:
    from training.autoencoder import fit, measured

    generator = torch.Generator().manual_seed(0)
    smooth = torch.nn.functional.interpolate(
        torch.rand(12, 3, 8, 8, generator=generator) * 2 - 1, (128, 128), mode="bicubic"
    ).clamp(-1, 1)
    model = OverlappingAutoencoder()
    before = measured(model, smooth).psnr
    fit(model, smooth[:10])
    assert before < 15
    after = measured(model, smooth[10:])
    assert after.psnr > 30
    assert 0.5 < after.borders < 1.5
    latents = model.encode(smooth[10:]).latent_dist.mean
    assert latents.shape == (2, 49, 8, 8)
    assert ((latents[:, -1] - model.config.shift_factor) == 0).all()
    assert torch.equal(model.decode(latents).sample, model(smooth[10:]))


def test_every_word_and_colour_has_its_number() -> None:
    assert len(set(WORDS)) == len(WORDS) <= RESERVED
    assert len(POSITIONS) == len(NOTHING)
    assert len(PAINTS) == len(COLOURS)


def test_a_sketcher_of_no_placements_draws_nothing() -> None:
    nothing = torch.zeros(2, ROWS, FIELDS + CELLS * CODES)
    sketch = Sketcher()(nothing, [Choice(), Choice(1, True, True)], 32, 48)
    assert sketch.shape == (2, 4, 32, 48)
    assert sketch.abs().sum() == 0
