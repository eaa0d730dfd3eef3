"""The safety checker, in the engine: what it flags is black, whoever looked, and who did not want
it is not looked at.

Nothing here is indecent: everything is flagged by a threshold of 0, or by a checker of no sense.
"""

import io
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from imagemill.conditions import SafetyCheck
from imagemill.engine.encoding import encode
from imagemill.engine.events import Event, Failed, Finished, Preview, Progress
from imagemill.engine.in_thread import EngineThread
from imagemill.engine.ipc import Options, SafetyOptions, Said, Submit
from imagemill.engine.safety import Safety, limit
from imagemill.errors import Fault, Kind
from imagemill.generation import Generation
from imagemill.images.encode import Pixels
from imagemill.pipelines.loading import Loaded
from tests.checkpoints import Checkpoint
from tests.studio import Models, painted
from tests.studio import inference as inference
from tests.studio import model as model
from tests.studio import pico as pico

WANTED, UNWANTED = SafetyCheck(wanted=True), SafetyCheck(wanted=False)
SMALL = Generation("a red cat", "imagemill/pico", 64, 64, 2, 4.0, seed=1, safety=WANTED)
UNCHECKED = replace(SMALL, safety=SafetyCheck())
SKIN = "#e8beac"
SHARE = st.floats(0, 1)


@pytest.fixture(scope="module")
def real() -> Safety:
    return Safety(SafetyOptions())


@pytest.fixture(scope="module")
def strict() -> Safety:
    """Flags everything."""
    return Safety(SafetyOptions(threshold=0))


def pixels_of(file: bytes) -> Pixels:
    return np.asarray(Image.open(io.BytesIO(file)).convert("RGB"))


def flat(colour: str) -> Pixels:
    return np.asarray(Image.new("RGB", (256, 256), colour))


def icon() -> Pixels:
    image = Image.new("RGB", (256, 256), "white")
    draw = ImageDraw.Draw(image)
    draw.rectangle((60, 60, 196, 196), fill="blue")
    draw.ellipse((96, 96, 160, 160), fill="yellow")
    return np.asarray(image)


def test_the_checker_is_surer_of_a_square_of_skin_colour_than_of_an_icon(real: Safety) -> None:
    assert real.score(icon()) < 0.05 < 0.2 < real.score(flat(SKIN)) < 0.5


def test_pictures_of_the_embedded_model_are_far_from_flagged(real: Safety, pico: Loaded) -> None:
    for prompt in ("a red cat", "a peach on a table", "a smiling face"):
        asked = replace(SMALL, prompt=prompt, width=256, height=256, steps=8)
        active = painted(pico, asked)
        assert real.score(active.pictures[0]) < 0.2, prompt
        assert encode(active, 1.0, real).flagged == (False,)


@pytest.mark.parametrize("format", ["png", "jpeg", "webp"])
def test_what_is_flagged_is_black(format: Any, strict: Safety, pico: Loaded) -> None:
    active = painted(pico, replace(SMALL, num_images=2, format=format))
    images = encode(active, 1.0, strict)
    assert images.flagged == (True, True)
    assert [pixels_of(each).max() for each in images.pictures] == [0, 0]


def test_an_svg_of_what_is_flagged_is_traced_from_black(strict: Safety, pico: Loaded) -> None:
    (file,) = encode(painted(pico, replace(SMALL, format="svg")), 1.0, strict).pictures
    assert file.startswith(b"<svg")
    assert b"#000000" in file
    assert len(file) < len(encode(painted(pico, replace(UNCHECKED, format="svg")), 1.0).pictures[0])


@pytest.mark.parametrize("safety", [SafetyCheck(), UNWANTED])
def test_who_wants_no_check_gets_the_picture_as_it_is(
    safety: SafetyCheck, strict: Safety, pico: Loaded
) -> None:
    images = encode(painted(pico, replace(SMALL, safety=safety)), 1.0, strict)
    assert images.flagged == ()
    assert pixels_of(images.pictures[0]).max() > 100


def test_a_check_that_flags_nothing_changes_no_byte(pico: Loaded) -> None:
    lenient = Safety(SafetyOptions(threshold=1))
    checked = encode(painted(pico, SMALL), 1.0, lenient)
    assert checked.flagged == (False,)
    assert checked.pictures == encode(painted(pico, UNCHECKED), 1.0).pictures


@given(SHARE, SHARE, SHARE)
def test_more_tolerance_never_flags_more(threshold: float, one: float, other: float) -> None:
    less, more = sorted((one, other))
    assert 0 <= limit(threshold, less) <= limit(threshold, more) + 1e-12 <= 1 + 1e-12
    assert limit(threshold, 0.5) == threshold
    assert limit(threshold, 0) == threshold / 4


def test_a_tolerance_lets_through_what_the_usual_one_flags() -> None:
    usual, strict = (Safety(SafetyOptions(threshold)) for threshold in (0.25, 0.5))
    assert usual.flags(flat(SKIN), WANTED)
    assert not usual.flags(flat(SKIN), replace(WANTED, tolerance=1.0))
    assert not strict.flags(flat(SKIN), WANTED)
    assert strict.flags(flat(SKIN), replace(WANTED, tolerance=0.0))
    assert not strict.flags(icon(), replace(WANTED, tolerance=0.0))


