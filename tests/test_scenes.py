import random
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagemill.pico.vocabulary import vocabulary
from training import icons, scenes
from training.scenes import Scene, Thing

OBJECTS = vocabulary().words["objects"]
randoms = st.integers(0, 2**32).map(random.Random)
shapes = st.sampled_from(list(scenes.SHAPES))


@given(randoms, shapes)
def test_what_is_held_out_is_never_trained_on(rng: random.Random, shape: tuple[int, int]) -> None:
    trained = scenes.sample(rng, OBJECTS, shape)
    assert not scenes.held_out(trained)
    for thing in trained.things:
        assert not scenes.held_out(Scene((thing,), ground=trained.ground))


@given(randoms, shapes)
def test_what_is_evaluated_is_held_out(rng: random.Random, shape: tuple[int, int]) -> None:
    assert scenes.held_out(scenes.sample(rng, OBJECTS, shape, wanted=True))


def test_an_eighth_is_held_out_whatever_size_count_and_place() -> None:
    every = [
        scenes.held_out(Scene((Thing(name, colour),), ground=ground))
        for name in OBJECTS
        for colour in scenes.COLOURS
        for ground in scenes.COLOURS
    ]
    assert 0.115 < sum(every) / len(every) < 0.135
    thing = Thing("cat", "red")
    out = scenes.held_out(Scene((thing,), ground="blue"))
    for other in (Thing("cat", "red", "large"), Thing("cat", "red", count=3)):
        assert scenes.held_out(Scene((other,), ground="blue", shape=(12, 5))) == out


@given(randoms, shapes)
def test_things_lie_inside_the_picture_on_the_lattice_and_apart(
    rng: random.Random, shape: tuple[int, int]
) -> None:
    scene = scenes.sample(rng, OBJECTS, shape)
    width, height = (n * scenes.CELL for n in shape)
    covered = np.zeros((height, width), dtype=int)
    for _, (x, y, side) in scenes.boxes(scene):
        assert x >= 0 <= y
        assert x + side <= width
        assert y + side <= height
        assert x % scenes.LATTICE == y % scenes.LATTICE == side % scenes.CELL == 0
        covered[y : y + side, x : x + side] += 1
    assert covered.max() == 1


@given(randoms, shapes)
def test_a_relation_is_where_the_boxes_are(rng: random.Random, shape: tuple[int, int]) -> None:
    scene = scenes.sample(rng, OBJECTS, shape)
    if scene.relation is None:
        return
    (_, (x0, y0, side0)), (_, (x1, y1, side1)) = scenes.boxes(scene)
    apart = {
        "left": x0 + side0 <= x1,
        "right": x1 + side1 <= x0,
        "above": y0 + side0 <= y1,
        "below": y1 + side1 <= y0,
    }
    assert apart[scene.relation]


@given(randoms)
def test_a_caption_says_the_whole_scene(rng: random.Random) -> None:
    scene = scenes.sample(rng, OBJECTS)
    words = re.findall(r"\w+", scenes.caption(scene, rng))
    for thing in scene.things:
        assert {thing.name, thing.colour} <= set(words)
        assert thing.size in words or thing.size == "medium"
        assert thing.count == 1 or scenes.COUNTS[thing.count] in words
    if scene.relation:
        first = words.index(scene.things[0].name) < words.index(scene.things[1].name)
        assert (scene.relation if first else scenes.OPPOSITE[scene.relation]) in words
    assert scene.ground in words or scene.ground == scenes.DEFAULT_GROUND


def test_a_person_would_say() -> None:
    cat, dogs = Thing("cat", "red", "large"), Thing("dog", "blue", count=2)
    assert scenes.plain(Scene((cat,))) == "a large red cat on a white background"
    assert scenes.plain(Scene((dogs,), ground="pink")) == "two blue dogs on a pink background"
    pair = Scene((cat, Thing("bus", "gray")), "left", "black")
    assert scenes.plain(pair) == ("a large red cat to the left of a gray bus on a black background")


@pytest.mark.parametrize(
    ("one", "many"),
    [("cat", "cats"), ("butterfly", "butterflies"), ("key", "keys"), ("bus", "buses"),
     ("fish", "fish"), ("leaf", "leaves"), ("brush", "brushes"), ("scissors", "scissors")],
)  # fmt: skip
def test_many_are_called(one: str, many: str) -> None:
    assert scenes.plural(one) == many


@given(randoms, shapes, st.sampled_from([1, 2]))
def test_a_picture_has_its_colours_and_its_things_where_they_are_covered(
    rng: random.Random, shape: tuple[int, int], scale: int
) -> None:
    scene = scenes.sample(rng, OBJECTS, shape)
    picture, covered = scenes.draw(scene, scale), scenes.weights(scene, scale) > 1
    assert picture.shape == (shape[1] * 32 * scale, shape[0] * 32 * scale, 3)
    spread = covered.repeat(scenes.LATTICE, axis=0).repeat(scenes.LATTICE, axis=1)
    assert (picture[~spread] == scenes.COLOURS[scene.ground]).all()
    for thing, (x, y, side) in scenes.boxes(scene):
        part = picture[y * scale : (y + side) * scale, x * scale : (x + side) * scale]
        assert (part == scenes.COLOURS[thing.colour]).all(-1).any()


def test_every_object_has_a_silhouette_of_its_own() -> None:
    masks = [icons.mask(name, 64) for name in icons.atlas()]
    assert all(0.02 < mask.mean() < 0.9 for mask in masks)
    assert len({mask.tobytes() for mask in masks}) == len(masks)


def test_pictures_off_the_lattice_are_of_the_trained_shapes() -> None:
    rng = random.Random(0)
    seen = {scenes.loose(rng).shape for _ in range(20)}
    assert seen <= {(high * 32, wide * 32, 3) for wide, high in scenes.SHAPES}
