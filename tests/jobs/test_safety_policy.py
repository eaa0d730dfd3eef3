"""What the operator's terms find in prompts, and what becomes of what callers want."""

import pytest

from imagemill.conditions import SafetyCheck
from imagemill.errors import Fault, Kind
from imagemill.generation import Generation
from imagemill.job import Submission
from imagemill.jobs.safety_policy import SafetyMode, SafetyPolicy

TERMS = ("forbidden-word", "Two  Words", "straße", "c++", " ")


def submission(prompt: str, safety: SafetyCheck) -> Submission:
    return Submission(Generation(prompt, "a/b", 64, 64, 1, 1.0, 1, safety=safety), "pico")


@pytest.mark.parametrize(
    "prompt",
    [
        "a forbidden-word",
        "FORBIDDEN-WORD!",
        "a \uff46orbidden-word",
        "(forbidden-word)",
        "two words",
        "two\n  WORDS, and more",
        "in der STRASSE",
        "written in C++.",
    ],
)
def test_a_term_is_found_as_whole_words_in_whatever_case(prompt: str) -> None:
    with pytest.raises(Fault) as raised:
        SafetyPolicy(terms=TERMS).check(prompt)
    assert (raised.value.kind, raised.value.field) == (Kind.UNSAFE, "prompt")
    assert "say it without" in raised.value.message


@pytest.mark.parametrize(
    "prompt", ["a forbidden word", "unforbidden-word", "forbidden-words", "twowords", "c+", "a cat"]
)
def test_what_only_holds_a_term_is_another_word(prompt: str) -> None:
    SafetyPolicy(terms=TERMS).check(prompt)


def test_without_terms_every_prompt_is_allowed() -> None:
    SafetyPolicy().check("anything")
    SafetyPolicy(terms=("", " ")).check("anything")


@pytest.mark.parametrize(
    ("mode", "wanted", "after"),
    [
        ("off", True, False),
        ("off", None, False),
        ("on", True, True),
        ("on", None, None),
        ("on", False, False),
        ("always", False, True),
        ("always", None, True),
    ],
)
def test_the_operator_has_the_last_word(
    mode: SafetyMode, wanted: bool | None, after: bool | None
) -> None:
    asked = submission("a cat", SafetyCheck(wanted, 0.25, True))
    applied = SafetyPolicy(mode).applied(asked).generation.safety
    assert applied == SafetyCheck(after, 0.25, True)
