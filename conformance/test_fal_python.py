"""fal's own Python client, unmodified, against `imagemill serve --tls` as a user starts it."""

import json
import os
import re
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from typing import Any

import pytest

# What everybody does who cannot set variables: the client's addresses, before its first call.
REDIRECTED = """
import fal_client, fal_client.client as c
B = "{base}/fal"
c.RUN_URL_FORMAT, c.QUEUE_URL_FORMAT = f"{{B}}/run/", f"{{B}}/queue/"
c.REALTIME_URL_FORMAT, c.REST_URL, c.CDN_URL = f"ws{{B[4:]}}/run/", f"{{B}}/rest", f"{{B}}/cdn"
"""
SMALL = {
    "prompt": "a red cat", "image_size": {"width": 128, "height": 128},
    "num_inference_steps": 4, "seed": 3,
}  # fmt: skip
HEAD = f"""
import asyncio, json, httpx, fal_client
APP, SMALL = "fal-ai/flux-1/schnell", {SMALL!r}
def tell(**told): print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The variables that a server with TLS says must be exported."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "imagemill", "serve", "--tls", "--port", str(port)]
    with subprocess.Popen(
        command, cwd=tmp_path_factory.mktemp("tls"), stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stderr is not None
        lines = [process.stdout.readline() for _ in range(4)]
        next(line for line in process.stderr if "running on https://" in line)
        found = [re.match(r"export (\w+)='?([^'\n]*)'?$", line) for line in lines]
        yield {each[1]: each[2] for each in found if each}
        process.terminate()
        process.communicate()


def run(code: str, variables: dict[str, str]) -> list[Any]:
    """What a program tells, line by line."""
    done = subprocess.run(
        [sys.executable, "-c", HEAD + textwrap.dedent(code)],
        env=os.environ | variables | {"FAL_KEY": "id:secret"},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.cell(
    "fal_client", "fal", "text to image", "run", "subscribe", "submit", "status", "result", "stream"
)
def test_the_sync_client_over_tls(exported: dict[str, str]) -> None:
    assert set(exported) == {"SSL_CERT_FILE", "FAL_RUN_HOST", "FAL_QUEUE_RUN_HOST"}
    first, second, third, fourth = run(
        """
        tell(output=fal_client.run(APP, arguments=SMALL))
        updates = []
        done = fal_client.subscribe(
            APP, arguments=SMALL, with_logs=True, on_queue_update=updates.append)
        tell(output=done, kinds=[type(each).__name__ for each in updates],
             logs=[log["message"] for each in updates for log in getattr(each, "logs", None) or []])
        handle = fal_client.submit(APP, arguments=SMALL, webhook_url="https://example.com/hook")
        events = [type(each).__name__ for each in handle.iter_events(with_logs=True)]
        tell(events=events, output=handle.get(), same=fal_client.result(APP, handle.request_id),
             status=type(fal_client.status(APP, handle.request_id)).__name__)
        streamed = list(fal_client.stream(APP, arguments=SMALL))
        tell(last=streamed[-1], count=len(streamed))
        """,
        exported,
    )
    assert first["output"]["seed"] == 3
    assert second["kinds"][-1] == "Completed"
    assert any(message.startswith("painted by pico") for message in second["logs"])
    assert third["events"][-1] == third["status"] == "Completed"
    assert third["output"] == third["same"]
    assert fourth["last"]["seed"] == 3
    assert fourth["count"] > 1


@pytest.mark.cell("fal_client", "fal", "asynchronous")
def test_the_async_client_over_tls(exported: dict[str, str]) -> None:
    first, second = run(
        """
        async def main():
            tell(output=await fal_client.run_async(APP, arguments=SMALL))
            handle = await fal_client.submit_async(APP, arguments=SMALL | {"prompt": "a blue car"})
            events = [type(each).__name__ async for each in handle.iter_events()]
            tell(events=events, output=await handle.get())
        asyncio.run(main())
        """,
        exported,
    )
    assert first["output"]["images"][0]["width"] == 128
    assert second["events"][-1] == "Completed"


@pytest.mark.cell("fal_client", "fal", "errors", "cancel")
def test_errors_reach_the_program(exported: dict[str, str]) -> None:
    (told,) = run(
        """
        found = []
        for change in ({"seed": -1}, {"num_images": "many"}):
            try:
                fal_client.subscribe(APP, arguments=SMALL | change)
            except fal_client.FalClientHTTPError as error:
                found.append([error.status_code, error.response.json()["detail"][0]["loc"]])
        long = SMALL | {"num_inference_steps": 12, "image_size": {"width": 1024, "height": 1024}}
        handle = fal_client.submit(APP, arguments=long)
        handle.cancel()
        try:
            handle.get()
        except fal_client.FalClientHTTPError as error:
            found.append([error.status_code, error.error_type])
        tell(found=found)
        """,
        exported,
    )
    assert told["found"] == [
        [422, ["body", "seed"]], [422, ["body", "num_images"]], [499, "client_cancelled"],
    ]  # fmt: skip


@pytest.mark.cell("fal_client", "fal", "image to image", "upload")
def test_files_are_uploaded_and_painted_over(server: str) -> None:
    told, *_ = run(
        REDIRECTED.format(base=server)
        + textwrap.dedent("""
        from PIL import Image
        url = fal_client.upload_image(Image.new("RGB", (128, 128), "yellow"), format="png")
        edit = fal_client.run("fal-ai/ideogram/v3/remix", arguments={
            "prompt": "a red cat", "image_url": url, "strength": 0.95, "seed": 1,
            "image_size": {"width": 128, "height": 128}, "rendering_speed": "TURBO"})
        data = fal_client.encode_image(Image.new("RGB", (128, 128), "yellow"), "png")
        again = fal_client.run("fal-ai/ideogram/v3/remix", arguments={
            "prompt": "a red cat", "image_url": data, "strength": 0.95, "seed": 1,
            "image_size": {"width": 128, "height": 128}, "rendering_speed": "TURBO"})
        pictures = [httpx.get(each["images"][0]["url"]).content for each in (edit, again)]
        tell(url=url, same=pictures[0] == pictures[1], size=len(pictures[0]))
        """),
        {},
    )
    assert told["url"].startswith(f"{server}/fal/cdn/files/")
    assert told["same"]


@pytest.mark.cell("fal_client", "fal", "realtime")
def test_realtime_answers_over_one_socket(server: str) -> None:
    (told,) = run(
        REDIRECTED.format(base=server)
        + textwrap.dedent("""
        with fal_client.realtime(APP) as connection:
            found = []
            for seed in (1, 2):
                connection.send(SMALL | {"seed": seed, "request_id": str(seed)})
                answer = connection.recv()
                found.append([answer["seed"], answer["request_id"],
                              len(answer["images"][0]["content"]) > 100])
        tell(found=found)
        """),
        {},
    )
    assert told["found"] == [[1, "1", True], [2, "2", True]]
