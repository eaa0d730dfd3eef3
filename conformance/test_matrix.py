"""docs/compatibility.md says what the suite shows, and nothing else."""

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from conformance.matrix import DOCUMENT, DOORS, UNPINNED, Cell, Matrix, installed, rows, told

HERE = Path(__file__).parent
RELEASES = {"curl": "8.1", "fal_client": "1.0.3", "webuiapi": "0.9"}


def released(document: str) -> dict[str, str]:
    """What is installed; of what nobody pins, the release that the document names first."""
    found = {
        client: re.search(rf"^\| {re.escape(client)} \| ([\d.]+) ", document, re.MULTILINE)
        for client in UNPINNED
    }
    return installed() | {client: each[1] for client, each in found.items() if each}


def rows_of(document: str) -> dict[tuple[str, str, str], str]:
    """By door, client and release: the calls, as they stand in the document."""
    found = dict[tuple[str, str, str], str]()
    for door, (title, _) in DOORS.items():
        _, _, rest = document.partition(f"\n## {title} (")
        for line in re.findall(r"^\| (?!client|-).* \|$", rest.partition("\n## ")[0], re.MULTILINE):
            client, release, calls = line[2:-2].split(" | ")
            found[door, client, release] = calls
    return found


def split(calls: str) -> set[str]:
    """ "a (x, y), b" as "a (x)", "a (y)" and "b"."""
    found = re.findall(r"([^,(]+?)(?: \(([^)]*)\))?(?:, |$)", calls)
    return {
        f"{call} ({detail})" if detail else call
        for call, details in found
        for detail in details.split(", ")
    }


def missing(document: str, cells: set[Cell], releases: Mapping[str, str]) -> set[Cell]:
    """The cells that are not in the document."""
    written = {row: split(calls) for row, calls in rows_of(document).items()}
    return {
        cell
        for cell in cells
        if cell.call not in written.get((cell.door, *cell.named(releases)), set())
    }


def test_the_document_has_what_this_suite_shows(
    cells: set[Cell], whole: bool, request: pytest.FixtureRequest
) -> None:
    if request.config.getoption("--compatibility", False):
        pytest.skip("it is written when this run has ended well")
    document = DOCUMENT.read_text("utf-8")
    releases = released(document)
    assert missing(document, cells, releases) == set()
    if whole:
        assert document == told(cells, releases)


def test_every_file_of_the_suite_says_what_it_shows() -> None:
    silent = {
        path.name for path in HERE.glob("test_*.py") if "mark.cell(" not in path.read_text("utf-8")
    }
    assert silent == {"test_http_libraries.py"}  # whose table is in docs/exec.md


def test_what_is_not_in_the_document_is_found() -> None:
    cells = {
        Cell("fal", "fal_client", "run"),
        Cell("fal", "fal_client", "stream (a)"),
        Cell("fal", "fal_client", "stream (b)"),
    }
    document = told(cells, RELEASES)
    assert missing(document, cells, RELEASES) == set()
    others = {
        Cell("nebula", "fal_client", "run"),
        Cell("fal", "curl", "run"),
        Cell("fal", "fal_client 1.0.2", "run"),
        Cell("fal", "fal_client", "stream"),
        Cell("fal", "fal_client", "stream (c)"),
    }
    assert missing(document, cells | others, RELEASES) == others


def test_rows_follow_the_doors_and_the_newest_release_comes_first() -> None:
    cells = [
        Cell("sdapi", "webuiapi", "options"),
        Cell("fal", "fal_client 0.9", "run"),
        Cell("fal", "fal_client 0.10", "run"),
        Cell("fal", "fal_client", "cancel"),
        Cell("fal", "fal_client", "text to image"),
        Cell("fal", "curl", "stream (b)"),
        Cell("fal", "curl", "stream (a)"),
    ]
    assert list(rows(cells, RELEASES).items()) == [
        (("fal", "curl", "8.1"), "stream (a, b)"),
        (("fal", "fal_client", "1.0.3"), "text to image, cancel"),
        (("fal", "fal_client", "0.10"), "run"),
        (("fal", "fal_client", "0.9"), "run"),
        (("sdapi", "webuiapi", "0.9"), "options"),
    ]


def test_a_call_works_only_if_all_its_tests_do() -> None:
    matrix, good, bad = Matrix(), Cell("fal", "curl", "run"), Cell("fal", "curl", "cancel")
    for cell, worked in ((good, True), (bad, True), (bad, False), (bad, True), (good, True)):
        matrix.record(cell, worked)
    assert matrix.works == {good}


def test_a_client_that_is_in_no_table_is_refused() -> None:
    with pytest.raises(AssertionError, match=r"curll is not in the tables of matrix\.py"):
        told([Cell("fal", "curll", "run")], RELEASES)
