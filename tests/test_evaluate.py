from dataclasses import replace

import numpy as np
import pytest

from imagemill.pico.text import tokenizer
from imagemill.pico.vocabulary import vocabulary
from training import evaluate, grounds, judges, scenes, styles
from training.judges import QUESTIONS, Tally
from training.scenes import Picture, Scene, Thing

OBJECTS = tuple(vocabulary().words["objects"])
PAIR = Scene((Thing("cat", "red"), Thing("dog", "blue")), "left", "yellow")


def judged(picture: Picture, scene: Scene) -> dict[str, list[bool]]:
    tally = Tally()
    tally.judge(picture, scene, OBJECTS)
    return tally.answers


@pytest.fixture(scope="module", params=[(8, 8), (10, 6), (4, 16)], ids=str)
def tallies(request: pytest.FixtureRequest) -> tuple[Tally, Tally]:
    """Of perfect pictures, by their own prompt and by the next one's."""
    asked = evaluate.cases(60, 0, list(OBJECTS), request.param)
    pictures = [scenes.draw(case.scene) for case in asked]
    own, following = (
        evaluate.score(pictures, judged_by, OBJECTS)
        for judged_by in (asked, evaluate.shuffled(asked))
    )
    return own, following


@pytest.mark.parametrize("question", QUESTIONS)
def test_perfect_pictures_are_all_right(tallies: tuple[Tally, Tally], question: str) -> None:
    assert tallies[0].share(question) >= 0.99


@pytest.mark.parametrize(
    ("question", "most"),
    [("ground", 0.2), ("colour", 0.2), ("object", 0.06), ("relation", 0.06), ("style", 0.6)],
)
def test_shuffled_prompts_are_near_chance(
    tallies: tuple[Tally, Tally], question: str, most: float
) -> None:
    assert tallies[1].share(question) <= most


def test_every_prompt_is_held_out_and_the_same_for_a_seed() -> None:
    asked = evaluate.cases(50, 3, list(OBJECTS))
    assert all(scenes.held_out(case.scene) for case in asked)
    assert asked == evaluate.cases(50, 3, list(OBJECTS))
    assert len({case.seed for case in asked}) == 50


def test_each_question_is_answered_by_itself() -> None:
    cat, dog = PAIR.things
    wrong: dict[str, Scene] = {
        "ground": replace(PAIR, ground="green"),
        "colour": replace(PAIR, things=(replace(cat, colour="pink"), dog)),
        "object": replace(PAIR, things=(replace(cat, name="anchor"), dog)),
    }
    assert judged(scenes.draw(PAIR), PAIR) == {
        "ground": [True], "colour": [True, True], "object": [True, True], "relation": [True],
        "style": [], "alone": [True],
    }  # fmt: skip
    for question, painted in wrong.items():
        answers = judged(scenes.draw(painted), PAIR)
        assert not all(answers[question])
        others = [q for q in ("ground", "colour", "object") if q != question]
        assert all(all(answers[q]) for q in others)


@pytest.mark.parametrize("more", [Thing("cat", "red", "small"), Thing("star", "green", "small")])
@pytest.mark.parametrize("count", [2, 3])
def test_what_was_not_asked_for_is_seen(more: Thing, count: int) -> None:
    asked = Scene((Thing("cat", "red", "small"),), ground="white")
    picture = scenes.draw(asked)
    others = scenes.draw(Scene((replace(more, count=count),), ground="white"))
    x, y, side = scenes.boxes(asked)[0][1]
    others[y : y + side, x : x + side] = picture[y : y + side, x : x + side]
    answers = judged(others, asked)
    assert (answers["object"], answers["alone"]) == ([True], [False])


def test_objects_and_colours_count_where_they_are_asked_for() -> None:
    tally = Tally()
    tally.judge(scenes.draw(PAIR), PAIR, OBJECTS, lambda thing, _: thing.name == "dog")
    assert tally.answers["object"] == tally.answers["colour"] == [True]
    assert tally.worst() == [("dog", 1, 1)]


