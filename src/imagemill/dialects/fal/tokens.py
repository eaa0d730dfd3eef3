"""fal's tokens for realtime: what a browser brings instead of a credential, for a short while."""

import base64
import hmac
import json
from collections.abc import Callable, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import Field
from starlette.datastructures import Headers, QueryParams
from starlette.requests import ClientDisconnect

from imagemill.dialects.fal import vocabulary
from imagemill.dialects.fal.lifecycle import check_form
from imagemill.errors import Fault, Kind
from imagemill.http import json_body, operation, replies
from imagemill.http.identity import caller_of

SECRET_BYTES = 32
LIFE = 120  # seconds, where nothing is said
LONGEST_LIFE = 86_400
BODY = 16_384  # bytes
NAMESPACES = ("workflows", "comfy")  # which stand before the owner

Apps = Annotated[
    list[Annotated[str, Field(min_length=1, max_length=200)]],
    Field(min_length=1, max_length=20, description="Applications that the token is good for."),
]
Seconds = Annotated[int, Field(ge=1, le=LONGEST_LIFE, description="How long it is good.")]


class Tokens:
    """JSON web tokens of one kind: HMAC with SHA-256, whatever their header may say."""

    def __init__(self, secret: Callable[[], bytes], clock: Callable[[], float]) -> None:
        """secret: is asked when the first token is; it is in the database, and that opens late."""
        self._secret, self._clock = secret, clock

    @property
    def _key(self) -> bytes:
        secret = self._secret()
        if len(secret) < SECRET_BYTES:
            raise ValueError(f"a secret of {len(secret)} bytes can be guessed")
        # A key of its own, so that nothing else that the secret signs passes for a token.
        return hmac.digest(secret, b"fal realtime tokens", "sha256")

    def issue(self, apps: Sequence[str], seconds: int, caller: str) -> str:
        """apps: whole names, or aliases, which are names without owner and path."""
        now = int(self._clock())
        claims = {"sub": caller, "allowed_apps": [*apps], "iat": now, "exp": now + seconds}
        signed = f"{_HEAD}.{_encoded(json.dumps(claims).encode())}"
        return f"{signed}.{self._signature(signed)}"

    def caller(self, headers: Headers, query: QueryParams, app: str) -> str:
        """Who calls: whose token is in the URL, else whose credential came."""
        token = query.get("fal_jwt_token")
        return self.check(token, app) if token else caller_of(headers)

    def check(self, token: str, app: str) -> str:
        """Whose token it is; raises a Fault where it does not open `app`."""
        signed, _, signature = token.rpartition(".")
        head, _, claims = signed.partition(".")
        genuine = hmac.compare_digest(self._signature(signed).encode(), signature.encode())
        if not genuine or head != _HEAD:
            raise Fault(Kind.DENIED, "fal_jwt_token is no token of this server; ask for a new one")
        payload = _claims(claims)
        if payload["exp"] <= self._clock():
            raise Fault(Kind.DENIED, "fal_jwt_token has expired; ask for a new one")
        if not any(_opens(allowed, app) for allowed in payload["allowed_apps"]):
            raise Fault(Kind.DENIED, f"fal_jwt_token is not for {app:.200}; ask for one that is")
        return str(payload["sub"])

    def _signature(self, signed: str) -> str:
        return _encoded(hmac.digest(self._key, signed.encode(), "sha256"))


def alias(app: str) -> str:
    """The part of an application's name that fal's clients put into a token."""
    parts = app.split("/")
    place = 2 if parts[0] in NAMESPACES else 1
    return parts[place] if place < len(parts) else ""


def _opens(allowed: str, app: str) -> bool:
    if "/" not in allowed:
        return alias(app) == allowed
    whole = allowed.removesuffix("/realtime")  # as the JavaScript client names it to a page
    return app == whole or app.startswith(f"{whole}/")


def _encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _claims(text: str) -> dict[str, Any]:
    """What we have signed ourselves."""
    return dict(json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))))


_HEAD = _encoded(b'{"alg":"HS256","typ":"JWT"}')


class ForAliases(json_body.Strict):
    """What fal's clients send; they read the token as a bare string."""

    allowed_apps: Apps
    seconds: Annotated[Seconds, Field(alias="token_expiration")] = LIFE

    def reply(self, token: str) -> Any:
        return token


class ForApps(json_body.Strict):
    """What fal's examples for one's own server send."""

    allowed_apps: Apps
    seconds: Annotated[Seconds, Field(alias="duration")] = LIFE

    def reply(self, token: str) -> Any:
        return {"token": token}


Form = type[ForAliases] | type[ForApps]
FORMS: dict[str, Form] = {"/fal/rest/tokens": ForAliases, "/fal/rest/tokens/realtime": ForApps}


def routes(tokens: Tokens) -> APIRouter:
    router = APIRouter(tags=["fal realtime"])
    for path, form in FORMS.items():
        for slash in ("/", ""):  # both are in use, and a client that is redirected fails
            router.add_api_route(
                path + slash,
                _answering(tokens, form),
                methods=["POST"],
                status_code=201,
                response_class=JSONResponse,
                summary="A token for realtime",
                openapi_extra={"requestBody": {"required": True, "content": _content(form)}},
                operation_id=f"fal_token_{form.__name__}",
                include_in_schema=not slash,
            )
    return router


def _content(form: Form) -> dict[str, Any]:
    return {"application/json": {"schema": json_body.schema(form)}}


def _answering(tokens: Tokens, form: Form) -> Callable[[Request], Any]:
    async def answer(request: Request) -> Response:
        try:
            check_form(request.headers)
            body = await operation.read_body(request, BODY)
            params = json_body.take(form, json_body.parse(json_body.text(body)))
        except ClientDisconnect:
            return Response(status_code=operation.GONE)
        except Fault as fault:
            error = vocabulary.error_body(fault)
            headers = vocabulary.error_headers(fault) | replies.fault_headers(fault)
            return JSONResponse(error, vocabulary.ERRORS[fault.kind].code, headers)
        token = tokens.issue(params.allowed_apps, params.seconds, caller_of(request.headers))
        return JSONResponse(params.reply(token), 201)

    return answer
