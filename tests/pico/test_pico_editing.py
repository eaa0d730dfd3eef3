"""Edits of the embedded model: the asked change is there, what was not to change stays."""

from dataclasses import replace
from functools import cache
from typing import NamedTuple

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from imagemill.engine.encoding import encode
from imagemill.engine.events import Failed
from imagemill.engine.runner import ActiveGeneration
from imagemill.errors import Kind
from imagemill.pico.backgrounds import Background
from imagemill.pico.editing.editor import Editor
from imagemill.pico.editing.finding import Sighting, places
from imagemill.pipelines.inputs import Picture
from imagemill.pipelines.loading import Loaded
from tests.studio import ASKED, Studio, painted, png
from tests.studio import inference as inference
from tests.studio import pico as pico

SIDE = 256  # px
QUICK = replace(ASKED, width=SIDE, height=SIDE, steps=2, guidance_scale=5.0)
SOURCES = {
    "dress": "a red dress in a meadow",
    "animals": "a dog and a cat in a garden",
    "bird": "a yellow bird in a forest",
    "desk": "a desk in a room",
}


class Edited(NamedTuple):
    """An edit, and what it was made of."""

    source: Picture
    picture: Picture
    ignored: tuple[str, ...]

    @property
    def changed(self) -> NDArray[np.bool_]:
        """Which pixels are others: (SIDE, SIDE)."""
        changed: NDArray[np.bool_] = (self.source != self.picture).any(-1)
        return changed


class Desk:
    """Paints sources once, and edits them."""

    def __init__(self, pico: Loaded) -> None:
        self.pico = pico
        self.source = cache(self._source)

    def _source(self, name: str) -> Picture:
        return painted(self.pico, replace(QUICK, prompt=SOURCES[name], steps=4)).pictures[0]

    def active(self, prompt: str, *names: str, **more: float) -> ActiveGeneration:
        inputs = {name: png(self.source(name)) for name in names}
        asked = replace(QUICK, prompt=prompt, references=names, **more)  # type: ignore[arg-type]
        return painted(self.pico, asked, inputs)

    def edited(self, prompt: str, *names: str, base: int = 0, **more: float) -> Edited:
        active = self.active(prompt, *names, **more)
        ignored = encode(active, now=1.0).ignored
        return Edited(self.source(names[base]), active.pictures[0], ignored)

    def found(self, picture: Picture, concept: str, colour: str = "") -> list[Sighting]:
        editor = self.pico.editor
        assert isinstance(editor, Editor)
        image = torch.from_numpy(picture.copy()).permute(2, 0, 1).float() / 255
        return [each for each in places(image, editor.looks.drawing(concept, colour)) if each.sure]


@pytest.fixture(scope="module")
def desk(pico: Loaded) -> Desk:
    return Desk(pico)


def test_the_page_s_own_example_gives_the_same_picture_with_a_blue_dress(desk: Desk) -> None:
    edit = desk.edited("Make the dress blue", "dress")
    (dress,) = desk.found(edit.source, "dress", "red")
    middle = slice(round(dress.box.y), round(dress.box.y) + 20)
    red, _, blue = edit.picture[middle, round(dress.box.x)].astype(float).mean(0)
    assert blue > 2 * red
    assert edit.ignored == ()
    half = dress.box.side * 0.62
    rows, columns = np.nonzero(edit.changed)
    assert np.abs(rows - dress.box.y).max() < half
    assert np.abs(columns - dress.box.x).max() < half


def test_what_is_removed_is_gone_and_all_else_stays(desk: Desk) -> None:
    edit = desk.edited("Remove the dog", "animals")
    assert desk.found(edit.source, "dog")
    assert not desk.found(edit.picture, "dog")
    assert desk.found(edit.picture, "cat")
    assert edit.changed.mean() < 0.4


def test_what_is_replaced_gives_its_place_to_the_other(desk: Desk) -> None:
    edit = desk.edited("Replace the cat with a parrot", "animals")
    (cat,) = desk.found(edit.source, "cat")
    assert not desk.found(edit.picture, "cat")
    parrot = desk.found(edit.picture, "parrot")[0]
    assert abs(parrot.box.x - cat.box.x) < 0.3 * cat.box.side


def test_what_is_added_is_there(desk: Desk) -> None:
    edit = desk.edited("Add a hat to the dog", "animals")
    assert 0 < edit.changed.mean() < 0.2
    assert desk.found(edit.picture, "dog")


def test_what_is_moved_is_elsewhere(desk: Desk) -> None:
    edit = desk.edited("Move the dress to the left", "dress")
    (before,), (after,) = (desk.found(each, "dress", "red") for each in (edit.source, edit.picture))
    assert after.box.x < before.box.x - 0.1 * SIDE