def test_ink_near_many_grounds_is_judged_without_complaint() -> None:
    scene = Scene((Thing("house", "red", "large"),), ground="white")
    picture = np.full((256, 256, 3), 250, np.uint8)
    picture[90:160, 40:220] = (250, 214, 220)
    picture[160:230, 40:220] = (214, 250, 220)
    assert judged(picture, scene)["object"] == [False]


def stands(picture: Picture, scene: Scene) -> list[bool]:
    return judged(picture, scene)["relation"]


@pytest.mark.parametrize("colour", ["red", "blue"])
@pytest.mark.parametrize("relation", scenes.OPPOSITE)
def test_a_relation_is_wrong_when_the_things_are_elsewhere(
    relation: scenes.Relation, colour: str
) -> None:
    # Both of one colour too: then only the silhouettes tell which is which.
    things = Thing("cat", "red"), Thing("dog", colour)
    asked = Scene(things, relation, "yellow")
    for painted in scenes.OPPOSITE:
        right = stands(scenes.draw(replace(asked, relation=painted)), asked)
        assert right == [painted == relation]


def test_three_things_must_stand_in_their_order() -> None:
    cat, dog, bus = Thing("cat", "red"), Thing("dog", "red"), Thing("bus", "blue")
    asked = Scene((cat, dog, bus), "left", "yellow")
    assert stands(scenes.draw(asked), asked) == [True]
    for things in ((dog, cat, bus), (cat, bus, dog), (bus, dog, cat)):
        assert stands(scenes.draw(replace(asked, things=things)), asked) == [False]
    assert stands(scenes.draw(replace(asked, relation="above")), asked) == [False]


INSIDE = Scene((Thing("key", "red", "small"), Thing("heart", "blue", "large")), "inside", "yellow")


def test_what_is_inside_is_seen_against_what_it_is_in() -> None:
    answers = judged(scenes.draw(INSIDE), INSIDE)
    assert (answers["object"], answers["colour"]) == ([True, True], [True, True])
    assert answers["relation"] == [True]
    key, heart = INSIDE.things
    other = judged(scenes.draw(replace(INSIDE, things=(replace(key, name="owl"), heart))), INSIDE)
    assert (other["object"], other["colour"]) == ([False, True], [True, True])


def test_what_is_beside_is_not_inside() -> None:
    assert stands(scenes.draw(replace(INSIDE, relation="left")), INSIDE) == [False]
    alone = replace(INSIDE, things=INSIDE.things[1:], relation=None)
    assert stands(scenes.draw(alone), INSIDE) == [False]


@pytest.mark.parametrize("shape", scenes.SHAPES, ids=str)
@pytest.mark.parametrize("ground", grounds.GROUNDS)
def test_every_ground_is_told_from_all_others(ground: str, shape: tuple[int, int]) -> None:
    ink = grounds.inks(ground)[0]
    scene = Scene((Thing("cat", ink, "large"),), ground=ground, shape=shape)
    picture = scenes.draw(scene)
    assert judges.ground_of(picture, shape) == ground
    noise = np.random.default_rng(0).normal(0, 12, picture.shape)
    noisy = (picture + noise).clip(0, 255).astype(np.uint8)
    assert judges.ground_of(noisy, shape) == ground
    answers = judged(noisy, scene)
    assert (answers["colour"], answers["object"]) == ([True], [True])


@pytest.mark.parametrize("asked", styles.STYLES[1:])
def test_a_style_is_told_from_the_others(
    asked: styles.Style,
) -> None:
    scene = Scene((Thing("heart", "red"),), ground="yellow", style=asked)
    for painted in styles.STYLES:
        answers = judged(scenes.draw(replace(scene, style=painted)), scene)
        assert answers["style"] == [painted == asked]
        assert answers["colour"] == [True]


def test_a_thing_that_is_all_outline_is_not_asked_for_its_style() -> None:
    scene = Scene((Thing("bicycle", "red"),), ground="yellow", style="pixel")
    assert judged(scenes.draw(scene), scene)["style"] == []


