"""What CONTRIBUTING.md tells to do is done, in a copy of the tree, and the tests it prints run."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
# What a recipe does to one file: the path begins the paragraph before its block.
STEP = re.compile(r"^`([\w/.]+)`[^\n]*\n\n```(python|diff)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COPIED = ("src/imagemill", "tests")
# Suites of the tree that a recipe says are to hold for what it adds.
HELD = ("tests/store/test_migrations.py", "tests/store/test_old_database.py")


@dataclass(frozen=True)
class Step:
    """One file of a recipe."""

    path: str
    #: "python" for a new file, "diff" for lines of one that is there.
    kind: str
    text: str

    def take(self, tree: Path) -> None:
        """Does it in the tree."""
        file = tree / self.path
        if self.kind == "python":
            assert not file.exists(), f"{self.path} is there already"
            text = self.text
        else:
            text = changed(file.read_text("utf-8"), self.text)
            file.unlink()  # a link to the file itself
        file.write_text(text, "utf-8")


def changed(text: str, diff: str) -> str:
    """The text with the parts of a diff in place, of which each must fit at one place alone."""
    for part in diff.split("@@\n"):
        lines = part.splitlines(keepends=True)
        before, after = (
            "".join(line[1:] or line for line in lines if line[0] != sign) for sign in "+-"
        )
        assert text.count(before) == 1, f"found {text.count(before)} times:\n{before}"
        text = text.replace(before, after)
    return text


def steps() -> list[Step]:
    """In the order of the page."""
    return [Step(*parts) for parts in STEP.findall(PAGE)]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree after all recipes; what they leave alone is links."""
    tree = tmp_path_factory.mktemp("tree")
    for folder in COPIED:
        shutil.copytree(
            ROOT / folder,
            tree / folder,
            copy_function=os.symlink,
            ignore=shutil.ignore_patterns("__pycache__"),
        )
    shutil.copy(ROOT / "pyproject.toml", tree)
    for step in steps():
        step.take(tree)
    return tree


def test_every_block_of_the_recipes_has_a_place() -> None:
    blocks = re.findall(r"^```(?:python|diff)$", PAGE, re.MULTILINE)
    assert len(blocks) == len(steps()) > 0


def test_what_the_recipes_add_works(tree: Path) -> None:
    printed = [step.path for step in steps() if re.match(r"tests/\S*test_", step.path)]
    path = os.pathsep.join([str(tree / "src"), str(tree)])
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *printed, *HELD],
        cwd=tree,
        env=os.environ | {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert len(printed) == 3


def test_what_the_recipes_add_is_formatted_and_keeps_the_rules(tree: Path) -> None:
    files = sorted({step.path for step in steps()})
    for command in (["check"], ["format", "--check"]):
        run = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--no-cache", *files],
            cwd=tree,
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == 0, run.stdout + run.stderr


def test_the_tree_is_as_it_is_told() -> None:
    tree, _ = PAGE.split("## The fast loop")
    listed = re.findall(r"^\| `([a-z]+)` \| .+ \|$", tree, re.MULTILINE)
    lines = (ROOT / ".gitignore").read_text("utf-8").splitlines()
    ignored = {line.strip("/") for line in lines if not line.startswith("#")}
    folders = {path.name for path in ROOT.iterdir() if path.is_dir() and path.name[0] != "."}
    assert set(listed) == folders - ignored


def test_what_is_named_is_there() -> None:
    made = {step.path for step in steps()}
    for path in re.findall(r"`((?:src|tests|scripts|docs)/[\w/.]+)`", PAGE):
        assert path in made or (ROOT / path).exists(), path
    for script in re.findall(r"\bscripts/\w+", PAGE):
        assert (ROOT / script).is_file(), script
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", PAGE):
        assert (ROOT / target).exists(), target


@pytest.mark.parametrize(
    ("text", "diff"), [("a\na\n", " a\n+b\n"), ("a\nb\n", " b\n a\n+c\n"), ("a\n", "-b\n")]
)
def test_a_change_that_fits_nowhere_or_twice_is_none(text: str, diff: str) -> None:
    with pytest.raises(AssertionError, match="times"):
        changed(text, diff)
