"""What `imagemill exec` tells at its end: the calls that were answered, and who else was called."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imagemill.exec.interception import ConnectionOutcome

# What stands for one job, and is another one the next time.
_ID = re.compile(
    r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|(?=[a-z]*\d)[a-z0-9]{24,64}|[\w-]{40,}",
    re.IGNORECASE,
)
LONGEST_PATH = 72
COMPLAINTS = 3  # lines of the log
TOLD = "imagemill: "  # begins what the command line says
WORDS: Mapping[ConnectionOutcome, str] = {
    ConnectionOutcome.PASSED: "passed through",
    ConnectionOutcome.REFUSED: "refused, as --offline has it",
    ConnectionOutcome.UNREACHED: "not reached",
    ConnectionOutcome.BROKEN_OFF: (
        "broken off before TLS stood, as by who does not trust our certificate"
    ),
}


@dataclass(frozen=True, order=True)
class AnsweredCall:
    door: str
    method: str
    path: str
    status: int


def calls(log: Path) -> Counter[AnsweredCall]:
    """How often the server was asked for what."""
    counts = Counter[AnsweredCall]()
    for line in _lines(log):
        if {"method", "path", "status"} <= line.keys() and line["path"] != "/health":
            path = str(line["path"])
            door = path.split("/")[1] or "flat"
            method, status = str(line["method"]), int(line["status"])
            counts[AnsweredCall(door, method, shortened(path), status)] += 1
    return counts


def complaints(log: Path) -> str:
    """What the server said last that was no mere information."""
    said = [line["message"] for line in _lines(log) if line["level"] in ("error", "critical")]
    plain = log.read_text("utf-8", "replace").splitlines()
    # Why it did not start is told in a line of its own, which is no JSON.
    said += [line.removeprefix(TOLD) for line in plain if line.startswith(TOLD)]
    if not said:  # it ended before it could log
        said = plain
    return "; ".join(str(each) for each in said[-COMPLAINTS:]) or "it said nothing"


def summary(
    answered: Counter[AnsweredCall] | None, counts: Counter[tuple[ConnectionOutcome, str]]
) -> Iterator[str]:
    """The summary, line by line; `answered` is None where somebody else has the log."""
    if answered is None:
        hosts = _by_host(counts, ConnectionOutcome.ANSWERED)
        yield f"answered: {hosts or 'nobody called'}"
    else:
        yield from _table(answered)
    for outcome, words in WORDS.items():
        if hosts := _by_host(counts, outcome):
            yield f"{words}: {hosts}"


def shortened(path: str) -> str:
    """A path that is the same for every job."""
    before, files, _ = path.partition("/files/")
    short = _ID.sub("ID", before) + (f"{files}ID" if files else "")
    return short if len(short) <= LONGEST_PATH else f"{short[: LONGEST_PATH - 3]}..."


def _table(answered: Counter[AnsweredCall]) -> Iterator[str]:
    total = answered.total()
    yield f"{total} call{'' if total == 1 else 's'} answered"
    rows = [
        (call.door, call.method, call.path, str(call.status), str(count))
        for call, count in sorted(answered.items())
    ]
    widths = [max(len(row[i]) for row in rows) for i in range(5)] if rows else []
    for row in rows:
        *cells, last = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        yield "  ".join(["", *cells, last.strip().rjust(widths[-1])])


def _by_host(counts: Counter[tuple[ConnectionOutcome, str]], wanted: ConnectionOutcome) -> str:
    hosts = {host: count for (outcome, host), count in counts.items() if outcome is wanted}
    return ", ".join(f"{host} ({count})" for host, count in sorted(hosts.items()))


def _lines(log: Path) -> Iterator[dict[str, Any]]:
    with log.open(encoding="utf-8", errors="replace") as file:
        for text in file:
            try:
                line = json.loads(text)
            except ValueError:
                continue
            if isinstance(line, dict) and "message" in line:
                yield line