def test_answers_are_also_kept_by_kind() -> None:
    tally = Tally()
    for scene in (PAIR, INSIDE, replace(PAIR, ground="night", style="pixel")):
        tally.judge(scenes.draw(scene), scene, OBJECTS)
    assert set(tally.kinds) == {"plain", "inside", "night", "pixel"}
    assert tally.kinds["plain"].answers == judged(scenes.draw(PAIR), PAIR)
    lines = evaluate.breakdown(tally).splitlines()
    assert len(lines) == 2 + 4
    assert "| inside | 100.0% | 100.0% | 100.0% | 100.0% |  | 100.0% | 1 |" in lines


def test_a_thing_that_is_missing_has_no_relation() -> None:
    alone = scenes.draw(Scene(PAIR.things[:1], ground="yellow"))
    assert stands(alone, PAIR) == [False]
    empty = np.full_like(alone, 255)
    assert stands(empty, PAIR) == [False]


def test_an_empty_picture_shows_nothing() -> None:
    empty = np.full((256, 256, 3), grounds.COLOURS["yellow"], np.uint8)
    asked = Scene((Thing("heart", "red"),), ground="yellow", style="pixel")
    assert judged(empty, asked) == {
        "ground": [True], "colour": [False], "object": [False], "relation": [],
        "style": [False], "alone": [True],
    }  # fmt: skip


def test_a_thing_a_little_off_its_place_is_recognised() -> None:
    scene = Scene((Thing("cat", "red", "large"),), ground="white")
    moved = np.roll(scenes.draw(scene), (16, -16), axis=(0, 1))
    assert judged(moved, scene)["object"] == [True]
    far = np.roll(scenes.draw(scene), 128, axis=1)
    assert judged(far, scene)["object"] == [False]


def test_every_copy_must_be_right() -> None:
    scene = Scene((Thing("cat", "red", count=4),), ground="white")
    picture = scenes.draw(scene)
    assert judged(picture, scene)["object"] == [True]
    picture[128:, 128:] = 255
    answers = judged(picture, scene)
    assert (answers["object"], answers["colour"]) == ([False], [False])


def test_noise_is_recognised_by_chance_alone() -> None:
    noise = np.random.default_rng(0)
    tally = Tally()
    for case in evaluate.cases(60, 1, list(OBJECTS)):
        tally.judge(noise.integers(0, 256, (256, 256, 3), np.uint8), case.scene, OBJECTS)
    assert tally.share("object") < 0.1
    assert tally.share("relation") == 0


def test_the_interval_is_wilsons() -> None:
    low, high = evaluate.interval(285, 300)
    assert low == pytest.approx(0.919, abs=1e-3)
    assert high == pytest.approx(0.969, abs=1e-3)
    assert evaluate.interval(0, 10)[0] == 0
    assert evaluate.interval(10, 10)[1] == 1
    assert evaluate.interval(0, 0) == (0, 1)


def test_the_table_tells_chance_and_the_shuffled_column(tallies: tuple[Tally, Tally]) -> None:
    with_shuffled = evaluate.table(*tallies, chance=1 / 48).splitlines()
    assert len(with_shuffled) == 2 + len(QUESTIONS)
    assert "shuffled" in with_shuffled[0]
    assert "chance 2.1%" in with_shuffled[4]
    assert "shuffled" not in evaluate.table(tallies[0], None, chance=1 / 48)


def test_the_least_recognised_come_first() -> None:
    tally = Tally()
    tally.objects.update({"cat": [True], "dog": [False], "owl": [False, False, True]})
    assert tally.worst() == [("dog", 0, 1), ("owl", 1, 3), ("cat", 1, 1)]


def test_free_wordings_say_the_same_in_other_words() -> None:
    plainly, freely = (evaluate.cases(60, 0, list(OBJECTS), freely=free) for free in (False, True))
    words, known = tokenizer(vocabulary()), vocabulary()
    for plain, free in zip(plainly, freely, strict=True):
        assert (plain.scene, plain.seed) == (free.scene, free.seed)
        assert known.unknown(free.prompt) == []
        said = {*words(plain.prompt).input_ids} ^ {*words(free.prompt).input_ids}
        assert {*words.convert_ids_to_tokens([*said])} <= {",", "white", "background"}
    assert sum(p.prompt != f.prompt for p, f in zip(plainly, freely, strict=True)) > 50
