"""What does a GPU paint with, ours next to stock diffusers, and how near is that to its limit?

`python -m benchmarks.gpu` needs no network and at most eight minutes: SDXL and FLUX.1-schnell of
true shapes with random weights, at 512 and 1024 px, for 1, 4 and 16 requests of mixed steps. Stock
diffusers paints one picture after the other, as it is and with its blocks compiled; the engine
paints all at once, without a server, with the same modules. The floor is what the operations of all
requests take at the rate of a large product of matrices. Each picture is compared to the bytes that
it has alone. `--write` puts the table into RESULTS.md; `--tiny` runs small models on a processor.
"""

import argparse
import copy
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain

import numpy as np
import torch
from diffusers import DiffusionPipeline
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.results import machine, tell
from benchmarks.serving import PROMPTS
from benchmarks.true_shapes import SHAPES, Shape, pipeline
from imagemill.engine import stand_ins
from imagemill.engine.events import Event, Failed
from imagemill.engine.runner import ROW_BUDGET, ActiveGeneration, Runner
from imagemill.generation import MAX_STEPS, Generation
from imagemill.pipelines.cheap_kernels import spare
from imagemill.pipelines.deriving import family_of
from imagemill.pipelines.families import DENOISERS
from imagemill.pipelines.inputs import Picture
from imagemill.pipelines.loading import Loaded, assembled

MINUTES = 7.5  # after which nothing new is begun
ALONE = 4  # requests that are painted alone, too, for their bytes
TIMES = 10  # that matrices are multiplied


@dataclass(frozen=True)
class Scale:
    """sides: px. counts: of requests. backend: of the compiler. matrix: numbers in a row. steps: at
    most.
    """

    device: str
    sides: tuple[int, ...]
    counts: tuple[int, ...]
    backend: str
    matrix: int
    steps: int = MAX_STEPS


PROPER = Scale("cuda", (512, 1024), (1, 4, 16), "inductor", 8192)
# "eager" stands where compiling would take minutes: it shows that all of it runs.
TINY = Scale("cpu", (64,), (1, 3), "eager", 256, 2)


@dataclass
class Subject:
    """A model: the stock pipeline, and ours of the same modules."""

    shape: Shape
    stock: DiffusionPipeline
    ours: Loaded
    steps: tuple[int, ...]  # of requests, in turn

    @property
    def denoiser(self) -> torch.nn.Module:
        found = (getattr(self.stock, name, None) for name in DENOISERS)
        real: torch.nn.Module = next(each for each in found if each is not None)
        return real

    def requests(self, count: int, side: int) -> list[Generation]:
        steps, guidance = self.steps, self.shape.guidance
        return [
            Generation(
                PROMPTS[i % len(PROMPTS)],
                "a/b",
                side,
                side,
                steps[i % len(steps)],
                guidance,
                i,
            )
            for i in range(count)
        ]


@dataclass(frozen=True)
class Measured:
    """seconds: of all requests. pictures: ours alone has them."""

    seconds: float
    pictures: list[Picture] = field(default_factory=list)


Way = Callable[[Subject, Sequence[Generation]], Measured]


def subject(shape: Shape, scale: Scale) -> Subject:
    stock = pipeline(shape, scale.device, scale is TINY)
    spare(stock)
    loaded = assembled(shape.name, family_of(stock), copy.copy(stock))
    for pipe in loaded.pipes.values():
        stand_ins.stand_in(pipe)
    steps = tuple(min(each, scale.steps) for each in shape.steps)
    return Subject(shape, stock, loaded, steps)


def by_stock(it: Subject, requests: Sequence[Generation]) -> Measured:
    began = _now()
    for each in requests:
        it.stock(
            each.prompt,
            height=each.height,
            width=each.width,
            num_inference_steps=each.steps,
            guidance_scale=each.guidance_scale,
            generator=torch.Generator().manual_seed(each.seed),
        )
    return Measured(_now() - began)


@dataclass
class Ours:
    """The engine alone, in this thread. It keeps what it has proved of batches."""

    device: str
    finished: list[ActiveGeneration] = field(default_factory=list)
    runner: Runner = field(init=False)

    def __post_init__(self) -> None:
        budget = ROW_BUDGET[self.device]
        self.runner = Runner(budget, _heard, self.finished.append, time.monotonic)

    def __call__(self, it: Subject, requests: Sequence[Generation]) -> Measured:
        self.finished.clear()
        began = _now()
        with torch.inference_mode():
            for number, each in enumerate(requests):
                self.runner.start(str(number), each, it.ours)
            while self.runner.step():
                pass
        seconds = _now() - began
        pictures = {each.id: each.pictures[0] for each in self.finished}
        return Measured(seconds, [pictures[str(number)] for number in range(len(requests))])


def _heard(id: str, event: Event) -> None:
    if isinstance(event, Failed):
        raise event.fault


def _now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def operations(it: Subject, side: int) -> tuple[int, int]:
    """Of one step, and of all else of a picture."""

    def counted(steps: int) -> int:
        with FlopCounterMode(display=False) as counter:
            by_stock(it, [Generation("a cat", "a/b", side, side, steps, it.shape.guidance, 0)])
        return int(counter.get_total_flops())

    one, two = counted(1), counted(2)
    return two - one, 2 * one - two


