"""What comes with a generation, and its ways between picture and canvas. No torch."""

from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from imagemill.errors import Fault, Kind
from imagemill.generation import Generation, Lora, LoraFile
from imagemill.pipelines.calls import PipelineCall
from imagemill.pipelines.inputs import (
    NOTHING,
    cellwise,
    finished,
    pasted,
    placed,
    placed_mask,
    read,
)

ASKED = Generation("a red cat", "m", 96, 64, 10, 4.0, seed=1, image="image")


def noise(*shape: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def png(pixels: NDArray[np.uint8]) -> bytes:
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "png")
    return buffer.getvalue()


def test_a_picture_of_the_size_asked_for_is_read_as_it_is() -> None:
    pixels = noise(64, 96, 3)
    found = read(ASKED, {"image": png(pixels)})
    assert found.picture is not None
    assert np.array_equal(found.picture, pixels)
    assert found.mask is None


def test_another_size_is_scaled_to_cover_and_cut_about_the_middle() -> None:
    pixels = np.zeros((64, 192, 3), np.uint8)
    pixels[:, 48:144] = 200
    found = read(ASKED, {"image": png(pixels)})
    assert found.picture is not None
    assert found.picture.shape == (64, 96, 3)
    assert (found.picture == 200).all()


def test_what_is_transparent_is_white() -> None:
    pixels = np.zeros((64, 96, 4), np.uint8)
    pixels[:, :48, 3] = 255
    found = read(ASKED, {"image": png(pixels)})
    assert found.picture is not None
    assert (found.picture[:, :48] == 0).all()
    assert (found.picture[:, 48:] == 255).all()


def test_a_mask_goes_the_way_of_its_image() -> None:
    mask = np.zeros((32, 96), np.uint8)  # half the size of its image
    mask[:, 48:] = 255
    inputs = {"image": png(noise(64, 192, 3)), "mask": png(mask)}
    found = read(replace(ASKED, mask="mask"), inputs)
    assert found.mask is not None
    assert found.mask.shape == (64, 96)
    assert (found.mask[:, :46] == 0).all()
    assert (found.mask[:, 50:] == 255).all()


def test_loras_are_in_one_order_and_those_of_scale_0_are_left_out() -> None:
    inputs = {name: LoraFile(Path(name), f"digest of {name}", 1) for name in "abc"}
    loras = (Lora("a", 0.5), Lora("b", 1.0), Lora("c", 0.0))
    one = read(replace(ASKED, image=None, loras=loras), inputs)
    other = read(replace(ASKED, image=None, loras=loras[::-1]), inputs)
    assert one == other
    assert {each.digest for each in one.weights} == {"digest of a", "digest of b"}
    assert read(replace(ASKED, image=None), {}) == NOTHING


@pytest.mark.parametrize("content", [b"", b"no picture", png(noise(64, 96, 3))[:-400]])
def test_a_broken_picture_is_told_with_its_field(content: bytes) -> None:
    with pytest.raises(Fault) as raised:
        read(ASKED, {"image": content})
    assert (raised.value.kind, raised.value.field) == (Kind.UNREADABLE, "image")


@given(st.integers(1, 96), st.integers(1, 64))
def test_what_is_placed_on_a_canvas_is_found_there_again(width: int, height: int) -> None:
    pixels, call = noise(height, width, 3), PipelineCall("repaint", 96, 64, 1, 1, (width, height))
    canvas = placed(pixels, call)
    assert canvas.shape == (64, 96, 3)
    assert np.array_equal(finished(canvas, call, (width, height)), pixels)


def test_around_a_placed_picture_its_edges_go_on_and_nothing_is_repainted() -> None:
    call = PipelineCall("inpaint", 96, 64, 1, 1, (80, 64))
    canvas = placed(noise(64, 80, 3), call)
    assert (canvas[:, :8] == canvas[:, 8:9]).all()
    mask = placed_mask(np.full((64, 80), 255, np.uint8), call)
    assert (mask[:, :8] == 0).all()
    assert (mask[:, 8:88] == 255).all()


def test_a_cell_is_repainted_where_any_of_its_pixels_is() -> None:
    mask = np.zeros((32, 48), np.uint8)
    mask[15, 16] = 255
    mask[20, 40] = 100
    cells = cellwise(mask, 16)
    assert (cells[:16, 16:32] == 255).all()
    assert int(cells.sum()) == 255 * 256


@given(st.integers(0, 2**32 - 1), st.sampled_from([16, 64, 300]))
def test_what_is_kept_is_kept_to_the_byte_and_what_is_painted_is_seen(seed: int, side: int) -> None:
    generator = np.random.default_rng(seed)
    original, painted = (
        generator.integers(0, 256, (side, side, 3), dtype=np.uint8) for _ in range(2)
    )
    mask = np.zeros((side, side), np.uint8)
    mask[side // 4 :, : side // 2] = 255
    mixed = pasted(original, painted, mask)
    assert np.array_equal(mixed[mask == 0], original[mask == 0])
    inner = np.s_[side // 4 + 6 :, : side // 2 - 6]
    assert np.array_equal(mixed[inner], painted[inner])
    assert np.array_equal(pasted(original, original, mask), original)
