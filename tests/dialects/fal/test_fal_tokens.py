"""The tokens that open a realtime socket: what they open, how they end, how they are had."""

import base64
import hmac
import json

import httpx
import pytest

from imagemill.dialects.fal.tokens import Tokens, alias
from imagemill.errors import Fault, Kind
from tests.clocks import Clock
from tests.realtime_harness import APP, K1, SECRET, Painter, make_app, make_tokens

anyio = pytest.mark.anyio


@pytest.mark.parametrize(
    ("allowed", "app"),
    [
        ("flux", "fal-ai/flux"),
        ("flux", "fal-ai/flux/dev"),
        ("mine", "workflows/me/mine/deep"),
        ("fal-ai/flux", "fal-ai/flux"),
        ("fal-ai/flux", "fal-ai/flux/dev"),
        ("fal-ai/flux/dev", "fal-ai/flux/dev"),
        ("fal-ai/flux/dev/realtime", "fal-ai/flux/dev"),
    ],
)
def test_a_token_opens_what_it_names(allowed: str, app: str) -> None:
    tokens = make_tokens()
    assert tokens.check(tokens.issue(["other", allowed], 120, "me"), app) == "me"


@pytest.mark.parametrize(
    ("allowed", "app"),
    [
        ("flux", "fal-ai/other"),
        ("flux", "flux"),
        ("dev", "fal-ai/flux/dev"),
        ("fal-ai", "fal-ai/flux"),
        ("me", "workflows/me/mine"),
        ("fal-ai/flux", "fal-ai/fluxx"),
        ("fal-ai/flux", "other/flux"),
        ("fal-ai/flux/dev", "fal-ai/flux"),
        ("flux", ""),
    ],
)
def test_a_token_opens_nothing_else(allowed: str, app: str) -> None:
    tokens = make_tokens()
    with pytest.raises(Fault, match="is not for") as refusal:
        tokens.check(tokens.issue([allowed], 120, "me"), app)
    assert refusal.value.kind is Kind.DENIED


@pytest.mark.parametrize(
    ("app", "expected"),
    [("a/b", "b"), ("a/b/c", "b"), ("comfy/a/b", "b"), ("a", ""), ("comfy/a", ""), ("", "")],
)
def test_an_alias_is_the_name_after_the_owner(app: str, expected: str) -> None:
    assert alias(app) == expected


def test_a_token_ends() -> None:
    clock = Clock()
    tokens = make_tokens(clock)
    token = tokens.issue(["flux"], 120, "me")
    clock.now += 119
    assert tokens.check(token, APP) == "me"
    clock.now += 1
    with pytest.raises(Fault, match="has expired"):
        tokens.check(token, APP)


def encoded(content: object) -> str:
    text = content if isinstance(content, bytes) else json.dumps(content).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


def forged(header: object, claims: object, key: bytes = SECRET) -> str:
    signed = f"{encoded(header)}.{encoded(claims)}"
    return f"{signed}.{encoded(hmac.digest(key, signed.encode(), 'sha256'))}"


CLAIMS = {"sub": "you", "allowed_apps": ["flux"], "iat": 0, "exp": 2e9}
HS256 = {"alg": "HS256", "typ": "JWT"}
GOOD = make_tokens().issue(["flux"], 120, "me")


@pytest.mark.parametrize(
    "token",
    [
        "",
        ".",
        "..",
        "a",
        "a.b",
        "a.b.c.d",
        "ä.ö.ü",
        "\x00",
        GOOD[:-1],
        GOOD + "=",
        GOOD + ".",
        "." + GOOD,
        GOOD.rpartition(".")[0] + ".",
        GOOD.upper(),
        f"{encoded({'alg': 'none', 'typ': 'JWT'})}.{GOOD.split('.')[1]}.",
        f"{encoded({'alg': 'none'})}.{encoded(CLAIMS)}.",
        f"{encoded({'alg': 'none'})}.{encoded(CLAIMS)}.{GOOD.rpartition('.')[2]}",
        f"{GOOD.split('.')[0]}.{encoded(CLAIMS)}.{GOOD.rpartition('.')[2]}",
        forged(HS256, CLAIMS),  # with the secret, but not for tokens
        forged(HS256, CLAIMS, b""),
        forged({"alg": "HS512", "typ": "JWT"}, CLAIMS),
        make_tokens(secret=b"t" * 32).issue(["flux"], 120, "me"),
    ],
)
def test_what_is_not_our_token_is_refused(token: str) -> None:
    with pytest.raises(Fault, match="no token of this server") as refusal:
        make_tokens().check(token, APP)
    assert refusal.value.kind is Kind.DENIED


