"""The shipped weights. What they paint is asserted, so a worse model fails here."""

import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import StableDiffusion3Pipeline

from imagemill.pico import autoencoder, folder, text
from imagemill.pico.vocabulary import vocabulary
from training import captions, judges, scenes, ship
from training.scenes import Picture, Scene, Thing

LARGEST = 25_000_000  # bytes
STEPS = 10
OBJECTS = tuple(vocabulary().words["objects"])
SHOWN = (
    Scene((Thing("cat", "red", "large"),), ground="yellow"),
    Scene((Thing("star", "blue", "large"),), ground="white"),
    Scene((Thing("heart", "green"),), ground="black"),
    Scene((Thing("house", "purple"), Thing("tree", "brown")), "left", "pink"),
    Scene((Thing("star", "red", "small"), Thing("heart", "blue", "large")), "inside", "yellow"),
    Scene((Thing("owl", "pink"), Thing("ufo", "green"), Thing("moon", "white")), "above", "night"),
    Scene((Thing("fish", "red", count=2),), ground="sea"),
    Scene((Thing("star", "purple"),), ground="green gradient", style="pixel"),
    Scene((Thing("bell", "black", "large"),), ground="cyan", style="outline"),
)


@pytest.fixture(scope="module")
def pipeline() -> StableDiffusion3Pipeline:
    assert {autoencoder.__name__, text.__name__} <= set(sys.modules)  # all that loading needs
    loaded = StableDiffusion3Pipeline.from_pretrained(folder())
    loaded.set_progress_bar_config(disable=True)
    return loaded


def paint(
    pipeline: StableDiffusion3Pipeline, prompts: Sequence[str], **asked: Any
) -> list[Picture]:
    """Pictures from the same noise."""
    settings = {"num_inference_steps": STEPS, "guidance_scale": 4.0} | asked
    images = pipeline(
        prompt=list(prompts),
        generator=[torch.Generator().manual_seed(1) for _ in prompts],
        width=256,
        height=256,
        output_type="np",
        **settings,
    ).images
    return list((images * 255).round().astype(np.uint8))


@pytest.fixture(scope="module")
def painted(pipeline: StableDiffusion3Pipeline) -> list[Picture]:
    return paint(pipeline, [captions.plain(scene) for scene in SHOWN])


def share(picture: Picture, colour: str) -> float:
    """Of the pixels."""
    return float((judges.nearest(picture) == judges.NAMES.index(colour)).mean())


def contrast(pictures: Sequence[Picture]) -> float:
    """Between neighbouring pixels, on average."""
    return float(np.abs(np.diff(np.stack(pictures).astype(float), axis=2)).mean())


def test_what_is_asked_for_is_painted(painted: list[Picture]) -> None:
    for picture, scene in zip(painted, SHOWN, strict=True):
        tally = judges.Tally()
        tally.judge(picture, scene, OBJECTS)
        assert tally.answers["ground"] == [True], scene
        assert tally.answers["object"] == [True] * len(scene.things), scene
        assert tally.answers["colour"] == [True] * len(scene.things), scene
        assert all(tally.answers["relation"] + tally.answers["style"]), scene


def test_guidance_draws_shapes_with_more_contrast(
    pipeline: StableDiffusion3Pipeline, painted: list[Picture]
) -> None:
    unguided = paint(pipeline, [captions.plain(scene) for scene in SHOWN], guidance_scale=1.0)
    assert contrast(painted) > 1.1 * contrast(unguided)


def test_a_negative_prompt_keeps_out_what_it_says(pipeline: StableDiffusion3Pipeline) -> None:
    # Nothing says the colour of the cat; what it tends to be can be told away.
    (freely,) = paint(pipeline, ["a large cat"])
    tends = max(judges.NAMES, key=lambda colour: share(freely, colour) * (colour != "white"))
    (without,) = paint(pipeline, ["a large cat"], negative_prompt=[f"a large {tends} cat"])
    assert share(without, tends) < share(freely, tends) / 2