def matrix_rate(scale: Scale, dtype: torch.dtype) -> float:
    """Operations a second of a large product, the best of several."""
    dtype = torch.float32 if scale is TINY else dtype
    left, right = (
        torch.randn(scale.matrix, scale.matrix, device=scale.device, dtype=dtype) for _ in range(2)
    )
    seconds = list[float]()
    for _ in range(TIMES):
        began = _now()
        left @ right
        seconds.append(_now() - began)
    return float(2 * scale.matrix**3 / min(seconds))


def compiled(it: Subject, backend: str) -> None:
    """Its repeated blocks, in place: for stock diffusers and for us."""
    denoiser: torch.nn.Module = it.denoiser
    denoiser.compile_repeated_blocks(backend=backend)  # type: ignore[operator]


def uncompiled(it: Subject) -> None:
    torch.compiler.reset()
    for each in it.denoiser.modules():
        each._compiled_call_impl = None


@dataclass
class Sheet:
    """What was measured of one model at one size: by way and number of requests; and the pictures
    of the requests that were painted alone, by way. operations: of a step, and of all else.
    """

    operations: tuple[int, int]
    times: dict[tuple[str, int], Measured] = field(default_factory=dict)
    alone: dict[str, list[Picture]] = field(default_factory=dict)

    def take(self, name: str, way: Way, it: Subject, side: int, scale: Scale, end: float) -> None:
        """Warms up, and measures what there is time for."""
        mine = isinstance(way, Ours)
        if time.monotonic() >= end:
            return
        if mine:
            few = it.requests(min(ALONE, scale.counts[-1]), side)
            self.alone[name] = [way(it, [each]).pictures[0] for each in few]
        way(it, it.requests(scale.counts[-1] if mine else 1, side))
        for count in scale.counts:
            if time.monotonic() < end:
                self.times[name, count] = way(it, it.requests(count, side))

    def seconds(self, name: str, count: int) -> float:
        """Not a number where there was no time."""
        found = self.times.get((name, count))
        return float("nan") if found is None else found.seconds

    def same(self, count: int) -> tuple[int, int]:
        """How many pictures have the bytes in company that they have alone, and of how many."""
        pairs = [
            (one, other)
            for name, pictures in self.alone.items()
            if (name, count) in self.times
            for one, other in zip(pictures, self.times[name, count].pictures, strict=False)
        ]
        return sum(np.array_equal(*each) for each in pairs), len(pairs)


STOCK, OURS = ("stock", "stock, compiled"), ("ours", "ours, compiled")
WAYS = tuple(chain.from_iterable(zip(STOCK, OURS, strict=True)))


def sheet(it: Subject, side: int, scale: Scale, end: float) -> Sheet:
    uncompiled(it)
    found = Sheet(operations(it, side))  # nobody counts what is compiled
    for number in range(len(STOCK)):
        if number:
            compiled(it, scale.backend)
        found.take(STOCK[number], by_stock, it, side, scale, end)
        found.take(OURS[number], Ours(scale.device), it, side, scale, end)
    return found


def rows(scale: Scale, end: float) -> Iterator[str]:
    """end: on the clock of `time.monotonic`."""
    names = [*WAYS, "times stock", "times compiled", "floor", "of the floor's rate", "same bytes"]
    yield f"| model | px | requests | {' | '.join(names)} |"
    yield "|---" * (len(names) + 3) + "|"
    rates = dict[str, float]()
    subjects = list[Subject]()
    for shape in SHAPES:
        subjects.append(subject(shape, scale))
        rates[shape.name] = matrix_rate(scale, shape.dtype)
    for side in scale.sides:
        for it in subjects:
            found = sheet(it, side, scale, end)
            for count in scale.counts:
                yield _row(it, side, count, found, rates[it.shape.name])
    yield ""
    told = ", ".join(f"{name} {rate / 1e12:.3g}" for name, rate in rates.items())
    yield f"A product of matrices runs at, in 10^12 operations a second: {told}."


def _row(it: Subject, side: int, count: int, found: Sheet, rate: float) -> str:
    steps = [request.steps for request in it.requests(count, side)]
    each, beside = found.operations
    floor = (each * sum(steps) + beside * count) / rate
    seconds = {name: found.seconds(name, count) for name in WAYS}
    best = min(seconds[name] for name in OURS)
    cells = [it.shape.name, f"{side}", f"{count}"]
    cells += [_told(taken, " s") for taken in seconds.values()]
    cells += [_told(seconds[name] / best) for name in STOCK]
    cells += [_told(floor, " s"), _told(100 * floor / best, " %")]
    cells.append("{} of {}".format(*found.same(count)))
    return f"| {' | '.join(cells)} |"


def _told(value: float, unit: str = "") -> str:
    return "" if np.isnan(value) else f"{value:.3g}{unit}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiny", action="store_true", help="small models, on a processor")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="for all of it")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    scale = TINY if options.tiny else PROPER
    if scale is PROPER and not torch.cuda.is_available():
        raise SystemExit("torch sees no GPU; --tiny runs small models on a processor")
    end = time.monotonic() + 60 * options.minutes
    device = "a processor" if scale is TINY else torch.cuda.get_device_name()
    head = ["## A GPU", "", *ABOUT, "", f"{device}; {machine()}", ""]
    tell("gpu", chain(head, rows(scale, end)), options.write and scale is PROPER)


ABOUT = (
    "Written by `python -m benchmarks.gpu --write`: random weights of true shapes. Stock diffusers",
    "paints one picture after the other, with the whole of it as it is or its repeated blocks",
    "compiled; the engine paints all requests at once, with the same modules. The times are those",
    "of all requests, what is told of ours is of its better column, and an empty cell was not",
    "reached in time.",
)

if __name__ == "__main__":
    main()
