"""Upstreams that speak Replicate's predictions, as Replicate's own clients do."""

import re
from collections.abc import Mapping
from typing import Any

from imagemill.errors import Fault, Kind
from imagemill.generation import Generation
from imagemill.images.data_uris import as_data_uri
from imagemill.images.masks import black_where_white
from imagemill.upstreams.api import Api, ApiCall, UpstreamReply, garbled
from imagemill.upstreams.dialect import marks
from imagemill.upstreams.outcome import RemoteImages, RemoteState
from imagemill.upstreams.refusals import Complaint, failure, refusal, unsafe
from imagemill.upstreams.wire import (
    Outgoing,
    Table,
    WireBody,
    WireField,
    chosen,
    image,
    image_list,
    one_size,
    plain,
    ratio,
    single,
    table_of,
    unless_empty,
    with_image,
)

MOST_LORAS = 2
FORMATS = {"png": "png", "jpeg": "jpg", "webp": "webp"}
FLUX_RATIOS = (
    "1:1", "16:9", "21:9", "3:2", "2:3", "4:5", "5:4", "3:4", "4:3", "9:16", "9:21",
)  # fmt: skip
IDEOGRAM_RATIOS = (
    "1:3", "3:1", "1:2", "2:1", "9:16", "16:9", "10:16", "16:10", "2:3", "3:2", "3:4", "4:3",
    "4:5", "5:4", "1:1",
)  # fmt: skip
STYLES: Mapping[str | None, str] = {
    None: "Auto",
    "ideogram/realistic": "Realistic",
    "ideogram/design": "Design",
}
IDEOGRAM = "ideogram-ai/"  # whose models paint where a mask is black

_POLICY = re.compile(r"nsfw|safety|sensitive|moderat|content polic|flagged", re.IGNORECASE)
_WAY = re.compile(r"(?:input\.)?([a-z_0-9]+)")


def _unchecked(outgoing: Outgoing) -> bool | None:
    wanted = outgoing.generation.safety.wanted
    return None if wanted is None else not wanted


def _lora(index: int, own: str, name: str) -> WireField:
    def value(outgoing: Outgoing) -> Any:
        loras = outgoing.generation.loras
        if len(loras) > MOST_LORAS:
            message = f"{outgoing.model} is painted by another server, which takes {MOST_LORAS}"
            raise Fault(Kind.UNSUPPORTED, f"{message} LoRAs; leave out the others", "loras")
        return getattr(loras[index], own) if index < len(loras) else None

    return WireField(name, value)


def _recraft_style(outgoing: Outgoing) -> str:
    return (outgoing.generation.style or "any").removeprefix("recraft/")


def _expands(outgoing: Outgoing) -> str:
    return "On" if outgoing.generation.expand else "Off"


FORMAT: Table = chosen("format", "output_format", FORMATS)
CHECKED: Table = {"safety": WireField("disable_safety_checker", _unchecked)}
USUAL: Table = {
    **plain(
        prompt="prompt",
        width="width",
        height="height",
        steps="num_inference_steps",
        guidance_scale="guidance_scale",
        seed="seed",
        num_images="num_outputs",
    ),
    **unless_empty("negative_prompt", "negative_prompt"),
    **FORMAT,
    **CHECKED,
    **image("image", "image"),
    **image("mask", "mask"),
    **single("references", "image"),
    **with_image("strength", "prompt_strength"),
    "loras": _lora(0, "path", "lora_weights"),
    "loras.scale": _lora(0, "scale", "lora_scale"),
    "loras.extra": _lora(1, "path", "extra_lora"),
    "loras.extra.scale": _lora(1, "scale", "extra_lora_scale"),
}
FLUX: Table = {
    **plain(
        prompt="prompt",
        steps="num_inference_steps",
        guidance_scale="guidance",
        seed="seed",
        num_images="num_outputs",
    ),
    **ratio(*FLUX_RATIOS),
    **FORMAT,
    **CHECKED,
    **image("image", "image"),
    **with_image("strength", "prompt_strength"),
}
KONTEXT: Table = {**FLUX, **single("references", "input_image")}
FLUX_2: Table = {**FLUX, **image_list("references", "input_images")}
SEVERAL: Table = {**USUAL, **image_list("references", "image_input")}
IMAGEN: Table = {
    **plain(prompt="prompt"),
    **ratio("1:1", "9:16", "16:9", "3:4", "4:3"),
    **chosen("format", "output_format", {"png": "png", "jpeg": "jpg"}),
}
IDEOGRAMS: Table = {
    **plain(prompt="prompt", seed="seed"),
    **ratio(*IDEOGRAM_RATIOS),
    **chosen("style", "style_type", STYLES),
    "expand": WireField("magic_prompt_option", _expands),
    **image("image", "image"),
    **image("mask", "mask"),
    "strength": WireField("", lambda each: None),
}
RECRAFT: Table = {
    **plain(prompt="prompt"),
    **one_size("size"),
    "style": WireField("style", _recraft_style),
}
# By how a model's name begins; the first that fits holds.
TABLES: tuple[tuple[str, Table], ...] = (
    ("google/imagen", IMAGEN),
    (IDEOGRAM, IDEOGRAMS),
    ("recraft-ai/", RECRAFT),
    ("black-forest-labs/flux-kontext", KONTEXT),
    ("black-forest-labs/flux-2", FLUX_2),
    ("black-forest-labs/flux", FLUX),
    ("google/nano-banana", SEVERAL),
    ("bytedance/seedream", SEVERAL),
    ("", USUAL),
)


