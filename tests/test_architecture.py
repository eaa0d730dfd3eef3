"""What docs/architecture.md says of rooms, imports and functions is so in the source."""

import ast
import re
from graphlib import CycleError
from pathlib import Path

import pytest

from tests.architecture import PICTURE, drawn, graph, nodes, reduced, rooms
from tests.architecture import between as between_nodes
from tests.test_rooms import LEVEL_OF, SOURCE

DOCS = SOURCE.parents[1] / "docs"
PAGE = (DOCS / "architecture.md").read_text("utf-8")
DECISIONS = sorted(set((DOCS / "decisions").glob("*.md")) - {DOCS / "decisions" / "README.md"})
PARTS = ["Context", "Decision", "Consequences", "What would change it"]
ROW = re.compile(r"^\| `(\w+)` \| (.+) \|$", re.MULTILINE)
FILE = re.compile(r"`([\w/]+\.py)`(?: `([\w.]+)`)?")


def named(page: str) -> list[tuple[str, str]]:
    """Files that a page names, and functions, classes and constants in them, if it names one."""
    return sorted(set(FILE.findall(page)))


def names(tree: ast.AST, within: str = "") -> set[str]:
    """Functions, classes and constants, those within a class behind its name."""
    known = set[str]()
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            known.add(within + node.name)
        elif isinstance(node, ast.Assign):
            known |= {within + each.id for each in node.targets if isinstance(each, ast.Name)}
        elif isinstance(node, ast.ClassDef):
            known |= {within + node.name} | names(node, f"{within}{node.name}.")
    return known


def test_the_picture_is_drawn_from_the_imports_as_they_are() -> None:
    assert PICTURE.read_text("utf-8") == drawn(), "run python -m tests.architecture"


def test_the_picture_shows_every_room() -> None:
    picture = PICTURE.read_text("utf-8")
    shown = {name for text in re.findall(r">([^<>]+)</text>", picture) for name in text.split()}
    assert rooms(SOURCE) <= shown


def test_every_room_has_one_sentence_and_nothing_else_has() -> None:
    listed = [room for room, _ in ROW.findall(PAGE)]
    assert sorted(listed) == sorted(rooms(SOURCE))


def test_rooms_are_listed_from_the_lowest_level_to_the_highest() -> None:
    levels = [LEVEL_OF[room] for room, _ in ROW.findall(PAGE)]
    assert levels == sorted(levels)


@pytest.mark.parametrize(("file", "name"), named(PAGE))
def test_what_the_walk_names_is_there(file: str, name: str) -> None:
    path = next(place / file for place in (SOURCE, DOCS.parent) if (place / file).is_file())
    assert not name or name in names(ast.parse(path.read_text("utf-8")))


@pytest.mark.parametrize("page", DECISIONS, ids=lambda page: str(page.stem))
def test_a_decision_has_its_parts_and_names_what_is_there(page: Path) -> None:
    text = page.read_text("utf-8")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == PARTS
    for file, name in named(text):
        test_what_the_walk_names_is_there(file, name)


def test_every_decision_is_listed() -> None:
    listed = re.findall(
        r"\]\(([\w-]+)\.md\)", (DOCS / "decisions" / "README.md").read_text("utf-8")
    )
    assert sorted(listed) == [page.stem for page in DECISIONS]


def test_an_arrow_that_follows_from_others_is_left_out(tmp_path: Path) -> None:
    files = {
        "errors": "",
        "settings": "from imagemill.errors import Fault",
        "jobs": "from imagemill import settings\nfrom imagemill.errors import Fault",
    }
    for name, text in files.items():
        (tmp_path / f"{name}.py").write_text(text, "utf-8")
    arrows = graph(tmp_path)
    assert arrows["jobs"] == {"settings", "errors"}
    kept = reduced(between_nodes(nodes(tmp_path, arrows), arrows))
    assert {(upper.names, lower.names) for upper, lower in kept} == {
        (("jobs",), ("settings",)),
        (("settings",), ("errors",)),
    }


def test_what_only_type_checkers_import_is_no_arrow(tmp_path: Path) -> None:
    text = "if TYPE_CHECKING:\n    from imagemill.jobs.worker import Worker\n"
    (tmp_path / "painting.py").write_text(text, "utf-8")
    (tmp_path / "worker.py").write_text("from imagemill import painting", "utf-8")
    assert graph(tmp_path) == {"painting": frozenset(), "worker": {"painting"}}


def test_rooms_that_import_in_a_circle_are_named(tmp_path: Path) -> None:
    (tmp_path / "worker.py").write_text("from imagemill import service", "utf-8")
    (tmp_path / "service.py").write_text("from imagemill import worker", "utf-8")
    with pytest.raises(CycleError, match=r"service.*worker|worker.*service"):
        nodes(tmp_path, graph(tmp_path))
