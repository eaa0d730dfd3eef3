"""Where pico's drawings stand: relations hold, counts are right, everything is on the picture."""

import random
from collections.abc import Mapping, Sequence

import pytest

from imagemill.pico.clusters import EYES, LOWER, NECK
from imagemill.pico.concepts import concepts
from imagemill.pico.layout import GROUND, HORIZON, layout, place_of, usual_place
from imagemill.pico.scene import PLACEMENTS, PLACES, RELATIONS, Placement, Scene, Thing
from imagemill.pico.sizes import (
    ALOFT,
    DIVERS,
    FLYERS,
    NAMED,
    RIDDEN,
    SEATS,
    SHELTERS,
    SWIMMERS,
    TABLES,
)  # fmt: skip

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!?.,&'-"
TRAITS: Mapping[str, Sequence[float]] = {
    "horse": (1.2, 0.5, 0.4, 0.15, 0.0, 0.3),
    "cat": (0.9, 0.5, 0.3, 0.25, 0.1, 0.4),
    "astronaut": (0.8, 0.5, 0.2, 0.5, 0.0, 0.6),
    "table": (1.6, 0.5, 0.0, 0.5, 0.0, 1.0),
} | {f"letter:{char}": (0.7, 0.75, 0.02, 1.1, 0.0, 0.0) for char in LETTERS}
SIZES = ((1.0, 1.0), (1.5, 1.0), (1.0, 1.5))  # width and height in units of the shorter side

Rectangle = tuple[float, float, float, float]


def rectangle(p: Placement, size: tuple[float, float] = (1.0, 1.0)) -> Rectangle:
    """Left, top, right, bottom on a picture of that size."""
    x, y = p.anchor_x * size[0] + p.dx, p.anchor_y * size[1] + p.dy
    return x - p.width / 2, y - p.height / 2, x + p.width / 2, y + p.height / 2


def overlap(a: Rectangle, b: Rectangle) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def related(child: str, relation: str, host: str, place: str = "meadow") -> dict[str, Rectangle]:
    scene = Scene((Thing(host), Thing(child, relation=relation, of=0)), place)
    return {p.concept: rectangle(p) for p in layout(scene, TRAITS, None)}


def middle(r: Rectangle) -> tuple[float, float]:
    return (r[0] + r[2]) / 2, (r[1] + r[3]) / 2


def random_scene(rng: random.Random, place: str) -> Scene:
    names = sorted(concepts())
    things = tuple(
        Thing(
            rng.choice(names),
            count=rng.choice((1, 1, 1, 2, 3, 6)),
            size=rng.choice((1.0, 1.0, 0.45, 1.6)),
            relation=rng.choice(("", *RELATIONS)) if i else "",
            of=rng.randrange(i) if i else None,
            letters=rng.choice(("", "", "", "Open 24")),
        )
        for i in range(rng.randint(0, 4))
    )
    title = rng.choice(("", "", "Happy Birthday"))
    return Scene(things, place, title=title, closeup=rng.random() < 0.2)


def test_a_rider_sits_on_the_saddle_and_behind_its_mount() -> None:
    scene = Scene((Thing("horse"), Thing("astronaut", relation="rides", of=0)), "meadow")
    rider, mount = layout(scene, TRAITS, None)
    assert (rider.concept, mount.concept) == ("astronaut", "horse")
    _, top, _, bottom = rectangle(mount)
    saddle = top + 0.4 * (bottom - top)
    _, _, _, foot = rectangle(rider)
    assert saddle <= foot <= saddle + 0.25 * rider.height


def test_a_hat_is_on_the_head() -> None:
    found = related("hat", "wears", "cat")
    cat, hat = found["cat"], found["hat"]
    head = cat[0] + 0.25 * (cat[2] - cat[0])
    assert hat[0] < head < hat[2]
    assert hat[1] < cat[1]
    assert hat[3] == pytest.approx(cat[1] + 0.1 * (cat[3] - cat[1]), abs=0.1)


def test_a_hat_on_a_rider_goes_with_it() -> None:
    things = (
        Thing("horse"),
        Thing("astronaut", relation="rides", of=0),
        Thing("hat", relation="wears", of=1),
    )
    found = {p.concept: rectangle(p) for p in layout(Scene(things, "meadow"), TRAITS, None)}
    assert found["hat"][1] < found["astronaut"][1] < found["horse"][1]


@pytest.mark.parametrize("relation", ["above", "flies over"])
def test_what_is_above_ends_where_the_other_begins(relation: str) -> None:
    found = related("bird", relation, "horse")
    assert found["bird"][3] < found["horse"][1]


def test_what_is_on_a_table_stands_on_its_top() -> None:
    found = related("cat", "on", "table")
    height = found["cat"][3] - found["cat"][1]
    assert found["cat"][3] == pytest.approx(found["table"][1], abs=0.1 * height)


def test_what_is_under_a_table_is_lower_than_its_top() -> None:
    found = related("cat", "under", "table")
    assert found["cat"][1] > middle(found["table"])[1] - 0.1
    assert found["cat"][3] >= found["table"][3]


def test_what_is_beside_does_not_overlap() -> None:
    found = related("cat", "beside", "horse")
    assert not overlap(found["cat"], found["horse"])


