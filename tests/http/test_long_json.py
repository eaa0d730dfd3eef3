"""Long JSON: read in pieces, it is what it is when read at once."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagemill.errors import Fault
from imagemill.http import json_body
from imagemill.http.long_json import MOST_QUOTES, MOST_REST, SHORT, decoded, exceeds, loads

LONG = "A" * SHORT
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.text('\\"u/dD8cC\n😀', max_size=40),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=30), inner, max_size=4)
    ),
)


def constant(name: str) -> Any:
    raise ValueError(name)


def in_pieces(text: str, piece: int = 24) -> Any:
    return loads(text, dict, constant, short=0, long=3, piece=piece)


@given(VALUES, st.booleans(), st.sampled_from([None, 1]), st.integers(24, 40))
def test_every_value_is_read_as_at_once(
    value: Any, escaped: bool, indent: int | None, piece: int
) -> None:
    text = json.dumps(value, ensure_ascii=escaped, indent=indent)
    assert in_pieces(text, piece) == json.loads(text)


@given(st.text('\\"ud8cCbB/0n😀,:{}[] \x01', max_size=80))
def test_every_text_is_refused_as_at_once(inner: str) -> None:
    for text in (inner, f'"{inner}"', f'{{"a": "{inner}"}}'):
        assert outcome(in_pieces, text) == outcome(json.loads, text)


def outcome(read: Any, text: str) -> Any:
    try:
        return read(text)
    except json.JSONDecodeError:  # of several errors, it may be another that is told of
        return json.JSONDecodeError


def test_halves_of_a_pair_that_two_pieces_could_have_stay_together() -> None:
    for before in range(40):
        text = json.dumps("x" * before + "😀" * 10 + "\\" * before + "😀")
        assert in_pieces(text) == json.loads(text)


@given(st.text(), st.integers(1, 5), st.booleans())
def test_every_text_is_decoded_as_at_once(text: str, piece: int, marked: bool) -> None:
    body = text.encode("utf-8-sig" if marked else "utf-8", "replace")
    assert decoded(body, piece) == body.decode("utf-8-sig")


@given(st.binary(max_size=30), st.integers(4, 8))
def test_a_byte_that_is_no_text_is_told_by_its_place(body: bytes, piece: int) -> None:
    def place(decode: Any) -> Any:
        try:
            return decode()
        except UnicodeDecodeError as error:
            return error.start

    assert place(lambda: decoded(body, piece)) == place(lambda: body.decode("utf-8"))


def test_a_long_body_keeps_its_strings_and_its_names() -> None:
    value = {"image": f"{LONG}==", "of": [[f"{LONG}\n"], {LONG: LONG}], "n": 1}
    assert json_body.parse(json.dumps(value)) == value


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ('{"a": "%s" 1}', "Expecting ',' delimiter at line 1, column"),
        ('{"a": 1, "b": "%s", "a": 1}', "the same name twice"),
        ('{"%s": 1, "%s": 1}', "the same name twice"),
        ('{"a": "%s", "b": NaN}', "NaN is not JSON"),
        ('["%s", ' + "1" * 5000 + "]", "an integer of thousands of digits"),
        ('["%s\n"]', "Invalid control character"),
        ('["%s\\x"]', "Invalid \\escape"),
        ('["%s', "Unterminated string"),
        ('["%s" ' + " " * MOST_REST + "]", f"at most {MOST_REST} are read"),
        ('["' + '\\"' * MOST_QUOTES + '%s"]', f"more than {MOST_QUOTES} quotes"),
        ('["%s' + "\\" * 2000 + '"]', "1024 backslashes in a row, or more"),
        ("[1." + "1" * MOST_REST + ', "%s"]', f"at most {MOST_REST} are read"),
    ],
)
def test_what_is_wrong_with_a_long_body_is_told(body: str, told: str) -> None:
    with pytest.raises(Fault) as caught:
        json_body.parse(body.replace("%s", LONG))
    assert told in caught.value.message
    assert len(caught.value.message) < 300


def test_backslashes_in_a_row_are_read_as_they_are() -> None:
    text = json.dumps("\\" * 300 + '"' + LONG)
    assert json_body.parse(text) == json.loads(text)


def test_the_place_of_an_error_behind_a_long_string_is_that_in_the_body() -> None:
    body = f'{{"a": "{LONG}",\n "b" 1}}'
    with pytest.raises(Fault, match=r"line 2, column 6"):
        json_body.parse(body)


@pytest.mark.parametrize("piece", [1, 2, 5, 100])
def test_signs_are_counted_across_pieces(piece: int) -> None:
    text = '[1, {"a": [2]}]'
    assert exceeds(text, "[{", 2, piece)
    assert not exceeds(text, "[{", 3, piece)
    assert not exceeds("", "[{", 0, piece)