class ReplicatePredictions:
    """Implements `dialect.UpstreamDialect`."""

    scheme, queues = "Bearer", True

    def table(self, model: str) -> Table:
        return table_of(TABLES, model)

    def image(self, content: bytes, field: str, model: str) -> str:
        if field == "mask" and model.startswith(IDEOGRAM):
            content = black_where_white(content)
        return as_data_uri(content, "image/png")

    def submission(self, outgoing: Generation, model: str, body: WireBody) -> ApiCall:
        name, _, version = model.partition(":")
        if version:
            return ApiCall("POST", "/predictions", {"version": version, "input": dict(body.fields)})
        return ApiCall("POST", f"/models/{name}/predictions", {"input": dict(body.fields)})

    def accepted(self, api: Api, reply: UpstreamReply, table: Table) -> str:
        if reply.status >= 400:
            raise refusal(api, reply, _complaint(reply), table)
        return str(_prediction(api, reply)["id"])

    async def look(self, api: Api, model: str, id: str, table: Table, until: float) -> RemoteState:
        reply = await api.send(ApiCall("GET", f"/predictions/{id}"), until)
        if reply.status >= 400:
            raise refusal(api, reply, _complaint(reply), table)
        prediction = _prediction(api, reply)
        lines = tuple(str(prediction.get("logs") or "").splitlines())
        match prediction["status"]:
            case "starting" | "processing":
                return RemoteState(lines)
            case "succeeded":
                return RemoteState(lines, _images(api, reply, prediction))
            case "failed":
                error = str(prediction.get("error") or "")
                raise unsafe(api, error) if _POLICY.search(error) else failure(api, error)
            case _:
                raise failure(api, "it was cancelled there")

    def cancellation(self, model: str, id: str) -> ApiCall:
        return ApiCall("POST", f"/predictions/{id}/cancel")


def _prediction(api: Api, reply: UpstreamReply) -> Mapping[str, Any]:
    answer = reply.json()
    whole = isinstance(answer, dict) and all(
        isinstance(answer.get(name), str) for name in ("id", "status")
    )
    if not whole:
        raise garbled(api.name, "a prediction has no id and status")
    prediction: Mapping[str, Any] = answer
    return prediction


def _images(api: Api, reply: UpstreamReply, prediction: Mapping[str, Any]) -> RemoteImages:
    output = prediction.get("output")
    listed = output if isinstance(output, list) else [output]
    places = tuple(each for each in listed if isinstance(each, str))
    if not places:
        raise garbled(api.name, "a prediction has succeeded without an output")
    return RemoteImages(
        places, cost=_cost(prediction.get("metrics")), **marks(reply.headers, len(places))
    )


def _cost(metrics: Any) -> dict[str, float]:
    known = {"predict_time": "predict_seconds", "image_count": "images"}
    values = metrics if isinstance(metrics, dict) else {}
    return {
        unit: float(values[name])
        for name, unit in known.items()
        if isinstance(values.get(name), int | float)
    }


def _complaint(reply: UpstreamReply) -> Complaint:
    answer = reply.json()
    answer = answer if isinstance(answer, dict) else {}
    message = str(answer.get("detail") or answer.get("title") or f"status {reply.status}")
    rows = answer.get("invalid_fields")
    field = str(rows[0].get("field", "")) if isinstance(rows, list) and rows else ""
    named = _WAY.match(field) or re.match(r"- input\.?([a-z_0-9]*)", message)
    policy = "not allowed" in str(answer.get("title", "")).lower() or bool(
        reply.status == 422 and _POLICY.search(message)
    )
    return Complaint(message, named[1] if named else "", policy)
