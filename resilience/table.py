"""docs/faults.md: a row for every fault that the suite injects, and what happened.

A test names its fault with `@pytest.mark.fault(name)`, or several. The suite itself writes the
tables: `python -m pytest resilience --faults`.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from resilience.watching import Latency, Measured

DOCUMENT = Path(__file__).parents[1] / "docs" / "faults.md"

MOST_SECONDS = 0.1  # of an answer
MOST_BYTES = 10**9  # of the server beside its engine

# The sections, in their order: each file of tests, and what its faults are called.
SECTIONS = {
    "test_engine": "The engine",
    "test_server": "The server",
    "test_start": "Starting",
    "test_database": "Clocks, disks and the database",
    "test_postgres": "PostgreSQL",
    "test_peers": "Whoever does not answer",
    "test_bodies": "Whoever sends too much, or too slowly",
    "test_crowds": "Crowds",
    "test_strangers": "Strangers",
}

HEAD = """# Faults

Written by the suite that injects them: `python -m pytest resilience --faults`. Every row is a fault
done to a server in a process of its own; a test of the same name asserts what happened, on every
machine. Meanwhile another process asked `/health` and for one picture that was kept, both ten times
a second, each time on a new connection: the slowest answer, and behind it the one that 95 % were
faster than. *Held* is the memory of the server's process, without its engine's, at most. Where the
fault itself keeps the server from answering (it is killed, or stands still), that time does not
count.

The aims are {seconds:.0f} ms for every answer and {bytes} GB; what is beyond them is in **bold**.
The engine is pico in the first section and where it is named, else one that paints plain colours
in no time, so that it is the server that is measured. Times are of this machine: {machine}.
"""
SECTION = """
## {title}

| fault | what happened | `/health` | kept picture | held |
| --- | --- | --- | --- | --- |
"""
_ROW = re.compile(r"^\| (?!fault \||---)(.*?) \| ", re.MULTILINE)


@dataclass(frozen=True)
class Row:
    """section: a key of SECTIONS. measured: None where no server ran."""

    section: str
    fault: str
    happened: str
    measured: Measured | None = None

    def __str__(self) -> str:
        cells = [self.fault, self.happened, *_cells(self.measured)]
        return f"| {' | '.join(cells)} |\n"


def written(rows: Iterable[Row], order: Iterable[str], machine: str) -> str:
    """The whole document; order: of the faults."""
    places = {fault: place for place, fault in enumerate(order)}
    ordered = sorted(rows, key=lambda row: places[row.fault])
    head = HEAD.format(seconds=1000 * MOST_SECONDS, bytes=MOST_BYTES // 10**9, machine=machine)
    parts = [head]
    for section, title in SECTIONS.items():
        of_section = [str(row) for row in ordered if row.section == section]
        if of_section:
            parts += [SECTION.format(title=title), *of_section]
    return "".join(parts)


def faults_in(document: str) -> list[str]:
    """The names of all faults in a document, in their order."""
    return _ROW.findall(document)


def _cells(measured: Measured | None) -> tuple[str, str, str]:
    if measured is None:
        return ("", "", "")
    memory = f"{measured.memory / 10**6:.0f} MB"
    return (
        _latency(measured.health),
        _latency(measured.cached),
        _marked(memory, measured.memory > MOST_BYTES),
    )


def _latency(latency: Latency) -> str:
    told = (
        _marked(f"{1000 * seconds:.0f}", seconds > MOST_SECONDS)
        for seconds in (latency.worst, latency.usual)
    )
    return f"{' / '.join(told)} ms"


def _marked(text: str, beyond: bool) -> str:
    return f"**{text}**" if beyond else text


def missing(document: str, faults: Mapping[str, str]) -> set[str]:
    """The faults, by name with their sections, of which the document has no row."""
    return faults.keys() - set(faults_in(document))
