"""Asks a server for `/health` and for one cached answer ten times a second, and weighs its process.

`python prober.py URL PID`, a process of its own, so that what a test does to the server meanwhile
does not hold it up. It ends when its standard input does, and prints what it saw as JSON.

Every probe has a connection of its own, and is sent at its time, whether or not those before it
have been answered. Nothing is asked between the lines `pause` and `go` on the standard input, while
the server is kept from answering: what piled up meanwhile would be a crowd of our own.
"""

import http.client
import json
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import psutil

PERIOD = 0.1  # seconds
LEAST = 10  # probes of a kind, however short the fault
PATIENCE = 60.0  # seconds for an answer

PAUSE, GO = "pause\n", "go\n"

HEALTH = ("GET", "/health", None)
CACHED = (
    "POST",
    "/hf-inference/models/imagemill/pico",
    {
        "inputs": "a large red cat on a yellow background",
        "parameters": {"width": 64, "height": 64, "num_inference_steps": 1, "seed": 7},
    },
)


def ask(url: str, method: str, path: str, body: Any) -> str:
    """The status, with "hit" behind it where the answer was kept; else what went wrong."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=PATIENCE)
    try:
        connection.request(method, path, None if body is None else json.dumps(body))
        reply = connection.getresponse()
        reply.read()
        kept = reply.getheader("x-imagemill-cache") == "hit"
        return f"{reply.status} hit" if kept else str(reply.status)
    except (OSError, http.client.HTTPException) as error:
        return type(error).__name__
    finally:
        connection.close()


def memory_of(process: psutil.Process) -> int:
    """Bytes of one process; of pages that several share, its part, where the system tells that."""
    found = process.memory_full_info()
    return int(getattr(found, "pss", found.uss))


def regularly(
    work: Callable[[], Any], seen: list[Any], over: threading.Event, going: threading.Event
) -> None:
    """Keeps what `work` gives, with when it began and the seconds that it took."""

    def once() -> None:
        began = time.monotonic()
        with suppress(psutil.Error):  # the process has ended
            gives = work()
            seen.append((began, time.monotonic() - began, gives))

    due, threads = time.monotonic(), list[threading.Thread]()
    while not over.is_set() or len(threads) < LEAST:
        if not going.is_set():
            going.wait()
            due = time.monotonic()
        threads.append(threading.Thread(target=once))
        threads[-1].start()
        due += PERIOD
        time.sleep(max(0.0, due - time.monotonic()))
    for thread in threads:
        thread.join()


def main(url: str, pid: str) -> None:
    over, going = threading.Event(), threading.Event()
    going.set()
    works: dict[str, Callable[[], Any]] = {
        "health": partial(ask, url, *HEALTH),
        "cached": partial(ask, url, *CACHED),
        "memory": partial(memory_of, psutil.Process(int(pid))),
    }
    seen: dict[str, list[Any]] = {name: [] for name in works}
    threads = [
        threading.Thread(target=regularly, args=(work, seen[name], over, going))
        for name, work in works.items()
    ]
    for thread in threads:
        thread.start()
    print("probing", flush=True)
    for line in sys.stdin:
        going.clear() if line == PAUSE else going.set()
    going.set()
    over.set()
    for thread in threads:
        thread.join()
    print(json.dumps(seen))


if __name__ == "__main__":
    main(*sys.argv[1:])
