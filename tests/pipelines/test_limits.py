"""Rows that fit into memory, learnt and unlearnt: plain numbers."""

from hypothesis import given
from hypothesis import strategies as st

from imagemill.engine.limits import KINDS, PATIENCE, RowLimits


def test_what_never_met_the_end_of_memory_has_no_limit() -> None:
    limits = RowLimits()
    limits.ran("a", 32)
    assert limits.rows("a") is None


def test_half_of_what_was_too_many_is_allowed_and_other_kinds_are_not_concerned() -> None:
    limits = RowLimits()
    limits.ran_out("a", 16)
    limits.ran_out("a", 8)
    assert (limits.rows("a"), limits.rows("b")) == (4, None)


def test_one_row_is_always_allowed() -> None:
    limits = RowLimits()
    for _ in range(3):
        limits.ran_out("a", 1)
    assert limits.rows("a") == 1


def test_more_is_tried_after_a_while_and_after_twice_as_long_where_that_failed() -> None:
    limits = RowLimits()
    limits.ran_out("a", 16)
    for _ in range(PATIENCE - 1):
        limits.ran("a", 8)
    assert limits.rows("a") == 8
    limits.ran("a", 8)
    assert limits.rows("a") == 10
    limits.ran_out("a", 10)
    assert limits.rows("a") == 5
    for _ in range(2 * PATIENCE - 1):
        limits.ran("a", 5)
    assert limits.rows("a") == 5
    limits.ran("a", 5)
    assert limits.rows("a") == 6


def test_a_limit_between_two_numbers_of_calls_is_raised_by_a_call() -> None:
    limits = RowLimits()
    limits.ran_out("a", 7)
    for _ in range(PATIENCE):
        limits.ran("a", 2, each=2)
    assert limits.rows("a") == 5


def test_fewer_rows_than_are_allowed_prove_nothing() -> None:
    limits = RowLimits()
    limits.ran_out("a", 16)
    for _ in range(2 * PATIENCE):
        limits.ran("a", 4)
    assert limits.rows("a") == 8


@given(st.integers(1, 64), st.integers(1, 64))
def test_the_limit_finds_what_fits_from_any_side(fits: int, first: int) -> None:
    limits, failed = RowLimits(), 0
    for _ in range(4000):
        allowed = limits.rows("a")
        rows = first if allowed is None else allowed
        if rows > fits:
            limits.ran_out("a", rows)
            failed += 1
        else:
            limits.ran("a", rows)
    assert failed < 20
    assert first <= fits or 1 <= (limits.rows("a") or 0) <= max(fits + fits // 4, 2)


def test_only_so_many_kinds_are_remembered() -> None:
    limits = RowLimits()
    for kind in range(KINDS + 5):
        limits.ran_out(kind, 4)
    assert (len(limits.kinds), limits.rows(0), limits.rows(KINDS)) == (KINDS, None, 2)
