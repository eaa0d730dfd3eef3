"""Foregrounds, kept to the byte before another background."""

import numpy as np
import pytest
from numpy.typing import NDArray

from imagemill.errors import Fault, Kind
from imagemill.pipelines.cutouts import cut_out

SIDE = 32
RED, GREEN, BLUE = (200, 20, 10), (10, 180, 30), (20, 30, 220)


def square(soft: float = 0.5) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """A red square before green, with an edge that is a mixture, and its alpha."""
    alpha = np.zeros((SIDE, SIDE), np.float32)
    alpha[7:25, 7:25] = soft
    alpha[8:24, 8:24] = 1
    mixed = alpha[..., None] * RED + (1 - alpha[..., None]) * GREEN
    return mixed.round().astype(np.uint8), alpha


def test_where_the_foreground_is_whole_its_bytes_are_kept() -> None:
    image, alpha = square()
    image[10:20, 10:20] = np.random.default_rng(0).integers(0, 256, (10, 10, 3))
    placed = cut_out(image, alpha).before(np.full_like(image, BLUE))
    assert np.array_equal(placed[alpha == 1], image[alpha == 1])
    assert (placed[alpha == 0] == BLUE).all()


def test_soft_edges_have_nothing_of_the_old_background_left() -> None:
    image, alpha = square()
    placed = cut_out(image, alpha).before(np.full_like(image, BLUE))
    edge = placed[7, 12].astype(int)
    assert np.abs(edge - (0.5 * np.array(RED) + 0.5 * np.array(BLUE))).max() < 8
    assert edge[1] < 40, "green was the old background's"


@pytest.mark.parametrize(("covered", "words"), [(0.0, "nothing stands out"), (1.0, "all over")])
def test_an_image_without_a_foreground_or_a_background_is_refused(
    covered: float, words: str
) -> None:
    image, alpha = square()
    with pytest.raises(Fault, match=words) as raised:
        cut_out(image, np.full_like(alpha, covered))
    assert (raised.value.kind, raised.value.field) == (Kind.UNREADABLE, "image")


def test_what_is_painted_is_all_but_the_whole_foreground() -> None:
    image, alpha = square()
    assert np.array_equal(cut_out(image, alpha).mask == 0, alpha == 1)
