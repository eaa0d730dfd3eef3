"""Jobs that another server paints, in every API that one may speak; the other is an imagemill."""

import base64
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import httpx
import numpy as np
import pytest
from PIL import Image

from tests.conftest import Serving
from tests.engines import PlainEngine
from tests.upstreaming import MODEL, PLACES, QUEUES, image, options, painting, uri

pytestmark = pytest.mark.anyio

SMALL: dict[str, Any] = {"prompt": "a red cat", "width": 64, "height": 64, "steps": 2, "seed": 7}


async def ask(client: httpx.AsyncClient, model: str, **more: Any) -> httpx.Response:
    body = {"model": model, **SMALL, "response_format": "base64", "output_format": "png", **more}
    return await client.post("/together/v1/images/generations", json=body)


async def painted(client: httpx.AsyncClient, model: str, **more: Any) -> list[bytes]:
    reply = await ask(client, model, **more)
    assert reply.status_code == 200, (model, reply.text)
    return [base64.b64decode(each["b64_json"]) for each in reply.json()["data"]]


async def submit(client: httpx.AsyncClient, kind: str, **more: Any) -> str:
    """To our own queue; where the request is asked after."""
    size = {"width": 64, "height": 64}
    body = {"prompt": kind, "image_size": size, "num_inference_steps": 2, "seed": 7, **more}
    reply = await client.post(f"/fal/queue/a/{kind}", json=body)
    assert reply.status_code == 200, reply.text
    url: str = reply.json()["response_url"]
    return url


async def ended(client: httpx.AsyncClient, url: str) -> list[str]:
    """The log of a request of our queue, once it has ended."""
    while (status := await client.get(f"{url}/status?logs=1")).status_code == 202:
        pass
    return [each["message"] for each in status.json()["logs"]]


async def test_the_same_seed_gives_the_bytes_that_the_other_server_gives(
    serving: Serving, tmp_path: Path
) -> None:
    there, here = PlainEngine(), PlainEngine()
    async with (
        painting(tmp_path, there) as address,
        serving(here, **options(address)) as client,
        httpx.AsyncClient(base_url=address) as direct,
    ):
        theirs = [await painted(direct, MODEL, seed=seed) for seed in (7, 8, 9)]
        for kind in PLACES:
            assert await painted(client, f"a/{kind}") == theirs[0], kind
            assert await painted(client, f"a/{kind}", n=3) == [each for (each,) in theirs], kind
        reply = await ask(client, "a/fal")
    assert reply.headers["x-imagemill-model"] == "pico"
    assert here.submitted == []
    assert {(each.steps, each.width) for each in there.submitted} == {(2, 64)}


async def test_images_and_masks_are_handed_on(serving: Serving, tmp_path: Path) -> None:
    there, left = PlainEngine(), Image.new("L", (96, 64))
    left.paste(255, (0, 0, 32, 64))
    buffer = BytesIO()
    left.save(buffer, "png")
    mask, size = {"mask_image": uri(buffer.getvalue())}, {"width": 96}
    async with (
        painting(tmp_path, there) as address,
        serving(PlainEngine(), **options(address)) as client,
    ):
        for kind in PLACES:
            # One that is edited, and one that is painted over where a mask says.
            for with_mask in [{}] if kind == "together" else [{}, mask]:
                over = {"image_url": uri(image(96, 64)), **with_mask, **size}
                await painted(client, f"a/{kind}", **over)
                generation, inputs = there.submitted[-1], there.inputs[-1]
                reference = generation.image if with_mask else generation.references[0]
                assert reference is not None
                with Image.open(BytesIO(inputs[reference])) as sent:
                    assert sent.size == (96, 64), kind
                    assert sent.convert("RGB").getpixel((5, 5)) == (0, 128, 128), kind
                if with_mask:
                    assert generation.mask is not None
                    with Image.open(BytesIO(inputs[generation.mask])) as sent:
                        assert np.array_equal(np.asarray(sent), np.asarray(left)), kind
        refused = await ask(client, "a/together", image_url=uri(image(96, 64)), **mask)
    assert refused.status_code == 422
    assert refused.json()["error"]["param"] == "mask_image"
    assert "takes no mask" in refused.json()["error"]["message"]


