"""fal's realtime: its own client, and sockets of nobody's client."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from typing import Any

import fal_client
import fal_client.client
import msgpack
import pytest
import websockets
from fastapi import FastAPI

from imagemill.dialects.fal.realtime import ERRORS
from imagemill.dialects.fal.vocabulary import InputError, InvalidInput
from imagemill.errors import Fault, Kind
from tests.clocks import Clock
from tests.realtime_harness import (
    APP,
    IMAGE,
    K1,
    OUTPUT,
    Painter,
    Sleeper,
    ask,
    connected,
    make_app,
    make_tokens,
    serving,
)

anyio = pytest.mark.anyio


@pytest.fixture
def pointed(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Points fal's client at a port of this machine."""

    def point(port: int) -> None:
        here = f"127.0.0.1:{port}/fal"
        monkeypatch.setattr(fal_client.client, "RUN_URL_FORMAT", f"http://{here}/run/")
        monkeypatch.setattr(fal_client.client, "REALTIME_URL_FORMAT", f"ws://{here}/run/")
        monkeypatch.setattr(fal_client.client, "REST_URL", f"http://{here}/rest")

    return point


Pointed = Callable[[int], None]


@asynccontextmanager
async def fal_of(app: FastAPI, pointed: Pointed) -> AsyncIterator[fal_client.AsyncClient]:
    """fal's client of the application, and its connections closed, which it does not do itself."""
    async with serving(app) as port:
        pointed(port)
        client = fal_client.AsyncClient(key="k1")
        yield client
        await (await client._client).aclose()


@anyio
@pytest.mark.parametrize("use_jwt", [True, False])
@pytest.mark.parametrize("app", [APP, "fal-ai/fast-lightning-sdxl", "workflows/me/mine/deep/er"])
async def test_fal_s_client_draws(pointed: Pointed, app: str, use_jwt: bool) -> None:
    painter = Painter()
    async with (
        fal_of(make_app(painter), pointed) as client,
        client.realtime(app, use_jwt=use_jwt, max_buffering=1) as talk,
    ):
        for prompt in ("a cat", "a dog"):
            await talk.send({"prompt": prompt, "request_id": prompt, "image": IMAGE})
            answer = await talk.recv()
            assert answer == OUTPUT | {"prompt": prompt, "request_id": prompt}
    assert painter.calls == [
        (app, {"prompt": prompt, "image": IMAGE}, K1) for prompt in ("a cat", "a dog")
    ]


@anyio
@pytest.mark.parametrize("use_jwt", [True, False])
async def test_fal_s_client_without_async_draws(pointed: Pointed, use_jwt: bool) -> None:
    painter = Painter()

    def draw() -> dict[str, Any] | None:
        client = fal_client.SyncClient(key="k1")
        with closing(client._client), client.realtime(APP, use_jwt=use_jwt) as talk:
            talk.send({"prompt": "a cat"})
            return talk.recv()

    async with serving(make_app(painter)) as port:
        pointed(port)
        answer = await asyncio.to_thread(draw)
    assert answer == OUTPUT | {"prompt": "a cat"}
    assert painter.calls == [(APP, {"prompt": "a cat"}, K1)]


@anyio
async def test_fal_s_client_hears_what_is_wrong_and_goes_on(pointed: Pointed) -> None:
    painter = Painter(Fault(Kind.INVALID, "steps 0 is out of range", "steps"))
    async with fal_of(make_app(painter), pointed) as client, client.realtime(APP) as talk:
        await talk.send({"num_inference_steps": 0, "request_id": "r1"})
        with pytest.raises(fal_client.client.RealtimeError) as error:
            await talk.recv()
        painter.fault = None
        await talk.send({"prompt": "a cat"})
        assert (await talk.recv() or {})["prompt"] == "a cat"
    assert (error.value.error, error.value.reason) == ("INVALID_PAYLOAD", "steps 0 is out of range")
    assert error.value.payload["request_id"] == "r1"


