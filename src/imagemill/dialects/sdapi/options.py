"""Options: what a caller has set for the calls to come, in memory."""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from pydantic import Field, FiniteFloat, TypeAdapter, ValidationError

from imagemill.dialects.sdapi.vocabulary import InvalidBody, detail
from imagemill.generation import Format
from imagemill.http.json_body import SHOWN_ERRORS
from imagemill.http.unknown_fields import UnknownFields

CALLERS = 1000  # whose options are held; the one that was silent the longest is forgotten

CHECKPOINT = "sd_model_checkpoint"
FORMAT = "samples_format"
PREVIEWS = "live_previews_enable"

# Options that do something.
HONOURED: Mapping[str, Any] = {CHECKPOINT: "", FORMAT: "png", PREVIEWS: True}
FORMATS: Mapping[str, Format] = {"png": "png", "jpg": "jpeg", "jpeg": "jpeg", "webp": "webp"}

# Options that are kept and told again, because clients set them, and that change no image.
KEPT: Mapping[str, tuple[Any, str]] = {
    "sd_checkpoint_hash": ("", "models are named by their id alone"),
    "sd_checkpoint_cache": (0, "the server keeps as many models loaded as fit"),
    "sd_vae": ("Automatic", "a model comes with its own VAE"),
    "sd_vae_checkpoint_cache": (0, "a model comes with its own VAE"),
    "sd_vae_overrides_per_model_preferences": (True, "a model comes with its own VAE"),
    "sd_model_refiner": ("None", "there is no refiner"),
    "CLIP_stop_at_last_layers": (1, "the text encoders are always used whole"),
    "eta_noise_seed_delta": (0, "noise depends on the seed alone"),
    "eta_ancestral": (1.0, "no sampler here adds noise on the way"),
    "eta_ddim": (0.0, "no sampler here adds noise on the way"),
    "initial_noise_multiplier": (1.0, "noise is never scaled"),
    "img2img_color_correction": (False, "what is kept of a picture keeps its colours anyway"),
    "img2img_fix_steps": (False, "the share of the steps is that of denoising_strength"),
    "img2img_background_color": ("#ffffff", "transparency becomes white"),
    "inpainting_mask_weight": (1.0, "the mask is a mask, for every model"),
    "face_restoration": (False, "there is no face restorer"),
    "face_restoration_model": ("None", "there is no face restorer"),
    "code_former_weight": (0.5, "there is no face restorer"),
    "show_progress_every_n_steps": (10, "a preview comes with every quarter"),
    "show_progress_type": ("Full", "previews are decoded in full"),
    "live_previews_image_format": ("png", "previews are PNG"),
    "enable_emphasis": (True, "weights in prompts are taken out of them"),
    "emphasis": ("Ignore", "weights in prompts are taken out of them"),
    "samples_save": (True, "save_images says for each call"),
    "grid_save": (False, "there are no grids"),
    "return_grid": (False, "there are no grids"),
    "do_not_show_images": (False, "there is no page to show them on"),
    "enable_pnginfo": (True, "every picture tells how it was made"),
    "jpeg_quality": (92, "the server's own"),
    "webp_lossless": (False, "the server's own"),
    "upscaler_for_img2img": ("None", "pictures are scaled by Lanczos"),
    "randn_source": ("CPU", "the same noise on every machine"),
    "use_old_hires_fix_width_height": (False, "the size is that of hr_scale or hr_resize"),
    "forge_additional_modules": ([], "there are no modules to add"),
}
DEFAULTS: Mapping[str, Any] = {**HONOURED, **{name: value for name, (value, _) in KEPT.items()}}

# By the type of an option's default. What is kept for anybody is small, and JSON can tell it.
_SHORT = Annotated[str, Field(max_length=200)]
_TYPES: Mapping[type, TypeAdapter[Any]] = {
    bool: TypeAdapter(bool),
    int: TypeAdapter(Annotated[int, Field(ge=-(2**53), le=2**53)]),
    float: TypeAdapter(FiniteFloat),
    str: TypeAdapter(_SHORT),
    list: TypeAdapter(Annotated[list[_SHORT], Field(max_length=16)]),
}

OptionValues = dict[str, Any]


class CallerOptions:
    """By person, so that nobody changes the model of somebody else."""

    def __init__(self) -> None:
        self._of: OrderedDict[str, OptionValues] = OrderedDict()

    def of(self, person: str) -> OptionValues:
        return {**DEFAULTS, **self._of.get(person, {})}

    def set(self, person: str, values: Mapping[str, Any]) -> None:
        self._of[person] = {**self._of.pop(person, {}), **values}
        while len(self._of) > CALLERS:
            self._of.popitem(last=False)


def checked(
    params: Mapping[str, Any], unknown: UnknownFields, within: str | None = None
) -> OptionValues:
    """The values, each of its default's type; raises InvalidBody. None asks for the default.
    unknown: what becomes of options that are not known.
    """
    values, wrong = OptionValues(), list[dict[str, Any]]()
    for name, value in params.items():
        if name not in DEFAULTS and unknown.pass_over(params, *filter(None, [within]), name):
            continue
        if name not in DEFAULTS:
            message = f"unknown option {name!r:.80}; known are {', '.join(DEFAULTS)}"
            wrong.append(_at(within, name, message, "extra_forbidden"))
            continue
        try:
            values[name] = DEFAULTS[name] if value is None else _typed(DEFAULTS[name], value)
        except ValidationError as error:
            first = error.errors()[0]
            wrong.append(_at(within, name, first["msg"], first["type"]))
    if values.get(FORMAT, "png") not in FORMATS:
        message = f"{values[FORMAT]!r:.80} is not written; one of {', '.join(FORMATS)}"
        wrong.append(_at(within, FORMAT, message, "value_error"))
    if wrong:
        raise InvalidBody(wrong[:SHOWN_ERRORS])
    return values


def idle(params: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    """Options that were given and change nothing, with the reason."""
    for name, value in params.items():
        if name in KEPT and value not in (KEPT[name][0], None, ""):
            yield name, KEPT[name][1]


def _typed(default: Any, value: Any) -> Any:
    return _TYPES[type(default)].validate_python(value)


def _at(within: str | None, name: str, message: str, type: str) -> dict[str, Any]:
    row = detail(name[:80], message, type)
    if within is not None:
        row["loc"] = ["body", within, name[:80]]
    return row
