import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagemill.pico.vocabulary import PATH, Vocabulary, vocabulary
from training import captions, grounds, icons, scenes, styles
from training.vocabulary import contents

KNOWN = vocabulary()


def test_it_holds_what_the_pictures_can_show() -> None:
    assert KNOWN.words["colours"] == list(grounds.COLOURS)
    assert KNOWN.words["sizes"] == list(scenes.SIZES)
    assert KNOWN.words["relations"] == list(scenes.RELATIONS)
    assert KNOWN.words["counts"] == list(scenes.COUNTS.values())
    assert KNOWN.words["grounds"] == list(grounds.KINDS)
    assert KNOWN.words["styles"] == list(styles.STYLES)
    assert set(KNOWN.words["objects"]) <= set(icons.atlas())


def test_the_shipped_file_is_what_the_training_writes() -> None:
    shipped = json.loads(PATH.read_text("utf-8"))
    assert shipped == contents(len(KNOWN.words["objects"]))


def test_no_word_means_two_things() -> None:
    said = [phrase for phrases in KNOWN.synonyms.values() for phrase in phrases]
    every = [*KNOWN.canonical, *said, *KNOWN.fillers]
    assert len(every) == len(set(every))


def test_synonyms_are_of_known_words_and_written_as_the_rules_leave_a_text() -> None:
    assert set(KNOWN.synonyms) <= set(KNOWN.canonical)
    for phrases in KNOWN.synonyms.values():
        assert all(re.fullmatch(r"[a-z0-9]+( [a-z0-9]+)*", phrase) for phrase in phrases)


@pytest.mark.parametrize("name", KNOWN.words["objects"])
def test_every_object_is_known_by_its_plural(name: str) -> None:
    assert KNOWN.unknown(f"two {captions.plural(name)}") == []


def test_unknown_words_are_told_once_each_in_order() -> None:
    told = KNOWN.unknown("A Baroque cat, a baroque DOG and a dragon!")
    assert told == ["baroque", "dragon"]


def test_part_of_a_known_phrase_is_not_known() -> None:
    assert KNOWN.unknown("a cat on top of a light bulb") == []
    assert KNOWN.unknown("a light cat on top") == ["light", "top"]


def test_polite_and_empty_words_are_not_told() -> None:
    assert KNOWN.unknown("Could you please draw me a picture of the cat's house?") == []


def test_words_of_other_scripts_are_told_whole() -> None:
    assert KNOWN.unknown("décar 赤い猫 большой cat") == ["décar", "赤い猫", "большой"]


@pytest.mark.parametrize("prompt", ["", " ", "?!", "🐱", "\x00", "— “”", ",,,"])
def test_signs_are_no_words(prompt: str) -> None:
    assert KNOWN.unknown(prompt) == []


@given(st.text(max_size=200))
def test_any_prompt_is_read(prompt: str) -> None:
    known = {*KNOWN.canonical, *KNOWN.fillers}
    assert known.isdisjoint(KNOWN.unknown(prompt))


def test_a_small_vocabulary_needs_no_synonyms() -> None:
    small = Vocabulary({"objects": ["cat"]}, synonyms={}, fillers=["a"])
    assert small.unknown("a cat, a dog") == ["dog"]
