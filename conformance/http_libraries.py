"""Asks one address by each of the HTTP libraries that are named, and prints what each was told.

    python -m conformance.http_libraries ADDRESS NAME...

This is run under what `imagemill exec` tells programs. Nothing in a library is set but what is
named with it.
"""

import asyncio
import importlib
import json
import sys
from collections.abc import Callable
from importlib.metadata import version
from typing import Any
from urllib.parse import urlsplit

SECONDS = 20


def http_client(url: str) -> str:
    import http.client

    parts = urlsplit(url)
    connection = http.client.HTTPSConnection(parts.netloc, timeout=SECONDS)
    connection.request("GET", parts.path)
    return connection.getresponse().read().decode()


def urllib_request(url: str) -> str:
    import urllib.request

    with urllib.request.urlopen(url, timeout=SECONDS) as reply:
        text: bytes = reply.read()
    return text.decode()


def urllib3(url: str) -> str:
    import urllib3

    return urllib3.request("GET", url, retries=False, timeout=SECONDS).data.decode()


def requests(url: str) -> str:
    import requests

    return str(requests.get(url, timeout=SECONDS).text)


def requests_unproxied(url: str) -> str:
    import requests

    session = requests.Session()
    session.trust_env = False
    return str(session.get(url, timeout=SECONDS, verify=False).text)


def httpx(url: str) -> str:
    import httpx

    return httpx.get(url, timeout=SECONDS).text


def httpx_transport(url: str) -> str:
    import httpx

    with httpx.Client(transport=httpx.HTTPTransport(), timeout=SECONDS) as client:
        return client.get(url).text


def httpx_async(url: str) -> str:
    import httpx

    async def ask() -> str:
        async with httpx.AsyncClient(trust_env=False, timeout=SECONDS) as client:
            return (await client.get(url)).text

    return asyncio.run(ask())


def httpcore(url: str) -> str:
    import httpcore

    return httpcore.request("GET", url).content.decode()


def websockets(url: str) -> str:
    import websockets

    async def ask() -> str:
        async with websockets.connect(url.replace("https", "wss")) as socket:
            return str(await socket.recv())

    return asyncio.run(ask())


async def _by_aiohttp(url: str, resolver: str = "", **options: Any) -> str:
    aiohttp = importlib.import_module("aiohttp")
    made = getattr(aiohttp, resolver)() if resolver else None
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(resolver=made)) as session,
        session.get(url, **options) as reply,
    ):
        return str(await reply.text())


def aiohttp(url: str) -> str:
    return asyncio.run(_by_aiohttp(url, "ThreadedResolver"))


def aiohttp_aiodns(url: str) -> str:
    return asyncio.run(_by_aiohttp(url, "AsyncResolver"))


def aiohttp_unverified(url: str) -> str:
    return asyncio.run(_by_aiohttp(url, ssl=False))


def aiohttp_uvloop(url: str) -> str:
    import uvloop

    return str(uvloop.run(_by_aiohttp(url)))


def httpx_uvloop(url: str) -> str:
    import httpx
    import uvloop

    async def ask() -> str:
        async with httpx.AsyncClient(trust_env=False, timeout=SECONDS) as client:
            return (await client.get(url)).text

    return str(uvloop.run(ask()))


def pycurl(url: str) -> str:
    import io

    pycurl = importlib.import_module("pycurl")
    body, curl = io.BytesIO(), pycurl.Curl()
    curl.setopt(pycurl.URL, url)
    curl.setopt(pycurl.WRITEDATA, body)
    curl.perform()
    return body.getvalue().decode()


def gevent(url: str) -> str:
    import urllib.request

    importlib.import_module("gevent.monkey").patch_all()
    unproxied = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with unproxied.open(url, timeout=SECONDS) as reply:
        text: bytes = reply.read()
    return text.decode()


# By its row in the table: how it asks, and the package whose release is told.
LIBRARIES: dict[str, tuple[Callable[[str], str], str]] = {
    "http.client": (http_client, ""),
    "urllib.request": (urllib_request, ""),
    "urllib3": (urllib3, "urllib3"),
    "requests": (requests, "requests"),
    "requests, without proxies and unverified": (requests_unproxied, "requests"),
    "httpx": (httpx, "httpx"),
    "httpx, with a transport of its own": (httpx_transport, "httpx"),
    "httpx, asynchronous and without proxies": (httpx_async, "httpx"),
    "httpx, on uvloop": (httpx_uvloop, "httpx"),
    "httpcore": (httpcore, "httpcore"),
    "websockets": (websockets, "websockets"),
    "aiohttp": (aiohttp, "aiohttp"),
    "aiohttp, unverified": (aiohttp_unverified, "aiohttp"),
    "aiohttp, with aiodns": (aiohttp_aiodns, "aiohttp"),
    "aiohttp, on uvloop": (aiohttp_uvloop, "aiohttp"),
    "pycurl": (pycurl, "pycurl"),
    # Last, as it changes all that is asked after it.
    "gevent, without proxies": (gevent, "gevent"),
}


def main(url: str, names: list[str]) -> dict[str, dict[str, str]]:
    """By name: the release, and what came or the error."""
    outcomes = dict[str, dict[str, str]]()
    for name in names:
        ask, package = LIBRARIES[name]
        outcome = {"release": version(package) if package else ""}
        try:
            outcome["body"] = ask(url)
        except Exception as error:
            outcome["error"] = f"{type(error).__name__}: {error}"
        outcomes[name] = outcome
    return outcomes


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], sys.argv[2:])))
