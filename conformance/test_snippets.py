"""The snippets that the documents print, with nothing changed but host and token."""

import ast
import base64
import io
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from conformance.snippets import (
    ROUTER,
    TOKEN,
    WHOLE_STRINGS,
    between,
    fenced,
    filled,
    node,
)


def opened(picture: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(picture))
    image.load()
    return image


@pytest.mark.cell("requests", "hf-inference", "text to image")
def test_the_requests_snippet_of_hf_inference_opens_a_picture(server: str) -> None:
    code = fenced("hf-inference.txt", "hf-inference", "requests")
    names: dict[str, object] = {}
    exec(filled(code, {ROUTER: server, TOKEN: "hf_abc"}), names)
    assert isinstance(names["image"], Image.Image)
    assert names["image"].size == (512, 512)


@pytest.mark.cell("fetch of Node", "hf-inference", "text to image")
def test_the_fetch_snippet_of_hf_inference_gets_a_picture(server: str, packages: Path) -> None:
    use = "response.arrayBuffer().then((b) => process.stdout.write(Buffer.from(b)));"
    code = fenced("hf-inference.txt", "hf-inference", "fetch")
    blanks = {ROUTER: server, TOKEN: "hf_abc", "// Use image": use}
    assert opened(node(filled(code, blanks), packages)).size == (512, 512)


@pytest.mark.cell("requests", "flat", "text to image")
def test_the_python_snippet_of_the_flat_endpoint_prints_a_picture(server: str) -> None:
    code = between("flat.txt", "import requests", "print(response.json())")
    code = filled(code, {"<hf_endpoint_url>": server, "<hf_token>": "hf_abc"})
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    reply = ast.literal_eval(run.stdout.decode())
    assert list(reply) == ["image"]
    assert opened(base64.b64decode(reply["image"], validate=True)).size == (512, 512)


@pytest.mark.cell("fetch of Node", "flat", "text to image")
def test_the_javascript_snippet_of_the_flat_endpoint_prints_a_picture(
    server: str, packages: Path
) -> None:
    last = ".catch(error => console.error(error));"
    code = between("flat.txt", "const endpointURL = '<hf_endpoint_url>';", last)
    code = filled(code, {"<hf_endpoint_url>": f"{server}/flat/a/model", "<hf_token>": "hf_abc"})
    printed = node(code, packages, "--import", WHOLE_STRINGS).decode()
    found = re.fullmatch(r"\{\s*image: '([A-Za-z0-9+/=]+)'\s*\}\s*", printed)
    assert found, printed[:200]
    assert opened(base64.b64decode(found[1])).size == (512, 512)
