"""The model of pico's second generation: sketches, velocities, and a stock pipeline."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, StableDiffusion3Pipeline

from imagemill.engine.hub import prepare
from imagemill.pico.autoencoder import OverlappingAutoencoder
from imagemill.pico.denoiser import SketchTransformer
from imagemill.pico.looks import CELLS, CODES, FIELDS, LookEncoder, Sketcher
from imagemill.pico.placing import told
from imagemill.pico.scene import COLOURS, PAINTS, PLACEMENTS, Placement, Scene, Thing
from imagemill.pico.setting import NOTHING, POSITIONS, RESERVED, WORDS, SettingEncoder, setting
from imagemill.pico.tokenizers import NAMES, PlacementTokenizer, SettingTokenizer
from imagemill.pipelines.loading import Loaded
from tests.studio import ASKED, Studio, alone
from tests.studio import inference as inference
from training.pico2 import looks as looks_
from training.pico2.looks import Looks

NAMED = ("cat", "horse", "astronaut", "apple")
SMALL = replace(ASKED, width=128, height=128, steps=3)


@pytest.fixture(scope="module")
def looks(tmp_path_factory: pytest.TempPathFactory) -> Looks:
    """Of four drawings: a disc, a ring, a square and a bar, each of two shades of its colour."""
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
    return looks_.make(folder)


def placed(looks: Looks, *placements: Placement) -> torch.Tensor:
    ids = told(placements, looks.index)
    found: torch.Tensor = looks.encoder(torch.tensor([ids]))[0]
    return found


def drawn(looks: Looks, *placements: Placement, size: tuple[int, int] = (128, 128)) -> torch.Tensor:
    found: torch.Tensor = looks.sketcher(placed(looks, *placements), size[1], size[0])[0]
    return found


MIDDLE = Placement("cat", "", 0.5, 0.5, 0.0, 0.0, 0.5, 0.5)


def test_a_look_is_told_in_so_many_numbers_and_nothing_else_is(looks: Looks) -> None:
    found = placed(looks, MIDDLE, replace(MIDDLE, concept="unheard of"))
    assert found.shape == (1, PLACEMENTS, FIELDS + CELLS * CODES)
    assert found[0, 0, 0] == 1
    assert found[0, 1:].abs().sum() == 0
    assert len(told([MIDDLE] * 99, {"cat": 0})) == PLACEMENTS * FIELDS


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
    both = looks.sketcher(torch.cat([other, one]), 128, 96)
    assert torch.equal(both[1], looks.sketcher(one, 128, 96)[0])


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
    autoencoder = OverlappingAutoencoder(widths=(32, 16), blocks=(1, 1))
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
    assert ids.shape == (2, PLACEMENTS * FIELDS)
    assert [int(id) for id in ids[0, : 3 * FIELDS : FIELDS]] == [3, 2, 0]  # the rider is behind
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
    nothing = torch.zeros_like(noise)
    velocity = transformer.velocity(noise, sketch, nothing, torch.ones(1, 1, 1, 1))
    assert torch.allclose(velocity, noise - sketch[:, :48], atol=1e-5)
    other, sigma = torch.randn(1, 48, 4, 4), torch.full((1, 1, 1, 1), 0.4)
    spread = transformer.config.spread
    noisy = 0.6 * other + 0.4 * noise
    total = (0.6 * spread) ** 2 + 0.4**2
    kept = 0.6 * spread**2 / total
    base = sketch[:, :48]
    told_ = (other - base - kept * (noisy - 0.6 * base)) / (0.4 * spread / total**0.5)
    found = transformer.velocity(noisy, sketch, told_, sigma)
    assert torch.allclose(found, noise - other, atol=1e-4)


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


def test_an_autoencoder_begins_as_the_best_that_is_linear() -> None:
    from training.pico2.autoencoder import begin, measured

    generator = torch.Generator().manual_seed(0)
    smooth = torch.nn.functional.interpolate(
        torch.rand(12, 3, 8, 8, generator=generator) * 2 - 1, (128, 128), mode="bicubic"
    ).clamp(-1, 1)
    model = OverlappingAutoencoder(widths=(32, 16), blocks=(1, 1))
    before = measured(model, smooth)["full"]
    begin(model, smooth[:10])
    assert before < 15
    assert measured(model, smooth[10:])["full"] > 30


def test_every_word_and_colour_has_its_number() -> None:
    assert len(set(WORDS)) == len(WORDS) <= RESERVED
    assert len(POSITIONS) == len(NOTHING)
    assert len(PAINTS) == len(COLOURS)


def test_a_sketcher_of_no_placements_draws_nothing() -> None:
    nothing = torch.zeros(2, PLACEMENTS, FIELDS + CELLS * CODES)
    sketch = Sketcher()(nothing, 32, 48)
    assert sketch.shape == (2, 4, 32, 48)
    assert sketch.abs().sum() == 0