def test_a_bird_from_one_image_comes_to_the_desk_of_another(desk: Desk) -> None:
    prompt = "Add the bird from image 1 to the desk in image 2"
    edit = desk.edited(prompt, "bird", "desk", base=1)
    bird, table = (desk.found(edit.picture, *each)[0] for each in (("bird", "yellow"), ("table",)))
    assert bird.box.y < table.box.y
    assert abs(bird.box.x - table.box.x) < 0.6 * table.box.side
    assert edit.changed.mean() < 0.5


def test_another_background_comes_behind_what_stands_there(desk: Desk, pico: Loaded) -> None:
    edit = desk.edited("Change the background to a beach", "animals", steps=4)
    editor = pico.editor
    assert isinstance(editor, Editor)
    image = torch.from_numpy(edit.picture.copy()).permute(2, 0, 1).float() / 255
    ground = editor.surroundings.ground(image)
    assert ground is not None
    assert ground.background == Background("beach", "day", "")
    assert desk.found(edit.picture, "dog")


def test_a_description_shows_the_thing_of_the_image_elsewhere(desk: Desk) -> None:
    edit = desk.edited("A bird in a kitchen", "bird")
    (bird, *_) = desk.found(edit.picture, "bird", "yellow")
    y, x = round(bird.box.y), round(bird.box.x)
    red, green, blue = edit.picture[y - 6 : y + 6, x - 6 : x + 6].reshape(-1, 3).mean(0)
    assert red > 1.5 * blue
    assert green > 1.2 * blue


def test_what_is_not_in_the_image_is_told(desk: Desk) -> None:
    edit = desk.edited("Make the elephant blue", "dress")
    assert edit.ignored == ("elephant: not found in the image",)


def test_no_text_guidance_changes_nothing(desk: Desk) -> None:
    edit = desk.edited("Remove the dog", "animals", guidance_scale=0.0)
    assert not edit.changed.any()


def test_less_text_guidance_makes_less_of_a_change(desk: Desk) -> None:
    def bluer(scale: float) -> float:
        edit = desk.edited("Make the dress blue", "dress", guidance_scale=scale)
        difference = edit.picture.astype(float) - edit.source
        return float((difference[..., 2] - difference[..., 0]).mean())

    assert 0 < bluer(0.3) < bluer(0.7) < bluer(1.0)


def test_more_image_guidance_leaves_more_of_the_image_as_it_is(desk: Desk) -> None:
    shares = [
        desk.edited("Make the dress blue", "dress", image_guidance_scale=scale).changed.mean()
        for scale in (1.0, 2.0, 4.0)
    ]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] > 1.2 * shares[-1]


def test_an_edit_in_company_has_the_bytes_it_has_alone_and_shares_forwards(
    desk: Desk, pico: Loaded
) -> None:
    inputs = {"dress": png(desk.source("dress"))}
    edit = replace(QUICK, prompt="Make the dress blue", references=("dress",))
    alone = painted(pico, edit, inputs).pictures[0]
    studio = Studio(budget=10**6, inputs=inputs)
    ran: list[int] = []
    real = pico.pipe.transformer.real
    handle = real.register_forward_pre_hook(
        lambda _module, _args, kwargs: ran.append(len(kwargs["hidden_states"])), with_kwargs=True
    )
    try:
        for _ in range(2):
            studio.start(pico, edit=edit, plain=replace(QUICK, prompt="a cat", steps=12))
            studio.run()
    finally:
        handle.remove()
    assert np.array_equal(studio.picture("edit"), alone)
    assert 4 in ran  # rows: two for the edit and two for the other


def test_an_edit_of_another_size_is_cut_from_the_middle_of_its_image(desk: Desk) -> None:
    inputs = {"dress": png(desk.source("dress"))}
    wide = replace(QUICK, prompt="Make the dress blue", references=("dress",), width=384)
    picture = painted(desk.pico, wide, inputs).pictures[0]
    assert picture.shape == (SIDE, 384, 3)
    assert desk.found(picture, "dress", "blue")


def test_more_images_than_the_model_reads_are_refused_with_the_limit(pico: Loaded) -> None:
    studio = Studio(inputs={str(i): png(np.zeros((64, 64, 3), np.uint8)) for i in range(4)})
    studio.start(pico, it=replace(QUICK, references=("0", "1", "2", "3")))
    last = studio.said["it"][-1]
    assert isinstance(last, Failed)
    assert (last.fault.kind, last.fault.field) == (Kind.INVALID, "references")
    assert last.fault.message == "4 images are too many: this model reads 3 images"
