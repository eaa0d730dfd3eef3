"""What only a real socket and the real engine can show."""

import asyncio
import json
import socket
from collections import Counter
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import requests

PATH = "/models/imagemill/pico"
LONG = {"inputs": "a red cat", "width": 1024, "height": 1024, "inference_steps": 150}


def metric(server: str, line: str) -> float:
    """The value of the metric that `line` names with its labels; 0 where it was never counted."""
    for each in requests.get(f"{server}/metrics", timeout=30).text.splitlines():
        name, _, value = each.rpartition(" ")
        if name == line:
            return float(value)
    return 0.0


def small(prompt: str) -> dict[str, Any]:
    sizes = {"width": 64, "height": 64, "num_inference_steps": 1}
    return {"inputs": prompt, "parameters": sizes}


def test_an_unknown_route_is_told_in_json(server: str) -> None:
    reply = requests.post(f"{server}/nowhere", json={}, timeout=30)
    assert (reply.status_code, list(reply.json())) == (404, ["error"])


@pytest.mark.cell("requests", "flat", "errors")
def test_a_caller_of_too_much_is_heard_out_and_refused(server: str) -> None:
    body = json.dumps({"inputs": "x" * 4_000_000})
    reply = requests.post(server, data=body, timeout=30)
    assert reply.status_code == 413
    assert "larger than 1048576 bytes" in reply.json()["error"]


def test_a_caller_who_hangs_up_frees_the_engine(server: str) -> None:
    gone = 'imagemill_requests_total{door="flat",outcome="gone"}'
    before = metric(server, gone)
    address = urlsplit(server)
    body = json.dumps(LONG).encode()
    head = f"POST / HTTP/1.1\r\nHost: {address.netloc}\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.create_connection((address.hostname, address.port), timeout=30) as caller:
        caller.sendall(head.encode() + body)
        while metric(server, "imagemill_running") < 1:
            pass
    while metric(server, gone) == before:
        pass
    assert metric(server, "imagemill_running") == 0
    assert requests.post(server + PATH, json=small("a cat"), timeout=30).ok


@pytest.mark.cell("httpx", "hf-inference", "200 calls at once")
@pytest.mark.anyio
async def test_of_200_callers_at_once_each_is_painted_or_told_when_to_come_again(
    server: str,
) -> None:
    async with httpx.AsyncClient(base_url=server, timeout=120, limits=httpx.Limits()) as client:
        replies = await asyncio.gather(
            *(client.post(PATH, json=small(f"a red cat, the {n}th")) for n in range(200))
        )
        health = await client.get("/health")
        after = await client.post(PATH, json=small("a red cat, the last"))
    counted = Counter(reply.status_code for reply in replies)
    assert set(counted) == {200, 429}
    assert all("retry-after" in each.headers for each in replies if each.status_code == 429)
    assert health.json()["ready"]
    assert after.status_code == 200
