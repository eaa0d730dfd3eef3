"""How generations are written for fal's applications: the usual fields, and those of closed models,
whose pages have fields of their own.
"""

from collections.abc import Mapping
from typing import Any

from imagemill.conditions import style_code
from imagemill.upstreams.wire import (
    Outgoing,
    Table,
    WireField,
    chosen,
    image,
    image_list,
    plain,
    ratio,
    single,
    unless_empty,
    with_image,
)

FORMATS = {"png": "png", "jpeg": "jpeg"}  # others are made of these here
FASTEST, USUAL_STEPS = 16, 39  # steps up to which Ideogram's speeds go
RATIOS_V2 = (
    "10:16", "16:10", "9:16", "16:9", "4:3", "3:4", "1:1", "1:3", "3:1", "3:2", "2:3",
)  # fmt: skip
STYLES: Mapping[str | None, str] = {
    None: "AUTO",
    "ideogram/realistic": "REALISTIC",
    "ideogram/design": "DESIGN",
}
STYLES_V2: Mapping[str | None, str] = {
    None: "auto",
    "ideogram/realistic": "realistic",
    "ideogram/design": "design",
    "ideogram/render_3d": "render_3D",
    "ideogram/anime": "anime",
}
OF_RECRAFT = "recraft/"  # begins the names of its styles here


def _size(outgoing: Outgoing) -> dict[str, int]:
    return {"width": outgoing.generation.width, "height": outgoing.generation.height}


def _speed(outgoing: Outgoing) -> str:
    steps = outgoing.generation.steps
    return "TURBO" if steps <= FASTEST else "BALANCED" if steps <= USUAL_STEPS else "QUALITY"


def _loras(outgoing: Outgoing) -> list[dict[str, Any]] | None:
    loras = outgoing.generation.loras
    return [{"path": each.path, "scale": each.scale} for each in loras] or None


def _members(outgoing: Outgoing) -> dict[str, Any] | None:
    members = [
        {"rgb": {"r": each.red, "g": each.green, "b": each.blue}, "color_weight": each.weight}
        for each in outgoing.generation.palette
    ]
    return {"members": members} if members else None


def _style_codes(outgoing: Outgoing) -> list[str] | None:
    vector = outgoing.generation.style_vector
    return None if vector is None else [style_code(vector)]


def _colors(outgoing: Outgoing) -> list[dict[str, int]] | None:
    palette = outgoing.generation.palette
    return [{"r": each.red, "g": each.green, "b": each.blue} for each in palette] or None


def _recraft_style(outgoing: Outgoing) -> str:
    return (outgoing.generation.style or "any").removeprefix(OF_RECRAFT)


def _acceleration(outgoing: Outgoing) -> str | None:
    return None if (word := outgoing.generation.acceleration) == "none" else word


