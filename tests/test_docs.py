"""Runs every block that the documents print, against a live server or the command line."""

import ast
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import requests
from PIL import Image

from imagemill.dialects import flat, hf_inference
from imagemill.doors import DIALECTS
from imagemill.errors import Kind
from imagemill.generation import Generation
from imagemill.images.decode import provenance_of, size_of
from imagemill.pico.reading import read
from imagemill.pipelines.calls import planned
from imagemill.pipelines.families import PICO
from imagemill.settings import Settings, load

ROOT = Path(__file__).parent.parent
DOCUMENTS = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
LINKED = (*DOCUMENTS, *sorted((ROOT / "docs" / "decisions").glob("*.md")))
PRINTED_ADDRESS = "http://127.0.0.1:8000"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
README = (ROOT / "README.md").read_text("utf-8")
CLIENTS = ROOT / "docs" / "clients.md"

# Not run here: it runs this test.
ITSELF = "sh scripts/test\n"
# Its blocks run where the frameworks are: conformance/test_frameworks.py.
FRAMEWORKS = ROOT / "docs" / "frameworks.md"


@dataclass(frozen=True)
class Block:
    document: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.document.name}:{self.line}"


def blocks(document: Path) -> Iterator[Block]:
    text = document.read_text("utf-8")
    for found in BLOCK.finditer(text):
        line = text[: found.start()].count("\n") + 1
        yield Block(document, line, found[1], found[2])


ALL = [
    block
    for document in DOCUMENTS
    for block in blocks(document)
    if block.text != ITSELF and document != FRAMEWORKS
]
OUTPUTS = {block: ALL[i - 1] for i, block in enumerate(ALL) if block.language == "json"}


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of a server that is ready to paint."""
    folder = tmp_path_factory.mktemp("server")
    command = [sys.executable, "-m", "imagemill", "serve", "--port", "0"]
    with subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        told = (re.search(r"running on (http://\S+)", line) for line in process.stderr)
        found = next(line[1] for line in told if line)
        requests.post(
            f"{found}/models/a/b",
            json={"inputs": "cat", "parameters": {"width": 64, "height": 64}},
            headers={"x-wait-for-model": "true"},
            timeout=300,
        ).raise_for_status()
        yield found
        process.send_signal(signal.SIGINT)
        process.communicate()


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout whose `.venv` is the environment of this test, installed by what it records."""
    tree = tmp_path_factory.mktemp("tree")
    shutil.copytree(ROOT / "scripts", tree / "scripts")
    (tree / ".venv").mkdir()
    for part in ("bin", "lib", "lib64", "include", "pyvenv.cfg"):
        (tree / ".venv" / part).symlink_to(Path(sys.prefix) / part)
    for name in ("pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tree)
    state = "cat pyproject.toml constraints.txt | cksum > .venv/installed"
    subprocess.run(["sh", "-c", state], cwd=tree, check=True)
    (tree / "node_modules").symlink_to(ROOT / "conformance" / "node_modules")
    return tree


@pytest.fixture(scope="module")
def run(address: str, tree: Path) -> Callable[[Block], str]:
    """`run(block)` is what the block prints, which runs once for all that is shown of it."""
    return cache(lambda block: execute(block, address, tree))


def execute(block: Block, address: str, tree: Path) -> str:
    """What the block prints, run anew."""
    text = block.text.replace(PRINTED_ADDRESS, address)
    match block.language:
        case "python":
            command = [sys.executable, "-c", text]
        case "js":
            (tree / "block.mjs").write_text(text, "utf-8")
            command = ["node", "block.mjs"]
        case "sh" if "imagemill serve" in text:  # it would not end: only its options are read
            assert set(re.findall(r"--[a-z-]+", text)) <= set(
                re.findall(r"--[a-z-]+", printed([*MODULE, "serve", "--help"], tree))
            )
            return ""
        case "sh":
            command = ["sh", "-e", "-c", text]
        case other:
            raise AssertionError(f"{block} is {other}, which nothing here runs")
    return printed(command, tree)


MODULE = [sys.executable, "-m", "imagemill"]


def printed(command: list[str], folder: Path) -> str:
    path = os.environ.get("PYTHONPATH")
    here = {"PYTHONPATH": str((ROOT / path).resolve())} if path else {}
    run = subprocess.run(
        command, cwd=folder, env=os.environ | here, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


RUN = [block for block in ALL if block.language not in ("json", "toml")]


@pytest.mark.parametrize("block", RUN, ids=str)
def test_a_printed_block_runs(block: Block, run: Callable[[Block], str]) -> None:
    run(block)


@pytest.mark.parametrize("block", OUTPUTS, ids=str)
def test_a_printed_reply_is_what_comes(block: Block, run: Callable[[Block], str]) -> None:
    assert json.loads(run(OUTPUTS[block])) == json.loads(block.text)


@pytest.mark.parametrize("block", [block for block in ALL if block.language == "toml"], ids=str)
def test_printed_settings_are_settings(block: Block, tmp_path: Path) -> None:
    file = tmp_path / "imagemill.toml"
    file.write_text(block.text, "utf-8")
    assert load(file) != load()


def test_one_picture_is_asked_for_in_several_dialects(
    run: Callable[[Block], str], tree: Path
) -> None:
    for block in (*blocks(ROOT / "README.md"), *blocks(CLIENTS)):
        if PRINTED_ADDRESS in block.text:
            run(block)
    files = {path.name: path.read_bytes() for path in tree.glob("astronaut-*")}
    assert {size_of(file) for file in files.values()} == {(512, 512)}
    assert len(files) == 6
    # huggingface_hub hands out a decoded picture, so what was saved is not our file any more.
    del files["astronaut-hub.png"]
    hub, openai = (pixels(tree / f"astronaut-{name}.png") for name in ("hub", "openai"))
    assert np.array_equal(hub, openai)
    first, *others = (provenance_of(file) for file in files.values())
    assert str(first["prompt"]) in README
    assert all(other == first for other in others)


def test_the_readme_begins_with_what_a_visitor_needs() -> None:
    beginning = "\n".join(README.splitlines()[:40])
    for needed in ("# imagemill", "![", "scripts/paint", "scripts/test", "docs/clients.md"):
        assert needed in beginning
    assert README.count(PRINTED_ADDRESS) == 1
    assert CLIENTS.read_text("utf-8").count(PRINTED_ADDRESS) == 5


def test_the_readme_lists_every_dialect_and_where_its_page_is() -> None:
    listed = set(re.findall(r"^\| [^|]+ \| `(/[a-z-]+/)`", README, re.MULTILINE))
    begins = {dialect.below[0] or "/flat/" for dialect in DIALECTS}
    assert listed == begins


def test_what_the_readme_says_was_measured_stands_in_the_results() -> None:
    results = (ROOT / "benchmarks" / "RESULTS.md").read_text("utf-8")
    serving = results.split("<!-- serving -->")[1].split("<!-- ")[0]
    measured = README.split("(benchmarks/RESULTS.md)")[1].split("## ")[0]
    lines = [line for line in measured.splitlines() if line.startswith("|") or "commit" in line]
    assert len(lines) > 5
    for line in lines:
        assert line.removesuffix(".") in serving, "copy it from benchmarks/RESULTS.md"


def test_the_picture_of_the_readme_is_painted_by_the_command_beneath_it(
    run: Callable[[Block], str], tree: Path
) -> None:
    shown, *_ = re.findall(r"!\[.*\]\((.*)\)", README)
    line = README.split(shown)[0].count("\n") + 1
    command = next(block for block in blocks(ROOT / "README.md") if block.line > line)
    path = run(command).split("  seed ")[0]
    fresh, kept = tree / path, ROOT / shown
    assert provenance_of(fresh.read_bytes()) == provenance_of(kept.read_bytes())
    # Not to the bit: another processor may round otherwise.
    assert np.abs(pixels(fresh) - pixels(kept)).mean() < 4


def pixels(path: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.int_]]:
    return np.asarray(Image.open(path)).astype(int)


def rows(document: str) -> list[list[str]]:
    text = (ROOT / "docs" / document).read_text("utf-8")
    table = (line for line in text.splitlines() if line.startswith("|"))
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table]