def test_words_it_does_not_know_change_nothing(pipeline: StableDiffusion3Pipeline) -> None:
    plainly, floridly = (
        paint(pipeline, [prompt], num_inference_steps=3)[0]
        for prompt in ("a red cat", "An unspeakably baroque red cat, masterpiece, 8k!")
    )
    assert np.array_equal(plainly, floridly)


def test_a_prompt_of_unknown_words_alone_is_painted(pipeline: StableDiffusion3Pipeline) -> None:
    (picture,) = paint(pipeline, ["a dragon"], num_inference_steps=2)
    assert picture.shape == (256, 256, 3)


def test_the_shipped_tokenizer_is_the_one_of_the_vocabulary(
    pipeline: StableDiffusion3Pipeline,
) -> None:
    made = text.tokenizer(vocabulary())
    prompts = ["Draw me two kittens, please", "a cat and a dog on a navy backdrop <end>"]
    for words in (pipeline.tokenizer, pipeline.tokenizer_2, pipeline.tokenizer_3):
        assert words.get_vocab() == made.get_vocab()
        assert words(prompts).input_ids == made(prompts).input_ids
        assert words.model_max_length == text.MAX_LENGTH


def test_a_variant_is_small_enough_to_ship() -> None:
    variants = [path for path in folder().parent.iterdir() if path.is_dir()]
    assert folder() in variants
    assert all(0 < ship.size(variant) <= LARGEST for variant in variants)


def test_what_is_shipped_tells_nothing_of_the_machine_it_was_made_on() -> None:
    texts = {path: path.read_text("utf-8") for path in folder().rglob("*.json")}
    assert texts
    assert [path for path, text in texts.items() if "_name_or_path" in text] == []


def test_what_is_shipped_can_be_shipped_again(tmp_path: Path) -> None:
    assert ship.ship(folder(), tmp_path / "base") == pytest.approx(ship.size(folder()), rel=0.01)
    assert (tmp_path / "base" / "model_index.json").exists()


def test_what_is_too_large_is_not_shipped(tmp_path: Path) -> None:
    to = tmp_path / "base"
    to.mkdir()
    (to / "kept").touch()
    with pytest.raises(ValueError, match="at most 1000 are shipped"):
        ship.ship(folder(), to, largest=1000)
    assert (to / "kept").exists()


def test_every_variant_has_a_folder_of_its_own() -> None:
    assert folder("base") == folder()
    assert folder("quick").parent == folder().parent
    assert folder("quick") != folder()


def test_asking_where_the_weights_are_imports_nothing_heavy() -> None:
    code = "import sys, imagemill.pico as p; p.folder(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_the_card_tells_every_word() -> None:
    card = (folder().parent.parent / "MODEL_CARD.md").read_text("utf-8")
    said = " ".join(re.split(r"## Vocabulary|## Sizes", card)[1].split())
    words = vocabulary()
    every = [*words.canonical, *words.fillers]
    every += [phrase for phrases in words.synonyms.values() for phrase in phrases]
    missing = [word for word in every if not re.search(rf"(?<!\w){word}(?!\w)", said)]
    assert missing == []
    assert f"({len(OBJECTS)})" in said
    assert f"object (chance {1 / len(OBJECTS):.1%})" in card  # the numbers are of these words


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
    card = (folder().parent.parent / "MODEL_CARD.md").read_text("utf-8")
    (said,) = re.findall(rf"^\| {row} \|.*\| ([0-9,]+) \|$", card, re.MULTILINE)
    parameters = getattr(pipeline, part).parameters()
    assert int(said.replace(",", "")) == sum(each.numel() for each in parameters)


def test_the_guide_names_commands_that_exist() -> None:
    training = Path(scenes.__file__).parent
    guide = (training / "README.md").read_text("utf-8")
    named = set(re.findall(r"python -m training\.(\w+)", guide))
    assert {"vocabulary", "autoencoder", "denoiser", "evaluate", "sheet", "ship"} <= named
    assert all((training / f"{name}.py").exists() for name in named)