@anyio
async def test_fal_s_client_hears_that_its_token_is_bad(
    pointed: Pointed, monkeypatch: pytest.MonkeyPatch
) -> None:
    painter, clock = Painter(), Clock()
    async with fal_of(make_app(painter, make_tokens(clock)), pointed) as client:
        token = await client._get_realtime_token(APP, token_expiration=5)
        clock.now += 6

        async def kept(*_: object, **__: object) -> str:
            return token

        monkeypatch.setattr(fal_client.AsyncClient, "_get_realtime_token", kept)
        async with client.realtime(APP) as talk:
            with pytest.raises(fal_client.client.RealtimeError, match=r"^Unauthorized: .*expired"):
                await talk.recv()
            with pytest.raises(fal_client.client.RealtimeError, match="1008"):
                await talk.recv()
    assert painter.calls == []


@anyio
async def test_json_in_text_is_read_as_well() -> None:
    painter = Painter()
    async with connected(make_app(painter)) as talk:
        await talk.send('{"prompt": "ein Kätzchen", "request_id": "r1"}')
        answer = await talk.recv()
    assert isinstance(answer, bytes)
    assert msgpack.unpackb(answer) == OUTPUT | {"prompt": "ein Kätzchen", "request_id": "r1"}


@anyio
@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (b"", "is not msgpack"),
        (b"\xc1", "is not msgpack"),
        (b"\x81\xa6prompt", "is not msgpack"),
        (b"\x80\x80", "is not msgpack"),
        (b"\x81\xa1a\xa1\xff", "is not msgpack"),
        (b"\x91" * 2000, "is not msgpack"),
        (b"\x93\x01\x02\x03", "is not an object"),
        (b"\x81\xc4\x01a\x01", "is not an object with names"),
        (b"\x81\x01\x01", "is not msgpack"),
        ("", "the body is empty"),
        ("{", "the body is not JSON"),
        ("[" * 10_000, "nested too deeply"),
        ("[]", "is not an object"),
        ('{"a": NaN}', "NaN is not JSON"),
        ('{"request_id": 1}', "request_id is not a string"),
        (msgpack.packb({"request_id": "x" * 201}), "request_id is not a string"),
    ],
)
async def test_what_cannot_be_read_is_told_and_the_talk_goes_on(
    frame: bytes | str, message: str
) -> None:
    painter = Painter()
    async with connected(make_app(painter)) as talk:
        await talk.send(frame)
        error = json.loads(await talk.recv())
        assert (error["type"], error["error"]) == ("x-fal-error", "INVALID_PAYLOAD")
        assert message in error["reason"]
        assert (await ask(talk, {"prompt": "a cat"}))["prompt"] == "a cat"
    assert len(painter.calls) == 1


@anyio
@pytest.mark.parametrize("kind", Kind)
async def test_every_kind_of_fault_has_a_word(kind: Kind) -> None:
    async with connected(make_app(Painter(Fault(kind, "too soon")))) as talk:
        error = await ask(talk, {"request_id": "r1"})
    assert error == {
        "type": "x-fal-error",
        "status": "error",
        "error": ERRORS[kind],
        "reason": "too soon",
        "request_id": "r1",
    }
    assert ERRORS[kind] != "TIMEOUT"


@anyio
async def test_a_refused_input_is_told_with_all_that_is_wrong() -> None:
    wrong = [
        InputError(("seed",), "is no integer", "int_type"),
        InputError(("a", 0), "is odd", "odd"),
    ]
    async with connected(make_app(Painter(InvalidInput(wrong)))) as talk:
        error = await ask(talk, {})
    assert error["error"] == "INVALID_PAYLOAD"
    assert error["reason"] == "seed: is no integer; a.0: is odd"


