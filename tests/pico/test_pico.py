"""The shipped weights. What they paint is asserted, so a worse model fails here."""

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import StableDiffusion3Pipeline

from imagemill.catalog.models import PICO
from imagemill.pico import folder, parts
from imagemill.pico.concepts import concepts
from imagemill.pico.scene import STYLES, Scene, Thing
from training import evaluate, ship
from training.autoencoder import borders
from training.canvas import Picture
from training.captions import STYLED
from training.evaluate import Case
from training.judges import Judge, Places, Tally
from training.looks import Looks
from training.teacher import Atlas

CARD = (Path(parts.__file__).parent / "MODEL_CARD.md").read_text("utf-8")
LARGEST = 40_000_000  # bytes, of weights and words
SIZE = (512, 512)
SHOWN = (
    ("a bear riding a bicycle on a beach", Scene(
        (Thing("bicycle"), Thing("bear", relation="rides", of=0)), "beach")),
    ("a parrot on a barrel at sea", Scene(
        (Thing("barrel"), Thing("parrot", relation="on", of=0)), "sea")),
    ("a red panda in Kyoto", Scene((Thing("red panda"),), "japan")),
    ("a blue car on a street at night", Scene((Thing("car", "blue"),), "street", "night")),
    ("three pumpkins in a kitchen", Scene((Thing("pumpkin", count=3),), "kitchen")),
    ("ein Hund unter einem Baum auf einer Wiese", Scene(
        (Thing("tree"), Thing("dog", relation="under", of=0)), "meadow")),
    ("a whale under water", Scene((Thing("whale"),), "underwater")),
)  # fmt: skip


@pytest.fixture(scope="module")
def pipeline() -> StableDiffusion3Pipeline:
    assert {f"imagemill.pico.{name}" for name in parts.__all__} <= set(sys.modules)
    loaded = StableDiffusion3Pipeline.from_pretrained(folder())
    loaded.set_progress_bar_config(disable=True)
    return loaded


@pytest.fixture(scope="module")
def eyes(pipeline: StableDiffusion3Pipeline) -> Judge:
    """Which know the drawings as pico itself has them."""
    names = json.loads((folder() / "tokenizer_3" / "vocab.json").read_text("utf-8"))
    return Judge(Atlas.shown(Looks(names, pipeline.text_encoder_3, pipeline.transformer.sketcher)))


def paint(pipeline: StableDiffusion3Pipeline, prompt: str, **asked: Any) -> Picture:
    settings = {"num_inference_steps": PICO.steps, "guidance_scale": evaluate.GUIDANCE} | asked
    seed = settings.pop("seed", 1)
    width, height = settings.pop("size", (256, 256))
    image = pipeline(
        prompt, width=width, height=height, generator=torch.Generator().manual_seed(seed),
        **settings,
    ).images[0]  # fmt: skip
    return np.asarray(image)


def judged(
    pipeline: StableDiffusion3Pipeline, eyes: Judge, shown: Sequence[tuple[str, Scene]]
) -> Tally:
    asked = [Case(scene, prompt, seed) for seed, (prompt, scene) in enumerate(shown)]
    painted = evaluate.paint(pipeline, asked, SIZE, PICO.steps, evaluate.GUIDANCE)
    tally, places = Tally(), Places(1)
    for case, each in zip(asked, painted, strict=True):
        evaluate.judge(tally, eyes, places, each, case, case.scene)
    return tally


def test_what_is_asked_for_is_painted(pipeline: StableDiffusion3Pipeline, eyes: Judge) -> None:
    tally = judged(pipeline, eyes, SHOWN)
    for question in ("alone", "two", "relation", "colour", "count"):
        assert tally.answers[question], question
        assert all(tally.answers[question]), question
    assert tally.share("place") > 0.8


def test_styles_and_times_are_seen(pipeline: StableDiffusion3Pipeline) -> None:
    prompts = {style: f"a fox in a garden, {STYLED.get(style, style)}" for style in STYLES[1:]}
    plain = paint(pipeline, "a fox in a garden").astype(float)
    styles = {style: paint(pipeline, prompt).astype(float) for style, prompt in prompts.items()}
    for one, other in combinations(styles, 2):
        assert np.abs(styles[one] - styles[other]).mean() > 3, (one, other)
    for style, picture in styles.items():
        assert np.abs(picture - plain).mean() > 3, style
    for style in evaluate.GREY_STYLES:
        assert np.ptp(styles[style], axis=2).mean() < np.ptp(plain, axis=2).mean() / 20, style
    assert styles["outline"].mean() > 225  # white paper
    assert paint(pipeline, "a fox in a garden at night").mean() < plain.mean() - 30


