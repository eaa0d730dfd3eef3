"""Cuts the printed snippets out of the documents, and runs JavaScript."""

import re
import subprocess
from pathlib import Path

SEEDS = Path(__file__).parent / "seeds"
ROUTER = "https://router.huggingface.co"
TOKEN = "hf_***"

_FENCED = re.compile(
    r'<snippet provider="(?P<provider>[^"]+)" language="[^"]+" client="(?P<client>[^"]+)">\s*'
    r"```\w+\n(?P<code>.*?)```",
    re.DOTALL,
)
# console.log cuts long strings, and a picture is one.
WHOLE_STRINGS = (
    "data:text/javascript,"
    'import{inspect}from"node:util";inspect.defaultOptions.maxStringLength=null'
)


def fenced(document: str, provider: str, client: str) -> str:
    """The one block of `document` for this provider and client."""
    blocks = _FENCED.finditer((SEEDS / document).read_text("utf-8"))
    (code,) = [
        block["code"]
        for block in blocks
        if (block["provider"], block["client"]) == (provider, client)
    ]
    return code


def between(document: str, first: str, last: str) -> str:
    """The lines of `document` from the one that is `first` to the one that is `last`."""
    lines = (SEEDS / document).read_text("utf-8").splitlines()
    start = lines.index(first)
    return "\n".join(lines[start : lines.index(last, start) + 1])


def filled(code: str, blanks: dict[str, str]) -> str:
    """`code` with its blanks filled in; one that is not there has been printed otherwise."""
    for blank, value in blanks.items():
        assert blank in code, f"{blank} is not in the snippet"
        code = code.replace(blank, value)
    return code


def node(code: str, folder: Path, *options: str) -> bytes:
    """What `code`, a module, writes to its standard output when run in `folder`."""
    run = subprocess.run(
        ["node", *options, "--input-type=module", "--eval", code],
        cwd=folder,
        capture_output=True,
        timeout=300,
        check=False,
    )
    assert run.returncode == 0, run.stderr.decode()
    return run.stdout
