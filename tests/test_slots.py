"""Slots: shares of hosts and callers, and room that slow ones make."""

from hypothesis import given
from hypothesis import strategies as st

from imagemill.slots import Slots
from tests.clocks import Clock


def filled(clock: Clock, *places: tuple[str, str], quick: int = 4, slow: int = 2) -> Slots:
    """Of hosts and callers, named by their numbers."""
    slots = Slots(quick, slow, patience=5.0, host=2, clock=clock)
    for number, (host, caller) in enumerate(places):
        slots.take(number, host, caller)
    return slots


def test_a_host_and_a_caller_have_shares() -> None:
    slots = filled(Clock(), ("a", "me"), ("a", "you"), ("b", "me"))
    assert slots.full_hosts() == ["a"]
    assert slots.full_callers() == ["me"]
    assert slots.room == 1
    slots.leave(0)
    slots.leave(0)
    assert (slots.full_hosts(), slots.full_callers(), slots.room, len(slots)) == ([], [], 2, 2)


def test_callers_without_a_name_are_one_and_what_has_no_host_has_no_share_of_one() -> None:
    slots = filled(Clock(), ("", ""), ("", ""), ("", ""))
    assert slots.full_hosts() == []
    assert slots.full_callers() == [""]


def test_what_takes_long_moves_where_there_is_room_for_it() -> None:
    clock = Clock()
    slots = filled(clock, ("a", "me"), ("b", "you"))
    clock.now += 1
    for number in (2, 3):
        slots.take(number, f"{number}", "other")
    assert (slots.room, slots.soon, slots.late(0)) == (0, 4.0, False)
    clock.now += 4
    assert (slots.room, slots.late(0), slots.late(2)) == (2, True, False)
    assert slots.full_callers() == ["other"]
    clock.now += 1
    assert slots.room == 2, "the slow ones are full"
    slots.leave(0)
    assert slots.room == 3


def test_a_caller_s_slow_ones_leave_slow_slots_to_others() -> None:
    clock = Clock()
    slots = filled(clock, ("a", "me"), ("b", "me"), ("c", "you"))
    clock.now += 5
    assert slots.room == 3, "one of each is in a slow slot"


def test_nothing_is_to_be_waited_for_where_there_is_room_or_no_slow_slot() -> None:
    clock = Clock()
    assert filled(clock, ("a", "me")).soon == float("inf")
    assert filled(clock, ("a", "me"), quick=1, slow=0).soon == float("inf")
    assert filled(clock, ("a", "me"), quick=1).soon == 5.0


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.sampled_from("xyz"), st.floats(0, 4)), max_size=60
    )
)
def test_whoever_asks_first_gets_no_more_than_there_are(
    asked: list[tuple[str, str, float]],
) -> None:
    clock = Clock()
    slots = Slots(quick=6, slow=3, patience=5.0, host=4, clock=clock)
    for number, (host, caller, pause) in enumerate(asked):
        clock.now += pause
        if slots.room and host not in slots.full_hosts() and caller not in slots.full_callers():
            slots.take(number, host, caller)
        held = list(slots._taken.values())
        assert len(slots) <= 6 + 3
        assert max(sum(each.host == name for each in held) for name in "abc") <= 4
        assert max(sum(each.caller == name for each in held) for name in "xyz") <= 3 + 1
