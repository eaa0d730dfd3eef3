"""Forms with files: what their parts hold, and what is said of forms that are none."""

import tracemalloc

import pytest

from imagemill.errors import Fault
from imagemill.http.multipart import MOST_PARTS, PIECE, Part, digest, parts, text
from imagemill.http.request_body import COPIES

pytestmark = pytest.mark.anyio

TYPE = "multipart/form-data; boundary=b"
HEAD = b'content-disposition: form-data; name="a"\r\n\r\n'
PART = b"--b\r\n" + HEAD + b"one\r\n"
END = b"--b--\r\n"


def form(*parts: bytes) -> bytes:
    return b"".join(b"--b\r\n" + each + b"\r\n" for each in parts) + END


async def test_parts_keep_their_bytes() -> None:
    content = bytes(range(256)) + b"\r\n--c\r\n--\r\n\r\n"
    file = (
        b'Content-Disposition: form-data; name="content"; filename="\xc3\xa9.png"\r\n'
        b"Content-Type: image/png\r\n\r\n" + content
    )
    found = await parts(TYPE, form(file, HEAD, HEAD + content) + b"epilogue")
    assert found == [
        Part("content", "é.png", "image/png", content),
        Part("a", None, None, b""),
        Part("a", None, None, content),
    ]


async def test_a_file_that_nobody_chose_is_none() -> None:
    """Browsers send an empty one without a name for every field of files."""
    head = b'Content-Disposition: form-data; name="mask"; filename="'
    kept = await parts(TYPE, form(head + b'"\r\n\r\n', head + b'a.png"\r\n\r\n'))
    assert kept == [Part("mask", "a.png", None, b"")]


@pytest.mark.parametrize("filename", [None, "a.png"])
def test_a_field_that_is_no_text_is_named(filename: str | None) -> None:
    """It was the body that was told not to be UTF-8."""
    with pytest.raises(Fault) as caught:
        text(Part("prompt", filename, None, b"a \xff"))
    assert caught.value.field == "prompt"
    assert "'prompt'" in caught.value.message
    assert "byte 2" in caught.value.message
    assert ("'a.png'" in caught.value.message) is (filename is not None)


async def test_a_boundary_may_be_quoted_and_followed_by_blanks() -> None:
    body = b"--x y\r\n" + HEAD + b"one\r\n--x y \t\r\n" + HEAD + b"two\r\n--x y--"
    found = await parts('multipart/form-data; charset=utf-8; boundary="x y"', body)
    assert [each.content for each in found] == [b"one", b"two"]


@pytest.mark.parametrize("more", ['x="', "charset=bogus", "charset=utf-16"])
async def test_a_value_keeps_its_bytes_whatever_else_the_content_type_says(more: str) -> None:
    (found,) = await parts(f"{TYPE}; {more}", form(HEAD + "€".encode()))
    assert found.content == "€".encode()


async def test_a_form_is_the_same_with_another_boundary() -> None:
    body = form(HEAD + b"one", HEAD + b"two")
    first = await parts(TYPE, body)
    again = await parts("Multipart/Form-Data;boundary=zz", body.replace(b"--b", b"--zz"))
    assert digest(first) == digest(again) != digest(first[:1])


async def test_a_file_is_whole_wherever_the_pieces_that_are_read_end() -> None:
    file = b'content-disposition: form-data; name="a"; filename=""\r\n\r\n'
    for size in range(PIECE - len(file) - 24, PIECE - len(file) + 8):
        content = b"\r\n--" * (size // 4) + b"\r" * (size % 4)
        found = await parts(TYPE, form(file + content, file + content * 2))
        assert [each.content for each in found] == [content, content * 2]
        assert [each.filename for each in found] == ["", ""]


@pytest.mark.parametrize("count", [1, 16])
async def test_reading_a_form_takes_no_more_memory_than_is_drawn_for_its_body(count: int) -> None:
    """It lies on disk until it is whole, as every body does."""
    file = b'content-disposition: form-data; name="a"; filename="b"\r\n\r\n'
    body = form(*[file + bytes(2**22 // count)] * count)
    tracemalloc.start()
    found = await parts(TYPE, body)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert sum(len(each.content) for each in found) == 2**22
    assert len(body) + most <= COPIES * len(body)


BROKEN: tuple[tuple[str, bytes, str], ...] = (
    ("application/json", b"{}", "send multipart/form-data"),
    ("", b"", "send multipart/form-data"),
    ("multipart/mixed; boundary=b", PART + END, "send multipart/form-data"),
    ("multipart/form-data", PART + END, "with a boundary"),
    ("multipart/form-data; boundary=", PART + END, "with a boundary"),
    ('multipart/form-data; boundary="b', PART + END, "cannot be read"),
    ("multipart/form-data; boundary=\u00e9", PART + END, "cannot be read"),
    (f"multipart/form-data; boundary={'b' * 300}", PART + END, "exceeds maximum of 256"),
    (TYPE, b"", "ends before its last boundary"),
    (TYPE, b"--b", "ends before its last boundary"),
    (TYPE, b"--b-", "ends before its last boundary"),
    (TYPE, PART, "ends before its last boundary"),
    (TYPE, PART + b"--b", "ends before its last boundary"),
    (TYPE, PART + b"--b-", "ends before its last boundary"),
    (TYPE, b"--b\r\nx: y", "ends before its last boundary"),
    (TYPE, b"--b\r\nx: y\r\n" + END, "invalid character"),
    (TYPE, b"--b\r\nno headers\r\n" + END, "invalid character"),
    (TYPE, b"--b\r\n\r\none\r\n" + END, '"name" must be provided'),
    (TYPE, b"--b\r\nx: y\r\n\r\nz\r\n" + END, '"name" must be provided'),
    (TYPE, b"--bz\r\n\r\none\r\n" + END, "cannot be read"),
    (TYPE, b"preamble\r\n" + PART + END, "cannot be read"),
    (TYPE, b"--b\r\nx: " + b"y" * 9000 + b"\r\n" + HEAD + END, "header size exceeded"),
    (TYPE, PART * (MOST_PARTS + 1) + END, f"more than {MOST_PARTS} parts; send fewer"),
)


@pytest.mark.parametrize(("content_type", "body", "told"), BROKEN)
async def test_a_form_that_is_none_is_refused(content_type: str, body: bytes, told: str) -> None:
    with pytest.raises(Fault, match=told) as caught:
        await parts(content_type, body)
    assert caught.value.field == "body"


async def test_as_many_parts_as_are_allowed_are_read() -> None:
    assert len(await parts(TYPE, PART * MOST_PARTS + END)) == MOST_PARTS
    assert await parts(TYPE, END) == []
