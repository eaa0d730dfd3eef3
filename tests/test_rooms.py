"""The rooms of the package: who may import whom. The table rules; a walk over the source checks."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.room_words import (
    REACHED_STILL,
    SHARED_STILL,
    VAGUE_STILL,
    exempt,
    reaches,
    shared_classes,
    vague_names,
)

SOURCE = Path(__file__).parent.parent / "src" / "imagemill"

TENSORS = frozenset({"torch", "diffusers", "transformers", "accelerate", "safetensors"})
ROUTES = frozenset({"fastapi", "starlette", "uvicorn"})
PIXELS = frozenset({"PIL"})
DATABASE = frozenset({"sqlalchemy", "alembic", "aiosqlite", "asyncpg"})
EDGE = TENSORS | PIXELS | DATABASE | {"store", "engine", "pico", "pipelines"}


@dataclass(frozen=True)
class Level:
    """`never` are packages and rooms that must not be known; None: all but the standard library."""

    rooms: frozenset[str]
    never: frozenset[str] | None


def level(rooms: str, never: frozenset[str] | None) -> Level:
    return Level(frozenset(rooms.split()), never)


LEVELS = (
    level(
        "errors value_checks conditions references generation scheduler_names job model_spec "
        "upstream_spec turns retries clocks garbage accounts credits",
        None,
    ),
    level(
        "settings telemetry folders images infotext names networks fetch files store webhooks "
        "finishing tls threads budget slots pacing",
        ROUTES | TENSORS,
    ),
    level("pico pipelines engine", ROUTES | DATABASE | {"job", "accounts", "credits", "store"}),
    level(
        "catalog jobs upstreams",
        ROUTES | TENSORS | PIXELS | {"dialects"},
    ),
    level("http", EDGE | {"dialects"}),
    level("dialects playground", EDGE),
    level(
        "__init__ app host_routing admission authentication doors assembly cluster cli cli_faults "
        "models_commands accounts_commands "
        "connections exec library server testing __main__",
        TENSORS,
    ),
)
LEVEL_OF = {room: number for number, each in enumerate(LEVELS) for room in each.rooms}

# Modules that know less than their room does.
NARROWER: dict[str, frozenset[str] | None] = {
    "engine.scheduler": None,
    "engine.suspects": None,
    "engine.set_aside": None,
    "engine.exits": None,
    "engine.watchdog": TENSORS,
    "engine.link": TENSORS,
    "engine.devices": TENSORS,
    "engine.placing": None,
    "engine.engines": TENSORS,
    "engine.events": TENSORS,
    "engine.ipc": TENSORS,
    "engine.process": TENSORS,
}
# Facts that several dialects share; they are no dialects themselves and import none.
GROUND = frozenset({"hub_models"})

NAMELESS = frozenset({"utils", "util", "common", "core", "base", "helpers", "manager", "misc"})
LONGEST = 400  # lines


def offences(source: Path) -> Iterator[str]:
    """What in the package at `source` breaks the rules, a sentence each."""
    for path in sorted(source.rglob("*.py")):
        parts = path.relative_to(source).with_suffix("").parts
        name, room = ".".join(parts), parts[0]
        text = path.read_text("utf-8")
        if NAMELESS & set(parts):
            yield f"{name} says nothing by its name"
        if len(text.splitlines()) > LONGEST:
            yield f"{name} has more than {LONGEST} lines"
        if room not in LEVEL_OF:
            yield f"{room} is no room of the table"
            continue
        tree = ast.parse(text)
        for imported in sorted(imports(tree, ["imagemill", *parts])):
            yield from (f"{name} imports {imported}: {why}" for why in wrongs(parts, imported))
        yield from wordings(name, tree)
    for shared, rooms in shared_classes(source).items():
        if shared not in SHARED_STILL:
            yield f"{shared} is a class of several rooms: {', '.join(rooms)}"


def wordings(name: str, tree: ast.Module) -> Iterator[str]:
    """What is wrong with the names in a module, and with those it reaches for."""
    if exempt(name, VAGUE_STILL) is None:
        yield from (f"{name} binds {each}, which says nothing" for each in vague_names(tree))
    for each in reaches(tree):
        if (name, each) not in REACHED_STILL:
            yield f"{name} reaches through another object for {each}"


def imports(tree: ast.Module, module: list[str]) -> set[str]:
    """Every module that is imported, at whatever place; `from a import b` gives `a.b`."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = module[: -node.level] if node.level else []
            origin = [*above, *(node.module or "").split(".")]
            found |= {".".join(filter(None, [*origin, alias.name])) for alias in node.names}
    return found


