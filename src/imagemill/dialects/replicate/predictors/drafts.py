"""An input in our own words, and what of it does nothing here."""

import re
from collections.abc import Mapping
from typing import Any

from imagemill.conditions import SafetyCheck
from imagemill.dialects.replicate.predictors.inputs import CUSTOM, MATCH, RATIOS, SCHEDULERS, Usual
from imagemill.errors import Fault, Kind, invalid
from imagemill.generation import LORA_FILE, Draft, Format, Lora
from imagemill.http.input_images import with_images
from imagemill.scheduler_names import SCHEDULERS as OWN_SCHEDULERS

# The names that mean the same, by the canonical one.
ALIASES: dict[str, tuple[str, ...]] = {
    "image": ("image", "images", "input_image", "input_images", "image_input"),
    "mask": ("mask", "mask_image"),
    "strength": ("prompt_strength", "strength"),
    "steps": ("num_inference_steps", "steps"),
    "guidance_scale": ("guidance_scale", "guidance", "cfg"),
    "num_images": ("num_images", "num_outputs"),
    "loras": ("lora_weights", "hf_lora"),
}
FORMATS: dict[str, Format] = {"webp": "webp", "jpg": "jpeg", "jpeg": "jpeg", "png": "png"}

# By safety_tolerance, of which 2 is the usual one of the models that have it.
TOLERANCES: Mapping[int | None, float] = {
    None: 0.5, 0: 0.0, 1: 0.25, 2: 0.5, 3: 0.625, 4: 0.75, 5: 0.875, 6: 1.0,
}  # fmt: skip

# What is read and does nothing, and why.
IGNORED: dict[str, str] = {
    "output_quality": "files are written at a quality of 92",
    "go_fast": "there is one speed here",
    "apply_watermark": "how a picture was made is written into its file instead",
    "high_noise_frac": "there is no refiner here",
    "refine_steps": "there is no refiner here",
    "model": "the model's id alone decides what paints",
}
LACKING: dict[str, str] = {
    "refine": "there is no refiner here; leave refine out or give no_refiner",
    "replicate_weights": "archives of weights are not read here; "
    "give the address of a safetensors file as lora_weights",
}

_WHOLE = re.compile(r"(\d{1,4})[x*](\d{1,4})", re.ASCII)
_HUB = re.compile(
    r"(?:(?:https?://)?huggingface\.co/)?(?P<id>[\w-][\w.-]*/[\w-][\w.-]*)"
    r"(?:/(?:(?:resolve|blob)/(?P<revision>[\w.-]+)/)?(?P<file>[\w./-]+\.safetensors))?/?",
    re.ASCII,
)


def read(body: Usual, follows: bool) -> tuple[Draft, list[str]]:
    """The draft, and remarks on what does nothing. follows: an image decides the image's shape."""
    for name, why in LACKING.items():
        if _changed(body, name):
            raise Fault(Kind.UNSUPPORTED, why, name)
    images = _images(body)
    width, height, of_image, remarks = _size(body, bool(images), follows)
    draft = Draft(
        prompt=body.prompt,
        negative_prompt=body.negative_prompt,
        width=width,
        height=height,
        steps=_one(body, "steps"),
        guidance_scale=_one(body, "guidance_scale"),
        seed=body.seed,
        num_images=_one(body, "num_images"),
        format=FORMATS[body.output_format],
        scheduler=_scheduler(body),
        mask=_one(body, "mask"),
        strength=_one(body, "strength"),
        loras=_loras(body),
        expand=body.prompt_upsampling,
        image_sized=of_image,
        safety=SafetyCheck(
            wanted=not body.disable_safety_checker,
            tolerance=TOLERANCES[body.safety_tolerance],
            drops=True,
        ),
    )
    draft = with_images(draft, images)
    if body.size is not None and _whole_size(body) is None:
        remarks.append("size: it is no width and height, as 1024x768")
    remarks += [f"{name}: {IGNORED[name]}" for name in IGNORED if name in body.model_fields_set]
    return draft, remarks


def _changed(body: Usual, name: str) -> bool:
    return bool(getattr(body, name) != type(body).model_fields[name].default)