def test_a_token_is_a_json_web_token_without_the_secret() -> None:
    header, claims, _ = (base64.urlsafe_b64decode(part + "==") for part in GOOD.split("."))
    assert json.loads(header) == HS256
    assert json.loads(claims) == {
        "sub": "me",
        "allowed_apps": ["flux"],
        "iat": 1_000_000_000,
        "exp": 1_000_000_120,
    }


def test_a_secret_that_can_be_guessed_is_refused() -> None:
    with pytest.raises(ValueError, match="can be guessed"):
        make_tokens(secret=b"short").issue(["flux"], 60, "")


def client_of(tokens: Tokens) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(make_app(Painter(), tokens))
    return httpx.AsyncClient(
        transport=transport, base_url="http://mill", headers={"authorization": "Key k1"}
    )


@anyio
@pytest.mark.parametrize("slash", ["/", ""])
async def test_a_token_is_given_to_each_way_of_asking(slash: str) -> None:
    clock = Clock()
    tokens = make_tokens(clock)
    async with client_of(tokens) as client:
        bare = await client.post(
            f"/fal/rest/tokens{slash}", json={"allowed_apps": ["flux"], "token_expiration": 60}
        )
        named = await client.post(
            f"/fal/rest/tokens/realtime{slash}", json={"allowed_apps": [APP], "duration": 120}
        )
    assert (bare.status_code, named.status_code) == (201, 201)
    assert tokens.check(bare.json(), APP) == tokens.check(named.json()["token"], APP) == K1
    clock.now += 60
    with pytest.raises(Fault, match="expired"):
        tokens.check(bare.json(), APP)


@anyio
async def test_a_token_without_a_credential_is_nobody_s() -> None:
    tokens = make_tokens()
    async with client_of(tokens) as client:
        del client.headers["authorization"]
        reply = await client.post("/fal/rest/tokens/", json={"allowed_apps": ["flux"]})
    assert tokens.check(reply.json(), APP) == ""


@anyio
@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({}, 422, "allowed_apps: is required"),
        ({"allowed_apps": []}, 422, "allowed_apps"),
        ({"allowed_apps": "flux"}, 422, "allowed_apps"),
        ({"allowed_apps": [""]}, 422, "allowed_apps.0"),
        ({"allowed_apps": [1]}, 422, "allowed_apps.0: 1 is not a string"),
        ({"allowed_apps": ["a"] * 21}, 422, "allowed_apps"),
        ({"allowed_apps": ["a"], "token_expiration": 0}, 422, "token_expiration"),
        ({"allowed_apps": ["a"], "token_expiration": 86_401}, 422, "token_expiration"),
        ({"allowed_apps": ["a"], "token_expiration": "120"}, 422, "is not an integer"),
        ({"allowed_apps": ["a"], "duration": 120}, 422, "unknown field 'duration'"),
        ([], 422, "is not an object"),
        ({"allowed_apps": ["a" * 20_000]}, 413, "larger than 16384 bytes"),
    ],
)
async def test_a_wrong_wish_for_a_token_is_told(body: object, status: int, message: str) -> None:
    async with client_of(make_tokens()) as client:
        reply = await client.post("/fal/rest/tokens/", json=body)
    assert reply.status_code == status
    assert message in json.dumps(reply.json()["detail"])


@anyio
async def test_a_credential_of_no_known_form_gets_no_token() -> None:
    async with client_of(make_tokens()) as client:
        client.headers["authorization"] = "k1"
        reply = await client.post("/fal/rest/tokens/", json={"allowed_apps": ["flux"]})
    assert reply.status_code == 401
    assert "'Key <key>'" in reply.json()["detail"]
