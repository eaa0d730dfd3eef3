from dataclasses import replace

import numpy as np
import pytest

from imagemill.pico.vocabulary import vocabulary
from training import evaluate, scenes
from training.evaluate import QUESTIONS, Case, Tally
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
    asked = evaluate.cases(150, 0, list(OBJECTS), request.param)
    return evaluate.score((scenes.draw(case.scene) for case in asked), asked, OBJECTS)


@pytest.mark.parametrize("question", QUESTIONS)
def test_perfect_pictures_are_all_right(tallies: tuple[Tally, Tally], question: str) -> None:
    assert tallies[0].share(question) >= 0.99


@pytest.mark.parametrize(
    ("question", "most"), [("ground", 0.2), ("colour", 0.2), ("object", 0.06), ("relation", 0.06)]
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
    }  # fmt: skip
    for question, painted in wrong.items():
        answers = judged(scenes.draw(painted), PAIR)
        assert not all(answers[question])
        others = [q for q in ("ground", "colour", "object") if q != question]
        assert all(all(answers[q]) for q in others)


@pytest.mark.parametrize("colour", ["red", "blue"])
@pytest.mark.parametrize("relation", scenes.RELATIONS)
def test_a_relation_is_wrong_when_the_things_are_elsewhere(
    relation: scenes.Relation, colour: str
) -> None:
    # Both of one colour too: then only the silhouettes tell which is which.
    things = Thing("cat", "red"), Thing("dog", colour)
    asked = Scene(things, relation, "yellow")
    for painted in scenes.RELATIONS:
        right = evaluate.related(scenes.draw(replace(asked, relation=painted)), asked)
        assert right == (painted == relation)


def test_a_thing_that_is_missing_has_no_relation() -> None:
    alone = scenes.draw(Scene(PAIR.things[:1], ground="yellow"))
    assert not evaluate.related(alone, PAIR)
    empty = np.full_like(alone, 255)
    assert not evaluate.related(empty, PAIR)


def test_an_empty_picture_shows_nothing() -> None:
    empty = np.full((256, 256, 3), scenes.COLOURS["yellow"], np.uint8)
    assert judged(empty, Scene(PAIR.things[:1], ground="yellow"))["colour"] == [False]


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


def test_a_case_says_what_it_shows() -> None:
    case = Case(PAIR, seed=1)
    assert case.prompt == "a red cat to the left of a blue dog on a yellow background"
