"""Which models are held, and who waits: orders and names, no torch."""

from dataclasses import dataclass, field
from pathlib import Path

from imagemill.engine.ipc import Submit
from imagemill.engine.model_cache import Key, Shelf, Wanted
from imagemill.generation import Generation, LoraFile
from imagemill.pipelines.inputs import DecodedInputs, Weights

ASKED = Generation("a red cat", "m", 64, 64, 4, 4.0, seed=1)
LORA = b"." * 10


@dataclass
class Room:
    """A shelf whose models are strings, loaded when a test says so."""

    loads: list[Key] = field(default_factory=list)
    started: dict[str, str] = field(default_factory=dict)  # the model, by id
    painting: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.shelf: Shelf[str] = Shelf(
            lambda key, _order, _plain: self.loads.append(key), self._on, lora_bytes=2 * len(LORA)
        )

    def _on(self, order: Wanted, model: str) -> None:
        self.started[order.submit.id] = self.painting[order.submit.id] = model

    def want(self, id: str, *loras: str, source: str = "m", scale: float = 1.0) -> None:
        decoded = DecodedInputs(
            weights=tuple(
                Weights(each, scale, LoraFile(Path(each), each, len(LORA))) for each in loras
            )
        )
        self.shelf.want(Wanted(Submit(id, ASKED, source, {}, False), decoded))
        self.advance()

    def advance(self) -> None:
        self.shelf.advance(self.painting.values())

    def load(self) -> None:
        """Everything that has been asked for arrives."""
        while self.loads:
            key = self.loads.pop(0)
            self.shelf.arrived(key, "".join([key.source, *(digest for digest, _ in key.weights)]))
            self.advance()

    def end(self, id: str) -> None:
        del self.painting[id]
        self.advance()


def room(*held: str) -> Room:
    """With the plain model, and one adapted by each of `held`, idle."""
    made = Room()
    made.want("plain")
    for lora in held:
        made.want(lora, lora)
    made.load()
    for id in list(made.painting):
        made.end(id)
    return made


def test_a_model_is_loaded_once_for_all_who_wait_for_it() -> None:
    made = Room()
    made.want("a")
    made.want("b")
    assert made.loads == [Key("m")]
    made.load()
    assert made.started == {"a": "m", "b": "m"}


def test_an_adapted_model_is_made_of_the_plain_one() -> None:
    made = Room()
    made.want("a", "x")
    assert made.loads == [Key("m")]
    made.load()
    assert made.started == {"a": "mx"}


def held(made: Room) -> set[str]:
    """The LoRAs that are there."""
    return {digest for key in made.shelf.models for digest, _ in key.weights}


def test_there_are_never_more_loras_than_there_is_room_for() -> None:
    made = room()
    for number in range(5):
        made.want(str(number), f"lora{number}")
        made.load()
        assert len(held(made)) * len(LORA) <= made.shelf.lora_bytes
    assert list(made.started)[1:] == ["0", "1"]
    for number in range(5):
        made.end(str(number))
        made.load()
    assert set(made.started) == {"plain", *"01234"}


def test_the_idle_one_that_was_used_least_recently_gives_way() -> None:
    made = room("x", "y")
    made.want("again", "x")
    made.end("again")
    made.want("new", "z")
    made.load()
    assert held(made) == {"x", "z"}


def test_one_lora_with_many_scales_takes_its_room_once() -> None:
    made = room("x")
    for number in range(5):
        made.want(str(number), "x", scale=number / 10 + 0.1)
    made.want("other", "y")
    made.load()
    assert set(made.started) >= {*"01234", "other"}


def test_what_is_larger_than_all_the_room_is_held_alone() -> None:
    made = room("x")
    made.want("large", "a", "b", "c")
    made.load()
    assert "large" in made.started
    assert held(made) == {*"abc"}
    made.want("next", "x")
    made.load()
    assert "next" not in made.started
    made.end("large")
    made.load()
    assert held(made) == {"x"}


def test_nobody_who_wants_loras_passes_one_who_waits_for_room() -> None:
    made = room("x", "y")
    made.want("a", "x")
    made.want("b", "y")
    made.want("patient", "z")
    made.want("hasty", "x")
    made.want("plainly")
    assert "plainly" in made.started
    assert not {"patient", "hasty"} & set(made.started)
    made.end("b")
    made.load()
    assert {"patient", "hasty"} <= set(made.started)


def test_who_is_cancelled_while_waiting_is_forgotten() -> None:
    made = Room()
    made.want("a")
    assert made.shelf.forget("a")
    assert not made.shelf.forget("a")
    made.load()
    assert not made.started


def test_all_who_wait_for_what_cannot_be_loaded_are_named_and_no_others() -> None:
    made = Room()
    made.want("a", source="bad")
    made.want("b", "x", source="bad")
    made.want("c")
    assert made.shelf.failed(Key("bad")) == ["a", "b"]
    made.load()
    assert set(made.started) == {"c"}


def test_a_lora_that_does_not_fit_fails_only_those_who_want_it() -> None:
    made = room()
    made.want("a", "x")
    made.want("b", "y")
    assert made.shelf.failed(Key("m", (("x", 1.0),))) == ["a"]
    assert not [key for key in made.shelf.loading if key.weights == (("x", 1.0),)]
    made.load()
    assert "b" in made.started
