"""Upstreams that speak Together's images: one call, answered when they are painted."""

from imagemill.generation import Generation
from imagemill.images.data_uris import as_data_uri
from imagemill.upstreams.api import Api, ApiCall, UpstreamReply
from imagemill.upstreams.openai import complaint_of, images_of
from imagemill.upstreams.outcome import RemoteImages, RemoteState
from imagemill.upstreams.refusals import refusal
from imagemill.upstreams.wire import (
    Outgoing,
    Table,
    WireBody,
    WireField,
    chosen,
    image,
    image_list,
    plain,
    single,
    unless_empty,
)

FORMATS = {"png": "png", "jpeg": "jpeg"}  # others are made of these here


def _unchecked(outgoing: Outgoing) -> bool | None:
    wanted = outgoing.generation.safety.wanted
    return None if wanted is None else not wanted


def _loras(outgoing: Outgoing) -> list[dict[str, object]] | None:
    loras = outgoing.generation.loras
    return [{"path": each.path, "scale": each.scale} for each in loras] or None


TABLE: Table = {
    **plain(
        prompt="prompt",
        width="width",
        height="height",
        steps="steps",
        guidance_scale="guidance_scale",
        seed="seed",
        num_images="n",
    ),
    **unless_empty("negative_prompt", "negative_prompt"),
    **chosen("format", "output_format", FORMATS),
    **image("image", "image_url"),
    **image_list("references", "reference_images"),
    "safety": WireField("disable_safety_checker", _unchecked),
    "loras": WireField("image_loras", _loras),
}


KONTEXT: Table = {**TABLE, **single("references", "image_url")}


class TogetherImages:
    """Implements `dialect.UpstreamDialect`."""

    scheme, queues = "Bearer", False

    def table(self, model: str) -> Table:
        return KONTEXT if "kontext" in model.lower() else TABLE

    def image(self, content: bytes, field: str, model: str) -> str:
        return as_data_uri(content, "image/png")

    def submission(self, outgoing: Generation, model: str, body: WireBody) -> ApiCall:
        sent = {"model": model, "response_format": "base64", **body.fields}
        return ApiCall("POST", "/images/generations", sent)

    def accepted(self, api: Api, reply: UpstreamReply, table: Table) -> RemoteImages:
        if reply.status >= 400:
            raise refusal(api, reply, complaint_of(reply), table)
        return images_of(api, reply)

    async def look(self, api: Api, model: str, id: str, table: Table, until: float) -> RemoteState:
        raise NotImplementedError("nothing is asked after that was answered at once")

    def cancellation(self, model: str, id: str) -> ApiCall:
        raise NotImplementedError("a call is cancelled by hanging up")
