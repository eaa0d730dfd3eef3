"""What do two models cost that do not fit into memory together?

`python -m benchmarks.swapping` makes two small checkpoints, gives the engine a budget that holds
one of them, and asks for pictures of both: in turn, so that each has to wait until its model has
taken the other's place, and all at once. Beside it stands stock diffusers, which loads the model
anew for each. `--write` puts the table into RESULTS.md.
"""

import argparse
import asyncio
import time
from collections.abc import Iterator
from contextlib import aclosing
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import torch

from benchmarks.results import machine, tell
from imagemill.engine.events import Finished, State
from imagemill.engine.footprints import footprint
from imagemill.engine.ipc import Options
from imagemill.engine.process import EngineProcess
from imagemill.generation import Generation

FAMILIES = ("sdxl", "sd3")
SIDE, STEPS = 64, 2  # a picture takes little beside its model
ASKED = Generation("a red cat", "a/b", SIDE, SIDE, STEPS, 4.0, 0)


@dataclass(frozen=True)
class Run:
    """waits: seconds from the question to the picture, of each. seconds: that all took. loads: of
    models meanwhile.
    """

    waits: list[float]
    seconds: float
    loads: int

    def row(self, name: str) -> str:
        longest, swaps = max(self.waits), 60 * self.loads / self.seconds
        cells = [
            name, f"{len(self.waits)}", f"{self.loads}", f"{swaps:.1f}",
            f"{median(self.waits):.2f} s", f"{longest:.2f} s",
        ]  # fmt: skip
        return f"| {' | '.join(cells)} |"


def turns(sources: tuple[str, str], pictures: int) -> Iterator[tuple[str, Generation]]:
    """Both models in turn, each picture another one."""
    for number in range(pictures):
        yield sources[number % 2], replace(ASKED, seed=number)


async def asked(engine: EngineProcess, source: str, what: Generation) -> float:
    """Seconds until the picture is there."""
    began = time.perf_counter()
    events = engine.submit(f"{source} {what.seed}", what, source)
    async with aclosing(events):  # type: ignore[type-var]
        async for event in events:
            if isinstance(event, Finished):
                return time.perf_counter() - began
    raise RuntimeError(f"{event!r}")


async def in_turn(engine: EngineProcess, sources: tuple[str, str], pictures: int) -> Run:
    began, loads = time.perf_counter(), engine.models.loads
    waits = [await asked(engine, *each) for each in turns(sources, pictures)]
    return Run(waits, time.perf_counter() - began, engine.models.loads - loads)


async def at_once(engine: EngineProcess, sources: tuple[str, str], pictures: int) -> Run:
    began, loads = time.perf_counter(), engine.models.loads
    asking = (asked(engine, *each) for each in turns(sources, pictures))
    waits = await asyncio.gather(*asking)
    return Run(waits, time.perf_counter() - began, engine.models.loads - loads)


async def ours(sources: tuple[str, str], pictures: int) -> list[tuple[str, Run]]:
    """Under a budget that holds one of them; and then only one, which stays."""
    engine = EngineProcess(Options(preload=sources[:1], memory=budget(sources)))
    await engine.start()
    try:
        while engine.state is not State.READY:
            await asyncio.sleep(0.05)
        for source, what in turns(sources, 2):  # what comes first proves batches
            await asked(engine, source, what)
        return [
            ("imagemill, in turn", await in_turn(engine, sources, pictures)),
            ("imagemill, all at once", await at_once(engine, sources, pictures)),
            ("imagemill, one of them alone", await in_turn(engine, sources[1:] * 2, pictures)),
        ]
    finally:
        await engine.close()


def budget(sources: tuple[str, str]) -> int:
    """Bytes that hold the larger, and never both."""
    from imagemill.pipelines.loading import dtype_for

    found = (footprint(source, "cpu", dtype_for("cpu").itemsize) for source in sources)
    sizes = [each.bytes for each in found if each is not None]
    return max(sizes) + min(sizes) // 2


def anew(sources: tuple[str, str], pictures: int) -> Run:
    """Stock diffusers in this process, with nothing kept."""
    from diffusers import DiffusionPipeline

    from imagemill.pipelines.loading import dtype_for

    began, waits = time.perf_counter(), list[float]()
    for source, what in turns(sources, pictures):
        then = time.perf_counter()
        pipe = DiffusionPipeline.from_pretrained(source, dtype=dtype_for("cpu"))
        pipe.set_progress_bar_config(disable=True)
        pipe(what.prompt, height=SIDE, width=SIDE, num_inference_steps=STEPS)
        del pipe
        waits.append(time.perf_counter() - then)
    return Run(waits, time.perf_counter() - began, pictures)


def rows(pictures: int, folder: Path) -> Iterator[str]:
    from tests.checkpoints import save

    first, second = (str(save(family, folder / family)) for family in FAMILIES)
    yield "| | pictures | loads | loads a minute | wait, median | wait, longest |"
    yield "|---|---|---|---|---|---|"
    for name, run in asyncio.run(ours((first, second), pictures)):
        yield run.row(name)
    yield anew((first, second), pictures).row("stock diffusers, loaded anew")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=40)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    head = [
        "## Swapping",
        "",
        "Written by `python -m benchmarks.swapping --write`: small checkpoints of "
        f"{' and '.join(FAMILIES)}",
        f"under a budget that holds one, {SIDE} px, {STEPS} steps. A wait is from the question to",
        "the picture. There are so few weights that what is seen is what a swap costs beside "
        "reading them.",
        "",
        machine(),
        "",
    ]
    torch.set_num_threads(1)  # as the engine's lane
    with TemporaryDirectory() as folder:
        found = rows(options.pictures, Path(folder))
        tell("swapping", chain(head, found), options.write)


if __name__ == "__main__":
    main()
