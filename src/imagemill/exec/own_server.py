"""A server of one's own, in a process that ends with ours: started, waited for and stopped."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpx

from imagemill.errors import Fault, Kind
from imagemill.exec.calls import complaints
from imagemill.folders import touch_private
from imagemill.settings import LOOPBACK

LOOKS_APART = 0.05  # seconds, while the server starts
STOP_SECONDS = 10.0

# A temporary server has its own of each of these, whatever the shell says.
OWN = ("IMAGEMILL_DATABASE", "IMAGEMILL_FILES", "IMAGEMILL_DATA_DIR")
_RUNNING = re.compile(r"running on (http://[\w.:\[\]-]+)")


@asynccontextmanager
async def serving(
    command: Sequence[str], settings: Mapping[str, str], log: Path
) -> AsyncIterator[str]:
    """The address of a server that `command` starts, once it is ready to paint.

    settings: its environment, of `server_settings`. The command ends when its input does.
    """
    touch_private(log)
    with log.open("wb") as file:
        process = await asyncio.create_subprocess_exec(
            *command,
            env=dict(settings),
            stdin=asyncio.subprocess.PIPE,
            stdout=file,
            stderr=file,
            start_new_session=True,  # an interrupt in the terminal is for the program
        )
    try:
        yield await _ready(process, log)
    finally:
        await _stop(process)


def server_settings(
    inherited: Mapping[str, str], own: Sequence[str], hosts: Sequence[str], offline: bool
) -> dict[str, str]:
    """The shell's settings of the server, but for those that do not fit here, and for `own`."""
    settings = {name: value for name, value in inherited.items() if name not in own}
    settings.pop("IMAGEMILL_URL", None)  # of an `exec` around this one; no setting
    settings |= {"IMAGEMILL_LOG_FORMAT": "json", "IMAGEMILL_TLS": "false"}
    settings |= {"IMAGEMILL_LOG_LEVEL": "info", "IMAGEMILL_BEHIND_PROXY": "false"}
    settings |= {"IMAGEMILL_ROOT_PATH": ""}
    settings["IMAGEMILL_HOSTS"] = json.dumps([*hosts])
    # The program calls by the names of others, so that the server cannot know that it is local.
    settings["IMAGEMILL_FETCH_HOSTS"] = _extended(settings.get("IMAGEMILL_FETCH_HOSTS"), LOOPBACK)
    settings.setdefault("IMAGEMILL_SHUTDOWN_TIME", "1")  # nobody waits for what is left
    return settings | ({"HF_HUB_OFFLINE": "1"} if offline else {})


def _extended(listed: str | None, more: Sequence[str]) -> str:
    """A setting that is a list, with `more`; what is none is left for the server to refuse."""
    try:
        return json.dumps([*json.loads(listed or "[]"), *more])
    except (ValueError, TypeError):
        return listed or ""


async def _ready(process: asyncio.subprocess.Process, log: Path) -> str:
    while (line := _RUNNING.search(log.read_text("utf-8", "replace"))) is None:
        await _alive(process, log)
    url = line[1]
    async with httpx.AsyncClient(trust_env=False) as client:
        while not (health := (await client.get(f"{url}/health")).json())["ready"]:
            await _alive(process, log)
            if health["model"] == "degraded":  # so early: it will not come up
                raise Fault(Kind.FAILED, f"the engine did not start: {complaints(log)}")
    return url


async def _alive(process: asyncio.subprocess.Process, log: Path) -> None:
    """Waits for a moment; the server must not end in it."""
    with suppress(TimeoutError):
        await asyncio.wait_for(asyncio.shield(process.wait()), LOOKS_APART)
        raise Fault(Kind.FAILED, f"the server did not start: {complaints(log)}")


async def _stop(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), STOP_SECONDS)
    except (TimeoutError, asyncio.CancelledError):
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