def test_the_model_knows_every_word_of_the_default_prompt() -> None:
    [prompt] = re.findall(r'set -- "(.*)"', (ROOT / "scripts" / "paint").read_text("utf-8"))
    assert read(prompt).remarks == ()


def test_every_setting_is_documented_with_its_default() -> None:
    documented = [row for row in rows("serving.md") if row[0].strip("`") in Settings.model_fields]
    assert documented == [
        [f"`{name}`", f"`{field.get_default(call_default_factory=True)}`", str(field.description)]
        for name, field in Settings.model_fields.items()
    ]


def test_every_error_status_is_documented() -> None:
    documented = {int(row[0]) for row in rows("serving.md") if row[0].isdigit()}
    assert documented == {door.STATUSES[kind] for door in (flat, hf_inference) for kind in Kind}


def test_the_canvas_of_a_size_is_as_documented() -> None:
    documented = [row for row in rows("sizes.md") if re.match(r"\d+x\d+", row[0])]
    assert len(documented) == 6
    for asked, canvas in documented:
        width, height = (int(side) for side in asked.split("x"))
        call = planned(PICO, Generation("a cat", "pico", width, height, 1, 1.0, seed=0))
        assert call is not None
        assert canvas == f"{call.width}x{call.height}"


def test_links_between_documents_lead_somewhere() -> None:
    for document in LINKED:
        for target in re.findall(r"\]\((?!http)([^)#]+)", document.read_text("utf-8")):
            assert (document.parent / target).exists(), f"{document.name} links to {target}"


def words() -> list[list[str]]:
    """The rows of the glossary, without the heads of its tables."""
    return [row for row in rows("glossary.md") if row[0] != "word" and row[0].strip("-")]


def test_the_words_name_modules_that_exist() -> None:
    for row in words():
        for module in re.findall(r"`([a-z._]+)`", row[2]):
            place = ROOT / "src" / "imagemill" / module.replace(".", "/")
            assert place.is_dir() or place.with_suffix(".py").is_file(), module


@pytest.mark.parametrize("room", ["errors", "generation", "job"])
def test_every_noun_of_the_rooms_of_words_has_its_meaning(room: str) -> None:
    explained = " ".join(f"{word}; {meaning}" for word, meaning, _ in words())
    tree = ast.parse((ROOT / "src" / "imagemill" / f"{room}.py").read_text("utf-8"))
    for name in (node.name for node in tree.body if isinstance(node, ast.ClassDef)):
        spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).capitalize()
        assert spaced in explained, f"docs/glossary.md does not say what a {name} is"
