"""Drawings of others keep their shapes and colours, and lose all that could act."""

import pytest

from imagemill.errors import Fault, Kind
from imagemill.images.decode import size_of
from imagemill.images.drawings import is_drawing, redrawn

SPACE = 'xmlns="http://www.w3.org/2000/svg"'


def drawn(inner: str, head: str = 'viewBox="0 0 40 30"') -> str:
    return redrawn(f"<svg {SPACE} {head}>{inner}</svg>".encode(), "image").decode()


def test_shapes_and_colours_stay() -> None:
    inner = (
        '<defs><linearGradient id="a"><stop offset="0" stop-color="#f00"/></linearGradient></defs>'
        '<g transform="scale(2)"><path d="M0 0L9 9z" style="fill:url(#a); stroke : red"/></g>'
    )
    whole = drawn(inner)
    for part in ('d="M0 0L9 9z"', 'fill="url(#a)"', 'stroke="red"', 'transform="scale(2)"',
                 'id="a"', 'stop-color="#f00"'):  # fmt: skip
        assert part in whole
    assert size_of(whole.encode()) == (40, 30)


def test_a_size_without_a_box_is_one() -> None:
    assert size_of(drawn("", 'width="64px" height="48"').encode()) == (64, 48)


@pytest.mark.parametrize(
    ("inner", "trap"),
    [
        ("<script>alert(1)</script>", "alert"),
        ('<rect onload="alert(1)" width="1"/>', "alert"),
        ('<image href="http://a/x.png"/>', "http://a"),
        ('<a href="javascript:alert(1)"><rect width="1"/></a>', "alert"),
        ('<rect fill="url(http://a/x.svg#b)"/>', "http://a"),
        ('<rect style="fill:url( http://a )"/>', "http://a"),
        ("<style>@import url(http://a)</style>", "http://a"),
        ("<foreignObject><p xmlns='http://www.w3.org/1999/xhtml'>hi</p></foreignObject>", "hi"),
        ('<use href="#a"/>', "use"),
        ('<set attributeName="href" to="javascript:alert(1)"/>', "alert"),
    ],
)
def test_what_could_act_is_left_out(inner: str, trap: str) -> None:
    whole = drawn(inner + '<circle r="3"/>')
    assert trap not in whole
    assert '<circle r="3">' in whole


@pytest.mark.parametrize(
    "text",
    [
        f'<!DOCTYPE svg [<!ENTITY a "b">]><svg {SPACE} viewBox="0 0 1 1">&a;</svg>',
        f'<svg {SPACE} viewBox="0 0 4 4"><g></svg>',
        "<svg/>",
        f"<svg {SPACE}/>",
        f'<svg {SPACE} viewBox="0 0 1e9 4"/>',
        f'<svg {SPACE} viewBox="0 0 4 4">{"<g/>" * 50_001}</svg>',
    ],
)
def test_what_is_none_is_refused(text: str) -> None:
    with pytest.raises(Fault) as caught:
        redrawn(text.encode(), "image")
    assert caught.value.kind is Kind.UNREADABLE


def test_a_drawing_is_known_by_how_it_begins() -> None:
    assert is_drawing(b'\xef\xbb\xbf<?xml version="1.0"?>\n<!-- by hand -->\n<svg/>')
    assert not is_drawing(b"\x89PNG")
    assert not is_drawing(b"<html><svg/></html>")