def wrongs(importer: tuple[str, ...], imported: str) -> Iterator[str]:
    own = imported.startswith("imagemill.")
    parts = imported.split(".")[1 if own else 0 :]
    target, number = parts[0], LEVEL_OF[importer[0]]
    if own and LEVEL_OF.get(target, 0) > number:
        yield "a later level"
    for never in (LEVELS[number].never, NARROWER.get(".".join(importer), frozenset())):
        if never is None and not own and target not in sys.stdlib_module_names:
            yield "more than the standard library"
        elif never and target in never:
            yield "what it must never know"
    if own and importer[0] == target == "dialects" and not {*GROUND, importer[1]} & set(parts[1:2]):
        yield "another dialect"


def test_every_room_keeps_to_its_level() -> None:
    assert list(offences(SOURCE)) == []


def test_what_is_exempt_is_struck_off_once_it_is_mended() -> None:
    vague, reached = set[str | None](), set[tuple[str, str]]()
    for path in SOURCE.rglob("*.py"):
        name = ".".join(path.relative_to(SOURCE).with_suffix("").parts)
        tree = ast.parse(path.read_text("utf-8"))
        reached |= {(name, each) for each in reaches(tree)}
        if vague_names(tree):
            vague.add(exempt(name, VAGUE_STILL))
    assert VAGUE_STILL.keys() - vague == set()
    assert SHARED_STILL.keys() - shared_classes(SOURCE).keys() == set()
    assert REACHED_STILL.keys() - reached == set()


def test_no_room_stands_on_two_levels() -> None:
    assert len(LEVEL_OF) == sum(len(each.rooms) for each in LEVELS)


@pytest.mark.parametrize(
    ("path", "text", "told"),
    [
        ("utils.py", "", "no room of the table"),
        ("engine/helpers.py", "", "says nothing by its name"),
        ("files.py", "\n" * 401, "more than 400 lines"),
        ("errors.py", "import pydantic", "more than the standard library"),
        ("generation.py", "from imagemill import images", "a later level"),
        (
            "images/late.py",
            "def late():\n    from imagemill.jobs.service import Service",
            "a later level",
        ),
        ("settings.py", "import torch.nn", "never know"),
        ("files.py", "from ..imagemill.engine import hub", "a later level"),
        ("engine/stand_ins.py", "from imagemill.jobs.service import Service", "a later level"),
        ("engine/runner.py", "import fastapi", "never know"),
        ("engine/scheduler.py", "import torch", "more than the standard library"),
        ("engine/process.py", "from torch import nn", "never know"),
        ("jobs/service.py", "from starlette.requests import Request", "never know"),
        ("catalog/page.py", "from ..dialects import flat", "a later level"),
        ("dialects/flat.py", "from imagemill.engine.process import EngineProcess", "never know"),
        ("dialects/flat.py", "from . import other", "another dialect"),
        ("dialects/flat.py", "from imagemill.dialects.other import x", "another dialect"),
        ("http/operation.py", "from imagemill.dialects import flat", "a later level"),
        ("dialects/flat.py", "from PIL import Image", "never know"),
        ("cli.py", "import torch", "never know"),
        ("http/operation.py", "context.service.objects.read(key)", "for objects"),
        ("dialects/flat.py", "self.service._jobs", "for _jobs"),
        ("dialects/flat.py", "job._state", "for _state"),
        ("slots.py", "told = 1", "binds told"),
        ("slots.py", "def slot(given): ...", "binds given"),
        ("slots.py", "from re import match as found", "binds found"),
    ],
)
def test_a_broken_rule_is_told(tmp_path: Path, path: str, text: str, told: str) -> None:
    wrong = tmp_path / "imagemill" / path
    wrong.parent.mkdir(parents=True)
    wrong.write_text(text, "utf-8")
    assert told in "\n".join(offences(tmp_path / "imagemill"))


@pytest.mark.parametrize(
    "text",
    [
        "from imagemill.generation import Generation",
        "import json\nfrom imagemill import errors, __version__",
        "from imagemill.images.encode import encode",
        "from PIL import Image",
        "await service.submit(submission)",
        "class A:\n    _b = 1\n\nclass B:\n    def c(self, a: A): return a._b, self._d",
    ],
)
def test_a_kept_rule_is_not_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "files.py").write_text(text, "utf-8")
    assert list(offences(tmp_path)) == []


def test_a_name_of_a_class_in_two_rooms_is_told(tmp_path: Path) -> None:
    for name in ("slots", "pacing"):
        (tmp_path / f"{name}.py").write_text("class Pace: ...", "utf-8")
    assert list(offences(tmp_path)) == ["Pace is a class of several rooms: pacing, slots"]


def test_dialects_share_what_http_asks_of_all(tmp_path: Path) -> None:
    (tmp_path / "dialects").mkdir()
    (tmp_path / "dialects" / "flat.py").write_text("from imagemill.http import sse", "utf-8")
    assert list(offences(tmp_path)) == []


@pytest.mark.parametrize("module", ["imagemill.app", "imagemill.cli", "imagemill.engine.process"])
def test_torch_stays_out_of_the_process_that_speaks_http(module: str) -> None:
    heavy = f"import sys, {module}; print(*{set(TENSORS)} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == ""
