"""How long do short requests wait that come among long ones?

`python -m benchmarks.tail` asks imagemill and two peers in turn: requests come by a Poisson
process, the same for all, seven of ten for a small picture of few steps, three for a large one of
many.
`--write` puts the table into RESULTS.md.
"""

import argparse
import random
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from statistics import quantiles

from benchmarks.results import machine, tell
from benchmarks.serving import Server, builds, started

SHORT_SHARE = 0.7
SHORT, LONG = (256, (4, 8)), (512, (30, 50))  # px, and least and most steps
PERCENTILES = (50, 95, 99)


@dataclass(frozen=True)
class Arrival:
    """at: seconds after the beginning."""

    at: float
    short: bool
    side: int
    steps: int


def arrivals(rate: float, seconds: float) -> Iterator[Arrival]:
    """rate: requests a second, on average."""
    drawn, at = random.Random(0), 0.0
    while (at := at + drawn.expovariate(rate)) < seconds:
        short = drawn.random() < SHORT_SHARE
        side, steps = SHORT if short else LONG
        yield Arrival(at, short, side, drawn.randint(*steps))


def waits(server: Server, rate: float, seconds: float) -> dict[bool, list[float]]:
    """Seconds that each request took, by whether it was short; all are waited for."""
    took: dict[bool, list[float]] = {True: [], False: []}

    def ask(arrival: Arrival) -> None:
        took[arrival.short].append(server.ask(arrival.side, arrival.steps))

    began, asking = time.perf_counter(), list[threading.Thread]()
    for arrival in arrivals(rate, seconds):
        time.sleep(max(0.0, began + arrival.at - time.perf_counter()))
        asking.append(threading.Thread(target=ask, args=(arrival,)))
        asking[-1].start()
    for each in asking:
        each.join()
    return took


def percentiles(took: list[float]) -> list[float]:
    cuts = quantiles(took, n=100, method="inclusive")
    return [cuts[each - 1] for each in PERCENTILES]


def rows(rate: float, seconds: float) -> Iterator[str]:
    yield "| | requests | " + " | ".join(f"p{each}" for each in PERCENTILES) + " |"
    yield "|---" * (len(PERCENTILES) + 2) + "|"
    for name, command in builds():
        with tempfile.TemporaryDirectory() as data:
            filled = [part.replace("DATA", data) for part in command]
            with started(filled) as server:
                took = waits(server, rate, seconds)
        for short, kind in ((True, "short"), (False, "long")):
            cells = " | ".join(f"{each:.2f} s" for each in percentiles(took[short]))
            yield f"| {name}, {kind} | {len(took[short])} | {cells} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=0.5, help="requests a second")
    parser.add_argument("--seconds", type=float, default=240.0, help="in which they come")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    head = [
        "## The tail",
        "",
        f"Written by `python -m benchmarks.tail --write`: {options.rate:g} requests a second for",
        f"{options.seconds:g} s, of which {SHORT_SHARE:.0%} ask for {SHORT[0]} px and "
        f"{SHORT[1][0]} to {SHORT[1][1]} steps, the others for",
        f"{LONG[0]} px and {LONG[1][0]} to {LONG[1][1]} steps, at the same times for every server.",
        "",
        machine(),
        "",
    ]
    tell("tail", chain(head, rows(options.rate, options.seconds)), options.write)


if __name__ == "__main__":
    main()
