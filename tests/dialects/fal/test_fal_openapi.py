"""Pages told to programs: the OpenAPI document of an endpoint, and the list of endpoints."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from imagemill.dialects.fal.pages import PAGES, listing, openapi
from tests.documented_pages import (
    EDIT,
    F_LITE,
    FLUX,
    HIDREAM,
    IMAGEN,
    PRINTED,
    RECRAFT,
    REMIX,
    TEXTURE,
    V3,
)

every_page = pytest.mark.parametrize("id", PAGES)


def parts(document: Any) -> Iterator[dict[str, Any]]:
    """Every object in it, but for what is only shown or filled in."""
    if isinstance(document, list):
        for one in document:
            yield from parts(one)
    if isinstance(document, dict):
        yield document
        for name, value in document.items():
            if name not in ("example", "default"):
                yield from parts(value)


def schemas(id: str) -> dict[str, Any]:
    by_name: dict[str, Any] = openapi(PAGES[id])["components"]["schemas"]
    return by_name


@every_page
def test_a_document_has_every_route_of_the_queue(id: str) -> None:
    document = openapi(PAGES[id])
    assert json.loads(json.dumps(document)) == document
    assert document["openapi"] == "3.0.4"
    assert document["info"]["title"] == f"Queue OpenAPI for {id}"
    assert document["info"]["x-fal-metadata"]["endpointId"] == id
    assert document["info"]["x-fal-metadata"]["category"] == PAGES[id].category
    request = f"/{id}/requests/{{request_id}}"
    routes = [(path, *methods) for path, methods in document["paths"].items()]
    assert routes == [
        (f"/{id}", "post"),
        (f"{request}/status", "get"),
        (f"{request}/cancel", "put"),
        (request, "get"),
    ]
    for path, methods in document["paths"].items():
        (operation,) = methods.values()
        assert "200" in operation["responses"]
        names = [each["name"] for each in operation.get("parameters", [])]
        assert ("request_id" in names) == ("{request_id}" in path)


@every_page
def test_every_reference_leads_somewhere(id: str) -> None:
    document = openapi(PAGES[id])
    names = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    references = {part["$ref"] for part in parts(document) if "$ref" in part}
    assert references == names


@every_page
def test_schemas_keep_to_what_openapi_3_0_knows(id: str) -> None:
    for part in parts(schemas(id)):
        assert part.get("type") != "null"
        assert not {"const", "$defs", "prefixItems"} & part.keys()
        assert "$ref" not in part or len(part) == 1


@pytest.mark.parametrize("id", PRINTED)
def test_fields_are_in_their_printed_order(id: str) -> None:
    taken = schemas(id)[PAGES[id].Input.__name__]
    assert taken["x-fal-order-properties"] == list(PRINTED[id]) == list(taken["properties"])
    assert taken["required"] == [name for name, each in PRINTED[id].items() if each == "required"]
    for schema in schemas(id).values():
        assert schema["x-fal-order-properties"] == list(schema["properties"])


@every_page
def test_examples_go_with_what_is_taken_and_answered(id: str) -> None:
    paths = openapi(PAGES[id])["paths"]
    body = paths[f"/{id}"]["post"]["requestBody"]["content"]["application/json"]
    assert body["example"] == PAGES[id].example
    assert body["schema"]["$ref"].endswith(f"/{PAGES[id].Input.__name__}")
    result = paths[f"/{id}/requests/{{request_id}}"]["get"]["responses"]["200"]
    shown = result["content"]["application/json"]
    assert shown["example"] == PAGES[id].output_example
    assert shown["schema"]["$ref"].endswith(f"/{PAGES[id].Output.__name__}")


@pytest.mark.parametrize(
    ("id", "names"),
    [
        (
            HIDREAM,
            {"TextToImageInputFull", "TextToImageOutput", "ImageSize", "LoraWeight", "Image"},
        ),
        (TEXTURE, {"TextToImageInputTexture", "TextToImageOutput", "ImageSize", "Image"}),
        (V3, {"BaseTextToImageInputV3", "ColorPalette", "ColorPaletteMember", "RGBColor", "File"}),
        (EDIT, {"EditImageInputV3", "EditOutputV3"}),
        (REMIX, {"RemixImageInputV3", "RemixOutputV3"}),
        (IMAGEN, {"File"}),
        (RECRAFT, {"File", "RGBColor", "ImageSize"}),
    ],
)
def test_types_go_by_their_printed_names(id: str, names: set[str]) -> None:
    assert names <= schemas(id).keys()
    assert not {"FileWithData", "NamedLoraWeight"} & schemas(id).keys()


def test_files_are_as_printed_on_each_page() -> None:
    assert "file_data" in schemas(IMAGEN)["File"]["properties"]
    assert "file_data" not in schemas(V3)["File"]["properties"]
    assert "weight_name" in schemas(HIDREAM)["LoraWeight"]["properties"]


def test_limits_defaults_and_nulls_are_told() -> None:
    properties = schemas(HIDREAM)["TextToImageInputFull"]["properties"]
    count = properties["num_images"]
    assert (count["type"], count["minimum"], count["maximum"]) == ("integer", 1, 4)
    assert (count["default"], count["nullable"]) == (1, True)
    assert properties["seed"]["nullable"]
    assert "nullable" not in properties["prompt"]
    assert properties["image_size"]["default"] == {"width": 1024, "height": 1024}
    name, size = properties["image_size"]["anyOf"]
    assert (len(name["enum"]), size) == (6, {"$ref": "#/components/schemas/ImageSize"})
    palette = schemas(V3)["BaseTextToImageInputV3"]["properties"]["color_palette"]
    assert palette["allOf"] == [{"$ref": "#/components/schemas/ColorPalette"}]
    assert palette["nullable"]


def test_addresses_and_statuses_are_the_caller_s() -> None:
    document = openapi(PAGES[FLUX], "http://here/queue", "http://here", ("WAITING", "DONE"))
    assert document["servers"] == [{"url": "http://here/queue"}]
    assert document["info"]["x-fal-metadata"]["playgroundUrl"] == f"http://here/models/{FLUX}"
    status = document["components"]["schemas"]["QueueStatus"]["properties"]["status"]
    assert status == {"type": "string", "enum": ["WAITING", "DONE"]}


def test_the_list_tells_of_every_page() -> None:
    body = listing(PAGES.values(), "http://here/run")
    assert [each["endpoint_id"] for each in body["models"]] == list(PAGES)
    assert (body["next_cursor"], body["has_more"]) == (None, False)
    (item,) = listing([PAGES[F_LITE]], "http://here/run", "1")["models"]
    assert item.keys() == {"endpoint_id", "metadata"}
    assert item["metadata"]["display_name"] == "F Lite"
    assert item["metadata"]["status"] == "active"
    assert item["metadata"]["model_url"] == f"http://here/run/{F_LITE}"


def test_the_list_goes_on_where_there_is_more() -> None:
    body = listing([PAGES[FLUX]], next_cursor="1")
    assert (body["next_cursor"], body["has_more"]) == ("1", True)


def test_the_list_brings_documents_when_asked() -> None:
    (item,) = listing([PAGES[FLUX]], expand=True, queue="http://here/queue")["models"]
    assert item["openapi"] == openapi(PAGES[FLUX], "http://here/queue")