async def test_progress_and_log_are_passed_on(serving: Serving, tmp_path: Path) -> None:
    async with (
        painting(tmp_path, PlainEngine()) as address,
        serving(PlainEngine(), **options(address, *QUEUES)) as client,
    ):
        for kind in QUEUES:
            lines = await ended(client, await submit(client, kind))
            assert "step 2 of 2" in lines, kind
            assert any(line.startswith(f"{kind}: painted by pico") for line in lines), lines
            assert any(line.startswith(f"{kind}: painted; cost: ") for line in lines), lines
        metrics = (await client.get("/metrics")).text
    assert 'imagemill_upstream_requests_total{outcome="ok",upstream="fal"} 1.0' in metrics
    assert 'imagemill_upstream_cost_total{unit="images",upstream="replicate"} 1.0' in metrics


async def test_what_is_cancelled_here_is_stopped_there(serving: Serving, tmp_path: Path) -> None:
    there = PlainEngine()
    async with (
        painting(tmp_path, there) as address,
        serving(PlainEngine(), **options(address)) as client,
    ):
        for number, kind in enumerate(PLACES):
            there.hold_at = 1
            url = await submit(client, kind)
            await there.reached(kind, 1)
            assert (await client.put(f"{url}/cancel")).status_code in (200, 202)
            while len(there.cancelled) <= number:
                await client.get(f"{url}/status")
            assert (await client.get(url)).status_code == 499
            there.gate.set()
    assert set(there.steps.values()) == {1}


async def test_a_restart_goes_on_with_the_same_request(serving: Serving, tmp_path: Path) -> None:
    there = PlainEngine()
    there.gate.clear()
    async with painting(tmp_path, there) as address:
        async with serving(PlainEngine(), **options(address, *QUEUES)) as client:
            urls = [await submit(client, kind) for kind in QUEUES]
            await there.asked(len(QUEUES))
        assert there.cancelled == []
        # Also where the models are configured no more.
        later = options(address, *QUEUES) | {"models": {}}
        async with serving(PlainEngine(), **later) as client:
            there.gate.set()
            for url in urls:
                await ended(client, url)
                assert (await client.get(url)).status_code == 200
    assert len(there.submitted) == len(QUEUES)


async def test_what_is_cancelled_after_a_restart_is_stopped_there(
    serving: Serving, tmp_path: Path
) -> None:
    there = PlainEngine(hold_at=1)
    async with painting(tmp_path, there) as address:
        async with serving(PlainEngine(), **options(address, "fal")) as client:
            url = await submit(client, "fal")
            await there.reached("fal", 1)
        async with serving(PlainEngine(), **options(address, "fal")) as client:
            await client.put(f"{url}/cancel")
            while not there.cancelled:
                await client.get(f"{url}/status")
    assert len(there.submitted) == 1


async def test_an_upstream_that_waits_holds_up_no_engine_and_no_engine_an_upstream(
    serving: Serving, tmp_path: Path
) -> None:
    there, here = PlainEngine(hold_at=1), PlainEngine()
    async with painting(tmp_path, there) as address:
        settings = options(address, "fal", in_flight=1) | {"running": 1}
        async with serving(here, **settings) as client:
            held = [await submit(client, "fal") for _ in range(3)]
            await there.reached("fal", 1)
            assert len(await painted(client, MODEL)) == 1
            assert len(there.submitted) == 1, "no more than in_flight are there"
            here.gate.clear()
            local = await client.post("/fal/queue/imagemill/pico", json={"prompt": "a blue dog"})
            await here.asked(2)
            there.gate.set()
            for url in held:
                await ended(client, url)
            assert (await client.get(local.json()["status_url"])).status_code == 202
            here.gate.set()


async def test_formats_that_the_other_server_lacks_are_made_here_and_flagged_images_black(
    serving: Serving, tmp_path: Path
) -> None:
    strict = {"safety": "always", "safety_threshold": 0.0}
    parameters = {"width": 64, "height": 64, "seed": 7, "scheduler": "DDIMScheduler"}
    async with (
        painting(tmp_path, PlainEngine(ignored=("cat",)), safety="off") as address,
        serving(PlainEngine(), **options(address, "fal"), **strict) as client,
    ):
        reply = await client.post(
            "/hf-inference/models/a/fal",
            json={"inputs": "a red cat", "parameters": parameters},
            headers={"accept": "image/webp"},
        )
    assert reply.status_code == 200, reply.text
    ignored = unquote(reply.headers["x-imagemill-ignored"]).split(", ")
    assert ignored == [f"scheduler: {MODEL} takes none", "cat"]
    assert reply.headers["x-imagemill-flagged"] == "0"
    with Image.open(BytesIO(reply.content)) as black:
        assert (black.format, black.size) == ("WEBP", (64, 64))
        assert black.convert("RGB").getextrema() == ((0, 0), (0, 0), (0, 0))
