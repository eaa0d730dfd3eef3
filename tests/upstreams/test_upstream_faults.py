"""Upstreams that refuse, are slow, break off or answer nonsense: what callers hear of it."""

import logging
from pathlib import Path
from typing import Any

import httpx
import pytest

from imagemill.app import create_app
from imagemill.engine.ipc import SafetyOptions
from imagemill.errors import Fault
from imagemill.fetch import Policy
from imagemill.settings import Settings
from imagemill.upstream_spec import UpstreamSpec
from imagemill.upstreams.api import lost
from imagemill.upstreams.checking import Checker
from imagemill.upstreams.outcome import RemoteImages
from imagemill.upstreams.results import Results
from tests.conftest import Serving
from tests.engines import PlainEngine
from tests.sites import Answer, Site, drip, hang, make_answer, open_fetcher, open_site
from tests.store.test_jobs import GENERATION
from tests.upstreaming import KEY, answer, completed, image, result, submitted

pytestmark = pytest.mark.anyio

INPUT = {"prompt": "a red cat", "image_size": {"width": 64, "height": 64}, "seed": 7}
LATER = answer(202, {"status": "IN_QUEUE", "queue_position": 0})


def settings(site: Site, kind: str = "fal", **more: Any) -> dict[str, Any]:
    """Of a server whose model is painted at a site."""
    spec = {"kind": kind, "url": site.url("/q"), "key_env": "KEY_OF_SITE", "retries": 1, **more}
    return {
        "upstreams": {"site": spec},
        "models": {"a/b": "upstream:site/x/y"},
        "shutdown_time": 0.0,
    }


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setenv("KEY_OF_SITE", KEY)
    caplog.set_level(logging.DEBUG)


async def run(
    serving: Serving, *answers: bytes | Answer, kind: str = "fal", **more: Any
) -> tuple[httpx.Response, list[str]]:
    """What our caller is answered, and what the upstream was asked: the first line of each call."""
    async with (
        open_site(*answers) as site,
        serving(PlainEngine(), **settings(site, kind, **more)) as client,
    ):
        reply = await client.post("/fal/run/a/b", json=INPUT)
        heard = [each.partition(b" HTTP")[0].decode() for each in site.heard]
    assert KEY not in reply.text
    assert "127.0.0.1" not in reply.text.replace("127.0.0.1 ", "")
    return reply, heard


async def refusal(serving: Serving, *answers: bytes | Answer, **more: Any) -> tuple[int, str]:
    """The status and the sentence."""
    reply, _ = await run(serving, *answers, **more)
    return reply.status_code, reply.json()["message"]


async def broken_off(reader: Any, writer: Any) -> None:
    writer.close()


async def test_a_submission_that_was_not_taken_is_sent_again(serving: Serving) -> None:
    busy = answer(429, {"detail": "too many"}, retry_after="0")
    reply, heard = await run(serving, busy, submitted(), LATER, completed(), result())
    assert reply.status_code == 200, reply.text
    assert heard == [
        "POST /q/x/y",
        "POST /q/x/y",
        "GET /q/x/y/requests/r1/status?logs=1",
        "GET /q/x/y/requests/r1/status?logs=1",
        "GET /q/x/y/requests/r1",
    ]


async def test_who_is_busy_for_too_long_is_told_and_when_to_come_again(serving: Serving) -> None:
    busy = answer(503, {"detail": "busy"}, retry_after="0.01")
    reply, heard = await run(serving, busy)
    assert reply.status_code == 503
    assert reply.json()["detail"] == (
        "the upstream site is not to be had: it answered 503; try again later"
    )
    assert heard == ["POST /q/x/y"] * 2


@pytest.mark.parametrize("lost_by", [broken_off, make_answer(504)])
async def test_a_submission_that_may_have_been_taken_is_not_sent_again(
    lost_by: bytes | Answer, serving: Serving
) -> None:
    reply, heard = await run(serving, lost_by, submitted())
    assert reply.status_code == 500
    assert reply.json()["detail"] == lost("site").message
    assert heard == ["POST /q/x/y"]


