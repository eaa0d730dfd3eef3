import random
import re
from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagemill.pico.text import MAX_LENGTH, tokenizer
from imagemill.pico.vocabulary import vocabulary
from training import autoencoder, captions, grounds, icons, scenes, styles
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
        for colour in grounds.COLOURS
        for ground in grounds.COLOURS
    ]
    assert 0.115 < sum(every) / len(every) < 0.135
    thing = Thing("cat", "red")
    out = scenes.held_out(Scene((thing,), ground="blue"))
    for other in (Thing("cat", "red", "large"), Thing("cat", "red", count=3)):
        assert scenes.held_out(Scene((other,), ground="blue", shape=(12, 5))) == out


@given(randoms, shapes)
def test_things_lie_inside_the_picture_on_the_lattice_and_apart_unless_inside(
    rng: random.Random, shape: tuple[int, int]
) -> None:
    scene = scenes.sample(rng, OBJECTS, shape)
    width, height = (n * grounds.CELL for n in shape)
    covered = np.zeros((height, width), dtype=int)
    for _, (x, y, side) in scenes.boxes(scene):
        assert x >= 0 <= y
        assert x + side <= width
        assert y + side <= height
        assert x % grounds.LATTICE == y % grounds.LATTICE == side % grounds.CELL == 0
        covered[y : y + side, x : x + side] += 1
    assert covered.max() == (2 if scene.relation == "inside" else 1)


@given(randoms, shapes)
def test_a_relation_is_where_the_boxes_are(rng: random.Random, shape: tuple[int, int]) -> None:
    scene = scenes.sample(rng, OBJECTS, shape)
    if scene.relation is None:
        return
    for (_, (x0, y0, side0)), (_, (x1, y1, side1)) in pairwise(scenes.boxes(scene)):
        where = {
            "left": x0 + side0 <= x1,
            "right": x1 + side1 <= x0,
            "above": y0 + side0 <= y1,
            "below": y1 + side1 <= y0,
            "inside": x1 < x0 < x0 + side0 < x1 + side1 and y1 < y0 < y0 + side0 < y1 + side1,
        }
        assert where[scene.relation]


def test_three_things_stand_in_a_row_in_the_order_in_which_they_are_said() -> None:
    things = Thing("cat", "red"), Thing("dog", "blue", "large"), Thing("bus", "pink", "small")
    across = [box for _, box in scenes.boxes(Scene(things, "left"))]
    assert across == sorted(across)
    assert len({(y, side) for _, y, side in across}) == 1
    upright = scenes.boxes(Scene(things, "below"))
    assert [thing.name for thing, _ in sorted(upright, key=lambda row: row[1][1])] == [
        "bus", "dog", "cat",
    ]  # fmt: skip


