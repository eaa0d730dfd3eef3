"""Frameworks through which people call image APIs, each in an environment of its own.

    python -m conformance.frameworks

installs what is not there yet; `scripts/test` calls it. Frameworks in Python are laid over the
environment of the suite: what they need and it has is not installed twice.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import distributions
from pathlib import Path

from conformance.generations import node
from conformance.wrapping import with_path

HERE = Path(__file__).parent
LOCKS = HERE / "frameworks"
FOLDER = HERE / ".frameworks"
PYTHON_LOCK = LOCKS / "python.txt"
#: The folder of each release of Vercel's AI SDK, by its first number.
AI_SDKS = {"6": LOCKS / "ai-sdk-6", "7": LOCKS / "ai-sdk-7"}
NEWEST = "7"


def overlay() -> Path:
    """What goes on PYTHONPATH so that a program finds the frameworks in Python."""
    assert (FOLDER / "python.txt").is_file(), "run `python -m conformance.frameworks` first"
    return FOLDER / "python"


def python_releases() -> dict[str, str]:
    """The release of each package that is laid over the suite's own, by its name."""
    laid_over = distributions(path=[str(overlay())])
    return {
        re.sub("[-_.]+", "-", each.metadata["Name"]).lower(): each.version for each in laid_over
    }


def ai_sdk_release(major: str) -> str:
    """The release of the package `ai`."""
    file = AI_SDKS[major] / "node_modules" / "ai" / "package.json"
    assert file.is_file(), "run `python -m conformance.frameworks` first"
    return str(json.loads(file.read_text("utf-8"))["version"])


def node_of(major: str) -> str:
    """The program of the Node that a release of the AI SDK runs on."""
    return node(24) if major == NEWEST else "node"


def python(module: str, *arguments: str, **environment: str) -> list[str]:
    """The lines that `module` of this suite writes, run with the frameworks at hand."""
    command = [sys.executable, "-m", module, *arguments]
    return _lines(command, HERE.parent, with_path(overlay()) | environment)


def ai_sdk(major: str, code: str, **environment: str) -> list[str]:
    """The lines that `code`, a module, writes in the folder of a release of the AI SDK."""
    command = [node_of(major), "--input-type=module", "--eval", code]
    return _lines(command, AI_SDKS[major], environment)


def _lines(command: list[str], folder: Path, environment: Mapping[str, str]) -> list[str]:
    done = subprocess.run(
        command, cwd=folder, env=os.environ | environment, capture_output=True, text=True,
        timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def install() -> None:
    for folder in AI_SDKS.values():
        if not (folder / "node_modules" / ".package-lock.json").is_file():
            command = ["npm", "ci", "--silent", "--no-audit", "--no-fund", "--prefix", str(folder)]
            subprocess.run(command, check=True)
    kept, lock = FOLDER / "python.txt", PYTHON_LOCK.read_text("utf-8")
    if kept.is_file() and kept.read_text("utf-8") == lock:
        return
    shutil.rmtree(FOLDER, ignore_errors=True)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile"]
    target = ["--target", str(FOLDER / "python"), "--requirement", str(PYTHON_LOCK)]
    subprocess.run([*command, *target], check=True)
    kept.write_text(lock, "utf-8")


if __name__ == "__main__":
    install()
