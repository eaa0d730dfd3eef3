"""Markers by file and fixture, and what the fast loop leaves unread."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from conftest import ROOT, SLOW, marks_of, pytest_ignore_collect

QUICK = "not slow and not conformance and not browser"
NONE = frozenset[str]()


def test_every_slow_file_is_there() -> None:
    there = [path.stem.removeprefix("test_") for path in (ROOT / "tests").rglob("test_*.py")]
    assert [name for name in SLOW if there.count(name) != 1] == []


@pytest.mark.parametrize(
    ("path", "fixtures", "marks"),
    [
        ("tests/dialects/test_flat.py", NONE, set()),
        ("tests/test_docs.py", NONE, {"slow"}),
        ("tests/dialects/test_flat.py", frozenset({"browser"}), {"browser"}),
        ("tests/store/test_jobs.py", frozenset({"postgres"}), {"slow"}),
        ("conformance/test_openai.py", NONE, {"conformance"}),
        ("resilience/test_docs.py", NONE, set()),
    ],
)
def test_files_and_fixtures_have_their_marks(
    path: str, fixtures: frozenset[str], marks: set[str]
) -> None:
    assert marks_of(ROOT / path, fixtures) == marks


@pytest.mark.parametrize(
    ("expression", "left_out"),
    [(QUICK, True), ("not slow", True), ("", False), ("slow", False), ("not slow or cell", False)],
)
def test_a_file_is_unread_only_where_all_of_it_is_left_out(expression: str, left_out: bool) -> None:
    config: Any = SimpleNamespace(option=SimpleNamespace(markexpr=expression))
    assert (pytest_ignore_collect(ROOT / "tests" / "test_docs.py", config) is True) is left_out
    assert pytest_ignore_collect(Path(__file__), config) is None
