"""Files, models and all else that can be asked of Replicate's door."""

import base64
import io
import json
from typing import Any

import httpx
import pytest
from PIL import Image

from imagemill.dialects.replicate import ids
from tests.conftest import Serving
from tests.dialects.replicate.test_replicate import KEY, ROOT, SCHNELL, WAIT, create, data_uri
from tests.engines import PlainEngine

pytestmark = pytest.mark.anyio

OTHER = {"authorization": "Bearer other"}
CONTENT = base64.b64decode(data_uri((96, 64), "red").partition(",")[2])


async def upload(
    client: httpx.AsyncClient, headers: dict[str, str] = KEY, **more: Any
) -> dict[str, Any]:
    files = {"content": ("cat.png", CONTENT, "image/png")} | more
    reply = await client.post(f"{ROOT}/files", files=files, headers=headers)
    assert reply.status_code == 201, reply.text
    record: dict[str, Any] = reply.json()
    return record


async def test_a_file_is_uploaded_told_of_and_downloaded(serving: Serving) -> None:
    async with serving(PlainEngine()) as client:
        record = await upload(client)
        assert (record["name"], record["content_type"]) == ("cat.png", "image/png")
        assert record["size"] == len(CONTENT)
        assert len(record["checksums"]["sha256"]) == 64
        assert record["metadata"] == {}
        assert record["created_at"] < record["expires_at"]
        assert (await client.get(record["urls"]["get"], headers=KEY)).json() == record
        content = await client.get(f"{record['urls']['get']}/download", headers=KEY)
        assert (content.content, content.headers["content-type"]) == (CONTENT, "image/png")


@pytest.mark.parametrize(
    "part",
    [
        (None, '{"a": 1}'),
        ("blob", '{"a": 1}', "application/json"),  # as the JavaScript client sends it
    ],
)
async def test_metadata_comes_in_either_form(serving: Serving, part: Any) -> None:
    async with serving(PlainEngine()) as client:
        assert (await upload(client, metadata=part))["metadata"] == {"a": 1}


async def test_files_are_listed_and_deleted_by_their_owner(serving: Serving) -> None:
    async with serving(PlainEngine()) as client:
        first, second = await upload(client), await upload(client)
        assert (await upload(client, OTHER))["id"] not in (first["id"], second["id"])

        async def listed() -> list[Any]:
            return list((await client.get(f"{ROOT}/files", headers=KEY)).json()["results"])

        assert await listed() == [second, first]
        url = first["urls"]["get"]
        for verb in ("GET", "DELETE"):
            assert (await client.request(verb, url, headers=OTHER)).status_code == 404
        assert (await client.get(f"{url}/download", headers=OTHER)).status_code == 404
        assert (await client.delete(url, headers=KEY)).status_code == 204
        assert (await client.get(url, headers=KEY)).status_code == 404
        assert await listed() == [second]


async def test_a_signed_address_admits_anybody_for_a_time(serving: Serving) -> None:
    async with serving(PlainEngine()) as client:
        record = await upload(client)
        secret = (await client.get(f"{ROOT}/webhooks/default/secret", headers=KEY)).json()["key"]
        key = base64.b64decode(secret.removeprefix("whsec_"))

        async def status(expiry: str, signed: str) -> int:
            signature = ids.signature(key, f"imagemill {record['id']} {signed}".encode())
            query = {"owner": "imagemill", "expiry": expiry, "signature": signature}
            url = f"{record['urls']['get']}/download"
            return (await client.get(url, params=query)).status_code

        assert await status("9999999999", "9999999999") == 200
        assert await status("1", "1") == 404
        assert await status("9999999999", "8888888888") == 404
        assert await status("soon", "soon") == 404


async def test_an_uploaded_file_is_an_input(serving: Serving) -> None:
    engine = PlainEngine()
    async with serving(engine) as client:
        record = await upload(client)
        aliases = (record["urls"]["get"], f"https://api.replicate.com/v1/files/{record['id']}")
        for url in aliases:
            assert (await create(client, image=url))["status"] == "succeeded"
        painted = (await create(client))["output"][0]
        assert (await create(client, image=painted))["status"] == "succeeded"
        gone = await create(client, code=404, image=f"http://localhost{ROOT}/files/{'a' * 26}")
        assert "no such file" in gone["detail"]
        # It is its owner's, whoever names it.
        stolen = await create(client, headers=WAIT | OTHER, image=aliases[0])
        assert stolen["status"] == "failed"
    image = engine.inputs[0][engine.submitted[0].references[0]]
    assert Image.open(io.BytesIO(image)).size == (96, 64)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"file": ("a", b"x")}, "unknown part 'file'"),
        ({"metadata": (None, "{}")}, "there is no part content"),
        ({"content": ("a", b"x"), "metadata": (None, "[]")}, "metadata is a list; give an object"),
        ({"content": ("a", b"x"), "metadata": (None, "nope")}, "the body is not JSON"),
        ({"content": ("a", b"x"), "metadata": (None, '{"a":"\\ud800"}')}, "surrogate"),
    ],
)
async def test_an_upload_of_another_form_is_refused(
    serving: Serving, files: Any, message: str
) -> None:
    async with serving(PlainEngine()) as client:
        reply = await client.post(f"{ROOT}/files", files=files)
    assert reply.status_code == 422
    assert message in reply.json()["detail"]


