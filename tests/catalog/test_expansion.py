"""Prompt expansion: what it adds, what it must never add, and what happens when a chat fails."""

import asyncio
import itertools
import json
import logging
import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagemill.catalog.expansion import MAX_ADDED, PHRASES, expand, expand_by_chat
from imagemill.pico.reading import read
from imagemill.pico.scene import Scene
from imagemill.value_checks import MAX_PROMPT

SEEDS = st.integers(0, 2**64 - 1)
PHRASES_OF = {
    kind: [phrases[kind] for phrases in PHRASES.values()] for kind in ("person", "place", "object")
}
ALL = [phrase for of_kind in PHRASES.values() for each in of_kind.values() for phrase in each]
KEY = "not-for-the-log"


def chat(prompt: str, answer: Any, key: str | None = KEY) -> tuple[str, list[Any]]:
    """What becomes of a prompt when a chat model answers so, and what it was sent."""
    sent: list[Any] = []

    async def post(url: str, body: dict[str, Any], headers: dict[str, str]) -> dict[str, Any]:
        sent.append((url, body, headers))
        if isinstance(answer, Exception):
            raise answer
        reply: dict[str, Any] = answer
        return reply

    url = "https://chat.example.com/v1/"
    return asyncio.run(expand_by_chat(prompt, 2**40 + 3, url, key, "a-model", post)), sent


def said(text: Any) -> dict[str, Any]:
    return {"choices": [{"message": {"role": "assistant", "content": text}}]}


@given(st.text(max_size=300), SEEDS)
def test_the_prompt_stays_in_front_and_little_is_added(prompt: str, seed: int) -> None:
    expanded = expand(prompt, seed)
    assert expanded.startswith(prompt)
    assert len(expanded) - len(prompt) <= MAX_ADDED


@given(st.sampled_from(["a red cat", "a woman", "a city", "日本の猫"]), SEEDS)
def test_the_same_seed_gives_the_same_words(prompt: str, seed: int) -> None:
    assert expand(prompt, seed) == expand(prompt, seed)


def test_what_a_seed_gives_does_not_change_between_versions() -> None:
    assert expand("a red cat", 0) == (
        "a red cat, a balanced composition with a clear centre of interest, clear light that "
        "brings out volume, crisp edges and careful detail"
    )


def test_other_seeds_give_other_words() -> None:
    assert len({expand("a red cat", seed) for seed in range(50)}) > 20


@pytest.mark.parametrize(
    ("prompt", "kind"),
    [
        ("a red cat", "object"),
        ("an old woman in a street", "person"),
        ("two Soldiers", "person"),
        ("mountains behind a lake", "place"),
        ("日本の猫", "object"),
    ],
)
def test_what_is_added_suits_what_is_shown(prompt: str, kind: str) -> None:
    for seed in range(8):
        added = expand(prompt, seed).removeprefix(prompt).removeprefix(", ")
        parts = [", ".join(parts) for parts in itertools.product(*PHRASES_OF[kind])]
        assert added in parts


@pytest.mark.parametrize(
    ("prompt", "missing"),
    [
        ("a close-up of a bee", 0),
        ("a castle at night", 1),
        ("a lamp with soft shadows", 1),
        ("a pixel cat", 2),
    ],
)
def test_what_the_prompt_has_said_is_not_said_again(prompt: str, missing: int) -> None:
    of_slot = [{phrase for each in kinds.values() for phrase in each} for kinds in PHRASES.values()]
    for seed in range(8):
        added = expand(prompt, seed).removeprefix(prompt)
        told = [any(phrase in added for phrase in phrases) for phrases in of_slot]
        assert told == [slot != missing for slot in range(3)]


def test_a_prompt_that_says_everything_stays_as_it_is() -> None:
    prompt = "close-up of a bee, soft light, fine detail"
    assert expand(prompt, 1) == prompt


@pytest.mark.parametrize(
    ("prompt", "joined"),
    [("a cat", "a cat, "), ("A cat.", "A cat. "), ("a cat ", "a cat "), ("Cats!", "Cats! ")],
)
def test_what_is_added_goes_on_from_the_prompt_s_end(prompt: str, joined: str) -> None:
    expanded = expand(prompt, 3)
    assert expanded.startswith(joined)
    first = expanded.removeprefix(joined)[0]
    assert first.isupper() == (prompt[-1] in ".!")


