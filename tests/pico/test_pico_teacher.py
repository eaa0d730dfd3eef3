"""The teacher of pico: what it draws and what it keeps from training, with an atlas of four."""

import random
from pathlib import Path

import numpy as np
import pytest

from imagemill.pico.backgrounds import BACKGROUNDS, VARIANTS
from imagemill.pico.concepts import concepts
from imagemill.pico.concepts import traits as shipped_traits
from imagemill.pico.layout import layout
from imagemill.pico.scene import COLOURS, PAINTS, PLACES, STYLES, Scene, Thing
from training.atlas import HERE, LETTERS, fitted, traits, trimmed
from training.canvas import Picture
from training.sample import Concepts, Pool, held_out, pair_held_out, sample
from training.styles import FILTERS
from training.teacher import Atlas, draw, spot

NAMES = ("cat", "horse", "hat", "apple")
SIZE = (128, 128)
FLAT = dict.fromkeys(NAMES, (1.0, 0.5, 0.4, 0.5, 0.0, 0.5))


def disc(colour: tuple[int, int, int]) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """A drawing in a cell: a shaded disc."""
    y, x = np.mgrid[-1:1:256j, -1:1:256j]
    alpha = np.clip((1 - np.hypot(x, y)) * 40, 0, 1)
    light = np.clip(0.8 - 0.3 * x - 0.3 * y, 0.2, 1)
    rgb = np.array(colour) * (light * alpha)[..., None]
    return np.concatenate([rgb, 255 * alpha[..., None]], -1).astype(np.uint8)


@pytest.fixture(scope="module")
def atlas() -> Atlas:
    cells = np.stack(
        [disc(c) for c in ((240, 150, 40), (140, 90, 60), (40, 40, 60), (220, 30, 40))]
    )
    return Atlas(cells, {name: i for i, name in enumerate(NAMES)}, dict.fromkeys(NAMES, 1.0))


def empty(size: tuple[int, int] = SIZE) -> Picture:
    rows = np.linspace(220, 120, size[1])[:, None, None]
    return np.broadcast_to(rows, (size[1], size[0], 3)).astype(np.uint8)


def drawn(scene: Scene, atlas: Atlas, seed: int = 1, size: tuple[int, int] = SIZE) -> Picture:
    placements = layout(scene, FLAT, None)
    return draw(scene, placements, seed, size, atlas=atlas, empty=empty(size))


CAT = Scene((Thing("cat"),), "meadow")


@pytest.mark.parametrize("size", [(128, 128), (192, 128), (128, 192)])
def test_a_picture_differs_from_its_background_where_a_thing_is(
    atlas: Atlas, size: tuple[int, int]
) -> None:
    picture = drawn(CAT, atlas, size=size)
    assert picture.shape == (size[1], size[0], 3)
    assert picture.dtype == np.uint8
    (placement,) = layout(CAT, FLAT, None)
    at = spot(placement, size)
    changed = (picture != empty(size)).any(-1)
    inside = changed[at.top : at.bottom, at.left : at.left + at.width]
    assert inside.mean() > 0.7
    assert changed[: at.top].sum() == 0


def test_the_same_seed_gives_the_same_bytes(atlas: Atlas) -> None:
    for style in STYLES:
        scene = Scene((Thing("cat"),), "meadow", weather="rain", style=style)
        assert (drawn(scene, atlas) == drawn(scene, atlas)).all()


def test_every_style_has_a_look_of_its_own(atlas: Atlas) -> None:
    assert set(FILTERS) == set(STYLES)
    pictures = [drawn(Scene((Thing("cat"),), "meadow", style=s), atlas) for s in STYLES]
    for i, a in enumerate(pictures):
        for b in pictures[i + 1 :]:
            assert np.abs(a.astype(int) - b).mean() > 0.3


def test_a_thing_takes_the_colour_that_is_asked_for(atlas: Atlas) -> None:
    assert set(PAINTS) == set(COLOURS)
    blue = drawn(Scene((Thing("apple", "blue"),), "studio"), atlas)[60:80, 56:72].mean((0, 1))
    red = drawn(Scene((Thing("apple"),), "studio"), atlas)[60:80, 56:72].mean((0, 1))
    assert blue[2] > blue[0] + 60
    assert red[0] > red[2] + 60


