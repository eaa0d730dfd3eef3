"""Tracing: an SVG shows the picture in flat shapes, is small, and is ours to read again."""

import re
import subprocess
import sys
from xml.etree import ElementTree

import numpy as np
import pytest

from imagemill.errors import Fault, Kind
from imagemill.finishing import finish, trace
from imagemill.finishing.tracing import DETAILS, MAX_BYTES, convert
from imagemill.images.decode import provenance_of, size_of
from imagemill.images.encode import encode_svg
from tests.finishing.test_finishing import BLUE, GREEN, ORANGE, Pixels, draw


def noise(width: int, height: int) -> Pixels:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def fills(svg: str) -> list[tuple[int, int, int]]:
    """Colours of the shapes, those at the bottom first."""
    found = re.findall(r'fill="#(..)(..)(..)"', svg)
    return [(int(red, 16), int(green, 16), int(blue, 16)) for red, green, blue in found]


def test_a_traced_picture_has_the_colours_of_its_shapes() -> None:
    found = np.array(fills(trace(draw())))
    assert np.abs(found[0] - BLUE).max() < 6
    for colour in (ORANGE, GREEN):
        assert np.abs(found - colour).max(1).min() < 8


@pytest.mark.parametrize(("width", "height"), [(64, 64), (203, 67), (70, 300)])
def test_a_traced_picture_has_the_size_of_the_pixels(width: int, height: int) -> None:
    root = ElementTree.fromstring(trace(draw(width, height)))
    assert root.get("viewBox") == f"0 0 {width} {height}"
    assert (root.get("width"), root.get("height")) == (str(width), str(height))


def test_tracing_gives_the_same_text_each_time() -> None:
    assert trace(draw()) == trace(draw())


@pytest.mark.parametrize("name", ["recraft/digital_illustration/grain", "recraft/icon/doodle_fill"])
def test_a_busy_picture_stays_small(name: str) -> None:
    assert len(trace(finish(draw(512, 512), name, (), filters=True))) < MAX_BYTES


def test_noise_is_traced_coarsely_and_fills_the_picture() -> None:
    svg = trace(noise(1000, 700))
    assert len(svg) < MAX_BYTES
    assert size_of(encode_svg(svg, {})) == (1000, 700)
    assert "scale(" in svg


def test_one_colour_is_one_shape() -> None:
    svg = trace(np.full((64, 64, 3), 200, np.uint8))
    assert fills(svg) == [(200, 200, 200)]


def test_provenance_goes_into_what_was_traced() -> None:
    data = encode_svg(trace(draw()), {"prompt": "a <cat> & a dog", "seed": 7})
    assert ElementTree.fromstring(data).find("{*}metadata") is not None
    assert provenance_of(data) == {"prompt": "a <cat> & a dog", "seed": 7}


def test_what_cannot_be_traced_is_our_fault() -> None:
    with pytest.raises(Fault) as caught:
        convert(b"no bitmap", DETAILS[0])
    assert caught.value.kind is Kind.FAILED


def test_reading_a_file_needs_no_tracer() -> None:
    loaded = "import sys, imagemill.images.encode; print('vtracer' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"
