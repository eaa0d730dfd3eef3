"""Which devices get an engine each, and what a process sees of them: no GPU is needed to tell."""

from pathlib import Path

import pytest

from imagemill.assembly import devices_for, engine_on
from imagemill.catalog import Catalog
from imagemill.engine.devices import list_gpus, pinned, visible
from imagemill.engine.engines import Engines
from imagemill.engine.process import EngineProcess
from imagemill.errors import Fault, Kind
from imagemill.model_spec import ModelSpec
from imagemill.settings import Settings, load

TWO = ("cuda:0", "cuda:1")


@pytest.mark.parametrize(
    ("files", "environment", "devices"),
    [
        ((), {}, ()),
        (("nvidiactl", "nvidia-uvm", "nvidia-modeset"), {}, ()),
        (("nvidia0", "nvidiactl"), {}, ("cuda:0",)),
        (("nvidia2", "nvidia10"), {}, TWO),  # a container's two of many; CUDA counts from 0
        (("nvidia0", "nvidia1"), {"CUDA_VISIBLE_DEVICES": ""}, ()),
        (("nvidia0", "nvidia1"), {"CUDA_VISIBLE_DEVICES": "-1"}, ()),
        (("nvidia0", "nvidia1"), {"CUDA_VISIBLE_DEVICES": "1"}, ("cuda:0",)),
        (("nvidia0", "nvidia1"), {"CUDA_VISIBLE_DEVICES": "0,-1,1"}, ("cuda:0",)),
        ((), {"CUDA_VISIBLE_DEVICES": "GPU-1a, MIG-2b"}, TWO),
    ],
)
def test_gpus_are_counted_as_cuda_counts_them(
    tmp_path: Path, files: tuple[str, ...], environment: dict[str, str], devices: tuple[str, ...]
) -> None:
    for name in files:
        (tmp_path / name).touch()
    assert list_gpus(environment, tmp_path, lambda: True) == devices


def test_where_torch_is_built_for_processors_no_gpu_counts(tmp_path: Path) -> None:
    (tmp_path / "nvidia0").touch()
    assert list_gpus({}, tmp_path, lambda: False) == ()


@pytest.mark.parametrize(
    ("device", "environment", "seen"),
    [
        ("cuda:1", {}, "1"),
        ("cuda:1", {"CUDA_VISIBLE_DEVICES": "3,5"}, "5"),
        ("cuda:1", {"CUDA_VISIBLE_DEVICES": "GPU-1a, MIG-2b"}, "MIG-2b"),
        ("cuda:2", {"CUDA_VISIBLE_DEVICES": "3,5"}, ""),
        ("cpu", {"CUDA_VISIBLE_DEVICES": "3,5"}, ""),
    ],
)
def test_a_process_sees_its_own_device_of_those_that_are_visible(
    device: str, environment: dict[str, str], seen: str
) -> None:
    assert visible(device, environment) == seen


@pytest.mark.parametrize("device", ["auto", "cuda", "cpu", "mps"])
def test_a_model_without_a_number_may_be_anywhere(device: str) -> None:
    address = ModelSpec("folder", device=device).address
    assert pinned(address, TWO) == (TWO, address)


def test_a_model_with_a_number_is_on_that_device_which_its_engine_calls_its_own() -> None:
    assert pinned(ModelSpec("folder", device="cuda:1").address, TWO) == (("cuda:1",), "folder")
    quantized = ModelSpec("x.safetensors", device="cuda:0", dtype="float32")
    own = ModelSpec("x.safetensors", dtype="float32").address
    assert pinned(quantized.address, TWO) == (("cuda:0",), own)


def test_a_model_on_a_device_that_has_no_engine_is_refused() -> None:
    with pytest.raises(Fault) as caught:
        pinned(ModelSpec("folder", device="cuda:2").address, TWO)
    assert caught.value.kind is Kind.UNSUPPORTED
    assert "cuda:2 is none of the server's; one of cuda:0, cuda:1" in caught.value.message


@pytest.mark.parametrize("gpus", [(), ("cuda:0",)])
def test_one_gpu_or_none_is_left_to_one_engine_that_finds_it_itself(gpus: tuple[str, ...]) -> None:
    settings = Settings()
    devices = devices_for(settings, gpus)
    engine = engine_on(devices, settings, Catalog(settings.models, settings.stand_ins))
    assert devices == ()
    assert isinstance(engine, EngineProcess)
    assert (engine.options.device, engine.options.engines) == (None, 1)


def test_several_gpus_get_an_engine_each_with_the_models_that_may_be_there() -> None:
    models = {"a/b": ModelSpec("folder", device="cuda:1"), "a/c": ModelSpec("other")}
    settings = Settings(models=models, memory=7)
    devices = devices_for(settings, TWO)
    engine = engine_on(devices, settings, Catalog(models, stand_ins=True))
    assert isinstance(engine, Engines)
    told = {device: each.options for device, each in engine.engines.items()}
    assert [each.device for each in told.values()] == list(TWO)
    assert [each.preload for each in told.values()] == [("pico",), ("folder", "pico")]
    assert [each.known for each in told.values()] == [("other",), ("folder", "other")]
    assert {(each.memory, each.engines) for each in told.values()} == {(7, 2)}


def test_the_settings_devices_win_over_what_is_found() -> None:
    assert devices_for(Settings(devices=["cuda:1"]), TWO) == ("cuda:1",)


def test_a_model_that_is_pinned_elsewhere_stops_the_start() -> None:
    models = {"a/b": ModelSpec("folder", device="cuda:2")}
    with pytest.raises(Fault, match="a/b: the model's device cuda:2 is none of the server's"):
        engine_on(TWO, Settings(models=models), Catalog(models, stand_ins=True))


@pytest.mark.parametrize(
    ("devices", "told"),
    [
        (["gpu"], "give cpu, or GPUs by their numbers, as cuda:0"),
        (["cuda"], "give cpu, or GPUs by their numbers, as cuda:0"),
        (["cuda:0", "cuda:0"], "one is named twice"),
        (["cpu", "cuda:0"], "cpu stands alone"),
    ],
)
def test_devices_that_make_no_sense_are_refused(devices: list[str], told: str) -> None:
    with pytest.raises(Fault, match=told):
        load(devices=devices)
