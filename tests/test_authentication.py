"""Keys: who has one is let in, where each API's clients put it; who has none is told so, in the
words of the API.
"""

import base64
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from imagemill.accounts import SHAPES, KeyLimits, new_account, new_key
from imagemill.app import create_app
from imagemill.authentication import PERMITTED, UNASKED, Keyring, check_open
from imagemill.cli import app as cli
from imagemill.credits import MICRO
from imagemill.errors import Fault
from imagemill.settings import PriceSpec, Settings
from imagemill.store import Database, at
from imagemill.store.accounts import AccountTable
from imagemill.store.ledger import LedgerTable
from tests.conftest import Serving
from tests.engines import PlainEngine
from tests.painting_calls import CALLS

pytestmark = pytest.mark.anyio

EACH = pytest.mark.parametrize("name", CALLS)
NOW = 1_700_000_000.0


@dataclass
class Company:
    """Accounts in the database of a server."""

    table: AccountTable
    ledger: LedgerTable

    async def key(self, name: str, like: str = "imagemill", **limits: Any) -> tuple[str, str]:
        """The key of an account, which is made where there is none, and the key's id."""
        account = await self.table.named(name) or new_account(name, NOW)
        await self.table.add(account)
        key, secret = new_key(account.id, like, KeyLimits(**limits), NOW)
        await self.table.add_key(key)
        return secret, key.id


@asynccontextmanager
async def company(folder: Path) -> AsyncIterator[Company]:
    database = Database(at(folder))
    await database.open()
    try:
        yield Company(AccountTable(database), LedgerTable(database))
    finally:
        await database.close()


def carrying(credential: str, key: str) -> dict[str, str]:
    """A key as the clients of an API send it. credential: theirs for KEY, as CALLS has it."""
    scheme, _, _ = credential.partition(" ")
    value = base64.b64encode(f"me:{key}".encode()).decode() if scheme == "Basic" else key
    return {"authorization": f"{scheme} {value}"}


@EACH
async def test_whoever_has_no_key_is_told_so_in_the_words_of_the_api(
    name: str, serving: Serving, tmp_path: Path
) -> None:
    call, engine = CALLS[name], PlainEngine()
    async with serving(engine) as client, company(tmp_path) as there:
        key, id = await there.key("ada")
        for headers in ({}, carrying(call.credential, "im_" + "x" * 40)):
            reply = await client.post(call.path, json=call.body, headers=headers)
            assert reply.status_code == 401, reply.text
            assert reply.headers["www-authenticate"]
            assert "key" in reply.text
        assert engine.submitted == []
        reply = await client.post(call.path, json=call.body, headers=carrying(call.credential, key))
        assert reply.status_code < 300, reply.text
        assert await there.table.revoke(id, NOW)
    async with serving(PlainEngine()) as client:
        reply = await client.post(call.path, json=call.body, headers=carrying(call.credential, key))
    assert (reply.status_code, "revoked" in reply.text) == (401, True)
    assert key not in reply.text


@EACH
async def test_an_empty_purse_is_told_in_the_words_of_the_api_and_a_full_one_pays(
    name: str, serving: Serving, tmp_path: Path
) -> None:
    call, engine = CALLS[name], PlainEngine()
    prices = {"*": PriceSpec(image=Decimal("0.5"))}
    async with serving(engine, prices=prices) as client, company(tmp_path) as there:
        headers = carrying(call.credential, (await there.key("ada"))[0])
        reply = await client.post(call.path, json=call.body, headers=headers)
        assert reply.status_code == 402, reply.text
        assert "costs 0.5 credits, and the account has 0" in reply.text
        assert engine.submitted == []
        account = await there.table.named("ada")
        assert account is not None
        await there.ledger.grant(account.id, 2 * MICRO, "first", NOW)
        reply = await client.post(call.path, json=call.body, headers=headers)
        assert reply.status_code < 300, reply.text
        await engine.asked(1)
        balance = await there.ledger.balance(account.id)
        if name in ("flat", "together", "nebius", "nebula", "openai", "sdapi"):
            assert reply.headers["x-imagemill-cost"] == "0.5"
    assert balance.purse == 3 * MICRO // 2


@pytest.mark.parametrize("like", SHAPES)
async def test_a_key_has_the_shape_that_a_client_insists_on(
    like: str, serving: Serving, tmp_path: Path
) -> None:
    shapes = {
        "imagemill": r"im_\w{40}", "fal": r"[0-9a-f-]{36}:[0-9a-f]{32}", "hf": r"hf_\w{34}",
        "replicate": r"r8_\w{37}", "openai": r"sk-\w{48}", "together": r"tgp_v1_[\w-]{43}",
    }  # fmt: skip
    call = CALLS["fal"]
    async with serving(PlainEngine()) as client, company(tmp_path) as there:
        key, _ = await there.key("ada", like)
        assert re.fullmatch(shapes[like], key)
        for headers in ({"authorization": f"Key {key}"}, {"x-api-key": key}, {"api-key": key}):
            reply = await client.post(call.path, json=call.body, headers=headers)
            assert reply.status_code == 200, reply.text
        kept = (tmp_path / "imagemill.db").read_bytes() + (
            tmp_path / "imagemill.db-wal"
        ).read_bytes()
        assert key.encode() not in kept


