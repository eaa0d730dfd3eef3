"""The bodies of txt2img and img2img: which fields do something, which are passed over, and why."""

import difflib
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from imagemill.dialects.sdapi.vocabulary import InvalidBody
from imagemill.errors import Fault, Kind
from imagemill.http import json_body
from imagemill.http.json_body import SHOWN_ERRORS
from imagemill.http.unknown_fields import UnknownFields
from imagemill.value_checks import LONGEST_URL, MAX_PROMPT

# One is all that is taken; so many are counted.
MOST_LISTED = 16

Text = Annotated[str | None, Field(max_length=MAX_PROMPT)]  # before its syntax is read
Image = Annotated[str, json_body.picture("In base64, as a data URI, or its address.")]
Listed = Annotated[list[str] | None, Field(max_length=MOST_LISTED)]


class SdapiBody(BaseModel):
    """Numbers may come in quotes, as in A1111, and null leaves a field open."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, str_max_length=LONGEST_URL)

    prompt: Text = None
    negative_prompt: Text = None
    styles: Listed = None
    seed: int | None = Field(None, description="-1 draws one.")
    sampler_name: str | None = None
    sampler_index: str | None = Field(None, description="The older name of sampler_name.")
    scheduler: str | None = None
    batch_size: int | None = None
    n_iter: int | None = Field(None, description="Times batch_size: so many pictures.")
    steps: int | None = None
    cfg_scale: float | None = None
    width: int | None = None
    height: int | None = None
    denoising_strength: float | None = None
    override_settings: dict[str, Any] | None = None
    override_settings_restore_afterwards: bool | None = None
    script_name: str | None = None
    alwayson_scripts: dict[str, Any] | None = None
    disable_extra_networks: bool | None = None
    send_images: bool | None = None
    save_images: bool | None = None
    force_task_id: str | None = None


class Txt2img(SdapiBody):
    enable_hr: bool | None = None
    hr_scale: float | None = None
    hr_resize_x: int | None = None
    hr_resize_y: int | None = None
    firstphase_width: int | None = None
    firstphase_height: int | None = None


class Img2img(SdapiBody):
    init_images: Annotated[list[Image] | None, Field(max_length=MOST_LISTED)] = None
    resize_mode: int | None = None
    mask: Image | None = None
    mask_blur: float | None = None
    mask_blur_x: float | None = None
    mask_blur_y: float | None = None
    mask_round: bool | None = None
    inpainting_fill: int | None = None
    inpaint_full_res: bool | None = None
    inpaint_full_res_padding: int | None = None
    inpainting_mask_invert: int | None = None
    include_init_images: bool | None = None


_NO_NOISE = "no sampler here adds noise on the way"
_SAVED = "save_images says whether files are kept"
_PLUGIN = "the plug-in's own note, which A1111 passes over too"
_ONE_PASS = "the whole size is painted in one pass"

# Fields that change nothing, whatever they hold.
IDLE: Mapping[str, str] = {
    "subseed": "seeds are not mixed",
    "eta": _NO_NOISE,
    "s_tmin": _NO_NOISE,
    "s_tmax": _NO_NOISE,
    "s_noise": _NO_NOISE,
    "do_not_save_samples": _SAVED,
    "do_not_save_grid": _SAVED,
    "script_args": "there is no script",
    "comments": "nothing of a call is kept beside its pictures",
    "refiner_switch_at": "there is no refiner",
    "image_cfg_scale": "for models that follow instructions alone",
    "distilled_cfg_scale": "Forge's; the guidance of every model is cfg_scale",
    "clip_skip": "the text encoders are always used whole",
    "url": "SillyTavern's own note of where it sends this",
    "auth": "SillyTavern's own note; the header Authorization tells who calls",
    "selection_info": _PLUGIN,
    "original_prompt": _PLUGIN,
    "original_negative_prompt": _PLUGIN,
    "expanded_mask": _PLUGIN,
    "mask_expansion": _PLUGIN,
    "use_sharp_mask": _PLUGIN,
    "use_prompt_shortcut": _PLUGIN,
    "prompt_shortcut_ui_dict": _PLUGIN,
    "uniqueDocumentId": _PLUGIN,
    "mode": _PLUGIN,
    "session_id": _PLUGIN,
    "auto_metadata": _PLUGIN,
}
IDLE_TXT2IMG: Mapping[str, str] = {
    "hr_upscaler": _ONE_PASS,
    "hr_second_pass_steps": _ONE_PASS,
    "hr_cfg": _ONE_PASS,
    "hr_distilled_cfg": _ONE_PASS,
    "hr_additional_modules": _ONE_PASS,
}
# Notes that clients always send and that nobody needs to be told of.
QUIET = frozenset({"subseed", "s_tmin", "s_tmax", "s_noise", "url", "auth", "script_args"}) | {
    name for name, why in IDLE.items() if why in (_SAVED, _PLUGIN)
}
# What must not be sent back: it is a password.
SECRET = frozenset({"url", "auth"})

_NOTHING: tuple[Any, ...] = (None, "", "None", False, 0, -1, [], {})
_OFF = ("", "null", "false", "0", "0.0", "off", "no")
_SAME: tuple[Any, ...] = (
    *_NOTHING,
    "Use same checkpoint",
    "Use same sampler",
    "Use same scheduler",
)

# Fields that are refused unless they ask for nothing: what that is, and the way out.
LACKING: Mapping[str, tuple[tuple[Any, ...], str]] = {
    "restore_faces": (_NOTHING, "there is no face restorer; leave it out"),
    "tiling": (_NOTHING, "pictures that tile are not painted; leave it out"),
    "subseed_strength": ((None, 0), "seeds are not mixed; give 0, and another seed"),
    "seed_resize_from_h": (_NOTHING, "noise is not resized; leave it out"),
    "seed_resize_from_w": (_NOTHING, "noise is not resized; leave it out"),
    "s_churn": (_NOTHING, "no noise is added on the way; give 0"),
    "s_min_uncond": (_NOTHING, "guidance applies to all steps; give 0"),
    "refiner_checkpoint": (_NOTHING, "there is no refiner; leave it out"),
    "infotext": (_NOTHING, "an infotext is not read; send its fields"),
}
LACKING_TXT2IMG: Mapping[str, tuple[tuple[Any, ...], str]] = {
    "init_images": (_NOTHING, "pictures are painted over by img2img; post it there"),
    "mask": (_NOTHING, "pictures are painted over by img2img; post it there"),
    "firstpass_image": (_NOTHING, "there is no first pass to replace; use img2img"),
    "hr_prompt": (_SAME, f"{_ONE_PASS}, with one prompt; leave it out"),
    "hr_negative_prompt": (_SAME, f"{_ONE_PASS}, with one prompt; leave it out"),
    "hr_checkpoint_name": (_SAME, f"{_ONE_PASS}, by one model; leave it out"),
    "hr_sampler_name": (_SAME, f"{_ONE_PASS}, with one sampler; leave it out"),
    "hr_scheduler": ((*_SAME, "Automatic", "automatic"), f"{_ONE_PASS}; leave it out"),
}
LACKING_IMG2IMG: Mapping[str, tuple[tuple[Any, ...], str]] = {
    "latent_mask": (_NOTHING, "a mask is given as mask"),
    "initial_noise_multiplier": ((*_NOTHING, 1), "noise is not scaled; give 1"),
}


def _alone(of: type[SdapiBody], *more: Mapping[str, Any]) -> set[str]:
    return {*of.model_fields, *(name for each in more for name in each)} - {*SdapiBody.model_fields}


# Clients keep one set of fields for both calls, and A1111 passes over those of the other.
_OTHERS = _alone(Img2img, LACKING_IMG2IMG) - {*LACKING_TXT2IMG}
IDLE_OF: Mapping[type[SdapiBody], Mapping[str, str]] = {
    Txt2img: {**IDLE, **IDLE_TXT2IMG, **dict.fromkeys(sorted(_OTHERS), "of img2img alone")},
    Img2img: {
        **IDLE,
        **dict.fromkeys(
            sorted(_alone(Txt2img, IDLE_TXT2IMG, LACKING_TXT2IMG) - {*Img2img.model_fields}),
            "of txt2img alone",
        ),
    },
}
LACKING_OF: Mapping[type[SdapiBody], Mapping[str, tuple[tuple[Any, ...], str]]] = {
    Txt2img: {**LACKING, **LACKING_TXT2IMG},
    Img2img: {**LACKING, **LACKING_IMG2IMG},
}


def _whole(name: str, base: type[SdapiBody]) -> Any:
    more: dict[str, Any] = dict.fromkeys([*IDLE_OF[base], *LACKING_OF[base]], (Any, None))
    return create_model(name, __base__=base, **more)


Txt2imgBody: type[Txt2img] = _whole("Txt2imgBody", Txt2img)
Img2imgBody: type[Img2img] = _whole("Img2imgBody", Img2img)


Body = TypeVar("Body", bound=SdapiBody)


def take(model: type[Body], value: Any, unknown: UnknownFields) -> Body:
    """`value` as a `model`; raises InvalidBody for what is wrong, a Fault for what is lacking."""
    try:
        body = unknown.take(model, value)
    except ValidationError as error:
        errors = error.errors(include_url=False, include_context=False)[:SHOWN_ERRORS]
        raise InvalidBody([_detail(model, each) for each in errors]) from None
    for name, (nothing, way_out) in LACKING_OF[_base(body)].items():
        if _holds(body, name) and not _asks_nothing(getattr(body, name), nothing):
            raise Fault(Kind.UNSUPPORTED, f"{name}: {way_out}", name)
    return body


def idle(body: SdapiBody) -> Iterable[tuple[str, str]]:
    """Fields that were given and change nothing, with the reason."""
    for name, why in IDLE_OF[_base(body)].items():
        held = name not in QUIET and _holds(body, name)
        if held and not _asks_nothing(getattr(body, name), _NOTHING):
            yield name, why


def _asks_nothing(value: Any, nothing: tuple[Any, ...]) -> bool:
    """Whether a value is one of `nothing`, be it in quotes, as some clients write all they send."""
    if value in nothing:
        return True
    words = {*_OFF, *(str(each).lower() for each in nothing)}
    return isinstance(value, str) and value.strip().lower() in words


def _base(body: SdapiBody) -> type[SdapiBody]:
    return Txt2img if isinstance(body, Txt2img) else Img2img


def _holds(body: SdapiBody, name: str) -> bool:
    """Whether a field could mean anything: those of hires do not where there is none."""
    return not name.startswith("hr_") or bool(getattr(body, "enable_hr", None))


def _detail(model: type[SdapiBody], error: Any) -> dict[str, Any]:
    loc, message = [f"{part!s:.80}" for part in error["loc"]], str(error["msg"])
    if error["type"] == "extra_forbidden":
        near = difflib.get_close_matches(loc[-1], model.model_fields, 3)
        way_out = f"near it are {', '.join(near)}" if near else "/docs lists those that are known"
        message = f"unknown field {loc[-1]!r}; {way_out}"
    detail = {"type": error["type"], "loc": ["body", *loc], "msg": message}
    value = error["input"]
    if isinstance(value, bool | int | float) or (isinstance(value, str) and len(value) <= 80):
        detail["input"] = value if not isinstance(value, int) or abs(value) < 2**63 else "large"
    return detail