@pytest.mark.parametrize("phrase", ALL)
def test_no_phrase_brings_a_thing_a_colour_a_number_or_a_negation(phrase: str) -> None:
    words = set(re.findall(r"[a-z]+", phrase))
    scene = read(phrase).scene
    assert scene == replace(Scene(), place=scene.place)
    assert not words & {"no", "not", "never", "without", "none", "free", "lacking", "empty"}
    # "And a" is where the embedded model begins another thing.
    assert not re.search(r"\band (a|an|one)\b", phrase)
    assert phrase == phrase.lower().strip(" ,.")


def test_the_longest_expansion_fits() -> None:
    for slots in PHRASES_OF.values():
        longest = sum(max(map(len, phrases)) + 2 for phrases in slots)
        assert longest <= MAX_ADDED


@given(st.integers(MAX_PROMPT - MAX_ADDED, MAX_PROMPT), SEEDS)
def test_a_prompt_never_grows_beyond_what_is_read(length: int, seed: int) -> None:
    prompt = "a" * length
    expanded = expand(prompt, seed)
    assert expanded.startswith(prompt)
    assert len(expanded) <= MAX_PROMPT


def test_a_chat_model_is_asked_as_openai_s_is() -> None:
    expanded, sent = chat("a red cat", said("in soft light,\nseen from near "))
    assert expanded == "a red cat, in soft light, seen from near"
    ((url, body, headers),) = sent
    assert url == "https://chat.example.com/v1/chat/completions"
    assert headers == {"authorization": f"Bearer {KEY}"}
    assert (body["model"], body["seed"]) == ("a-model", 2**40 % 2**31 + 3)
    assert [each["role"] for each in body["messages"]] == ["system", "user"]
    assert body["messages"][1]["content"] == "a red cat"
    assert json.loads(json.dumps(body)) == body


def test_without_a_key_none_is_sent() -> None:
    _, sent = chat("a red cat", said("in soft light"), key=None)
    assert sent[0][2] == {}


def test_a_chat_model_that_repeats_the_prompt_is_understood() -> None:
    assert chat("a red cat", said("a red cat, in soft light"))[0] == "a red cat, in soft light"


@pytest.mark.parametrize("text", ["word " * 500, "w" * 5000, "soft light, " * 99, "光" * 900])
def test_a_chat_model_that_says_too_much_is_cut_short(text: str) -> None:
    expanded, _ = chat("a red cat", said(text))
    assert expanded.startswith("a red cat, ")
    assert MAX_ADDED - 30 < len(expanded.removeprefix("a red cat")) <= MAX_ADDED
    assert expanded[-1] not in " ,"


def test_a_chat_model_adds_nothing_where_there_is_no_room() -> None:
    for left in range(8):
        prompt = "a" * (MAX_PROMPT - left)
        expanded, _ = chat(prompt, said("soft light"))
        assert expanded.startswith(prompt)
        assert len(expanded) <= MAX_PROMPT


@pytest.mark.parametrize(
    "answer",
    [
        TimeoutError("too slow"),
        ValueError(f"401 for {KEY}"),
        {},
        {"choices": []},
        {"choices": [{}]},
        {"error": {"message": "overloaded"}},
        said(None),
        said(""),
        said(" \n, "),
        said(["text"]),
        said("half a pair \ud800"),
        [],
        None,
    ],
)
def test_a_chat_model_that_fails_leaves_it_to_the_grammar(
    answer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        expanded, _ = chat("a red cat", answer)
    assert expanded == expand("a red cat", 2**40 + 3)
    (record,) = caplog.records
    assert "the chat model failed" in record.getMessage()
    assert KEY not in caplog.text
    assert "red cat" not in caplog.text


def test_a_cancelled_expansion_is_cancelled() -> None:
    async def post(url: str, body: dict[str, Any], headers: dict[str, str]) -> dict[str, Any]:
        raise asyncio.CancelledError

    async def ask() -> str:
        return await expand_by_chat("a cat", 1, "https://chat.example.com", None, "m", post)

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(ask())