def test_squares_do_not_show(pipeline: StableDiffusion3Pipeline) -> None:
    prompts = ("a fox in a garden", "a red balloon at the beach", "a cup in a kitchen")
    pictures = [torch.from_numpy(paint(pipeline, each, size=SIZE).copy()) for each in prompts]
    assert borders(torch.stack(pictures).permute(0, 3, 1, 2).float()) < 1.3


def test_seeds_vary_the_place_and_the_arrangement(pipeline: StableDiffusion3Pipeline) -> None:
    pictures = [paint(pipeline, "a cat in a city", seed=seed).astype(float) for seed in range(4)]
    apart = [np.abs(a - b).mean() for i, a in enumerate(pictures) for b in pictures[:i]]
    assert min(apart) > 5
    assert max(apart) > 20


def test_a_negative_prompt_keeps_out_what_it_says(pipeline: StableDiffusion3Pipeline) -> None:
    """Away from a night it is lighter than without."""
    freely = paint(pipeline, "a cat in a garden", guidance_scale=2.0)
    lighter = paint(
        pipeline, "a cat in a garden", negative_prompt="a garden at night", guidance_scale=2.0
    )
    assert lighter.mean() > freely.mean() + 5


def test_words_it_does_not_know_change_nothing(pipeline: StableDiffusion3Pipeline) -> None:
    plainly, floridly = (
        paint(pipeline, prompt, num_inference_steps=2)
        for prompt in ("a red cat", "An unspeakably flibbert red cat, masterpiece, 8k!")
    )
    assert np.array_equal(plainly, floridly)


@pytest.mark.parametrize("prompt", ["flibbert", "?!", "\x00\ufffe\U0001f9ff", "and " * 900])
def test_whatever_is_asked_is_painted(pipeline: StableDiffusion3Pipeline, prompt: str) -> None:
    assert paint(pipeline, prompt, num_inference_steps=1).shape == (256, 256, 3)


def test_the_shipped_tables_are_of_the_concepts(pipeline: StableDiffusion3Pipeline) -> None:
    names = json.loads((folder() / "tokenizer_3" / "vocab.json").read_text("utf-8"))
    assert len(names) == len(pipeline.text_encoder_3.codes)
    assert set(concepts()) <= set(names)


def test_weights_and_words_are_small_enough_to_ship() -> None:
    assert 0 < ship.size(Path(parts.__file__).parent) <= LARGEST


def test_what_is_shipped_tells_nothing_of_the_machine_it_was_made_on() -> None:
    texts = {path: path.read_text("utf-8") for path in folder().rglob("*.json")}
    assert texts
    assert [path for path, text in texts.items() if "_name_or_path" in text] == []


def test_asking_where_the_weights_are_imports_nothing_heavy() -> None:
    code = "import sys, imagemill.pico as p; p.folder(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize(
    ("part", "row"),
    [
        ("transformer", "denoiser"),
        ("text_encoder", "text encoder"),
        ("text_encoder_2", "second text encoder"),
        ("vae", "autoencoder"),
    ],
)
def test_the_card_tells_the_sizes(pipeline: StableDiffusion3Pipeline, part: str, row: str) -> None:
    (said,) = re.findall(rf"^\| {row} \|.*\| ([0-9,]+) \|$", CARD, re.MULTILINE)
    parameters = getattr(pipeline, part).parameters()
    assert int(said.replace(",", "")) == sum(each.numel() for each in parameters)


def test_the_card_and_the_notice_name_every_source() -> None:
    notice = (Path(__file__).parents[2] / "NOTICE").read_text("utf-8")
    guide = (Path(ship.__file__).parent / "README.md").read_text("utf-8")
    (command,) = re.findall(r"`npm install (.*?)`", guide)
    for package in command.split():
        name, _, version = package.rpartition("@")
        for text in (notice, CARD):
            assert name in text
            assert version in text


def test_the_guide_names_commands_that_exist() -> None:
    training = Path(ship.__file__).parent
    guide = (training / "README.md").read_text("utf-8")
    named = set(re.findall(r"python -m training\.(\w+)", guide))
    assert {"atlas", "places", "sample", "looks", "autoencoder", "denoiser", "evaluate"} <= named
    assert all((training / f"{name}.py").exists() for name in named)
