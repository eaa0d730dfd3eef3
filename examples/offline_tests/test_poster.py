"""Its tests: python -m pytest examples/offline_tests

The program is run as it is, in a process of its own, by `imagemill exec`, which answers for OpenAI
and refuses all other hosts. No key and no network is needed.
"""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parent / "poster.py"
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run_offline(tmp_path: Path) -> Run:
    """Runs the program with these arguments, in a folder of its own."""
    own = [sys.executable, "-m", "imagemill", "exec", "--offline", "--"]

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [*own, sys.executable, str(PROGRAM), *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    return run


def test_a_poster_is_painted(run_offline: Run, tmp_path: Path) -> None:
    run = run_offline("a red cat", "cat.png")
    assert (run.returncode, run.stdout) == (0, "cat.png is there\n")
    assert (tmp_path / "cat.png").read_bytes().startswith(b"\x89PNG")
    assert "/openai/v1/images/generations" in run.stderr  # what was called, told at the end


def test_a_poster_of_nothing_is_refused(run_offline: Run, tmp_path: Path) -> None:
    assert run_offline("", "cat.png").returncode != 0
    assert not (tmp_path / "cat.png").exists()
