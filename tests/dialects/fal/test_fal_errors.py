"""What fal's dialect tells of errors, and of its applications: what frameworks read of it."""

from typing import Any

import pytest

from tests.conftest import Serving
from tests.engines import PlainEngine

pytestmark = pytest.mark.anyio

LORA = {"prompt": "a cat", "loras": [{"path": "https://a.test/b", "scale": 99}]}


@pytest.mark.parametrize(
    ("app", "body", "status", "message"),
    [
        # Vercel's AI SDK takes no numbers within loc, and no text as detail: it reads message then.
        ("fal-ai/flux-lora", LORA, 422, "loras.0.scale: Input should be less than or equal to 4"),
        ("fal-ai/flux/dev", {}, 422, "prompt: is required"),
        (
            "fal-ai/flux/dev",
            {"prompt": " "},
            422,
            "prompt: String should have at least 1 character",
        ),
        ("x", {}, 404, 'Application "x" not found'),
        ("fal-ai/veo3", {}, 404, "fal-ai/veo3 makes video, and nothing but images is made here"),
    ],
)
async def test_an_error_is_told_in_one_text_beside_its_detail(
    serving: Serving, app: str, body: dict[str, Any], status: int, message: str
) -> None:
    async with serving(PlainEngine()) as client:
        reply = await client.post(f"/fal/run/{app}", json=body)
    assert reply.status_code == status
    assert message in reply.json()["message"]
    detail = reply.json()["detail"]
    assert detail == reply.json()["message"] if isinstance(detail, str) else detail[0]["msg"]


async def test_a_refused_request_has_an_id_by_which_the_log_has_it(serving: Serving) -> None:
    async with serving(PlainEngine()) as client:
        for body in ({}, {"prompt": "a cat", "seed": -5}):
            reply = await client.post("/fal/queue/fal-ai/flux/dev", json=body)
            assert reply.status_code == 422
            assert reply.headers["x-fal-request-id"] == reply.headers["x-request-id"] != ""
        named = await client.post("/fal/run/x", json={}, headers={"x-request-id": "mine"})
        assert named.headers["x-fal-request-id"] == "mine"


@pytest.mark.parametrize("app", ["fal-ai/recraft/v2/text-to-image", "fal-ai/ideogram/v2"])
async def test_a_count_that_a_page_does_not_have_is_dropped_and_named(
    serving: Serving, app: str
) -> None:
    async with serving(PlainEngine()) as client:
        reply = await client.post(f"/fal/run/{app}", json={"prompt": "a cat", "num_images": 3})
    assert reply.status_code == 200, reply.text
    assert len(reply.json()["images"]) == 1
    assert reply.headers["x-imagemill-ignored-fields"] == "num_images"


async def test_the_platform_lists_a_hundred_models_at_a_time(serving: Serving) -> None:
    async with serving(PlainEngine()) as client:
        whole = (await client.get("/fal/api/v1/models?limit=100")).json()
        names = [each["endpoint_id"] for each in whole["models"]]
        assert len(names) > 40
        assert not whole["has_more"]
        few = (await client.get("/fal/api/v1/models?endpoint_id=a/b,fal-ai/flux-2")).json()
        assert [each["endpoint_id"] for each in few["models"]] == ["a/b", "fal-ai/flux-2"]
        edits = (await client.get("/fal/api/v1/models?category=image-to-image")).json()["models"]
        assert "fal-ai/flux/dev/image-to-image" in [each["endpoint_id"] for each in edits]
        assert "fal-ai/flux/dev" not in [each["endpoint_id"] for each in edits]


async def test_nothing_costs_anything(serving: Serving) -> None:
    query = {"endpoint_id": ["fal-ai/flux/dev", "a/b,fal-ai/flux-2"]}
    async with serving(PlainEngine()) as client:
        prices = (await client.get("/fal/api/v1/models/pricing", params=query)).json()["prices"]
        assert [each.pop("endpoint_id") for each in prices] == [
            "fal-ai/flux/dev", "a/b", "fal-ai/flux-2",
        ]  # fmt: skip
        assert all(row == {"unit_price": 0, "unit": "image", "currency": "USD"} for row in prices)
        for wrong, status in (("", 422), ("?endpoint_id=fal-ai/veo3", 404)):
            reply = await client.get(f"/fal/api/v1/models/pricing{wrong}")
            assert (reply.status_code, bool(reply.json()["message"])) == (status, True)


@pytest.mark.parametrize(
    ("path", "status", "name"),
    [
        ("/fal/api/v1/models?limit=0", 422, "limit"),
        ("/fal/openapi.json", 422, "endpoint_id"),
        ("/fal/cdn/files/nothing.png", 404, "file"),
        ("/fal/proxy", 400, "x-fal-target-url"),
    ],
)
async def test_errors_beside_the_applications_have_a_message_as_well(
    serving: Serving, path: str, status: int, name: str
) -> None:
    async with serving(PlainEngine()) as client:
        reply = await client.get(path)
    assert (reply.status_code, name in reply.json()["message"]) == (status, True), reply.text
