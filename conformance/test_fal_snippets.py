"""Snippets that fal's model pages print, run by fal's own client, with ids filled in.

`test_exec` runs those of all pages; here three are looked at closely, at an address of ours. Three
pages print a prompt with bare quotation marks within quotation marks, which no JavaScript
engine reads; these are escaped. Everything else is run as it is printed.
"""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
import requests

from conformance.snippets import SEEDS, filled

PAGES = (
    "fal-ai/hidream-i1-full",
    "fal-ai/ideogram/v2",
    "fal-ai/stable-diffusion-v35-large",
    "fal-ai/omnigen-v2",
    "fal-ai/imagen4/preview",
    "fal-ai/hidream-i1-fast",
    "fal-ai/flux-1/schnell",
    "fal-ai/imagen4/preview/fast",
    "fal-ai/recraft/v2/text-to-image",
    "fal-ai/f-lite/standard",
)
CLOSELY = ("fal-ai/hidream-i1-full", "fal-ai/flux-1/schnell", "fal-ai/recraft/v2/text-to-image")
STREAMING = ("fal-ai/hidream-i1-full", "fal-ai/hidream-i1-fast")
PRINTED_ID = "764cabcf-b745-4b3e-ae38-1200304cf45b"
_PROMPT = re.compile(r'(?<=    prompt: ")(.*)(?="$)', re.MULTILINE)


def snippet(page: str, kind: str) -> str:
    whole = (SEEDS / "fal.txt").read_text("utf-8")
    _, _, rest = whole.partition(f"=== {page} {kind}\n")
    assert rest, f"{page} prints no snippet to {kind}"
    code = rest.partition("\n=== ")[0]
    return _PROMPT.sub(lambda found: re.sub(r'(?<!\\)"', r"\"", found[1]), code)


def run(code: str, server: str, packages: Path) -> list[str]:
    """The lines that `code` prints, as a module with fal's client at hand."""
    environment = os.environ | {"FAL_KEY": "id:secret", "FAL_LOCAL": server}
    done = subprocess.run(
        ["node", "--require", "./redirect.cjs", "--input-type=module", "--eval", code],
        cwd=packages, env=environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def told(expression: str) -> str:
    return f"\nconsole.log(JSON.stringify({expression}));"


def submitted(page: str, server: str, packages: Path) -> str:
    """The id of a request that the printed snippet has submitted."""
    lines = run(snippet(page, "submit") + told("request_id"), server, packages)
    id: str = json.loads(lines[-1])
    return id


@pytest.mark.cell("@fal-ai/client", "fal", "text to image", "subscribe")
@pytest.mark.parametrize("page", CLOSELY)
def test_subscribe_prints_the_log_and_gets_pictures(page: str, server: str, packages: Path) -> None:
    lines = run(snippet(page, "subscribe") + told("result"), server, packages)
    result = json.loads(lines[-1])
    assert lines[-2] == result["requestId"]
    (image,) = result["data"]["images"]
    picture = requests.get(image["url"], timeout=30)
    assert picture.ok
    assert picture.headers["content-type"] == image["content_type"]
    if page == CLOSELY[0]:  # the only one that is sure to be seen on its way, at two looks a second
        assert any(line.startswith("step ") for line in lines)


@pytest.mark.cell("@fal-ai/client", "fal", "submit", "status", "result")
@pytest.mark.parametrize("page", CLOSELY)
def test_submit_status_and_result_follow_one_request(
    page: str, server: str, packages: Path
) -> None:
    id = submitted(page, server, packages)
    status = filled(snippet(page, "status"), {PRINTED_ID: id}) + told("status")
    ended = filled(snippet(page, "result"), {PRINTED_ID: id})
    waited = f'await fal.queue.subscribeToStatus("{page}", {{ requestId: "{id}" }});\nconst result'
    result = filled(ended, {"const result": waited}) + told("result")
    first = json.loads(run(status, server, packages)[-1])
    assert first["status"] in ("IN_QUEUE", "IN_PROGRESS", "COMPLETED")
    assert first["request_id"] == id
    got = json.loads(run(result, server, packages)[-1])
    assert got["requestId"] == id
    assert len(got["data"]["images"]) == 1


@pytest.mark.cell("@fal-ai/client", "fal", "stream")
@pytest.mark.parametrize("page", STREAMING)
def test_stream_tells_of_the_picture_on_its_way(page: str, server: str, packages: Path) -> None:
    shown = {"console.log(event)": "console.log(JSON.stringify(event))"}
    code = filled(snippet(page, "stream"), shown)
    lines = run(code + told("result"), server, packages)
    *before, last = [json.loads(line) for line in lines]
    assert last == before[-1]
    assert last["images"][0]["url"].startswith(f"{server}/fal/cdn/")
    progress = [event["progress"] for event in before[:-1]]
    assert progress
    assert progress == sorted(progress)


@pytest.mark.cell("@fal-ai/client", "fal", "credentials")
def test_credentials_in_the_program_are_taken(server: str, packages: Path) -> None:
    code = snippet(PAGES[0], "config") + told("Object.keys(fal)")
    assert "subscribe" in json.loads(run(code, server, packages)[-1])


@pytest.mark.cell("@fal-ai/client", "fal", "upload")
def test_an_uploaded_file_is_there_at_once(server: str, packages: Path) -> None:
    lines = run(
        'import { fal } from "@fal-ai/client";\n' * ("import" not in snippet(PAGES[0], "upload"))
        + snippet(PAGES[0], "upload") + told("url"), server, packages,
    )  # fmt: skip
    assert requests.get(json.loads(lines[-1]), timeout=30).text == "Hello, World!"
