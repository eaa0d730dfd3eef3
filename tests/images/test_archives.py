"""Archives of images, as style references come in."""

import io
import zipfile

import pytest
from PIL import Image

from imagemill.errors import Fault, Kind
from imagemill.images.archives import images_in
from imagemill.images.encode import encode_png

PNG = encode_png(Image.new("RGB", (16, 16), "red"))
FIELD = "images_data_url"


def archive(*files: tuple[str, bytes], packed: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", packed) as written:
        for name, content in files:
            written.writestr(name, content)
    return out.getvalue()


def test_files_come_in_the_order_of_their_names_without_what_systems_put_beside_them() -> None:
    content = archive(
        ("b.png", b"two"), ("__MACOSX/._a.png", b"x"), ("in/.DS_Store", b"x"), ("a.png", b"one"),
        ("in/", b""), ("in/c.png", b"three"),
    )  # fmt: skip
    assert images_in(content, FIELD, 5, 100) == [b"one", b"two", b"three"]


def test_a_single_image_is_an_archive_of_one() -> None:
    assert images_in(PNG, FIELD, 5, 10**6) == [PNG]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"hello", "is text, no picture"),
        (b"", "is empty"),
        (archive(("a.png", PNG))[:-30], "is a broken ZIP archive"),
        (archive(*((f"{n}.png", PNG) for n in range(6))), "has 6 files; at most 5 images"),
        (archive(*((f"{n}/", b"") for n in range(1001))), "has 1001 entries; at most 1000"),
        (archive(("a.png", bytes(2 * 10**6))), "more than 1000000 bytes unpacked"),
    ],
)
def test_what_is_wrong_with_an_archive_is_told(content: bytes, words: str) -> None:
    with pytest.raises(Fault, match=words) as raised:
        images_in(content, FIELD, 5, 10**6)
    assert raised.value.field == FIELD
    assert raised.value.kind in (Kind.INVALID, Kind.UNREADABLE)
