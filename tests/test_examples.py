"""The programs of `examples/`, as a reader would run them, with small images and few steps."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests

from imagemill.images.decode import provenance_of, size_of
from imagemill.testing.session import TestServer, running
from tests.studio import png

EXAMPLES = Path(__file__).parent.parent / "examples"
PIXELS = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
FAL_INPUT: dict[str, Any] = {
    "prompt": "a cat", "image_size": {"width": 64, "height": 64}, "num_inference_steps": 2,
}  # fmt: skip


@pytest.fixture
def server(tmp_path: Path) -> Iterator[TestServer]:
    """A server that is ready to paint."""
    with running(tmp_path) as server:
        yield server


def printed(*command: str, folder: Path) -> str:
    path = os.pathsep.join(sys.path)
    run = subprocess.run(
        [sys.executable, *command], cwd=folder, capture_output=True, text=True, check=False,
        env=os.environ | {"PYTHONPATH": path, "XDG_DATA_HOME": str(folder)},
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


@contextmanager
def serving(*command: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The address that a program prints first, and the program."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    line = [sys.executable, *command]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip(), process
        finally:
            process.kill()


def test_a_batch_goes_on_where_it_was(tmp_path: Path) -> None:
    command = (str(EXAMPLES / "batch.py"), "--count", "4", "--size", "64", "--steps", "1")
    assert "4 painted, 0 were there" in printed(*command, folder=tmp_path)
    files = sorted((tmp_path / "pictures").iterdir())
    assert [file.name for file in files] == ["0000.png", "0001.png", "0002.png", "0003.png"]
    assert provenance_of(files[1].read_bytes())["prompt"] == "a blue cat on a beach"
    files[2].unlink()
    assert "1 painted, 3 were there" in printed(*command, folder=tmp_path)


def test_every_image_of_a_folder_is_painted_over(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for name in ("a.png", "b.png"):
        (tmp_path / "photos" / name).write_bytes(png(PIXELS))
    (tmp_path / "photos" / "c.jpg").write_bytes(b"no image")
    command = (str(EXAMPLES / "folder.py"), "photos", "a watercolour", "--steps", "2")
    shown = printed(*command, folder=tmp_path)
    assert "c.jpg: the image is text, no picture that is read" in shown
    files = sorted((tmp_path / "painted").iterdir())
    assert [(file.name, size_of(file.read_bytes())) for file in files] == [
        ("a.png", (96, 64)), ("b.png", (96, 64))
    ]  # fmt: skip


def test_the_page_paints_what_is_typed() -> None:
    small = ("--port", "0", "--size", "64", "--steps", "1")
    with serving(str(EXAMPLES / "page.py"), *small) as (address, _):
        page = requests.get(address, {"prompt": '"><b>a cat'}, timeout=60).text
        assert "<b>" not in page
        [place] = re.findall(r'<img src="([^"]+)"', page)
        image = requests.get(address + place, timeout=120)
        assert size_of(image.content) == (64, 64)
        assert requests.get(f"{address}/image", {"prompt": " "}, timeout=60).status_code == 400
        assert requests.get(f"{address}/else", timeout=60).status_code == 404


def test_the_receiver_believes_what_is_signed(server: TestServer) -> None:
    keys = f"{server.url}/fal/rest/.well-known/jwks.json"
    command = (str(EXAMPLES / "webhook_receiver.py"), "--port", "0", "--keys", keys)
    with serving(*command) as (address, process):
        assert process.stdout is not None
        assert requests.post(address, json={"request_id": "forged"}, timeout=60).status_code == 401
        queued = requests.post(
            f"{server.url}/fal/queue/fal-ai/flux/dev",
            params={"fal_webhook": address},
            json=FAL_INPUT,
            headers={"authorization": "Key any"},
            timeout=60,
        ).json()
        line = process.stdout.readline()
        assert line.startswith(f"{queued['request_id']} OK ")
        assert '"images"' in line


def test_the_tests_of_a_program_run_without_a_network(tmp_path: Path) -> None:
    tests = str(EXAMPLES / "offline_tests")
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = -p no:cacheprovider\n")
    command = ("-m", "pytest", "-q", "--rootdir", str(tmp_path), "-c", "pytest.ini", tests)
    assert "2 passed" in printed(*command, folder=tmp_path)


def test_every_example_is_told_of() -> None:
    readme = (EXAMPLES / "README.md").read_text("utf-8")
    for path in EXAMPLES.iterdir():
        if path.name != "README.md" and not path.name.startswith(("_", ".")):
            assert f"({path.name}" in readme