def _one(body: Usual, meaning: str) -> Any:
    """The one value under all names of a meaning: what was given, or else a default."""
    names = ALIASES[meaning]
    by_name = {name: getattr(body, name) for name in names if name in body.model_fields_set}
    if not by_name:
        defaults = [getattr(body, name) for name in names]
        return next((each for each in defaults if each not in (None, [])), None)
    values = [each for value in by_name.values() for each in _listed(value)]
    if any(value != values[0] for value in values):
        raise invalid(meaning, f"{' and '.join(by_name)}: they differ; give one")
    return values[0] if values else None


def _images(body: Usual) -> list[str]:
    """All that came, under whichever names; the same under several counts once."""
    lists = (_listed(getattr(body, name)) for name in ALIASES["image"])
    return [*dict.fromkeys(each for one in lists for each in one if each is not None)]


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _size(
    body: Usual, has_image: bool, follows: bool
) -> tuple[int | None, int | None, bool, list[str]]:
    """Width, height, whether the image decides on them instead, and remarks."""
    names = {name for name in body.model_fields_set if getattr(body, name) is not None}
    ratio = body.aspect_ratio
    shaped = "aspect_ratio" in names and ratio not in (MATCH, CUSTOM)
    whole = _whole_size(body)
    if whole is not None:
        named, *size = whole
        for name, side in zip(("width", "height"), size, strict=True):
            if name in names and getattr(body, name) != side:
                raise invalid(name, f"{name} and {named} differ; give one")
        return size[0], size[1], False, _unheard(body, f"{named} is given", CUSTOM)
    if names & {"width", "height"}:
        remarks = _unheard(body, "width and height are given", CUSTOM)
        return body.width, body.height, False, remarks
    if has_image and (follows or not shaped):
        return None, None, True, _unheard(body, "the picture has the shape of the image", MATCH)
    if ratio is not None or body.megapixels is not None:
        width, height = RATIOS.get(ratio or "", RATIOS["1:1"])
        scale = 2 if body.megapixels == "0.25" else 1
        missing = {MATCH: "there is no image to match", CUSTOM: "there is no width and height"}
        remarks = [f"aspect_ratio: {missing[ratio]}"] if ratio in missing else []
        return width // scale, height // scale, False, remarks
    return body.width, body.height, False, []


def _whole_size(body: Usual) -> tuple[str, int, int] | None:
    """Width and height, px, where one field says both, after its name."""
    if body.target_size is not None:
        return "target_size", body.target_size.width, body.target_size.height
    match = _WHOLE.fullmatch(body.size or "")
    return None if match is None else ("size", int(match[1]), int(match[2]))


def _unheard(body: Usual, why: str, heard: str) -> list[str]:
    """Remarks on what was given of the shape and has no say, but for the ratio `heard`."""
    names = [name for name in ("aspect_ratio", "megapixels") if name in body.model_fields_set]
    return [f"{name}: {why}" for name in names if getattr(body, name) not in (None, heard)]


def _scheduler(body: Usual) -> str | None:
    """A default is left to the model, whose own it was."""
    name = body.scheduler if "scheduler" in body.model_fields_set else None
    if name is None or name in OWN_SCHEDULERS:
        return name
    if name not in SCHEDULERS:
        known = ", ".join(SCHEDULERS)
        raise invalid("scheduler", f"scheduler {name!r:.80} is not served here; one of {known}")
    return SCHEDULERS[name]


def _loras(body: Usual) -> tuple[Lora, ...]:
    pairs = ((_one(body, "loras"), body.lora_scale), (body.extra_lora, body.extra_lora_scale))
    return tuple(Lora(_address(path), scale) for path, scale in pairs if path is not None)


def _address(path: str) -> str:
    """Where a LoRA's file is; of a repository of the Hub, the file that is usual in them."""
    match = _HUB.fullmatch(path)
    if match is not None:
        file, revision = match["file"] or LORA_FILE, match["revision"] or "main"
        return f"https://huggingface.co/{match['id']}/resolve/{revision}/{file}"
    if not path.startswith(("http://", "https://")):
        message = f"{path!r:.80} is no LoRA; give the address of a safetensors file"
        raise invalid("loras", f"{message}, or owner/name of the Hub")
    return path