def test_night_darkens_what_stands_outdoors(atlas: Atlas) -> None:
    day = drawn(CAT, atlas)
    night = drawn(Scene((Thing("cat"),), "meadow", "night"), atlas)
    assert night.mean() < day.mean()


def test_a_drawing_is_trimmed_and_fitted_into_its_cell() -> None:
    from PIL import Image

    image = Image.new("RGBA", (300, 300))
    image.paste((200, 40, 40, 255), (100, 120, 180, 160))
    cell, aspect = fitted(image)
    assert aspect == pytest.approx(2)
    assert cell.shape == (256, 256, 4)
    assert trimmed(cell, aspect).shape == (128, 256, 4)
    assert (trimmed(cell, aspect)[10:-10, 10:-10, 3] == 255).all()
    assert (cell[:60] == 0).all()


def test_where_one_sits_and_wears_is_measured_on_the_drawing() -> None:
    cell = np.zeros((256, 256, 4), np.uint8)
    cell[100:200] = 255  # a body
    cell[0:200, 0:60] = 255  # a neck at the left
    _, _, saddle, head, top, _ = traits(cell, 1.0, "animal")
    assert saddle == pytest.approx(100 / 256, abs=0.02)
    assert head < 0.3
    assert top == 0


def test_every_drawing_of_our_own_is_there_and_every_concept_was_measured() -> None:
    rows = concepts().values()
    own = {each.source[4:] for each in rows if each.source.startswith("own:")}
    assert own == {file.stem for file in (HERE / "gaps").glob("*.svg")}
    measured = shipped_traits()
    assert [each.name for each in rows if each.name not in measured] == []
    assert all(len(numbers) == 6 for numbers in measured.values())
    assert {f"letter:{char}" for char in LETTERS} < set(measured)


CONCEPTS = Concepts.of({each.name: each.kind for each in concepts().values()})


def test_held_out_pairs_are_never_sampled() -> None:
    rng = random.Random(5)
    scenes = [sample(rng, CONCEPTS) for _ in range(600)]
    assert not any(held_out(scene) for scene in scenes)


def test_one_pair_in_twenty_is_held_out_whatever_the_order() -> None:
    names = CONCEPTS.all[:120]
    pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
    assert 0.04 < sum(pair_held_out(a, b) for a, b in pairs) / len(pairs) < 0.06
    assert all(pair_held_out(a, b) == pair_held_out(b, a) for a, b in pairs[:200])


def test_samples_show_every_place_and_style() -> None:
    rng = random.Random(6)
    scenes = [sample(rng, CONCEPTS) for _ in range(1500)]
    assert {s.place for s in scenes} == {*PLACES, ""}
    assert {s.style for s in scenes} == set(STYLES)
    assert 0.45 < sum(s.style == "3d" for s in scenes) / len(scenes) < 0.65
    assert 0.45 < sum(len(s.things) > 1 for s in scenes) / len(scenes) < 0.6
    assert any(s.title for s in scenes)
    assert any(s.closeup for s in scenes)


@pytest.mark.parametrize("place", PLACES)
def test_every_place_can_be_drawn_and_is_the_same_each_time(place: str) -> None:
    pytest.importorskip("resvg_py")
    from training.places import background

    picture = background(place, "night", "storm", 3, (96, 64))
    assert picture.shape == (64, 96, 3)
    assert (picture == background(place, "night", "storm", 3, (96, 64))).all()
    assert picture.std() > 2


def test_a_stored_pool_has_every_background_under_its_number(tmp_path: Path) -> None:
    light = np.arange(VARIANTS * len(BACKGROUNDS)) % 251
    pictures = np.broadcast_to(light[:, None, None, None], (len(light), 8, 8, 3)).astype(np.uint8)
    np.save(tmp_path / "pool-512x512.npy", pictures)
    pool = Pool.stored(str(tmp_path / "pool"), (6, 4))
    for which, scene in enumerate(Scene((), *each) for each in BACKGROUNDS[:40]):
        for variant in range(VARIANTS):
            picture = pool.empty(scene, variant)
            assert picture.shape == (4, 6, 3)
            assert (picture == light[which * VARIANTS + variant]).all()
