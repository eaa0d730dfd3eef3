"""What pico can draw (`concepts.tsv`), and where its drawings have saddles and heads."""

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from imagemill.pico.scene import Traits

FOLDER = Path(__file__).parent


def rows(path: Path) -> Iterator[dict[str, str]]:
    """The lines of a table, by column."""
    with path.open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)


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
    return {
        row["concept"]: Concept(row["concept"], row["source"], row["kind"], row["place"])
        for row in rows(FOLDER / "concepts.tsv")
    }


@cache
def traits() -> Traits:
    table: Traits = json.loads((FOLDER / "traits.json").read_text("utf-8"))
    return table