@anyio
@pytest.mark.parametrize("fault", [ValueError("of /a/secret/path"), OSError("disk")])
async def test_a_failure_ends_the_talk_without_its_cause(
    fault: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    async with connected(make_app(Painter(fault))) as talk:
        error = await ask(talk, {"prompt": "a cat"})
        with pytest.raises(websockets.ConnectionClosedError) as closed:
            await talk.recv()
    assert error["error"] == "INTERNAL_ERROR"
    assert str(fault) not in error["reason"]
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1011
    assert str(fault) in caplog.text


@anyio
async def test_an_output_that_msgpack_cannot_hold_is_a_failure_of_ours() -> None:
    async def run(*_: object) -> dict[str, Any]:
        return {"images": object()}

    async with connected(make_app(run)) as talk:
        assert (await ask(talk, {}))["error"] == "INTERNAL_ERROR"


@anyio
async def test_silence_ends_the_talk_in_peace(pointed: Pointed) -> None:
    app = make_app(Painter(), silence=0.01)
    async with fal_of(app, pointed) as client, client.realtime(APP) as talk:
        with pytest.raises(fal_client.client.RealtimeError, match=r"^TIMEOUT: no inputs for"):
            await talk.recv()
        assert await talk.recv() is None


@anyio
@pytest.mark.parametrize("abrupt", [True, False])
async def test_a_socket_that_closes_cancels_what_runs(abrupt: bool) -> None:
    sleeper = Sleeper()
    async with connected(make_app(sleeper)) as talk:
        await talk.send(msgpack.packb({"prompt": "a cat"}))
        await sleeper.began.wait()
        if abrupt:
            talk.transport.abort()
        else:
            await talk.close()
        async with asyncio.timeout(30):
            await sleeper.cancelled.wait()


@anyio
async def test_a_server_that_stops_cancels_what_runs() -> None:
    sleeper = Sleeper()
    app = make_app(sleeper)
    async with serving(app) as port:
        url = f"ws://127.0.0.1:{port}/fal/run/{APP}/realtime"
        talk = await websockets.connect(
            url, additional_headers={"authorization": "Key k1"}, proxy=None
        )
        await talk.send(msgpack.packb({}))
        await sleeper.began.wait()
    assert sleeper.cancelled.is_set()
    await talk.close()


@anyio
@pytest.mark.parametrize("buffering", ["0", "61", "-1", "x", "", "1.0", "٣", "9" * 5000])
async def test_a_room_out_of_range_is_refused(buffering: str) -> None:
    async with connected(make_app(Painter()), f"?max_buffering={buffering}") as talk:
        error = json.loads(await talk.recv())
        with pytest.raises(websockets.ConnectionClosedError):
            await talk.recv()
    assert error["error"] == "INVALID_PAYLOAD"
    assert "give 1 to 60" in error["reason"]


@anyio
@pytest.mark.parametrize(
    ("query", "credential", "message"),
    [
        ("", "", "there is no credential"),
        ("?fal_jwt_token=", "", "there is no credential"),
        ("", "k1", "not of the form"),
        ("?fal_jwt_token=a.b.c", "Key k1", "no token of this server"),
    ],
)
async def test_who_brings_no_credential_is_refused(
    query: str, credential: str, message: str
) -> None:
    painter = Painter()
    async with connected(make_app(painter), query, credential) as talk:
        error = json.loads(await talk.recv())
        with pytest.raises(websockets.ConnectionClosedError):
            await talk.recv()
    # As the JavaScript client looks for it, to ask for another token.
    assert (error["status"], error["error"]) == ("error", "Unauthorized")
    assert message in error["reason"]
    assert painter.calls == []


@anyio
@pytest.mark.parametrize("path", ["/fal/run/fal-ai/flux", "/fal/run/realtime"])
async def test_a_socket_elsewhere_is_refused(path: str) -> None:
    async with serving(make_app(Painter())) as port:
        with pytest.raises(websockets.InvalidStatus, match="403"):
            await websockets.connect(f"ws://127.0.0.1:{port}{path}", proxy=None)


@anyio
async def test_the_token_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "uvicorn")
    tokens = make_tokens()
    token = tokens.issue(["flux"], 120, "me")
    async with connected(make_app(Painter(), tokens), f"?fal_jwt_token={token}", "") as talk:
        await ask(talk, {})
    messages = [each.getMessage() for each in caplog.records if each.name.startswith("uvicorn")]
    assert any("[accepted]" in line for line in messages)
    assert not any(token in line for line in messages if "accepted" in line)
