"""The second judge of pico's pictures: which of ImageNet's classes mean what pico can draw."""

from collections import Counter

import numpy as np
import pytest

from imagemill.pico.concepts import concepts, rows, traits
from imagemill.pico.layout import place_of
from imagemill.pico.reading import read
from training.second_judge import (
    CLASSES,
    SOURCES,
    TABLE,
    Scores,
    cases_of,
    elsewhere,
    following,
    likely,
    meant,
    right,
    table,
    told_apart,
)

# Names that say something else to most people than the class does.
HOMONYMS = {
    "Gila monster", "black widow", "boxer", "rock beauty", "anemone fish", "balloon",
    "electric locomotive", "four-poster", "ear",
}  # fmt: skip
DOGS = range(151, 269)  # ImageNet's breeds


def scores(*likeliest: int) -> Scores:
    """For each picture the class that is likeliest by far."""
    found = np.zeros((len(likeliest), CLASSES), np.float32)
    found[range(len(likeliest)), likeliest] = 9
    return found


def test_each_class_means_one_concept_that_has_a_drawing() -> None:
    numbers = [int(row["class"]) for row in rows(TABLE)]
    assert numbers == sorted(set(numbers))
    assert set(numbers) <= set(range(CLASSES))
    assert len(set(meant().values())) >= 120
    assert set(meant().values()) <= concepts().keys() & traits().keys()


def test_the_name_of_a_class_is_read_as_its_concept_where_it_is_a_word_of_pico() -> None:
    read_as = {row["name"]: read(f"a {row['name']}").scene.things for row in rows(TABLE)}
    said = {name: things[0].concept for name, things in read_as.items() if things}
    wrong = {
        row["name"]
        for row in rows(TABLE)
        if said.get(row["name"], row["concept"]) != row["concept"]
    }
    assert wrong == HOMONYMS
    assert len(said) > len(meant()) / 2


def test_breeds_are_dogs_and_little_else_has_many_classes() -> None:
    assert {meant()[number] for number in DOGS} == {"dog", "poodle"}
    many = Counter(meant().values())
    assert max(count for concept, count in many.items() if concept != "dog") < 20


def test_what_is_asked_is_read_as_the_concept_alone() -> None:
    cases = cases_of(2)
    assert len(cases) == 2 * len(set(meant().values()))
    for case in cases:
        assert [each.concept for each in read(case.prompt).scene.things] == [
            case.scene.things[0].concept
        ]


def test_elsewhere_is_the_same_thing_in_another_place() -> None:
    for case in cases_of(1)[:4]:
        other = elsewhere(case)
        assert other.scene.things == case.scene.things
        assert place_of(other.scene) != place_of(case.scene)
        assert other.prompt != case.prompt


def test_an_answer_is_right_where_the_likeliest_class_means_the_concept() -> None:
    pug, tabby, bullfrog = 254, 281, 30
    assert right(scores(pug, tabby, bullfrog), ["dog", "cat", "dog"]).tolist() == [
        True,
        True,
        False,
    ]


def test_classes_that_mean_nothing_to_pico_count_among_the_likeliest_alone() -> None:
    pug, crossword = 254, 918
    assert crossword not in meant()
    found = scores(crossword)
    found[0, pug] = 8
    assert right(found, ["dog"]).all()
    assert likely(found, ["dog"]).all()
    found[0, 920:925] = 9
    assert not likely(found, ["dog"]).any()


def test_a_concept_is_told_where_all_its_pictures_are_known() -> None:
    known = np.array([True, True, False])
    assert told_apart(known, ["dog", "cat", "cat"]).tolist() == [True, False, False]


def test_the_table_leaves_out_what_is_not_known_on_the_teachers_pictures() -> None:
    pug, tabby, bullfrog, pizza = 254, 281, 30, 963
    names = ["dog", "cat", "pizza"]
    seen = [scores(pug, bullfrog, pizza), scores(pug, tabby, pizza), scores(pug, tabby, tabby)]
    lines = list(table(dict(zip(SOURCES, seen, strict=True)), names))
    assert lines[0].startswith("The judge knows 2 of 3 concepts")
    assert "| 2 | 100.0% (34.2% to 100.0%) | 100.0% (34.2% to 100.0%) | 50.0%" in lines[5]


def test_chance_is_the_next_concept() -> None:
    assert following(["dog", "cat", "cow"]) == ["cat", "cow", "dog"]
    pug, tabby = 254, 281
    assert right(scores(pug, tabby), following(["dog", "cat"])).sum() == pytest.approx(0)
