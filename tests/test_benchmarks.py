"""The benchmarks that a suite can run in little: what they count holds. Their speeds are nobody's
business here."""

from pathlib import Path

from benchmarks import swapping


def cells(row: str) -> list[str]:
    return [each.strip() for each in row.strip("|").split("|")]


def test_two_models_in_turn_swap_at_each_picture_and_all_at_once_rarely(tmp_path: Path) -> None:
    table = [cells(row) for row in swapping.rows(4, tmp_path)][2:]
    counted = {row[0]: (int(row[1]), int(row[2])) for row in table}
    assert counted["imagemill, in turn"] == (4, 4)
    assert counted["imagemill, one of them alone"] == (4, 0)
    assert counted["stock diffusers, loaded anew"] == (4, 4)
    assert counted["imagemill, all at once"][1] <= 2