async def test_where_a_name_makes_repeats_one_it_is_sent_again(serving: Serving) -> None:
    answers = broken_off, submitted(), completed(), result()
    async with (
        open_site(*answers) as site,
        serving(PlainEngine(), **settings(site, idempotent=True)) as client,
    ):
        reply = await client.post("/fal/run/a/b", json=INPUT)
    assert reply.status_code == 200, reply.text
    first, second = (dict(_headers(each))["idempotency-key"] for each in site.heard[:2])
    assert first == second == reply.headers["x-fal-request-id"]


def _headers(head: bytes) -> list[tuple[str, str]]:
    lines = head.decode().split("\r\n")[1:]
    return [(name.lower(), value) for name, _, value in (each.partition(": ") for each in lines)]


async def test_an_upstream_that_is_away_while_it_paints_is_asked_until_it_is_back(
    serving: Serving,
) -> None:
    away = make_answer(502), broken_off, answer(503, {}), LATER, make_answer(504)
    reply, heard = await run(serving, submitted(), *away, completed(), result())
    assert reply.status_code == 200, reply.text
    assert heard.count("POST /q/x/y") == 1


@pytest.mark.parametrize(
    ("status", "what"),
    [
        (401, "does not accept this server's key"),
        (402, "has no credit left for this server"),
        (403, "does not let this server in"),
        (404, "does not have this model"),
    ],
)
async def test_what_the_operator_has_to_mend_is_told_without_keys_and_addresses(
    status: int, what: str, serving: Serving, caplog: pytest.LogCaptureFixture
) -> None:
    echoed = answer(status, {"detail": f"no user for {KEY} at http://127.0.0.1/q"})
    code, message = await refusal(serving, echoed)
    text = f"the upstream site {what}; the operator of this server has to look at it"
    assert (code, message) == (500, text)
    assert f"upstream site {what} (status {status})" in caplog.text
    assert KEY not in caplog.text


async def test_what_the_caller_can_mend_comes_back_at_their_own_field(serving: Serving) -> None:
    row = {"loc": ["body", "num_inference_steps"], "msg": f"at most 8 for {KEY}", "type": "le"}
    reply, _ = await run(serving, answer(422, {"detail": [row]}))
    assert reply.status_code == 422
    (error,) = reply.json()["detail"]
    assert error["loc"] == ["body", "num_inference_steps"]
    assert error["msg"] == "the upstream site refuses this: at most 8 for ***"


@pytest.mark.parametrize(
    ("kind", "answers"),
    [
        (
            "fal",
            [
                submitted(),
                completed(error="no", error_type="content_policy_violation"),
                answer(
                    422,
                    {"detail": [{"loc": ["body", "prompt"], "msg": "not this",
                                 "type": "content_policy_violation"}]},
                ),
            ],
        ),
        ("openai", [answer(400, {"error": {"message": "no", "code": "moderation_blocked"}})]),
        (
            "replicate",
            [
                answer(201, {"id": "p1", "status": "starting"}),
                answer(200, {"id": "p1", "status": "failed", "error": "NSFW content detected"}),
            ],
        ),
    ],
)  # fmt: skip
async def test_what_the_rules_of_an_upstream_forbid_is_told_as_such(
    kind: str, answers: list[bytes], serving: Serving
) -> None:
    reply, _ = await run(serving, *answers, kind=kind)
    assert reply.status_code == 422
    (error,) = reply.json()["detail"]
    assert error["type"] == "content_policy_violation"


@pytest.mark.parametrize(
    "answers",
    [
        [answer(200, b"<html>")],
        [answer(200, {"status": "IN_QUEUE"})],
        [submitted("../../account")],
        [submitted(), answer(200, b"[]")],
        [submitted(), completed(), answer(200, {"images": []})],
        [submitted(), completed(), answer(200, {"images": [{"url": "nonsense!"}]})],
        [submitted(), completed(), result(b"no image at all")],
        [submitted(), completed(), result(image()[:-30])],
    ],
)
async def test_nonsense_is_told_as_the_upstream_s(answers: list[bytes], serving: Serving) -> None:
    code, message = await refusal(serving, *answers)
    assert code == 500
    assert message.startswith("the upstream site gave an answer that cannot be used: ")