def test_what_is_inside_is_a_third_as_large_and_painted_over_what_it_is_in() -> None:
    scene = Scene((Thing("egg", "red", "small"), Thing("heart", "blue", "large")), "inside")
    (_, (x, y, side)), (_, (_, _, whole)) = scenes.boxes(scene)
    assert whole == 3 * side
    middle = scenes.draw(scene)[y + side // 2, x + side // 2]
    assert tuple(middle) == grounds.COLOURS["red"]
    weights = scenes.weights(scene)
    assert weights[y // 16, x // 16] == weights.max() > weights[y // 16 - 1, x // 16] > 1


@given(randoms, shapes)
def test_what_holds_another_thing_has_room_and_another_colour(
    rng: random.Random, shape: tuple[int, int]
) -> None:
    scene = scenes.sample(rng, OBJECTS, shape)
    if scene.relation == "inside":
        inner, outer = scene.things
        assert styles.broad(outer.name)
        assert inner.colour != outer.colour


@given(randoms, shapes)
def test_every_thing_differs_from_the_ground_and_every_style_can_be_seen(
    rng: random.Random, shape: tuple[int, int]
) -> None:
    scene = scenes.sample(rng, OBJECTS, shape)
    assert {thing.colour for thing in scene.things} <= set(grounds.inks(scene.ground))
    if scene.style != "flat":
        assert min(side for _, (_, _, side) in scenes.boxes(scene)) >= styles.SHOWN
    if scene.style == "outline":
        assert all(styles.thick(thing.name) for thing in scene.things)


def test_plain_scenes_are_the_most_and_none_has_more_than_two_novelties() -> None:
    rng = random.Random(0)
    kinds = [scenes.sample(rng, OBJECTS).kinds for _ in range(2000)]
    assert 0.4 < kinds.count(["plain"]) / len(kinds) < 0.5
    for kind in ("counted", "three", "inside", "gradient", *grounds.LANDSCAPES, "outline", "pixel"):
        assert sum(kind in each for each in kinds) > 20
    assert max(len(each) for each in kinds) == 2


@given(randoms)
def test_a_caption_says_the_whole_scene(rng: random.Random) -> None:
    scene = scenes.sample(rng, OBJECTS)
    words = re.findall(r"\w+", captions.caption(scene, rng))
    for thing in scene.things:
        assert {thing.name, thing.colour} <= set(words)
        assert thing.size in words or thing.size == "medium" or scene.relation == "inside"
        assert thing.count == 1 or scenes.COUNTS[thing.count] in words
    if scene.relation in scenes.OPPOSITE:
        places = [words.index(thing.name) for thing in scene.things]
        said = scene.relation if places == sorted(places) else scenes.OPPOSITE[scene.relation]
        listed = said == "left" and len(scene.things) == 3  # "a cat, a dog, a bird"
        assert said in words or listed
    assert scene.ground.split()[-1] in words or scene.ground == grounds.DEFAULT_GROUND
    assert scene.style in words or scene.style == "flat"


def test_a_person_would_say() -> None:
    cat, dogs = Thing("cat", "red", "large"), Thing("dog", "blue", count=2)
    assert captions.plain(Scene((cat,))) == "a large red cat on a white background"
    assert captions.plain(Scene((dogs,), ground="pink")) == "two blue dogs on a pink background"
    pair = Scene((cat, Thing("bus", "gray")), "left", "black")
    assert captions.plain(pair) == (
        "a large red cat to the left of a gray bus on a black background"
    )
    star, heart = Thing("star", "red", "small"), Thing("heart", "blue", "large")
    inside = Scene((star, heart), "inside", "night")
    assert captions.plain(inside) == ("a red star inside a blue heart on a night background")
    three = Scene((Thing("owl", "red"), Thing("bat", "blue"), Thing("egg", "pink")), "above", "sea")
    assert captions.plain(three) == (
        "a red owl above a blue bat above a pink egg on a sea background"
    )
    drawn = Scene((Thing("owl", "red"),), ground="blue gradient", style="pixel")
    assert captions.plain(drawn) == "a red owl on a blue gradient background, in pixel style"


def test_every_scene_is_said_in_as_many_words_as_the_model_reads() -> None:
    rng, words = random.Random(0), tokenizer(vocabulary())
    for shape in scenes.SHAPES:
        for _ in range(300):
            scene = scenes.sample(rng, OBJECTS, shape)
            for said in (captions.plain(scene), captions.caption(scene, rng)):
                assert len(words(said).input_ids) <= MAX_LENGTH


@pytest.mark.parametrize(
    ("one", "many"),
    [("cat", "cats"), ("butterfly", "butterflies"), ("key", "keys"), ("bus", "buses"),
     ("fish", "fish"), ("leaf", "leaves"), ("brush", "brushes"),
     ("glass", "wine glasses"), ("snowman", "snowmen"), ("scissors", "scissors")],
)  # fmt: skip
def test_many_are_called(one: str, many: str) -> None:
    assert captions.plural(one) == many


@given(randoms, shapes, st.sampled_from([1, 2]))
def test_a_picture_has_its_colours_and_its_things_where_they_are_covered(
    rng: random.Random, shape: tuple[int, int], scale: int
) -> None:
    scene = scenes.sample(rng, OBJECTS, shape)
    picture, covered = scenes.draw(scene, scale), scenes.weights(scene, scale) > 1
    assert picture.shape == (shape[1] * 32 * scale, shape[0] * 32 * scale, 3)
    spread = covered.repeat(grounds.LATTICE, axis=0).repeat(grounds.LATTICE, axis=1)
    behind = grounds.pixels(scene.ground, shape, scale).round().astype(np.uint8)
    assert (picture[~spread] == behind[~spread]).all()
    for thing, (x, y, side) in scenes.boxes(scene):
        part = picture[y * scale : (y + side) * scale, x * scale : (x + side) * scale]
        assert (part == grounds.COLOURS[thing.colour]).all(-1).any()


def test_every_object_has_a_silhouette_of_its_own() -> None:
    masks = [styles.mask(name, 64) for name in icons.atlas()]
    assert all(0.02 < mask.mean() < 0.9 for mask in masks)
    assert len({mask.tobytes() for mask in masks}) == len(masks)


@pytest.mark.parametrize("shape", scenes.SHAPES, ids=str)
def test_no_two_grounds_are_alike_even_at_the_border(shape: tuple[int, int]) -> None:
    borders = [grounds.pixels(ground, shape)[:, :8] for ground in grounds.GROUNDS]
    for one, other in combinations(borders, 2):
        assert np.abs(one - other).mean() > 5


def test_a_ground_is_the_same_at_every_scale() -> None:
    for ground in grounds.GROUNDS:
        twice = grounds.pixels(ground, (8, 8), 2).reshape(256, 2, 256, 2, 3).mean((1, 3))
        assert np.abs(twice - grounds.pixels(ground, (8, 8))).mean() < 1


def test_no_ink_is_lost_on_its_ground() -> None:
    plain = {ground: len(grounds.inks(ground)) for ground in grounds.COLOURS}
    assert set(plain.values()) == {11}
    assert all(len(grounds.inks(ground)) >= 6 for ground in grounds.GROUNDS)
    for ground, lost in (("night", "black"), ("sea", "blue"), ("grass", "green"), ("sky", "cyan"),
                         ("red gradient", "red"), ("red gradient", "white")):  # fmt: skip
        assert lost not in grounds.inks(ground)


def test_an_outline_is_the_edge_of_the_silhouette_and_pixels_are_squares() -> None:
    whole, line = styles.mask("heart", 128), styles.mask("heart", 128, "outline")
    assert line[64, 64] == 0 < whole[64, 64]
    assert (line <= whole + 0.02).all()
    squares = styles.mask("heart", 128, "pixel").reshape(16, 8, 16, 8)
    assert (squares == squares[:, :1, :, :1]).all()
    assert set(np.unique(squares)) == {0, 1}


@given(st.sampled_from(OBJECTS), st.sampled_from(styles.STYLES), st.sampled_from([64, 96, 128]))
def test_a_style_is_the_same_at_every_scale(name: str, style: styles.Style, side: int) -> None:
    twice = styles.mask(name, side, style, 2).reshape(side, 2, side, 2).mean((1, 3))
    assert np.abs(twice - styles.mask(name, side, style)).mean() < 0.01


def test_pictures_off_the_lattice_are_of_the_trained_shapes() -> None:
    rng = random.Random(0)
    seen = {autoencoder.loose(rng).shape for _ in range(20)}
    assert seen <= {(high * 32, wide * 32, 3) for wide, high in scenes.SHAPES}
