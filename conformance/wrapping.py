"""Runs a module of this suite as the program that `imagemill exec` wraps."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


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
