"""What judges pico's pictures: it sees what is there, and nothing else."""

import random

import numpy as np
import pytest

from imagemill.pico.layout import layout, place_of
from imagemill.pico.reading import read
from imagemill.pico.scene import PLACES, Placement, Scene, Thing
from tests.pico.test_pico_teacher import FLAT, NAMES, SIZE, drawn
from tests.pico.test_pico_teacher import atlas as atlas
from training.captions import caption, plural
from training.evaluate import cases
from training.judges import Judge, Places, Tally, cropped, visible
from training.places import background
from training.teacher import Atlas


@pytest.mark.parametrize("name", NAMES)
def test_a_drawing_is_known_again_and_no_other_is(atlas: Atlas, name: str) -> None:
    scene = Scene((Thing(name),), "meadow")
    judge, placements = Judge(atlas), layout(scene, FLAT, None)
    found, fit = judge.seen(drawn(scene, atlas), placements[0])
    assert found == name
    assert fit > 0.8


def test_drawings_pass_for_one_another_where_nobody_could_tell_them_apart(atlas: Atlas) -> None:
    judge = Judge(atlas)
    alike = np.array(judge.alike)
    assert alike.diagonal().all()
    assert np.array_equal(alike, alike.T)
    assert not alike[judge.names.index("cat"), judge.names.index("hat")]


@pytest.mark.parametrize("colour", ["red", "green", "blue", "pink"])
def test_a_colour_is_known_again(atlas: Atlas, colour: str) -> None:
    scene = Scene((Thing("apple", colour),), "meadow")
    picture, placements = drawn(scene, atlas), layout(scene, FLAT, None)
    assert Judge(atlas).colour(picture, placements[0]) == colour


def test_what_is_covered_or_small_is_not_judged() -> None:
    pair = Scene((Thing("horse"), Thing("hat", relation="behind", of=0)), "meadow")
    placements = layout(pair, FLAT, None)
    seen = [placements[i].concept for i in visible(placements, SIZE)]
    assert "horse" in seen
    assert visible(placements, (16, 16)) == []


def test_the_square_of_a_thing_grows_by_its_margin_and_over_the_edge() -> None:
    placed = Placement("box", "", 0.9, 0.5, 0.0, 0.0, 0.2, 0.1)
    picture = np.zeros((100, 100, 3), np.uint8)
    picture[45:55, 80:100] = 255
    tight, wide = (np.asarray(cropped(picture, placed, margin)) for margin in (0.0, 0.5))
    assert tight.shape == (20, 20, 3)
    assert tight.mean() == pytest.approx(255 / 2)
    assert wide.shape == (40, 40, 3)
    assert wide[20, 10:].min() == 255  # what is outside is as the edge is


def test_places_are_told_apart() -> None:
    places = Places(variants=1)
    right = [places.seen(background(p, "day", "", 9, (128, 128)), []) == p for p in PLACES]
    assert sum(right) / len(right) > 0.8


def test_a_tally_counts_by_question() -> None:
    tally = Tally()
    for right in (True, True, False):
        tally.add("colour", right)
    assert tally.share("colour") == pytest.approx(2 / 3)


@pytest.mark.parametrize("freely", [False, True])
def test_what_is_said_of_a_scene_is_read_as_that_scene(freely: bool) -> None:
    asked = cases(150, 5, freely)
    assert len({len({t.concept for t in case.scene.things}) for case in asked}) >= 3
    found = [(case.scene, read(case.prompt).scene) for case in asked]
    things = [{t.concept for t in a.things} == {t.concept for t in b.things} for a, b in found]
    places = [place_of(a) == place_of(b) for a, b in found]
    styles = [a.style == b.style for a, b in found]
    for right in (things, places, styles):
        assert sum(right) / len(right) > 0.93


def test_plurals_are_english() -> None:
    told = {
        "cat": "cats",
        "cherry": "cherries",
        "fox": "foxes",
        "glasses": "glasses",
        "bus": "buses",
    }
    assert {word: plural(word) for word in told} == told


def test_a_caption_says_all_of_a_scene() -> None:
    rider = Thing("astronaut", relation="rides", of=1)
    scene = Scene(
        (rider, Thing("horse", "white")), "moon", "night", style="watercolour", title="Hi"
    )
    assert caption(scene) == (
        "an astronaut riding a white horse on the surface of the moon at night, "
        'with the text "Hi", watercolour'
    )
    assert caption(scene, random.Random(1)).count("horse") == 1
