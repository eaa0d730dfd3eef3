"""Every family at every task: next to stock diffusers, and alone next to in company."""

import importlib.util

import pytest
import torch

from imagemill.pipelines.weights.precision import dtype_for
from tests.checkpoints import PACKAGES, Checkpoint
from tests.model_table import DOCUMENT, SHOWN, Row, document, measured
from tests.studio import inference as inference

ROWS = pytest.StashKey[list[Row]]()
# Whose pictures are not stock's: the engine pads a lone row to two, and what is random in small
# networks multiplies what that rounds otherwise.
LARGEST_DIFFERENCE = 1.5 if dtype_for("cpu") is torch.float32 else 4.0  # of 255
# Stock forgets a shift when it decodes, which changes all colours (diffusers 0.42.1).
MENDED = frozenset({"StableDiffusion3InpaintPipeline"})


@pytest.fixture(scope="module")
def rows(request: pytest.FixtureRequest) -> list[Row]:
    return request.config.stash.setdefault(ROWS, [])


def lacking(family: str) -> str | None:
    """The first of the packages that are needed and not here."""
    needed = PACKAGES.get(family, ())
    return next((name for name in needed if importlib.util.find_spec(name) is None), None)


@pytest.mark.parametrize("family", SHOWN)
def test_a_family_paints_as_stock_does_and_the_same_bytes_in_company(
    family: str, checkpoint: Checkpoint, rows: list[Row], request: pytest.FixtureRequest
) -> None:
    """At its first task, and at all of them for the document."""
    if package := lacking(family):
        pytest.skip(f"{family} needs {package}")
    written = not request.config.getoption("--models")
    mine = measured(family, checkpoint(family), not written)
    rows.extend(mine)
    assert mine
    for row in mine:
        assert row.same, row
        assert row.difference < LARGEST_DIFFERENCE or row.kind in MENDED, row
        assert row.together <= row.alone, row
    if written:
        assert [
            each for each in map(shown, document(mine).splitlines()) if each not in told()
        ] == []


def test_the_document_tells_of_all_families(
    request: pytest.FixtureRequest, rows: list[Row]
) -> None:
    present = {family for family in SHOWN if not lacking(family)}
    if request.config.getoption("--models"):
        assert {row.family for row in rows} == present, "--models is for all of this module"
        DOCUMENT.write_text(document(rows), "utf-8")
    assert {row[0].removeprefix("| ") for row in told() if row} >= present
    assert len({row[1] for row in told() if row} - {"class"}) >= 20


def told() -> set[tuple[str, ...]]:
    return set(map(shown, DOCUMENT.read_text("utf-8").splitlines()))


def shown(line: str) -> tuple[str, ...]:
    """What is the same on every machine: family, class, layout, task."""
    return tuple(line.split(" | ")[:4]) if line.startswith("| ") else ()
