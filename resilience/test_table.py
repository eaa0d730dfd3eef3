"""docs/faults.md has a row for every fault of the suite, and no others."""

from pathlib import Path
from typing import Any

import pytest

from resilience.table import DOCUMENT, SECTIONS, Row, faults_in, missing, written
from resilience.watching import Latency, Measured, Watch

HERE = Path(__file__).parent
FAST = Measured(Latency(0.0042, 0.0031), Latency(0.0099, 0.005), 210_000_000)
SLOW = Measured(Latency(0.2, 0.05), Latency(0.3, 0.2), 1_200_000_000)


def test_the_document_has_what_this_suite_injects(
    faults: dict[str, str], whole: bool, request: pytest.FixtureRequest
) -> None:
    if request.config.getoption("--faults", False):
        pytest.skip("it is written when this run has ended well")
    document = DOCUMENT.read_text("utf-8")
    assert missing(document, faults) == set()
    if whole:
        assert set(faults_in(document)) == set(faults)


def test_every_file_of_the_suite_has_a_section() -> None:
    files = {path.stem for path in HERE.glob("test_*.py")}
    assert files == {*SECTIONS, "test_table"}


def test_a_row_marks_what_is_beyond_its_aim() -> None:
    row = str(Row("test_engine", "It dies", "Nothing", SLOW))
    assert row == ("| It dies | Nothing | **200** / 50 ms | **300** / **200** ms | **1200 MB** |\n")
    assert "**" not in str(Row("test_engine", "It dies", "Nothing", FAST))


def test_rows_are_in_the_order_of_sections_and_tests() -> None:
    rows = [
        Row("test_start", "c", "Said so"),
        Row("test_engine", "b", "Nothing", FAST),
        Row("test_engine", "a", "Nothing", FAST),
    ]
    document = written(rows, ["a", "b", "c"], "a machine")
    assert faults_in(document) == ["a", "b", "c"]
    assert "| c | Said so |  |  |  |\n" in document
    assert missing(document, {"a": "test_engine", "d": "test_start"}) == {"d"}


def test_probes_that_the_fault_itself_kept_from_an_answer_do_not_count() -> None:
    watch = Watch(away=[(2.0, 5.0)])
    seen: dict[str, list[Any]] = {
        "health": [(1.0, 0.5, "200"), (1.9, 3.2, "200"), (4.0, 1.5, "ConnectionError"),
                   (5.1, 0.1, "503")],
        "cached": [(1.0, 0.1, "200 hit")],
        "memory": [(1.0, 0.1, 100), (2.0, 0.1, 200), (6.0, 0.1, 150)],
    }  # fmt: skip
    assert watch.read(seen) == Measured(Latency(0.5, 0.5), Latency(0.1, 0.1), 200)


@pytest.mark.parametrize(("health", "cached"), [("500", "200 hit"), ("200", "200")])
def test_a_probe_with_a_wrong_answer_is_no_good_end(health: str, cached: str) -> None:
    seen = {"health": [(1.0, 0.1, health)], "cached": [(1.0, 0.1, cached)], "memory": []}
    with pytest.raises(AssertionError, match="was answered with"):
        Watch().read(seen)


def test_the_usual_latency_is_what_one_in_twenty_is_slower_than() -> None:
    assert Latency.of([float(n) for n in range(100)]) == Latency(99.0, 94.0)
    assert Latency.of([1.0]) == Latency(1.0, 1.0)
