import random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from imagemill.pico.text import (
    COMMA,
    END,
    MAX_LENGTH,
    PAD,
    RESERVED,
    START,
    NoTextEncoder,
    tokenizer,
)
from imagemill.pico.vocabulary import vocabulary
from training import captions, scenes

KNOWN = vocabulary()
WORDS = tokenizer(KNOWN)


def read(prompt: str) -> str:
    """What the model is given of a prompt."""
    ids = WORDS(prompt, truncation=True, max_length=MAX_LENGTH).input_ids
    first, *said, last = [WORDS.convert_ids_to_tokens(i) for i in ids]
    assert (first, last) == (START, END)
    return " ".join(said)


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        ("a red cat", "red cat"),
        ("Draw me a large red cat, please", "large red cat"),
        ("I would like a picture of a cat that is red.", "cat red"),
        ("On a blue background: two tiny kittens", "blue background , two small cat"),
        ("HUGE grey Bunny!!!", "large gray rabbit"),
        ("a cat to the left of a dog", "cat left dog"),
        ("a cat on the right side of a dog", "cat right dog"),
        ("a cat on top of a house", "cat above house"),
        ("a cat underneath an umbrella", "cat below umbrella"),
        ("a cat next to a dog", "cat left dog"),
        ("3 christmas trees", "three pine"),
        ("a pair of scissors", "scissors"),
        ("a pair of keys", "two key"),
        ("a sail-boat", "sailboat"),
        ("a medium-sized red-orange sun", "medium red orange sun"),
        ("the cat's red house", "cat red house"),
        (
            "\u201ccat\u201d\u2014dog\u2026 red\u00a0bird\ttree\u200bstar",
            "cat dog , red bird tree star",
        ),
        ("🐱cat🐱", "cat"),
        ("décar catfish 3d", ""),
        ("a cat, , , and; ... a dog", "cat , dog"),
        (", , a cat , ,", "cat"),
    ],
)
def test_a_prompt_is_read_as(prompt: str, said: str) -> None:
    assert read(prompt) == said


def test_two_things_joined_by_and_stand_side_by_side() -> None:
    assert read("a red cat and a blue dog") == "red cat left blue dog"
    assert read("a cat and a red background") == "cat red background"
    assert read("a cat and a backdrop") == "cat background"
    assert read("a large and red cat") == "large red cat"


def test_three_things_joined_by_commas_and_and_stand_in_a_row() -> None:
    assert read("a red cat, a blue dog and a bird") == "red cat , blue dog left bird"
    assert read("a red cat, a blue dog, and a bird") == "red cat , blue dog left bird"
    assert read("a cat and a dog and a bird") == "cat left dog left bird"


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        ("a cat and a blue gradient background", "cat blue gradient background"),
        ("a cat, and a starry night background", "cat , night background"),
        ("a cat and a night sky", "cat night"),
        ("a ship on the ocean, in pixel art", "ship sea , pixel"),
        ("a sheep on a green meadow, outlined", "sheep green grass , outline"),
        ("a tiny star inside of a heart", "small star inside heart"),
        ("a cat in the middle of a meadow", "cat grass"),
        ("a sky blue car below a starry night sky", "blue car below night"),
        ("a sea green cup on a midnight blue background", "green cup blue background"),
        ("a sweet kitten beside a glass of water", "cat left glass"),
    ],
)
def test_grounds_and_styles_are_read_as(prompt: str, said: str) -> None:
    assert read(prompt) == said


@pytest.mark.parametrize("prompt", ["", "   ", "dragon", "赤い猫", "?!,.", "\x00\x01", "🐱"])
def test_a_prompt_without_a_known_word_is_as_an_empty_one(prompt: str) -> None:
    assert read(prompt) == ""


def test_every_word_and_every_synonym_is_read_as_its_canonical_word() -> None:
    for word in KNOWN.canonical:
        assert read(word) == word
    for word, phrases in KNOWN.synonyms.items():
        assert [read(f"a {phrase}, please") for phrase in phrases] == [word] * len(phrases)


def test_special_tokens_in_a_prompt_are_only_words() -> None:
    assert read(f"a cat {END} a dog {START} {PAD}") == "cat dog"
    assert KNOWN.unknown(f"a cat {END}") == ["end"]


def test_words_beyond_the_limit_fall() -> None:
    assert read("red " * 100) == " ".join(["red"] * (MAX_LENGTH - 2))


@pytest.mark.parametrize(
    "part",
    [
        " ",
        "a",
        "a ",
        "cat ",
        "x ",
        ", ",
        ",",
        "\n",
        "é",
        "and a ",
        ", and a ",
        "and a gradient ",
        "on the left side ",
        "\x00",
        "🐱",
    ],
)
def test_a_very_long_prompt_is_read(part: str) -> None:
    # Long runs of anything, then something else: what a rule that goes back and forth dies of.
    long = part * (10_000 // len(part))
    for prompt in (long, f"{long}!", f"cat {long} cat,"):
        assert len(read(prompt).split()) <= MAX_LENGTH - 2
        KNOWN.unknown(prompt)


@given(st.text(max_size=60))
def test_any_text_is_read(prompt: str) -> None:
    assert set(read(prompt).split()) <= {COMMA, *KNOWN.canonical}


@given(
    st.lists(
        st.sampled_from(
            ["cat", "red", "dragon", "top", "on top of", "a", "é", ",", "and a", "<end>"]
        )
    )
)
def test_what_is_told_as_unknown_is_what_the_model_does_not_get(parts: list[str]) -> None:
    prompt = " ".join(parts)
    told = KNOWN.unknown(prompt)
    assert set(told) == {word for word in ("dragon", "top", "é", "end") if word in told}
    assert all(read(word) == "" for word in told)
    assert ("dragon" in told) == ("dragon" in parts)
    assert ("top" in told) == ("top" in parts)


def test_what_the_training_says_is_read_whole() -> None:
    rng = random.Random(0)
    for _ in range(500):
        scene = scenes.sample(rng, KNOWN.words["objects"])
        caption = captions.caption(scene, rng)
        assert read(caption) == caption.replace(",", " ,")
        assert KNOWN.unknown(captions.plain(scene)) == []


def test_the_words_have_room_to_grow() -> None:
    assert len(WORDS) <= RESERVED
    assert [WORDS.convert_tokens_to_ids(t) for t in (START, END, PAD, COMMA)] == [0, 1, 2, 3]


def test_the_third_text_encoder_gives_one_empty_token() -> None:
    (given_,) = NoTextEncoder(192)(torch.zeros(5, 256, dtype=torch.long))
    assert given_.shape == (5, 1, 192)
    assert not given_.any()
