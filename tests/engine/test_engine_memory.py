"""A budget of memory that models share: plain numbers, and models that are strings."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from imagemill.engine.footprints import Footprint
from imagemill.engine.ipc import Submit
from imagemill.engine.model_cache import Key, Shelf, Wanted
from imagemill.engine.residents import Residents, budgets
from imagemill.errors import Fault, Kind
from imagemill.generation import Generation
from imagemill.pipelines.inputs import DecodedInputs

ASKED = Generation("a red cat", "m", 64, 64, 4, 4.0, seed=1)


def takes(keep: bool = False, device: str = "cpu", **parts: int) -> Footprint:
    sizes: dict[Hashable, int] = {}
    sizes.update(parts)
    return Footprint(device, sizes, keep)


@dataclass
class Room:
    """Where models that take so much are loaded and painted with as a test says."""

    footprints: Mapping[str, Footprint]
    budget: int = 10
    loads: list[str] = field(default_factory=list)  # that have begun
    loading: list[str] = field(default_factory=list)
    painting: dict[str, str] = field(default_factory=dict)  # the model, by id
    started: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.shelf: Shelf[str] = Shelf(
            self._load, self._start, residents=Residents(lambda _: self.budget),
            gone=self.gone.append,
        )  # fmt: skip

    def _load(self, key: Key, _decoded: DecodedInputs, _plain: str | None) -> None:
        self.loads.append(key.source)
        self.loading.append(key.source)

    def _start(self, order: Wanted, model: str) -> None:
        self.painting[order.submit.id] = model
        self.started.append(order.submit.id)

    def want(self, id: str, source: str) -> Fault | None:
        submit = Submit(id, ASKED, source, {}, False)
        refusal = self.shelf.want(Wanted(submit, DecodedInputs(), self.footprints[source]))
        self.advance()
        return refusal

    def advance(self) -> None:
        while self.shelf.advance(self.painting.values()):
            pass
        assert self.shelf.residents.used("cpu") <= self.budget

    def arrive(self) -> None:
        while self.loading:
            self.shelf.arrived(Key(source := self.loading.pop(0)), source)
            self.advance()

    def end(self, *ids: str) -> None:
        for id in ids:
            del self.painting[id]
        self.advance()
        self.arrive()


def test_the_idle_model_that_was_used_least_recently_makes_room() -> None:
    room = Room({"a": takes(a=4), "b": takes(b=4), "c": takes(c=4)})
    for source in ("a", "b", "a", "c"):
        room.want(f"for {source}", source)
        room.arrive()
        room.end(f"for {source}")
    assert room.gone == ["b"]


def test_no_more_goes_than_has_to() -> None:
    room = Room({"small": takes(s=1), "large": takes(l=8), "c": takes(c=9)})
    for source in ("small", "large", "c"):
        room.want(source, source)
        room.arrive()
        room.end(source)
    assert room.gone == ["large"]


def test_what_is_kept_never_goes() -> None:
    room = Room({"kept": takes(keep=True, k=4), "b": takes(b=4), "c": takes(c=6)})
    for source in ("kept", "b", "c", "b"):
        room.want(source, source)
        room.arrive()
        room.end(source)
    assert room.gone == ["b", "c"]


def test_parts_that_models_have_in_common_take_their_room_once() -> None:
    room = Room({"dev": takes(t5=5, dev=2), "schnell": takes(t5=5, schnell=3)})
    for source in ("dev", "schnell"):
        room.want(source, source)
        room.arrive()
    assert set(room.painting) == {"dev", "schnell"}
    assert room.shelf.residents.used("cpu") == 10


def test_devices_have_budgets_of_their_own() -> None:
    room = Room({"a": takes(a=9), "b": takes(device="cuda", b=9)})
    for source in ("a", "b"):
        room.want(source, source)
        room.arrive()
    assert not room.gone


def test_what_can_never_fit_is_refused_with_the_numbers_before_it_waits() -> None:
    room = Room({"huge": takes(h=24 * 10**9), "a": takes(a=1)}, budget=16 * 10**9)
    refusal = room.want("it", "huge")
    assert refusal is not None
    assert refusal.kind is Kind.UNSUPPORTED
    words = ("24.00 GB", "16.00 GB", "cpu", "another model", "`memory`", "quantize", "offload")
    assert all(word in refusal.message for word in words)
    assert not room.shelf.waiting
    assert room.want("other", "a") is None


def test_what_does_not_fit_beside_what_is_kept_is_refused_too() -> None:
    room = Room({"kept": takes(keep=True, k=4), "b": takes(b=7)})
    room.want("it", "kept")
    room.arrive()
    refusal = room.want("other", "b")
    assert refusal is not None
    assert "are kept for others" in refusal.message


def test_two_models_that_do_not_fit_together_take_turns_and_serve_all_who_wait() -> None:
    """Sixteen requests, in turn for either: two swaps, and not fifteen."""
    room = Room({"a": takes(a=6), "b": takes(b=6)})
    room.want("first", "a")
    room.arrive()
    for number in range(16):
        room.want(str(number), "ab"[number % 2])
    assert room.started == ["first", "0"]  # the others came behind one who waits for b
    room.end("first", "0")
    assert set(room.painting) == {str(number) for number in range(1, 16, 2)}
    room.end(*room.painting)
    assert set(room.painting) == {str(number) for number in range(2, 16, 2)}
    assert room.loads == ["a", "b", "a"]
    assert room.shelf.evicted == 2


def test_a_stream_of_requests_for_one_keeps_another_out_no_longer_than_a_turn() -> None:
    room = Room({"a": takes(a=6), "b": takes(b=6)})
    room.want("a0", "a")
    room.arrive()
    room.want("patient", "b")
    for number in range(1, 9):
        room.want(f"a{number}", "a")
        if "patient" in room.painting:
            break
        room.end(*[id for id in room.painting if id.startswith("a")][:1])
    assert "patient" in room.started
    assert len(room.started) == 2


def test_a_model_that_makes_no_difference_is_painted_with_all_the_while() -> None:
    room = Room({"a": takes(a=6), "b": takes(b=6), "pico": takes(p=1)})
    for id, source in (("0", "a"), ("1", "pico")):
        room.want(id, source)
        room.arrive()
    room.want("patient", "b")
    room.want("2", "pico")
    room.want("3", "a")
    assert room.started == ["0", "1", "2"]


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.booleans()), max_size=40))
def test_everybody_is_served_within_the_budget(wants: list[tuple[str, bool]]) -> None:
    sizes = {"a": takes(a=6), "b": takes(b=5, x=1), "c": takes(c=4, x=1), "d": takes(d=9)}
    room = Room(sizes)
    for number, (source, ends) in enumerate(wants):
        room.want(str(number), source)
        room.arrive()
        if ends and room.painting:
            room.end(next(iter(room.painting)))
    while room.painting:
        room.end(*room.painting)
    assert sorted(room.started) == sorted(str(number) for number in range(len(wants)))


def test_a_model_that_could_not_be_loaded_takes_no_room() -> None:
    room = Room({"a": takes(a=6), "b": takes(b=6)})
    room.want("it", "a")
    assert room.shelf.failed(Key("a")) == ["it"]
    room.loading.clear()
    room.want("other", "b")
    room.arrive()
    assert set(room.painting) == {"other"}


def test_what_takes_more_than_was_thought_is_counted_as_it_is() -> None:
    room = Room({"a": takes(a=2), "b": takes(b=4)})
    room.want("it", "a")
    room.shelf.arrived(Key("a"), "a", takes(a=8))
    room.advance()
    room.end("it")
    room.want("other", "b")
    assert room.gone == ["a"]


def test_all_that_is_idle_is_let_go_where_loading_finds_no_memory() -> None:
    room = Room({"a": takes(a=2), "b": takes(b=4)})
    room.want("it", "a")
    room.arrive()
    assert not room.shelf.spare(room.painting.values())
    room.end("it")
    room.want("other", "b")
    assert room.shelf.spare(room.painting.values())
    room.shelf.again(Key("b"))
    room.advance()
    assert room.loads == ["a", "b", "b"]


def test_the_operators_number_holds_for_the_engines_own_device() -> None:
    budget = budgets("cuda", 5, {"cuda": 80, "cpu": 60}.__getitem__)
    assert (budget("cuda"), budget("cpu")) == (5, 60)
    assert budgets("cuda", None, {"cuda": 80}.__getitem__)("cuda") == 80


def test_a_wish_is_fulfilled_where_nobody_is_in_its_way() -> None:
    room = Room({"a": takes(a=6), "b": takes(b=6), "huge": takes(h=11)})
    room.want("it", "a")
    room.arrive()
    assert room.shelf.wish("b", room.footprints["b"], room.painting.values()) is None
    assert room.loads == ["a"]
    room.end("it")
    assert room.shelf.wish("b", room.footprints["b"], ()) is None
    assert room.loads == ["a", "b"]
    refusal = room.shelf.wish("huge", room.footprints["huge"], ())
    assert refusal is not None
    assert refusal.kind is Kind.UNSUPPORTED
