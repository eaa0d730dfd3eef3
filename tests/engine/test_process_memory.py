"""Models in a real engine process: two that do not fit together, and what they have in common."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from imagemill.engine.events import Failed, Finished, State
from imagemill.engine.footprints import Footprint, footprint, weights
from imagemill.engine.ipc import Options
from imagemill.engine.models_there import LEAST_SECONDS, LOADING_SECONDS, ModelsThere
from imagemill.engine.process import EngineProcess
from imagemill.engine.sharing import measured, parts, share
from imagemill.engine.stand_ins import prepare
from imagemill.errors import Fault, Kind
from imagemill.generation import Generation
from imagemill.model_spec import ModelSpec
from imagemill.pipelines.families import EMBEDDED
from imagemill.pipelines.loading import dtype_for, load
from tests.checkpoints import Checkpoint
from tests.engine.test_process import last

pytestmark = pytest.mark.anyio
SMALL = Generation("a red cat", "m", 64, 64, 2, 4.0, seed=1)


@asynccontextmanager
async def engine_of(
    memory: int, *preload: str, known: tuple[str, ...] = ()
) -> AsyncIterator[EngineProcess]:
    engine = EngineProcess(Options(threads=1, preload=preload, memory=memory, known=known))
    await engine.start()
    try:
        yield engine
    finally:
        await engine.close()


def size(source: str) -> int:
    found = footprint(source, "cpu", dtype_for("cpu").itemsize)
    assert found is not None
    return found.bytes


async def test_two_models_that_do_not_fit_together_are_painted_with_in_turn(
    checkpoint: Checkpoint,
) -> None:
    a, b = str(checkpoint("sdxl")), str(checkpoint("sd3"))
    memory = max(size(a), size(b)) + min(size(a), size(b)) // 2
    async with engine_of(memory, a) as engine:
        wanted = [(f"{number}", a if number % 2 else b) for number in range(8)]
        ends = await asyncio.gather(
            *(last(engine, id, replace(SMALL, seed=int(id)), source) for id, source in wanted)
        )
        assert all(isinstance(end, Finished) for end in ends)
        assert sum(engine.warm(source) == 0 for source in (a, b)) == 1
        swaps = engine.models.loads - 1
    assert swaps <= 3


async def test_a_model_that_has_no_room_is_refused_with_the_numbers(checkpoint: Checkpoint) -> None:
    a = str(checkpoint("sdxl"))
    async with engine_of(size(a) - 1) as engine:
        for _ in range(2):  # the second time by the server itself
            end = await last(engine, "a", SMALL, a)
            assert isinstance(end, Failed)
            assert end.fault.kind is Kind.UNSUPPORTED
            assert "GB for models on cpu" in end.fault.message
        assert a in engine.models.refused


async def test_which_models_can_never_be_there_is_known_before_anybody_asks(
    checkpoint: Checkpoint,
) -> None:
    small, large = sorted((str(checkpoint("sdxl")), str(checkpoint("sd3"))), key=size)
    gone = "/nowhere/at/all"
    async with engine_of(size(large) - 1, known=(gone, large, small)) as engine:
        while engine.refusal(large) is None:
            await asyncio.sleep(0.01)
        assert "GB for models on cpu" in str(engine.refusal(large))
        assert isinstance(await last(engine, "a", SMALL, small), Finished)
        assert engine.refusal(small) is None
        assert engine.refusal(gone) is None  # who asks is told that it is not here


async def test_a_model_that_somebody_will_come_for_is_loaded_meanwhile(
    checkpoint: Checkpoint,
) -> None:
    a = str(checkpoint("sd3"))
    async with engine_of(size(a) + size(EMBEDDED), EMBEDDED) as engine:
        while engine.state is not State.READY:
            await asyncio.sleep(0.01)
        assert engine.warm(EMBEDDED) == 0
        assert engine.warm(a) > 0
        while engine.warm(a):
            await asyncio.sleep(0.05)
        assert isinstance(await last(engine, "it", SMALL, a), Finished)


@pytest.mark.parametrize("family", ["sdxl", "sd3", "flux-dev"])
def test_what_a_model_will_take_is_known_before_it_is_loaded(
    checkpoint: Checkpoint, family: str
) -> None:
    source = str(checkpoint(family))
    assert size(source) == pytest.approx(measured(prepare(source)).bytes, rel=0.02)


def test_what_a_table_says_of_a_model_counts(checkpoint: Checkpoint) -> None:
    source = str(checkpoint("sdxl"))

    def known(**said: object) -> Footprint:
        found = footprint(ModelSpec(source, **said).address, "cuda", 2)  # type: ignore[arg-type]
        assert found is not None
        return found

    plain = known()
    assert (plain.device, plain.keep) == ("cuda", False)
    assert known(dtype="float32").bytes == 2 * plain.bytes
    assert known(keep=True).keep
    assert known(offload="model").device == "cpu"
    assert known(device="cuda:1").device == "cuda:1"


@pytest.fixture
def flux_pair(checkpoint: Checkpoint, tmp_path: Path) -> tuple[str, str]:
    """Two folders, with the same text encoder in files of its own in each."""
    dev, schnell = checkpoint("flux-dev"), tmp_path / "schnell"
    shutil.copytree(checkpoint("flux-schnell"), schnell)
    shutil.rmtree(schnell / "text_encoder_2")
    shutil.copytree(dev / "text_encoder_2", schnell / "text_encoder_2")
    return str(dev), str(schnell)


def test_equal_parts_of_two_folders_are_known_as_one_and_others_are_not(
    flux_pair: tuple[str, str],
) -> None:
    dev, schnell = (footprint(source, "cpu", 4) for source in flux_pair)
    assert dev is not None
    assert schnell is not None
    assert len(set(dev.parts) & set(schnell.parts)) == 1


def test_of_what_is_not_here_nothing_is_known(tmp_path: Path) -> None:
    assert footprint(str(tmp_path / "nothing"), "cpu", 4) is None
    assert footprint(str(tmp_path), "cpu", 4) is None


def test_a_part_is_counted_once_whatever_forms_lie_beside_it(tmp_path: Path) -> None:
    def counted(**said: object) -> list[str]:
        return [path.name for path in weights(tmp_path, ModelSpec("m", **said))]  # type: ignore[arg-type]

    names = (
        "model.safetensors model.fp16.safetensors pytorch_model.bin "
        "model.fp16-00001-of-00002.safetensors model.fp16-00002-of-00002.safetensors"
    )
    for name in names.split():
        (tmp_path / name).touch()
    assert counted() == ["model.safetensors"]
    assert counted(variant="fp16") == ["model.fp16.safetensors"]
    (tmp_path / "model.safetensors").unlink()
    assert counted() == ["model.fp16.safetensors"]
    (tmp_path / "model.fp16.safetensors").unlink()
    assert counted() == []
    assert counted(pickles=True) == ["pytorch_model.bin"]


def test_what_is_counted_is_what_is_loaded(checkpoint: Checkpoint, tmp_path: Path) -> None:
    """A folder that has nothing but weights of a variant once took no memory at all."""
    whole, half = checkpoint("sd15"), tmp_path / "half"
    shutil.copytree(whole, half)
    for path in half.rglob("*.safetensors"):
        path.rename(path.with_suffix(".fp16.safetensors"))
    assert size(str(half)) == size(str(whole))
    other = checkpoint("flux-dev")
    apart = ModelSpec(str(half), vae=str(other)).address
    own, theirs = (
        sum(path.stat().st_size for path in folder.rglob("vae/*.safetensors"))
        for folder in (half, other)
    )
    assert own != theirs
    bytes = dtype_for("cpu").itemsize / 2 * (theirs - own)  # float16 on disk
    assert size(apart) - size(str(half)) == pytest.approx(bytes, rel=0.1)


def test_equal_parts_of_two_models_lie_in_memory_once(flux_pair: tuple[str, str]) -> None:
    dev = prepare(flux_pair[0])
    schnell = prepare(flux_pair[1], [dev])
    ours, theirs = parts(schnell), parts(dev)
    assert ours["text_encoder_2"] is theirs["text_encoder_2"]
    assert ours["transformer"] is not theirs["transformer"]
    for pipe in schnell.pipes.values():
        assert pipe.text_encoder_2.real is theirs["text_encoder_2"]


def test_parts_that_differ_in_a_single_weight_are_not_shared(
    checkpoint: Checkpoint,
) -> None:
    dev, again = (load(str(checkpoint("flux-dev")), "cpu") for _ in range(2))
    with torch.no_grad():
        next(again.pipe.text_encoder_2.parameters())[0, 0] += 1
    share(again, [dev])
    assert parts(again)["vae"] is parts(dev)["vae"]
    assert parts(again)["text_encoder_2"] is not parts(dev)["text_encoder_2"]


@pytest.fixture
def clock() -> Callable[[], float]:
    times = iter([0.0, 5.0, 100.0, 101.0, 110.0])
    return lambda: next(times)


def test_how_long_a_model_takes_is_told_by_how_long_it_took(clock: Callable[[], float]) -> None:
    there = ModelsThere(clock)
    assert there.seconds("m") == LOADING_SECONDS
    there.loading("m")  # at 0
    there.loading(None)  # at 5
    assert there.seconds("m") == 5.0
    there.loading("m")  # at 100
    assert there.seconds("m") == 4.0
    assert there.seconds("m") == LEAST_SECONDS
    there.held = frozenset({"m"})
    assert there.seconds("m") == 0.0
    there.died()
    assert there.seconds("m") == 5.0
    there.refused = {"m": Fault(Kind.UNSUPPORTED, "no room")}
    assert there.seconds("m") == 0.0
