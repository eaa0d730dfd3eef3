"""Styles that callers make of images: whose they are, how long they live, what they are made of."""

import io
from collections.abc import AsyncIterator
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from imagemill.conditions import StyleVector
from imagemill.errors import Fault, Kind
from imagemill.finishing.style_vectors import distance, measure
from imagemill.generation import Generation
from imagemill.jobs.styles import MOST_BYTES, Styles, check_references, vector_of
from imagemill.store.styles import StyleTable
from tests.clocks import Clock
from tests.databases import Opened
from tests.databases import database as database
from tests.databases import database_url as database_url
from tests.databases import postgres as postgres

pytestmark = pytest.mark.anyio

FIELD = "images"
ASKED = Generation("a cat", "m/m", 64, 64, 1, 1.0, 1, style_id="?")


def image(*colour: int, kind: str = "PNG") -> bytes:
    pixels = np.full((64, 64, 3), colour, np.uint8)
    pixels[16:48, 16:48] //= 2
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind)
    return out.getvalue()


RED, BLUE = image(220, 60, 40), image(40, 60, 220)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def styles(database: Opened, clock: Clock) -> AsyncIterator[Styles]:
    async with database() as opened:
        yield Styles(StyleTable(opened), clock, age=60)


async def test_a_style_is_found_by_its_caller_on_any_server_until_it_is_old(
    styles: Styles, clock: Clock
) -> None:
    made = await styles.make([RED], FIELD, "me", "recraft/icon")
    other = replace(styles)  # as on another server of the database
    assert await other.find(made.id.upper(), "me") == made
    assert await other.find(made.id, "you") is None
    clock.now += 59
    assert await other.find(made.id, "me") == made
    clock.now += 1
    assert await other.find(made.id, "me") is None


async def test_a_generation_takes_on_the_style_that_it_names(styles: Styles) -> None:
    made = await styles.make([RED, BLUE], FIELD, "me", "recraft/icon")
    applied = await styles.applied(replace(ASKED, style_id=made.id), "me")
    assert (applied.style_vector, applied.style_id) == (made.vector, None)
    assert applied.style == "recraft/icon", "what the style stands on"
    chosen = replace(ASKED, style_id=made.id, style="recraft/icon/outline")
    assert (await styles.applied(chosen, "me")).style == "recraft/icon/outline"
    plain = replace(ASKED, style_id=None)
    assert await styles.applied(plain, "me") is plain


@pytest.mark.parametrize("id", ["mine", "", "0" * 32])
async def test_an_unknown_style_is_told_by_its_field(styles: Styles, id: str) -> None:
    with pytest.raises(Fault, match="there is no style") as raised:
        await styles.applied(replace(ASKED, style_id=id), "me")
    assert (raised.value.kind, raised.value.field) == (Kind.INVALID, "style_id")


@pytest.mark.parametrize("count", [0, 6])
async def test_a_style_is_made_of_one_to_five_images(styles: Styles, count: int) -> None:
    with pytest.raises(Fault, match="made of 1 to 5"):
        await styles.make([RED] * count, FIELD, "me")


def test_several_images_have_their_mean_in_common() -> None:
    red, blue, both = (vector_of(dict(enumerated(*each))) for each in ([RED], [BLUE], [RED, BLUE]))
    assert distance(both, red) < distance(blue, red)
    assert both[3] == pytest.approx((red[3] + blue[3]) / 2)


def enumerated(*contents: bytes) -> list[tuple[str, bytes]]:
    return [(f"images.{number}", content) for number, content in enumerate(contents)]


@pytest.mark.parametrize("kind", ["JPEG", "WebP"])
def test_references_are_read_in_every_kind_of_the_page(kind: str) -> None:
    vector: StyleVector = vector_of({"images.0": image(220, 60, 40, kind=kind)})
    assert np.abs(np.subtract(vector, vector_of({"images.0": RED}))[:4]).max() < 1


@pytest.mark.parametrize(
    ("content", "words"),
    [(image(1, 2, 3, kind="GIF"), "is a GIF file; give PNG, JPEG or WebP"), (b"", "is empty")],
)
def test_what_is_no_reference_is_refused_by_its_place(content: bytes, words: str) -> None:
    with pytest.raises(Fault, match=words) as raised:
        vector_of({"images.0": RED, "images.1": content})
    assert raised.value.field == "images.1"


def test_all_references_together_have_ten_megabytes() -> None:
    check_references(FIELD, [MOST_BYTES // 2, MOST_BYTES // 2])
    with pytest.raises(Fault, match="all of them together may have") as raised:
        check_references(FIELD, [MOST_BYTES // 2, MOST_BYTES // 2 + 1])
    assert raised.value.kind is Kind.INVALID


def test_transparency_is_seen_as_on_white() -> None:
    clear = io.BytesIO()
    Image.new("RGBA", (64, 64), (255, 0, 0, 0)).save(clear, "PNG")
    assert vector_of({"a": clear.getvalue()}) == measure(np.full((64, 64, 3), 255, np.uint8))
