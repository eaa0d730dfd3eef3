"""Upstreams that speak OpenAI's images: OpenAI itself, and servers that speak as it does, such as
vLLM-Omni and SGLang, whose models take steps, guidance, seed and negative prompt besides.
"""

from typing import Any

from imagemill.generation import Generation
from imagemill.images.masks import clear_where_white
from imagemill.upstreams.api import Api, ApiCall, UpstreamReply, garbled
from imagemill.upstreams.dialect import marks
from imagemill.upstreams.outcome import RemoteImages, RemoteState
from imagemill.upstreams.refusals import Complaint, refusal
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
    table_of,
    unless_empty,
    with_image,
)

FORMATS = {"png": "png", "jpeg": "jpeg", "webp": "webp"}
POLICY = frozenset({"content_policy_violation", "moderation_blocked"})
FILES = ("image", "image[]", "mask")  # fields of a form


def _moderation(outgoing: Outgoing) -> str | None:
    return "low" if outgoing.generation.safety.wanted is False else None


IMAGES: Table = {
    **image("image", "image"),
    **image("mask", "mask"),
    **image_list("references", "image[]"),
}
GPT: Table = {
    **plain(prompt="prompt", num_images="n"),
    **one_size("size"),
    **chosen("format", "output_format", FORMATS),
    **IMAGES,
    "safety": WireField("moderation", _moderation),
}
GPT_1: Table = {**GPT, **one_size("size", "1024x1024", "1536x1024", "1024x1536")}
DALL_E_3: Table = {
    **plain(prompt="prompt", num_images="n"),
    **one_size("size", "1024x1024", "1792x1024", "1024x1792"),
}
DALL_E_2: Table = {
    **plain(prompt="prompt", num_images="n"),
    **one_size("size", "256x256", "512x512", "1024x1024"),
    **IMAGES,
}
OTHERS: Table = {
    **plain(
        prompt="prompt",
        num_images="n",
        steps="num_inference_steps",
        guidance_scale="guidance_scale",
        seed="seed",
    ),
    **unless_empty("negative_prompt", "negative_prompt"),
    **one_size("size"),
    **chosen("format", "output_format", FORMATS),
    **IMAGES,
    **with_image("strength", "strength"),
}
# By how a model's name begins; the first that fits holds.
TABLES: tuple[tuple[str, Table], ...] = (
    ("gpt-image-1", GPT_1),
    ("chatgpt-image", GPT_1),
    ("gpt-image", GPT),
    ("dall-e-3", DALL_E_3),
    ("dall-e-2", DALL_E_2),
    ("", OTHERS),
)


class OpenAIImages:
    """Implements `dialect.UpstreamDialect`."""

    scheme, queues = "Bearer", False

    def table(self, model: str) -> Table:
        return table_of(TABLES, model)

    def image(self, content: bytes, field: str, model: str) -> bytes | str:
        return clear_where_white(content) if field == "mask" else content

    def submission(self, outgoing: Generation, model: str, body: WireBody) -> ApiCall:
        fields: dict[str, Any] = {"model": model, **body.fields}
        if not model.startswith(("gpt-image", "chatgpt-image")):  # which refuse it
            fields["response_format"] = "b64_json"
        files = tuple(
            (name, (f"{name.removesuffix('[]')}.png", content, "image/png"))
            for name in FILES
            for content in _listed(fields.pop(name, None))
        )
        if files:
            form = {name: str(value) for name, value in fields.items()}
            return ApiCall("POST", "/images/edits", form=form, files=files)
        return ApiCall("POST", "/images/generations", fields)

    def accepted(self, api: Api, reply: UpstreamReply, table: Table) -> RemoteImages:
        if reply.status >= 400:
            raise refusal(api, reply, complaint_of(reply), table)
        return images_of(api, reply)

    async def look(self, api: Api, model: str, id: str, table: Table, until: float) -> RemoteState:
        raise NotImplementedError("nothing is asked after that was answered at once")

    def cancellation(self, model: str, id: str) -> ApiCall:
        raise NotImplementedError("a call is cancelled by hanging up")


def _listed(value: Any) -> list[bytes]:
    """One file, several, or none."""
    return [] if value is None else value if isinstance(value, list) else [value]


def images_of(api: Api, reply: UpstreamReply) -> RemoteImages:
    """The images of a reply with `data`, as OpenAI and Together have it."""
    answer = reply.json()
    data = answer.get("data") if isinstance(answer, dict) else None
    items = [each for each in data if isinstance(each, dict)] if isinstance(data, list) else []
    values = [each.get("b64_json") or each.get("url") for each in items]
    places = tuple(each for each in values if isinstance(each, str))
    if not places:
        raise garbled(api.name, "the answer has no images in data")
    return RemoteImages(
        places, cost=_cost(answer.get("usage")), **marks(reply.headers, len(places))
    )


def complaint_of(reply: UpstreamReply) -> Complaint:
    """What a reply with `error` says, as OpenAI and Together have it."""
    answer = reply.json()
    error = answer.get("error", answer.get("detail")) if isinstance(answer, dict) else None
    if not isinstance(error, dict):
        return Complaint(str(error or f"status {reply.status}"))
    message = str(error.get("message") or f"status {reply.status}")
    return Complaint(message, str(error.get("param") or ""), error.get("code") in POLICY)


def _cost(usage: Any) -> dict[str, float]:
    values = usage if isinstance(usage, dict) else {}
    return {
        name: float(values[name])
        for name in ("input_tokens", "output_tokens")
        if isinstance(values.get(name), int | float)
    }