async def test_an_image_that_is_too_large_is_not_read_to_its_end(serving: Serving) -> None:
    large = result(image(64, 64, "bmp"))
    code, message = await refusal(serving, submitted(), completed(), large, max_bytes=2048)
    assert (code, message) == (
        500,
        "the upstream site sent more than 2048 bytes; ask for smaller images, or fewer",
    )


async def test_a_reply_without_end_is_given_up(serving: Serving) -> None:
    code, message = await refusal(serving, drip, timeout=1, read_timeout=0.3)
    assert code == 500
    assert "its answer was lost" in message


async def test_one_that_never_ends_is_given_up_and_stopped_there(serving: Serving) -> None:
    async with (
        open_site(submitted(), LATER) as site,
        serving(PlainEngine(), **settings(site, timeout=1)) as client,
    ):
        reply = await client.post("/fal/run/a/b", json=INPUT)
        while not any(each.startswith(b"PUT /q/x/y/requests/r1/cancel") for each in site.heard):
            await client.get("/health")
    assert reply.status_code == 503
    assert reply.json()["detail"] == ("the upstream site did not end within 1 s; try again later")


async def test_who_accepts_no_connection_is_tried_again_and_told(serving: Serving) -> None:
    async with open_site(hang) as site:
        pass
    async with serving(PlainEngine(), **settings(site)) as client:
        reply = await client.post("/fal/run/a/b", json=INPUT)
    assert reply.status_code == 503
    assert "it accepts no connection" in reply.json()["detail"]


async def test_images_are_fetched_from_the_upstream_s_host_without_its_key(
    serving: Serving,
) -> None:
    async with open_site(make_answer(200, image(), content_type="image/png")) as files:
        own = answer(200, {"images": [{"url": files.url("/i.png")}]})
        reply, _ = await run(serving, submitted(), completed(), own)
        assert reply.status_code == 200, reply.text
        assert all(KEY.encode() not in each for each in files.heard)


async def test_images_are_fetched_from_no_other_place_nearby() -> None:
    async with open_fetcher(Policy(hosts=frozenset({"127.0.0.1"}))) as fetcher:
        results = Results("site", fetcher, Checker(SafetyOptions()), 2**20, patience=0)
        remote = RemoteImages(("http://10.0.0.1/secret.png",))
        with pytest.raises(Fault, match="the upstream site painted could not be fetched"):
            await results.images(remote, GENERATION, (), 0.0)


async def test_what_it_cost_is_counted_and_logged(serving: Serving) -> None:
    paid = result(x_fal_billable_units="3.5")
    async with (
        open_site(submitted(), completed(), paid) as site,
        serving(PlainEngine(), **settings(site)) as client,
    ):
        await client.post("/fal/run/a/b", json=INPUT)
        metrics = (await client.get("/metrics")).text
    assert 'imagemill_upstream_cost_total{unit="billable_units",upstream="site"} 3.5' in metrics


async def test_no_key_is_in_a_representation(tmp_path: Path) -> None:
    upstreams = {"site": UpstreamSpec("fal", "http://127.0.0.1:1/q", key_env="KEY_OF_SITE")}
    given = Settings(data_dir=tmp_path, upstreams=upstreams)
    app = create_app(given, PlainEngine())
    painter = app.state.backend.worker.engine
    assert KEY not in repr([given, painter, vars(painter), painter.upstreams["site"]])
    assert KEY not in repr([*map(vars, [painter.upstreams["site"].api])])


async def test_a_key_that_is_not_there_is_told_before_anything_is_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KEY_OF_SITE")
    upstreams = {"site": UpstreamSpec("fal", "http://127.0.0.1:1/q", key_env="KEY_OF_SITE")}
    with pytest.raises(Fault, match="the variable KEY_OF_SITE has no key; put it there"):
        create_app(Settings(data_dir=tmp_path, upstreams=upstreams), PlainEngine())