SIZE: Table = {"width": WireField("image_size", _size)}
CHECKED: Table = {
    "safety": WireField("enable_safety_checker", lambda each: each.generation.safety.wanted)
}
PROMPT: Table = plain(prompt="prompt") | unless_empty("negative_prompt", "negative_prompt")
USUAL: Table = {
    **PROMPT,
    **SIZE,
    **CHECKED,
    **plain(
        steps="num_inference_steps",
        guidance_scale="guidance_scale",
        seed="seed",
        num_images="num_images",
    ),
    **chosen("format", "output_format", FORMATS),
    **image("image", "image_url"),
    **image("mask", "mask_url"),
    **image_list("references", "image_urls"),
    **with_image("strength", "strength"),
    "loras": WireField("loras", _loras),
    "acceleration": WireField("acceleration", _acceleration),
}
# An edit has one image or another, and no strength.
OMNIGEN: Table = {
    **{own: row for own, row in USUAL.items() if own not in ("image", "mask", "strength")},
    **image_list("references", "input_image_urls"),
    **plain(guidance_scale="text_guidance_scale", image_guidance_scale="image_guidance_scale"),
}
ONE_IMAGE: Table = {**USUAL, **single("references", "image_url")}
IMAGEN: Table = {
    **PROMPT,
    **ratio("1:1", "16:9", "9:16", "3:4", "4:3"),
    **plain(seed="seed", num_images="num_images"),
}
IDEOGRAM_V2: Table = {
    **PROMPT,
    **ratio(*RATIOS_V2),
    **plain(seed="seed", expand="expand_prompt"),
    **chosen("style", "style", STYLES_V2),
}
_IDEOGRAM: Table = {
    "steps": WireField("rendering_speed", _speed),
    "palette": WireField("color_palette", _members),
    "style_vector": WireField("style_codes", _style_codes),
    **plain(seed="seed", num_images="num_images"),
}
STYLED: Table = {
    **chosen("style", "style", STYLES),
    **image_list("style_images", "image_urls"),
}
IDEOGRAM_V3: Table = {
    **_IDEOGRAM,
    **PROMPT,
    **SIZE,
    **STYLED,
    **plain(expand="expand_prompt"),
}
IDEOGRAM_EDIT: Table = {
    **_IDEOGRAM,
    **plain(prompt="prompt", expand="expand_prompt"),
    **image("image", "image_url"),
    **image("mask", "mask_url"),
    **image_list("style_images", "image_urls"),
    # Of its size, and wholly painted where the mask is white: it has no fields for these.
    "width": WireField("", lambda each: None),
    "strength": WireField("", lambda each: None),
}
IDEOGRAM_REMIX: Table = {
    **IDEOGRAM_V3,
    **image("image", "image_url"),
    # There it is how much of the image stays.
    **with_image("strength", "strength", lambda value: round(1 - value, 6)),
}
IDEOGRAM_REFRAME: Table = {
    **_IDEOGRAM,
    **SIZE,
    **STYLED,
    **image("image", "image_url"),
    # It has no prompt, and continues beyond the edges whatever is asked.
    "prompt": WireField("", lambda each: None),
    "strength": WireField("", lambda each: None),
    "outpaint": WireField("", lambda each: None),
}
IDEOGRAM_BACKGROUND: Table = {
    **_IDEOGRAM,
    **STYLED,
    **plain(prompt="prompt", expand="expand_prompt"),
    **image("image", "image_url"),
    # It is what that application does, to an image of whatever size.
    "keep_foreground": WireField("", lambda each: None),
    "width": WireField("", lambda each: None),
    "strength": WireField("", lambda each: None),
}
RECRAFT: Table = {
    **plain(prompt="prompt"),
    **SIZE,
    **CHECKED,
    "style": WireField("style", _recraft_style),
    "palette": WireField("colors", _colors),
    **unless_empty("style_id", "style_id"),
}
# By how an application's name begins; the first that fits holds.
TABLES: tuple[tuple[str, Table], ...] = (
    ("fal-ai/imagen", IMAGEN),
    ("fal-ai/ideogram/v2", IDEOGRAM_V2),
    ("fal-ai/ideogram/v3/edit", IDEOGRAM_EDIT),
    ("fal-ai/ideogram/v3/remix", IDEOGRAM_REMIX),
    ("fal-ai/ideogram/v3/reframe", IDEOGRAM_REFRAME),
    ("fal-ai/ideogram/v3/replace-background", IDEOGRAM_BACKGROUND),
    ("fal-ai/ideogram/v3", IDEOGRAM_V3),
    ("fal-ai/omnigen", OMNIGEN),
    ("fal-ai/flux-kontext", ONE_IMAGE),
    ("fal-ai/flux-pro/kontext", ONE_IMAGE),
    ("fal-ai/qwen-image-edit-plus", USUAL),
    ("fal-ai/qwen-image-edit", ONE_IMAGE),
    ("fal-ai/recraft", RECRAFT),
    ("", USUAL),
)
