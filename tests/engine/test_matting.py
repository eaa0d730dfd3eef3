"""Backgrounds replaced by the embedded model: what stands in front is kept to the byte."""

import io
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from imagemill.conditions import StyleVector
from imagemill.engine import inline
from imagemill.engine.matting import Mattes, installed
from imagemill.errors import Fault, Kind
from imagemill.finishing.style_vectors import from_code
from imagemill.generation import Generation
from imagemill.pipelines.families import EMBEDDED
from imagemill.pipelines.inputs import DecodedInputs
from tests.studio import png

SIDE = 64
KEY = "image:"
Pixels = NDArray[np.uint8]


def asked(style: StyleVector | None = None, num_images: int = 1) -> Generation:
    return Generation(
        "a beach at sunset", EMBEDDED, SIDE, SIDE, 2, 1.0, seed=3, image=KEY,
        keep_foreground=True, strength=1.0, style_vector=style, num_images=num_images,
    )  # fmt: skip


def cut_out() -> tuple[Pixels, Pixels]:
    """A noisy square with transparency around it; where it is opaque."""
    image = np.zeros((SIDE, SIDE, 4), np.uint8)
    image[20:44, 16:50, :3] = np.random.default_rng(1).integers(0, 256, (24, 34, 3))
    image[20:44, 16:50, 3] = 255
    return image, image[..., 3] == 255


def painted(generation: Generation, image: bytes) -> list[Pixels]:
    files = inline.paint(generation, EMBEDDED, lambda done, steps: None, inputs={KEY: image})
    return [np.asarray(Image.open(io.BytesIO(each)).convert("RGB")) for each in files.pictures]


def in_png(pixels: Pixels) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def test_what_is_opaque_is_kept_to_the_byte_and_all_else_is_painted() -> None:
    image, opaque = cut_out()
    (first, second) = painted(asked(num_images=2), in_png(image))
    for result in (first, second):
        assert np.array_equal(result[opaque], image[opaque][:, :3])
        assert (result[~opaque] > 20).any(1).mean() > 0.9, "what was clear is painted"
    assert (first != second).any(), "each has a background of its own"


def test_a_style_changes_the_background_alone() -> None:
    image, opaque = cut_out()
    (plain,), (grey,) = (
        painted(asked(style), in_png(image)) for style in (None, from_code("8408800f"))
    )
    assert np.array_equal(grey[opaque], image[opaque][:, :3])
    assert np.ptp(grey[~opaque], axis=1).max() <= 2 < np.ptp(plain[~opaque], axis=1).max()


def test_an_image_of_one_colour_has_no_foreground_and_is_told_so() -> None:
    with pytest.raises(Fault, match="nothing stands out from its background") as raised:
        painted(asked(), png(np.full((SIDE, SIDE, 3), 128, np.uint8)))
    assert (raised.value.kind, raised.value.field) == (Kind.UNREADABLE, "image")


def test_weights_that_cannot_be_read_fail_the_one_who_wants_them(tmp_path: Path) -> None:
    (broken := tmp_path / "matte.onnx").write_bytes(b"no network")
    decoded = DecodedInputs(picture=np.zeros((SIDE, SIDE, 3), np.uint8))
    with pytest.raises(Fault, match="could not be looked for") as raised:
        Mattes(str(broken)).applied(asked(), decoded)
    assert raised.value.kind is Kind.FAILED
    assert str(tmp_path) not in raised.value.message


def test_weights_of_an_installed_package_are_found_without_importing_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "rembg"
    package.mkdir()
    (package / "__init__.py").write_text("raise ImportError('of another world')")
    (package / "u2netp.onnx").write_bytes(b"")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert installed() == str(package / "u2netp.onnx")
    assert "rembg" not in sys.modules