@pytest.mark.parametrize(
    ("limits", "status", "words"),
    [
        ({"expires": NOW}, 401, "expired"),
        ({"dialects": ("replicate", "hf")}, 403, "it is for replicate, hf"),
        ({"addresses": ("10.0.0.0/8",)}, 403, "not for calls from this address"),
        ({"addresses": ("127.0.0.0/8",), "dialects": ("fal",), "expires": 4e9}, 200, "images"),
    ],
)
async def test_a_key_opens_what_it_is_for(
    limits: dict[str, Any], status: int, words: str, serving: Serving, tmp_path: Path
) -> None:
    call = CALLS["fal"]
    async with serving(PlainEngine()) as client, company(tmp_path) as there:
        key, _ = await there.key("ada", **limits)
        headers = {"authorization": f"Key {key}"}
        reply = await client.post(call.path, json=call.body, headers=headers)
    assert (reply.status_code, words in reply.text) == (status, True), reply.text


async def test_a_disabled_account_opens_nothing(serving: Serving, tmp_path: Path) -> None:
    call = CALLS["openai"]
    async with serving(PlainEngine()) as client, company(tmp_path) as there:
        key, _ = await there.key("ada")
        account = await there.table.named("ada")
        assert account is not None
        await there.table.disable(account.id, NOW)
        headers = {"authorization": f"Bearer {key}"}
        reply = await client.post(call.path, json=call.body, headers=headers)
    assert (reply.status_code, "disabled" in reply.text) == (401, True)


async def test_two_keys_of_an_account_see_the_same_and_another_account_s_nothing(
    serving: Serving, tmp_path: Path
) -> None:
    call = CALLS["replicate"]
    async with serving(PlainEngine()) as client, company(tmp_path) as there:
        first, second = [(await there.key("ada"))[0] for _ in range(2)]
        other, _ = await there.key("bob")
        account = await there.table.named("ada")
        assert account is not None
        made = await client.post(
            call.path, json=call.body, headers={"authorization": f"Bearer {first}"}
        )
        way = f"/replicate/v1/predictions/{made.json()['id']}"
        seen = {}
        for name, headers in {
            "second": {"authorization": f"Bearer {second}"},
            "other": {"authorization": f"Bearer {other}"},
            # What the server says of accounts to itself means nothing when it comes from outside.
            "forged": {"authorization": f"Bearer {other}", "x-imagemill-account": account.id},
        }.items():
            seen[name] = (await client.get(way, headers=headers)).status_code
    assert seen == {"second": 200, "other": 404, "forged": 404}


async def test_every_route_asks_for_a_key_but_those_that_are_for_everybody(
    serving: Serving, tmp_path: Path
) -> None:
    app = create_app(Settings(data_dir=tmp_path), PlainEngine())
    routes = [
        (method.upper(), re.sub(r"\{[^}]*\}", "x", path))
        for path, methods in app.openapi()["paths"].items()
        for method in methods
    ]
    assert len(routes) > 100
    async with serving(PlainEngine()) as client, company(tmp_path) as there:
        await there.key("ada")
        let_in = [
            (method, path)
            for method, path in routes
            if (await client.request(method, path, json={})).status_code not in (401, 403)
        ]
    for method, path in let_in:
        permitted = any(method in each and way.fullmatch(path) for each, way in PERMITTED)
        assert permitted or UNASKED.fullmatch(path), f"{method} {path} asks for no key"


async def test_fal_s_uploads_and_tokens_go_with_the_account(
    serving: Serving, tmp_path: Path
) -> None:
    async with serving(PlainEngine()) as client, company(tmp_path) as there:
        key, _ = await there.key("ada", "fal")
        headers = {"authorization": f"Key {key}"}
        body = {"content_type": "image/png", "file_name": "x.png"}
        begun = await client.post("/fal/rest/storage/upload/initiate", json=body, headers=headers)
        upload_url, file_url = begun.json()["upload_url"], begun.json()["file_url"]
        assert (await client.put(upload_url, content=b"bytes")).status_code == 200
        assert (await client.get(file_url)).content == b"bytes"
        ticket = await client.post("/fal/rest/storage/auth/token", json={}, headers=headers)
        bearer = {"authorization": f"Bearer {ticket.json()['token']}", "content-type": "image/png"}
        assert (await client.post("/fal/cdn/files/upload", content=b"x", headers=bearer)).is_success
        forged = {"authorization": f"Bearer {ticket.json()['token']}0"}
        denied = await client.post("/fal/cdn/files/upload", content=b"x", headers=forged)
        assert denied.status_code == 401