def test_what_is_held_is_at_the_side_and_before_the_holder() -> None:
    scene = Scene((Thing("astronaut"), Thing("apple", relation="holds", of=0)), "meadow")
    holder, held = layout(scene, TRAITS, None)
    assert (holder.concept, held.concept) == ("astronaut", "apple")
    assert middle(rectangle(held))[0] < middle(rectangle(holder))[0]
    assert overlap(rectangle(held), rectangle(holder))


def test_who_is_at_a_table_is_behind_it_and_looks_over_it() -> None:
    scene = Scene((Thing("table"), Thing("woman", relation="at", of=0)), "kitchen")
    woman, table = layout(scene, TRAITS, None)
    assert (woman.concept, table.concept) == ("woman", "table")
    assert rectangle(woman)[1] < rectangle(table)[1] < rectangle(woman)[3]


@pytest.mark.parametrize("count", range(1, 7))
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("concept", ["horse", "cat", "bird", "castle", "snake"])
def test_as_many_as_are_asked_for_without_overlap(
    count: int, size: tuple[float, float], concept: str
) -> None:
    scene = Scene((Thing(concept, count=count),), "meadow")
    for rng in (None, random.Random(count)):
        found = [rectangle(p, size) for p in layout(scene, TRAITS, rng)]
        assert len(found) == count
        assert not any(overlap(a, b) for i, a in enumerate(found) for b in found[i + 1 :])


def test_what_stands_alone_stands_on_the_ground_of_every_place() -> None:
    for place in PLACES:
        assert HORIZON[place] <= 1
        if place not in ("sea", "space", "sky", "underwater"):
            (p,) = layout(Scene((Thing("horse"),), place), TRAITS, None)
            assert rectangle(p)[3] == pytest.approx(GROUND[place])
            assert p.anchor_y == pytest.approx(GROUND[place])


def test_everything_is_on_the_picture_whatever_its_shape() -> None:
    rng = random.Random(3)
    for n in range(400):
        scene = random_scene(rng, PLACES[n % len(PLACES)])
        found = layout(scene, TRAITS, rng if n % 2 else None)
        assert len(found) <= PLACEMENTS
        for size in SIZES:
            for p in found:
                left, top, right, bottom = rectangle(p, size)
                assert left < size[0]
                assert right > 0
                assert top < size[1]
                assert bottom > 0
                x, y = (left + right) / 2, (top + bottom) / 2
                assert -0.1 < x < size[0] + 0.1, (scene, p)
                assert -0.1 < y < size[1] + 0.1, (scene, p)


def test_the_same_scene_gives_the_same_placements() -> None:
    rng = random.Random(4)
    for place in PLACES:
        scene = random_scene(rng, place)
        assert layout(scene, TRAITS, None) == layout(scene, TRAITS, None)
        assert layout(scene, TRAITS, random.Random(1)) == layout(scene, TRAITS, random.Random(1))


def test_chance_moves_things_a_little() -> None:
    scene = Scene((Thing("horse"), Thing("cat")), "meadow")
    assert layout(scene, TRAITS, random.Random(1)) != layout(scene, TRAITS, random.Random(2))


def test_a_title_is_written_above_everything_in_order() -> None:
    found = layout(Scene((Thing("cat"),), "meadow", title="Hi Tom!"), TRAITS, None)
    letters = [p for p in found if p.concept.startswith("letter:")]
    assert "".join(p.concept[-1] for p in letters) == "HiTom!"
    assert [p.dx for p in letters] == sorted(p.dx for p in letters)
    lowest = max(rectangle(p)[3] for p in letters)
    assert lowest < min(rectangle(p)[1] for p in found if p.concept == "cat")


def test_letters_on_a_thing_are_within_it_and_before_it() -> None:
    found = layout(Scene((Thing("horse", letters="fal"),), "meadow"), TRAITS, None)
    assert [p.concept for p in found] == ["horse", "letter:f", "letter:a", "letter:l"]
    left, top, right, bottom = rectangle(found[0])
    for p in found[1:]:
        a, b, c, d = rectangle(p)
        assert left < a < c < right
        assert top < b < d < bottom


def test_a_closeup_fills_the_picture() -> None:
    (p,) = layout(Scene((Thing("horse"),), "meadow", closeup=True), TRAITS, None)
    assert max(p.width, p.height) > 0.9


def test_things_that_refer_to_each_other_in_a_circle_stand_side_by_side() -> None:
    things = (Thing("cat", relation="on", of=1), Thing("horse", relation="on", of=0))
    assert len(layout(Scene(things, "meadow"), TRAITS, None)) == 2


def test_a_relation_to_nothing_is_ignored() -> None:
    assert len(layout(Scene((Thing("cat", relation="on", of=7),)), TRAITS, None)) == 1


def test_the_usual_place_is_that_of_the_first_thing_that_has_one() -> None:
    assert usual_place((Thing("whale"),)) in ("sea", "underwater")
    assert usual_place((Thing("no such thing"),)) == "studio"
    assert place_of(Scene((Thing("whale"),), "kitchen")) == "kitchen"


def test_facts_about_sizes_name_concepts_that_exist() -> None:
    named = set(NAMED) | FLYERS | ALOFT | SWIMMERS | DIVERS | set(SEATS) | set(RIDDEN)
    named |= SHELTERS | TABLES | EYES | NECK | LOWER
    assert sorted(named - set(concepts())) == []
