"""RESULTS.md: a section for each benchmark, which that benchmark alone writes."""

import platform
import re
import subprocess
from collections.abc import Iterable
from importlib.metadata import version
from os import cpu_count
from pathlib import Path

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "RESULTS.md"


def write(name: str, text: str) -> None:
    """Puts `text` in the place of the section `name`, or at the end where there is none yet."""
    head, *parts = re.split(r"^<!-- (\w+) -->\n", RESULTS.read_text("utf-8"), flags=re.MULTILINE)
    sections = dict(zip(parts[::2], parts[1::2], strict=True)) | {name: f"\n{text.strip()}\n\n"}
    written = "".join(f"<!-- {each} -->\n{body}" for each, body in sections.items())
    RESULTS.write_text(f"{head}{written.rstrip()}\n", "utf-8")


def tell(name: str, lines: Iterable[str], keep: bool) -> None:
    """Prints lines as they come, and with `keep` writes them as the section `name`."""
    told = []
    for line in lines:
        print(line, flush=True)
        told.append(line)
    if keep:
        write(name, "\n".join(told))


def machine(**commits: str) -> str:
    """What was measured, and on what; commits: of other builds, by what they are called."""
    info = Path("/proc/cpuinfo")
    text = info.read_text("utf-8") if info.exists() else ""
    name = re.search(r"model name\s*: (.*)", text)
    versions = ", ".join(f"{each} {version(each)}" for each in ("torch", "diffusers"))
    git = ["git", "describe", "--always", "--dirty", "--exclude", "*"]
    commit = subprocess.run(git, cwd=ROOT, capture_output=True, text=True, check=False).stdout
    others = "".join(f", {each} {commit}" for each, commit in commits.items())
    return (
        f"{name[1] if name else platform.processor()}, {cpu_count()} cores; "
        f"Python {platform.python_version()}, {versions}; "
        f"commit {commit.strip() or 'unknown'}{others}"
    )