@pytest.mark.parametrize(("family", "flagged"), [("sd15", False), ("sd15-unsafe", True)])
def test_diffusers_own_checker_looks_where_it_is_configured(
    family: str, flagged: bool, checkpoint: Checkpoint, pico: Loaded
) -> None:
    configured = Safety(SafetyOptions(weights=str(checkpoint(family))))
    images = encode(painted(pico, SMALL), 1.0, configured)
    assert images.flagged == (flagged,)
    assert bool(pixels_of(images.pictures[0]).max() == 0) is flagged


def test_a_checker_alone_lies_in_a_folder_of_its_own(checkpoint: Checkpoint, tmp_path: Any) -> None:
    for part in ("safety_checker", "feature_extractor"):
        for file in (checkpoint("sd15-unsafe") / part).iterdir():
            (tmp_path / file.name).write_bytes(file.read_bytes())
    assert Safety(SafetyOptions(weights=str(tmp_path))).score(icon()) == 1


def test_an_image_that_cannot_be_checked_is_not_given_out(
    pico: Loaded, tmp_path: Any, caplog: pytest.LogCaptureFixture
) -> None:
    broken = Safety(SafetyOptions(weights=str(tmp_path)))
    active = painted(pico, SMALL)
    with pytest.raises(Fault) as raised:
        encode(active, 1.0, broken)
    assert raised.value.kind is Kind.FAILED
    assert "checked" in raised.value.message
    assert str(tmp_path) not in raised.value.message
    assert "could not look" in caplog.text


def test_the_checker_of_the_models_own_weights_looks_unless_the_caller_does_not_want_it(
    model: Models, real: Safety
) -> None:
    unsafe = model("sd15-unsafe")
    for safety in (SafetyCheck(), WANTED):
        images = encode(painted(unsafe, replace(SMALL, safety=safety)), 1.0, real)
        assert images.flagged == (True,)
        assert pixels_of(images.pictures[0]).max() == 0
    unwanted = encode(painted(unsafe, replace(SMALL, safety=UNWANTED)), 1.0, real)
    assert unwanted.flagged == ()
    assert pixels_of(unwanted.pictures[0]).max() > 0


class Held(Safety):
    """Looks at nothing until it is let."""

    def __init__(self) -> None:
        super().__init__(SafetyOptions(threshold=0))
        self.begun, self.may = threading.Event(), threading.Event()

    def score(self, pixels: Pixels) -> float:
        self.begun.set()
        assert self.may.wait(60)
        return 1.0


Heard = queue.SimpleQueue[tuple[str, Event]]


@contextmanager
def engine(safety: Safety) -> Iterator[tuple[EngineThread, Heard]]:
    heard: Heard = queue.SimpleQueue()

    def hear(message: object) -> None:
        if isinstance(message, Said):
            heard.put((message.id, message.event))

    threaded = EngineThread(Options(threads=1), hear)
    threaded.safety = safety
    thread = threading.Thread(target=threaded.paint)
    thread.start()
    try:
        yield threaded, heard
    finally:
        threaded.stop()
        thread.join(60)


def until(heard: Heard, id: str, over: Callable[[Event], bool]) -> list[tuple[str, Event]]:
    events = [heard.get(timeout=60)]
    while not (events[-1][0] == id and over(events[-1][1])):
        events.append(heard.get(timeout=60))
    return events


def test_a_check_under_way_holds_up_no_step_of_others() -> None:
    held = Held()
    with engine(held) as (threaded, heard):
        threaded.submit(Submit("checked", SMALL, "pico", {}, False))
        assert held.begun.wait(60)
        other = replace(UNCHECKED, steps=12)
        threaded.submit(Submit("other", other, "pico", {}, False))
        events = until(heard, "other", lambda event: event == Progress(12, 12))
        held.may.set()
        assert not any(isinstance(event, Finished) for _, event in events)
        (*_, (_, last)) = until(heard, "checked", lambda event: isinstance(event, Finished))
    assert isinstance(last, Finished)
    assert last.painted.flagged == (True,)


@pytest.mark.parametrize(("safety", "most"), [(WANTED, 0), (SafetyCheck(), 255)])
def test_a_picture_on_its_way_is_looked_at_too(
    safety: SafetyCheck, most: int, strict: Safety
) -> None:
    asked = replace(SMALL, steps=4, safety=safety)
    with engine(strict) as (threaded, heard):
        threaded.submit(Submit("it", asked, "pico", {}, True))
        events = until(heard, "it", lambda event: isinstance(event, Finished | Failed))
    previews = [event for _, event in events if isinstance(event, Preview)]
    assert [each.step for each in previews] == [2, 3]  # nothing is known of the first
    brightest = [pixels_of(each.picture).max() for each in previews]
    assert all(each == 0 for each in brightest) if most == 0 else min(brightest) > 0
    assert Image.open(io.BytesIO(previews[0].picture)).size == (64, 64)
