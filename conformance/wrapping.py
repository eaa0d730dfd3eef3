"""Runs a module of this suite as the program that `imagemill exec` wraps."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def with_path(folder: Path) -> dict[str, str]:
    """The variables of this process for a program that is to find `folder`, too: what leads it to
    us is on the same path.
    """
    paths = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | {"PYTHONPATH": os.pathsep.join(paths)}


def under_exec(module: str, work: Path, *options: str) -> str:
    """The summary that `exec` tells in the end; the module gets the folder `work`."""
    command = [sys.executable, "-m", "imagemill", "exec", "--offline", *options, "--"]
    run = subprocess.run(
        [*command, sys.executable, "-m", module, str(work)],
        cwd=ROOT, capture_output=True, text=True, check=False,
        env=os.environ | {"XDG_DATA_HOME": str(work), "HF_HUB_DISABLE_TELEMETRY": "1"},
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    return run.stderr
