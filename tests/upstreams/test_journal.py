"""The log of a request elsewhere: what is new of it, and how far it is."""

import pytest

from imagemill.engine.events import Event, Progress, Remark
from imagemill.upstreams.journal import LONGEST_LINE, MOST_LINES, Journal


def journal() -> Journal:
    return Journal("x", lambda line: " ".join(line.split()))


@pytest.mark.parametrize(
    ("line", "event"),
    [
        ("step 3 of 12", Progress(3, 12)),
        (" 40%|####      | 4/10 [00:01<00:02,  3.1it/s]", Progress(4, 10)),
        ("100%|##########| 28/28", Progress(28, 28)),
        ("step 13 of 12", Progress(12, 12)),
        ("Using seed: 7", Remark("x: Using seed: 7")),
        ("step 1 of 0", Remark("x: step 1 of 0")),
    ],
)
def test_a_line_is_progress_or_a_remark(line: str, event: Event) -> None:
    assert journal().news([line]) == [event]


def test_only_what_is_new_is_passed_on() -> None:
    mine = journal()
    assert mine.news(["a", "b"]) == [Remark("x: a"), Remark("x: b")]
    assert mine.news(["a", "b", "c"]) == [Remark("x: c")]
    assert mine.news(["a"]) == [], "a log that was begun anew"


def test_a_log_without_end_is_cut() -> None:
    lines = ["y" * 1000, *("z" for _ in range(10 * MOST_LINES)), "step 1 of 2"]
    first, *_, last = events = journal().news(lines)
    assert len(events) == MOST_LINES + 1
    assert first == Remark("x: " + "y" * LONGEST_LINE)
    assert last == Progress(1, 2)
