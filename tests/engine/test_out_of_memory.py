"""Memory that runs out: who asked for too much is told so, and nobody else notices."""

import errno
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch

from imagemill.engine.events import Failed
from imagemill.engine.limits import PATIENCE
from imagemill.engine.memory import device_memory, out_of_memory
from imagemill.errors import Fault, Kind
from imagemill.pipelines.loading import Loaded
from tests.studio import ASKED, Studio, alone
from tests.studio import inference as inference
from tests.studio import pico as pico

LINUX = (
    "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you "
    "tried to allocate 4611686018427387904 bytes. Error code 12 (Cannot allocate memory)"
)
WINDOWS = (
    "[enforce fail] data. DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes."
)
CUDA = "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 24.00 GiB"
MPS = "MPS backend out of memory (MPS allocated: 17.00 GB, max allowed: 18.13 GB)"


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("no room"),
        RuntimeError(LINUX),
        RuntimeError(WINDOWS),
        RuntimeError(CUDA),
        RuntimeError(MPS),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
    ],
    ids=str,
)
def test_the_end_of_memory_is_known_by_what_each_device_says(error: Exception) -> None:
    assert out_of_memory(error)
    wrapped = Fault(Kind.FAILED, "it could not be loaded")
    wrapped.__cause__ = error
    assert out_of_memory(wrapped)


def test_this_machine_says_so_too() -> None:
    with pytest.raises(RuntimeError) as raised:
        torch.empty(2**62, dtype=torch.uint8)
    assert out_of_memory(raised.value)


@pytest.mark.parametrize(
    "error", [RuntimeError("boom"), ValueError("out of memory"), OSError(errno.ENOENT, "gone")]
)
def test_other_errors_are_not_taken_for_it(error: Exception) -> None:
    assert not out_of_memory(error)


def test_the_memory_of_a_device_is_told_in_numbers() -> None:
    left = device_memory("cpu")
    assert 0 < left.free <= left.whole
    assert str(left) == f"{left.free / 1e9:.1f} of {left.whole / 1e9:.1f} GB of cpu"


Tighten = Callable[[str, str, Callable[[torch.Tensor], bool]], list[int]]


@pytest.fixture
def tight(pico: Loaded) -> Iterator[Tighten]:
    """Has a part of the model find no memory for what does not fit; gives the rows of its calls."""
    undo = list[Callable[[], None]]()

    def tighten(part: str, method: str, fits: Callable[[torch.Tensor], bool]) -> list[int]:
        ran: list[int] = []
        real = getattr(pico.pipe, part).real
        stock = getattr(real, method)

        def limited(*args: Any, **kwargs: Any) -> Any:
            first = next(iter((*args, *kwargs.values())))
            ran.append(len(first))
            if not fits(first):
                raise RuntimeError(LINUX)
            return stock(*args, **kwargs)

        object.__setattr__(real, method, limited)
        undo.append(lambda: object.__delattr__(real, method))
        return ran

    yield tighten
    for each in undo:
        each()


def at_most(rows: int) -> Callable[[torch.Tensor], bool]:
    return lambda first: len(first) <= rows


def company(count: int, steps: int = 3) -> dict[str, Any]:
    return {f"n{i}": replace(ASKED, seed=i, steps=steps) for i in range(count)}


@pytest.mark.parametrize(
    ("part", "method", "upto"),
    [("transformer", "forward", 2), ("transformer", "forward", 4), ("vae", "decode", 1)],
)
def test_a_group_is_halved_until_it_fits_and_every_picture_is_the_same(
    pico: Loaded, tight: Tighten, part: str, method: str, upto: int
) -> None:
    wanted = alone(pico, company(4)["n2"])
    ran = tight(part, method, at_most(upto))
    studio = Studio()
    studio.start(pico, **company(4))
    studio.run()
    assert len(studio.finished) == 4
    assert studio.files("n2") == wanted
    assert max(ran) > upto


def test_the_limit_is_remembered_and_tried_again_after_a_while(
    pico: Loaded, tight: Tighten
) -> None:
    ran = tight("transformer", "forward", at_most(4))
    studio = Studio()
    studio.start(pico, **company(4, steps=6))
    studio.run()
    assert sum(rows > 4 for rows in ran) == 1
    assert studio.runner.scheduler.budget == Studio().budget
    studio.start(pico, **company(4, steps=PATIENCE))
    studio.run()
    assert sum(rows > 4 for rows in ran) >= 2


def test_what_needs_more_than_there_is_fails_with_the_numbers_and_nobody_else_does(
    pico: Loaded, tight: Tighten
) -> None:
    wanted = alone(pico, ASKED)
    tight("transformer", "forward", lambda latents: latents[0, 0].numel() < 32 * 32)
    studio = Studio()
    studio.start(pico, large=replace(ASKED, width=512, height=512), **company(2), it=ASKED)
    studio.run()
    failed = studio.said["large"][-1]
    assert isinstance(failed, Failed)
    assert failed.fault.kind is Kind.FAILED
    words = ("512x512 px", "GB of cpu", "smaller size", "fewer images", "offload")
    assert all(word in failed.fault.message for word in words)
    assert set(studio.finished) == {"n0", "n1", "it"}
    assert studio.files("it") == wanted
