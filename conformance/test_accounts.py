"""The official clients with a key that opens, one that is not known, one that was revoked, and an
empty purse: each has an exception of its own, with words that a person understands.
"""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import fal_client
import openai
import pytest
import together
import uvicorn
from fal_client import client as fal_addresses
from huggingface_hub import InferenceClient
from huggingface_hub.errors import HfHubHTTPError
from replicate.client import Client
from replicate.exceptions import ReplicateError

from imagemill.accounts import KeyLimits, new_account, new_key
from imagemill.app import create_app, server_config
from imagemill.credits import MICRO
from imagemill.settings import PriceSpec, Settings
from imagemill.store import Database, at
from imagemill.store.accounts import AccountTable
from imagemill.store.ledger import LedgerTable
from tests.engines import PlainEngine

FLUX = "black-forest-labs/FLUX.1-schnell"
OPENS, UNKNOWN, REVOKED, POOR = "opens", "unknown", "revoked", "poor"
WORDS = {UNKNOWN: "not known here", REVOKED: "was revoked", POOR: "costs 0.5 credits"}
STATUS = {UNKNOWN: 401, REVOKED: 401, POOR: 402}


@dataclass(frozen=True)
class Company:
    """A server with accounts, and keys by what they are."""

    url: str
    keys: dict[tuple[str, str], str]


async def founded(folder: Path) -> dict[tuple[str, str], str]:
    """Keys by their shape and what they are: of one account with credits, and one without."""
    database, keys = Database(at(folder)), dict[tuple[str, str], str]()
    await database.open()
    table = AccountTable(database)
    rich, poor = new_account("rich", 1.0), new_account("poor", 1.0)
    for account in (rich, poor):
        assert await table.add(account)
    await LedgerTable(database).grant(rich.id, 100 * MICRO, "first", 1.0)
    for like in ("imagemill", "fal", "hf", "replicate", "openai", "together"):
        for kind, account in ((OPENS, rich), (REVOKED, rich), (POOR, poor)):
            key, keys[like, kind] = new_key(account.id, like, KeyLimits(), 1.0)
            await table.add_key(key)
            if kind == REVOKED:
                assert await table.revoke(key.id, 2.0)
        _, keys[like, UNKNOWN] = new_key(rich.id, like, KeyLimits(), 1.0)
    await database.close()
    return keys


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Company]:
    folder = tmp_path_factory.mktemp("company")
    keys = asyncio.run(founded(folder))
    settings = Settings(data_dir=folder, prices={"*": PriceSpec(image=Decimal("0.5"))})
    config = server_config(settings, create_app(settings, PlainEngine()))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        running = uvicorn.Server(config)
        thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield Company(f"http://127.0.0.1:{listening.getsockname()[1]}", keys)
        finally:
            running.should_exit = True
            thread.join()


def by_openai(url: str, key: str) -> Any:
    with openai.OpenAI(base_url=f"{url}/openai/v1", api_key=key, max_retries=0) as client:
        return client.images.generate(model="gpt-image-1", prompt="a cat").data


def by_nebius(url: str, key: str) -> Any:
    with openai.OpenAI(base_url=f"{url}/nebius/v1/", api_key=key, max_retries=0) as client:
        return client.images.generate(model=FLUX.lower(), prompt="a cat").data


def by_together(url: str, key: str) -> Any:
    with together.Together(base_url=f"{url}/together/v1", api_key=key, max_retries=0) as client:
        return client.images.generate(model=FLUX, prompt="a cat", width=64, height=64).data


def by_replicate(url: str, key: str) -> Any:
    client = Client(api_token=key, base_url=f"{url}/replicate")
    with closing(client._client):  # it has no way of its own
        return client.run("black-forest-labs/flux-schnell", input={"prompt": "a cat"})


def by_hugging_face(url: str, key: str) -> Any:
    with InferenceClient(base_url=f"{url}/hf-inference/models/{FLUX}", api_key=key) as client:
        return client.text_to_image("a cat", width=64, height=64)


def by_fal(url: str, key: str) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fal_addresses, "RUN_URL_FORMAT", f"{url}/fal/run/")
        client = fal_client.SyncClient(key=key)
        with closing(client._client):  # it has no way of its own
            return client.run("fal-ai/flux/schnell", {"prompt": "a cat"})["images"]


@dataclass(frozen=True)
class Official:
    """A client: how it paints, the shape of its keys, and what it raises by status."""

    paint: Callable[[str, str], Any]
    like: str
    raises: dict[int, type[Exception]]


CLIENTS = {
    ("openai (Python)", "openai"): Official(
        by_openai, "openai", {401: openai.AuthenticationError, 402: openai.APIStatusError}
    ),
    ("openai (Python)", "nebius"): Official(
        by_nebius, "imagemill", {401: openai.AuthenticationError, 402: openai.APIStatusError}
    ),
    ("together (Python)", "together"): Official(
        by_together, "together", {401: together.AuthenticationError, 402: together.APIStatusError}
    ),
    ("replicate (Python)", "replicate"): Official(
        by_replicate, "replicate", {401: ReplicateError, 402: ReplicateError}
    ),
    ("huggingface_hub", "hf-inference"): Official(
        by_hugging_face, "hf", {401: HfHubHTTPError, 402: HfHubHTTPError}
    ),
    ("fal_client", "fal"): Official(
        by_fal, "fal",
        {401: fal_client.client.FalClientHTTPError, 402: fal_client.client.FalClientHTTPError},
    ),
}  # fmt: skip
EACH = pytest.mark.parametrize(
    "official",
    [
        pytest.param(each, marks=pytest.mark.cell(client, door, "keys and credits"), id=door)
        for (client, door), each in CLIENTS.items()
    ],
)


@EACH
def test_a_key_that_opens_paints(official: Official, company: Company) -> None:
    assert official.paint(company.url, company.keys[official.like, OPENS])


@EACH
@pytest.mark.parametrize("kind", WORDS)
def test_what_does_not_open_raises_the_client_s_own_exception(
    official: Official, kind: str, company: Company
) -> None:
    with pytest.raises(official.raises[STATUS[kind]]) as raised:
        official.paint(company.url, company.keys[official.like, kind])
    error: Any = raised.value
    response: Any = getattr(error, "response", None)
    status = getattr(error, "status_code", None) or getattr(error, "status", None)
    assert (status or response.status_code) == STATUS[kind]
    assert WORDS[kind] in f"{error} {getattr(error, 'detail', '')}"
