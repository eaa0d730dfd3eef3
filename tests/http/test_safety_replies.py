"""The safety checker and the operator's terms, in the words of every dialect."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from imagemill.conditions import SafetyCheck
from imagemill.errors import Kind
from imagemill.job import Status
from tests.conftest import Serving
from tests.engines import PlainEngine

pytestmark = pytest.mark.anyio

FORBIDDEN = "a cat with a Forbidden-Word"
NSFW = "All generated images contained NSFW content. Try running it again with a different prompt."
BLACKED, DROPPED = SafetyCheck(wanted=True), SafetyCheck(wanted=True, drops=True)
REPLICATE = "/replicate/v1/models/black-forest-labs/flux-schnell/predictions"
BEARER = {"authorization": "Bearer key", "prefer": "wait"}


@dataclass(frozen=True)
class Case:
    """One way to ask, and what it asks of the checker."""

    #: Where is asked.
    path: str
    #: What is asked beside the prompt.
    body: Mapping[str, Any]
    #: What reaches the engine.
    safety: SafetyCheck
    #: Under which name the prompt is sent.
    prompt: str = "prompt"
    #: Words of the error where the prompt has a term.
    refusal: tuple[str, ...] = ()
    #: Of that.
    code: int = 422
    #: What the body lies in; empty for nothing.
    wrapped: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)

    async def ask(self, client: httpx.AsyncClient, prompt: str, **more: Any) -> httpx.Response:
        body: dict[str, Any] = {self.prompt: prompt, **self.body, **more}
        whole = {self.wrapped: body} if self.wrapped else body
        return await client.post(self.path, json=whole, headers=dict(self.headers))


def fal(path: str, safety: SafetyCheck, **body: Any) -> Case:
    body |= {"image_size": {"width": 64, "height": 64}, "num_inference_steps": 2}
    return Case(
        f"/fal/run/{path}", body, safety, refusal=("content_policy_violation", '["body", "prompt"]')
    )


def replicate(safety: SafetyCheck, **body: Any) -> Case:
    body |= {"width": 64, "height": 64, "num_inference_steps": 2}
    return Case(
        REPLICATE, body, safety, refusal=("Content not allowed",), wrapped="input", headers=BEARER
    )


def openai(safety: SafetyCheck, *refusal: str, size: str = "64x64", **body: Any) -> Case:
    return Case(
        "/openai/v1/images/generations", {"size": size} | body, safety, refusal=refusal, code=400
    )


def together(safety: SafetyCheck, **body: Any) -> Case:
    body |= {"model": "black-forest-labs/FLUX.1-schnell", "width": 64, "height": 64, "steps": 2}
    return Case("/together/v1/images/generations", body, safety, refusal=("invalid_request_error",))


FAL = fal("fal-ai/flux/dev", BLACKED)
GPT = openai(DROPPED, "image_generation_user_error", "moderation_blocked")
CASES: dict[str, Case] = {
    "fal": FAL,
    "fal, off": fal("fal-ai/flux/dev", SafetyCheck(False), enable_safety_checker=False),
    "fal, a page that has it off": Case(
        "/fal/run/fal-ai/recraft/v2/text-to-image",
        {"image_size": {"width": 64, "height": 64}},
        SafetyCheck(False),
        refusal=("content_policy_violation",),
    ),
    "fal, a page without a word for it": Case(
        "/fal/run/fal-ai/imagen4/preview", {}, SafetyCheck(), refusal=("content_policy_violation",)
    ),
    "replicate": replicate(DROPPED),
    "replicate, off": replicate(SafetyCheck(False, drops=True), disable_safety_checker=True),
    "replicate, tolerant": replicate(SafetyCheck(True, 1.0, drops=True), safety_tolerance=6),
    "openai": GPT,
    "openai, low": openai(
        SafetyCheck(True, 0.75, drops=True), "moderation_blocked", moderation="low"
    ),
    "openai, dall-e": openai(
        DROPPED, "invalid_request_error", "content_policy_violation", model="dall-e-2",
        size="256x256",
    ),
    "together": together(DROPPED),
    "together, off": together(SafetyCheck(False, drops=True), disable_safety_checker=True),
    "hugging face": Case(
        "/hf-inference/models/a/b",
        {"parameters": {"width": 64, "height": 64, "num_inference_steps": 2}},
        SafetyCheck(),
        prompt="inputs",
        refusal=("Forbidden-Word".lower(),),
    ),
    "nebius": Case(
        "/nebius/v1/images/generations",
        {"model": "black-forest-labs/flux-schnell", "width": 64, "height": 64},
        SafetyCheck(),
        refusal=("forbidden-word",),
    ),
    "nebula": Case(
        "/nebula/api/v1/images/generation",
        {
            "model_name": "black-forest-labs/FLUX.1-schnell",
            "width": 64, "height": 64, "num_steps": 2, "guidance_scale": 1,
        },
        SafetyCheck(),
        refusal=("forbidden-word",),
    ),
    "sdapi": Case(
        "/sdapi/v1/txt2img",
        {"width": 64, "height": 64, "steps": 2},
        SafetyCheck(),
        refusal=("forbidden-word",),
    ),
}  # fmt: skip
named = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())


@named
async def test_each_api_is_checked_as_its_pages_say(case: Case, serving: Serving) -> None:
    engine = PlainEngine()
    async with serving(engine) as client:
        reply = await case.ask(client, "a cat")
    assert reply.status_code in (200, 201), reply.text
    assert [each.safety for each in engine.submitted] == [case.safety]


@named
async def test_where_the_operator_wants_no_check_nobody_is_checked(
    case: Case, serving: Serving
) -> None:
    engine = PlainEngine(flags=frozenset({0}))
    async with serving(engine, safety="off") as client:
        reply = await case.ask(client, "a cat")
    assert reply.status_code in (200, 201), reply.text
    assert [each.safety.wanted for each in engine.submitted] == [False]


@named
async def test_where_the_operator_checks_all_nobody_gets_around_it(
    case: Case, serving: Serving
) -> None:
    engine = PlainEngine()
    async with serving(engine, safety="always") as client:
        await case.ask(client, "a cat")
    assert [each.safety.wanted for each in engine.submitted] == [True]


@named
async def test_a_prompt_with_a_term_is_refused_in_the_words_of_the_api_and_paints_nothing(
    case: Case, serving: Serving
) -> None:
    engine = PlainEngine()
    async with serving(engine, safety="off", safety_terms=["forbidden-word"]) as client:
        reply = await case.ask(client, FORBIDDEN)
        allowed = await case.ask(client, "a cat with an allowed word")
    assert reply.status_code == case.code, reply.text
    for words in case.refusal:
        assert words in json.dumps(reply.json())
    assert allowed.status_code in (200, 201)
    assert [each.prompt for each in engine.submitted] == ["a cat with an allowed word"]


async def test_a_prompt_that_is_enriched_into_a_term_is_not_painted(serving: Serving) -> None:
    engine = PlainEngine()
    async with serving(engine) as client:
        body = {"prompt": "a cat", "seed": 1, "expand_prompt": True}
        enriched = (await client.post("/fal/run/fal-ai/ideogram/v2", json=body)).json()
    assert engine.submitted[0].prompt != "a cat", enriched
    term = engine.submitted[0].prompt.removeprefix("a cat").strip(" ,").split()[0]
    async with serving(engine, safety_terms=[term]) as client:
        reply = await client.post("/fal/run/fal-ai/ideogram/v2", json=body)
    assert reply.json()["detail"][0]["type"] == "content_policy_violation"
    assert len(engine.submitted) == 1


async def test_fal_tells_of_each_image_whether_it_is_black(serving: Serving) -> None:
    async with serving(PlainEngine(flags=frozenset({1}))) as client:
        both = (await FAL.ask(client, "a cat", num_images=2)).json()
    assert both["has_nsfw_concepts"] == [False, True]
    assert len(both["images"]) == 2


async def test_fals_queue_keeps_what_was_flagged_with_the_request(serving: Serving) -> None:
    async with serving(PlainEngine(flags=frozenset({0}))) as client:
        path = "/fal/queue/fal-ai/flux/dev"
        body = (await client.post(path, json={"prompt": "a cat", **FAL.body})).json()
        while (await client.get(body["status_url"])).status_code == 202:
            await asyncio.sleep(0)
        status = (await client.get(body["status_url"], params={"logs": 1})).json()
        output = (await client.get(body["response_url"])).json()
        again = (await client.get(body["response_url"])).json()
    assert output["has_nsfw_concepts"] == again["has_nsfw_concepts"] == [True]
    assert "NSFW content detected in image 0" in [line["message"] for line in status["logs"]]


@asynccontextmanager
async def flagging(serving: Serving, *images: int) -> AsyncIterator[httpx.AsyncClient]:
    async with serving(PlainEngine(flags=frozenset(images))) as client:
        yield client


async def test_replicate_leaves_out_what_is_flagged(serving: Serving) -> None:
    async with flagging(serving, 0) as client:
        body = (await CASES["replicate"].ask(client, "a cat", num_outputs=3)).json()
    assert body["status"] == "succeeded", body
    assert len(body["output"]) == 2
    assert "NSFW content detected in image 0" in body["logs"]


async def test_a_prediction_of_replicates_fails_in_its_words_where_all_is_flagged(
    serving: Serving,
) -> None:
    async with flagging(serving, 0, 1) as client:
        body = (await CASES["replicate"].ask(client, "a cat", num_outputs=2)).json()
        stream = await client.get(body["urls"]["stream"], headers={"accept": "text/event-stream"})
    assert (body["status"], body["error"], body["output"]) == ("failed", NSFW, None)
    assert NSFW in stream.text


async def test_openai_leaves_out_what_is_flagged(serving: Serving) -> None:
    async with flagging(serving, 1) as client:
        reply = await GPT.ask(client, "a cat", n=3)
    assert len(reply.json()["data"]) == 2
    assert reply.headers["x-imagemill-flagged"] == "1"


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("openai", ("image_generation_user_error", "moderation_blocked")),
        ("openai, dall-e", ("invalid_request_error", "content_policy_violation")),
    ],
)
async def test_openai_refuses_where_all_is_flagged(
    name: str, error: tuple[str, str], serving: Serving
) -> None:
    async with flagging(serving, 0) as client:
        reply = await CASES[name].ask(client, "a cat")
    assert reply.status_code == 400
    body = reply.json()["error"]
    assert (body["type"], body["code"], body["param"]) == (*error, None)
    assert reply.headers["x-should-retry"] == "false"


async def test_a_stream_of_openais_ends_with_the_error_where_all_is_flagged(
    serving: Serving,
) -> None:
    async with flagging(serving, 0) as client:
        reply = await GPT.ask(client, "a cat", stream=True)
    (event,) = [json.loads(line[6:]) for line in reply.text.splitlines() if line[:5] == "data:"]
    assert (event["type"], event["error"]["code"]) == ("error", "moderation_blocked")


@pytest.mark.parametrize("format", ["url", "base64"])
async def test_together_refuses_where_all_is_flagged(format: str, serving: Serving) -> None:
    case = CASES["together"]
    async with flagging(serving, 0) as client:
        reply = await case.ask(client, "a cat", response_format=format)
        some = await case.ask(client, "a dog", n=3, response_format=format)
    assert reply.status_code == 422
    assert reply.json()["error"]["type"] == "invalid_request_error"
    assert len(some.json()["data"]) == 2
    assert some.headers["x-imagemill-flagged"] == "0"


@pytest.mark.parametrize("name", ["hugging face", "nebius", "nebula", "sdapi"])
async def test_an_api_without_a_word_for_it_tells_in_a_header(name: str, serving: Serving) -> None:
    async with serving(PlainEngine(flags=frozenset({0})), safety="always") as client:
        reply = await CASES[name].ask(client, "a cat")
    assert reply.status_code == 200, reply.text
    assert reply.headers["x-imagemill-flagged"] == "0"


async def test_an_image_that_is_recalled_keeps_its_verdict(serving: Serving) -> None:
    engine = PlainEngine(flags=frozenset({0}))
    async with serving(engine, safety="always") as client:
        replies = [await CASES["hugging face"].ask(client, "a cat") for _ in range(2)]
    assert [each.headers["x-imagemill-cache"] for each in replies] == ["miss", "hit"]
    assert [each.headers["x-imagemill-flagged"] for each in replies] == ["0", "0"]
    assert len(engine.submitted) == 1


async def test_what_was_kept_unchecked_is_not_given_out_where_all_are_checked(
    serving: Serving,
) -> None:
    engine = PlainEngine(flags=frozenset({0}))
    for safety in ("off", "always"):
        async with serving(engine, safety=safety) as client:
            reply = await CASES["hugging face"].ask(client, "a cat")
    assert reply.headers["x-imagemill-cache"] == "miss"
    assert reply.headers["x-imagemill-flagged"] == "0"


def test_a_generation_that_is_refused_is_no_state_of_its_own() -> None:
    assert Kind.UNSAFE.value not in set(Status)
