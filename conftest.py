"""Which tests are slow, need the published clients, or need a browser: by file and fixture.

`sh scripts/check` leaves these out, files that are slow as a whole unread.
"""

import gc
from collections.abc import Generator, Mapping
from pathlib import Path

import pytest

from imagemill.garbage import lasting

ROOT = Path(__file__).parent
# Files below tests that took more than about three seconds of a processor: they load torch or the
# embedded model, start processes, or ask many routes. All others take about 100 s together.
SLOW = frozenset({
    "admission", "app", "bad_input", "benchmarks", "cli", "company", "contract", "contributing",
    "crash", "data_uris", "degraded", "docs", "doors", "engine", "engine_adapters",
    "engine_guidance", "pico_editing",
    "controls", "fal_controls", "ip_adapters", "fal_ip_adapters", "pico_reference",
    "engine_images", "engine_inputs", "engines", "examples", "fal", "fal_storage", "families",
    "finishing", "finishing_tracing", "first_block", "hf_inference", "host_routing", "hub",
    "input_access", "input_files", "jobs", "library", "local_callers", "lora_factors",
    "lora_layers", "lora_layouts", "models", "models_commands", "nebius", "nebula", "objects",
    "openai", "openai_edits", "openai_fetches", "openai_streams", "out_of_memory", "overload",
    "own_files", "pico", "pico_judges", "pico_model", "pico_reading", "preload", "process",
    "photos", "process_memory", "queue",
    "painted_elsewhere", "repeats", "replicate", "replicate_bounds", "replicate_files",
    "replicate_inputs",
    "replicate_refusals", "replies", "safety", "schedulers", "sdapi", "sdapi_limits", "sdapi_live",
    "sdapi_images", "starting", "supervision", "testing", "together", "upstream_crashes",
    "upstream_faults", "weights_faults", "weights_options", "weights_singles", "wrapped",
})  # fmt: skip
# By what a test needs.
FIXTURES: Mapping[str, str] = {"browser": "browser", "postgres": "slow"}


# Objects that are made before garbage is looked for: the application of a test alone has more than
# the 700 of Python 3.11.
OBJECTS = 20_000


def marks_of(path: Path, fixtures: frozenset[str]) -> set[str]:
    """The markers of a test, by the file that it is in and the fixtures that it needs."""
    marks = {FIXTURES[name] for name in fixtures & FIXTURES.keys()}
    if path.parent == ROOT / "conformance":
        marks.add("conformance")
    if ROOT / "tests" in path.parents and path.stem.removeprefix("test_") in SLOW:
        marks.add("slow")
    return marks


def needed(item: pytest.Item) -> frozenset[str]:
    """The fixtures of a test, and of the databases that one stands for the one that it is."""
    params: Mapping[str, object] = getattr(getattr(item, "callspec", None), "params", {})
    return frozenset([*getattr(item, "fixturenames", ()), str(params.get("database_url"))])


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for mark in sorted(marks_of(item.path, needed(item))):
            item.add_marker(mark)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Reads no file all of whose tests are left out; some take seconds to be imported."""
    left_out = {f"not {mark}" for mark in marks_of(collection_path, frozenset())}
    return True if left_out & set(config.option.markexpr.split(" and ")) else None


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What files import stays: looking through it for garbage took up to half of the time of tests
    of routes, each of which makes an application.
    """
    gc.set_threshold(OBJECTS)
    with lasting():
        return (yield)
