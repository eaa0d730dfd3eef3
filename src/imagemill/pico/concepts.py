"""What pico can draw (`concepts.tsv`)."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True)
class Concept:
    """source: of its drawing; an emoji's code, `own:` or `icon:` and a name. place: its usual one,
    or "".
    """

    name: str
    source: str
    kind: str
    place: str


@cache
def concepts() -> Mapping[str, Concept]:
    """By name, in the order of the atlas."""
    with (Path(__file__).parent / "concepts.tsv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    return {
        row["concept"]: Concept(row["concept"], row["source"], row["kind"], row["place"])
        for row in rows
    }