async def test_an_open_server_asks_for_none_and_knows_those_who_have_one(
    serving: Serving, tmp_path: Path
) -> None:
    call = CALLS["fal"]
    async with serving(PlainEngine(), open=True) as client, company(tmp_path) as there:
        key, _ = await there.key("ada")
        for headers in ({}, {"authorization": f"Key {key}"}):
            reply = await client.post(call.path, json=call.body, headers=headers)
            assert reply.status_code == 200, reply.text


async def test_a_server_for_others_begins_with_an_account_or_with_a_word(tmp_path: Path) -> None:
    folder = tmp_path / "data"  # which is not there yet
    settings = Settings(data_dir=folder, host="0.0.0.0")
    with pytest.raises(Fault) as refused:
        await check_open(settings)
    for way in ("imagemill accounts create", "imagemill keys create", "open = true"):
        assert way in refused.value.message
    await check_open(Settings(data_dir=folder))
    await check_open(Settings(data_dir=folder, host="0.0.0.0", open=True))
    async with company(folder) as there:
        await there.key("ada")
    await check_open(settings)


async def test_without_a_database_the_server_still_tells_of_itself(tmp_path: Path) -> None:
    app = create_app(Settings(data_dir=tmp_path), PlainEngine())  # which nobody has opened
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        assert (await client.get("/health")).json()["live"] is True
        assert (await client.get("/docs")).status_code == 200
        call = CALLS["openai"]
        reply = await client.post(call.path, json=call.body)
        assert (reply.status_code, "traceback" in reply.text.lower()) == (503, False)


async def test_while_the_database_is_away_what_was_known_of_accounts_holds(tmp_path: Path) -> None:
    now = [0.0]
    async with company(tmp_path) as there:
        keyring = Keyring(there.table, lambda: NOW, lambda: now[0])
        assert await keyring.required() is False
    for path in tmp_path.glob("imagemill.db*"):
        path.unlink()
    now[0] = 10.0
    assert await keyring.required() is False


def test_the_commands_make_show_and_revoke(tmp_path: Path) -> None:
    def run(*words: str) -> str:
        result = CliRunner().invoke(cli, [*words, "--data-dir", str(tmp_path / "data")])
        assert result.exit_code == 0, result.output
        return result.stdout

    account = run("accounts", "create", "ada").split()[1]
    key = run("keys", "create", "ada", "--like", "hf", "--dialect", "hf", "--days", "30").strip()
    (line,) = run("keys", "list", "ada").splitlines()
    assert key.startswith("hf_")
    assert key not in line
    id = line.split()[0]
    assert (key[:8] in line, "  hf  until " in line) == (True, True)
    assert run("credits", "grant", "ada", "2.5") == "ada  2.5\n"
    assert run("credits", "show", "ada") == "ada  2.5  held 0\n"
    assert re.fullmatch(r"[\d-]{10}  grant:\w{32}  purse  2.5\n", run("credits", "entries", "ada"))
    run("keys", "revoke", id)
    run("accounts", "disable", "ada")
    assert run("accounts", "show", "ada").splitlines()[0] == f"ada  {account}  disabled"
    assert run("keys", "list", "ada").rstrip().endswith("revoked")
    run("accounts", "enable", "ada")
    assert run("accounts", "list") == f"ada  {account}\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("accounts", "create", " "), "is no name"),
        (("accounts", "create", "ada"), "already"),
        (("keys", "create", "bob"), "no account 'bob'"),
        (("keys", "create", "ada", "--like", "x"), "imagemill, fal, hf"),
        (("keys", "create", "ada", "--dialect", "x"), "unknown API 'x'"),
        (("keys", "create", "ada", "--address", "x"), "is no network"),
        (("keys", "create", "ada", "--days", "0"), "more than 0"),
        (("keys", "revoke", "x"), "no key 'x'"),
        (("credits", "grant", "ada", "1e3"), "is no amount"),
        (("credits", "grant", "ada", "0"), "0 credits are none"),
        (("credits", "show", "bob"), "no account 'bob'"),
    ],
)
def test_what_is_wrong_with_a_command_is_said(
    words: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    place = ["--data-dir", str(tmp_path)]
    assert CliRunner().invoke(cli, ["accounts", "create", "ada", *place]).exit_code == 0
    result = CliRunner().invoke(cli, [*words, *place])
    assert result.exit_code != 0
    assert said in result.stderr
