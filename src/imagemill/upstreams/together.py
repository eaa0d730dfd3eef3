"""Upstreams that speak Together's images: one call, answered when they are painted."""

from imagemill.generation import Generation
from imagemill.images.data_uris import as_data_uri
from imagemill.upstreams.api import ApiCall
from imagemill.upstreams.openai import OpenAIImages
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


class TogetherImages(OpenAIImages):
    """As OpenAI's API, but for the fields, and for images, which are sent within JSON."""

    def table(self, model: str) -> Table:
        return KONTEXT if "kontext" in model.lower() else TABLE

    def image(self, content: bytes, field: str, model: str) -> str:
        return as_data_uri(content, "image/png")

    def submission(self, outgoing: Generation, model: str, body: WireBody) -> ApiCall:
        sent = {"model": model, "response_format": "base64", **body.fields}
        return ApiCall("POST", "/images/generations", sent)