async def test_an_upload_that_is_no_whole_form_is_refused(serving: Serving) -> None:
    headers = {"content-type": "multipart/form-data; boundary=b"}
    async with serving(PlainEngine()) as client:
        reply = await client.post(f"{ROOT}/files", content=b"--b\r\n", headers=headers)
        assert (reply.status_code, "last boundary" in reply.text) == (422, True)
        reply = await client.post(f"{ROOT}/files", json={})
        assert (reply.status_code, "send multipart/form-data" in reply.text) == (422, True)


async def test_models_are_listed_with_their_versions(serving: Serving) -> None:
    async with serving(PlainEngine(), models={"my/model": "folder"}) as client:
        page = (await client.get(f"{ROOT}/models", headers=KEY)).json()
        by_name = {f"{each['owner']}/{each['name']}": each for each in page["results"]}
        assert {"my/model", "imagemill/pico", "stability-ai/sdxl"} <= by_name.keys()
        for id, model in by_name.items():
            assert model == (await client.get(f"{ROOT}/models/{id}")).json()
            version = model["latest_version"]
            listed = (await client.get(f"{ROOT}/models/{id}/versions")).json()["results"]
            assert listed == [version]
            one = await client.get(f"{ROOT}/models/{id}/versions/{version['id']}")
            assert one.json() == version
        assert len({each["latest_version"]["id"] for each in by_name.values()}) == len(by_name)


async def test_models_are_listed_page_by_page(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imagemill.dialects.replicate.models.PAGE", 4)
    async with serving(PlainEngine()) as client:
        first = (await client.get(f"{ROOT}/models")).json()
        assert (len(first["results"]), first["previous"]) == (4, None)
        second = (await client.get(first["next"])).json()
        assert second["results"][0] not in first["results"]
        assert (await client.get(second["previous"])).json() == first
        for wrong in ("x", "eA", "_"):
            reply = await client.get(f"{ROOT}/models", params={"cursor": wrong})
            assert reply.status_code == 422


async def test_models_are_found_by_words(serving: Serving) -> None:
    async with serving(PlainEngine()) as client:
        for query in (
            "FLUX steps",
            '"FLUX steps"',
        ):  # as Python's client sends it, and JavaScript's
            reply = await client.request("QUERY", f"{ROOT}/models", content=query)
            assert [each["name"] for each in reply.json()["results"]] == ["flux-schnell"]


async def test_any_version_of_a_model_is_told(serving: Serving) -> None:
    async with serving(PlainEngine()) as client:
        body = (await client.get(f"{SCHNELL}/versions/{'ab' * 32}")).json()
        assert body["id"] == "ab" * 32
        assert body["openapi_schema"]["components"]["schemas"]["Output"]["type"] == "array"
        assert (await client.get(f"{SCHNELL}/versions/latest")).status_code == 404


async def test_every_model_is_a_deployment(serving: Serving) -> None:
    async with serving(PlainEngine()) as client:
        listed = (await client.get(f"{ROOT}/deployments")).json()["results"]
        for each in listed:
            url = f"{ROOT}/deployments/{each['owner']}/{each['name']}"
            assert (await client.get(url)).json() == each
            assert len(each["current_release"]["version"]) == 64


async def test_the_rest_is_told(serving: Serving) -> None:
    async with serving(PlainEngine()) as client:
        account = (await client.get(f"{ROOT}/account")).json()
        assert (account["type"], account["username"]) == ("user", "imagemill")
        assert [each["sku"] for each in (await client.get(f"{ROOT}/hardware")).json()] == ["local"]
        (collection,) = (await client.get(f"{ROOT}/collections")).json()["results"]
        body = (await client.get(f"{ROOT}/collections/{collection['slug']}")).json()
        assert collection.items() <= body.items()
        assert body["models"]
        assert (await client.get(f"{ROOT}/collections/cats")).status_code == 404


async def test_the_document_tells_of_every_call(serving: Serving) -> None:
    async with serving(PlainEngine()) as client:
        document = (await client.get("/openapi.json")).json()
    paths = {
        path: operations for path, operations in document["paths"].items() if path.startswith(ROOT)
    }
    assert f"{ROOT}/trainings" not in paths
    creation = paths[f"{ROOT}/predictions"]["post"]
    schema = creation["requestBody"]["content"]["application/json"]["schema"]
    assert schema["required"] == ["input", "version"]
    assert schema["properties"]["input"]["properties"]["guidance"]["maximum"] == 10
    assert {"201", "202", "422"} <= creation["responses"].keys()
    names = [each["name"] for each in paths[f"{ROOT}/predictions"]["get"]["parameters"]]
    assert names == ["cursor", "created_after", "created_before", "source"]
    assert json.dumps(paths)
