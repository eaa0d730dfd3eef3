"""An input in our own words, and what of it does nothing here."""

import re
from typing import Any

from imagemill.dialects.replicate.predictors.inputs import CUSTOM, MATCH, RATIOS, SCHEDULERS, Usual
from imagemill.errors import Fault, Kind, invalid
from imagemill.generation import LORA_FILE, Draft, Format, Lora
from imagemill.generation import SCHEDULERS as OWN_SCHEDULERS

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

# What is read and does nothing, and why.
IGNORED: dict[str, str] = {
    "output_quality": "files are written at a quality of 92",
    "go_fast": "there is one speed here",
    "disable_safety_checker": "there is no safety checker here",
    "safety_tolerance": "there is no safety checker here",
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

_HUB = re.compile(
    r"(?:(?:https?://)?huggingface\.co/)?(?P<id>[\w-][\w.-]*/[\w-][\w.-]*)"
    r"(?:/(?:(?:resolve|blob)/(?P<revision>[\w.-]+)/)?(?P<file>[\w./-]+\.safetensors))?/?",
    re.ASCII,
)


def read(asked: Usual, follows: bool) -> tuple[Draft, list[str]]:
    """The draft, and remarks on what does nothing. follows: an image decides the image's shape."""
    for name, why in LACKING.items():
        if _changed(asked, name):
            raise Fault(Kind.UNSUPPORTED, why, name)
    image = _one(asked, "image")
    width, height, of_image, remarks = _size(asked, image is not None, follows)
    draft = Draft(
        prompt=asked.prompt,
        negative_prompt=asked.negative_prompt,
        width=width,
        height=height,
        steps=_one(asked, "steps"),
        guidance_scale=_one(asked, "guidance_scale"),
        seed=asked.seed,
        num_images=_one(asked, "num_images"),
        format=FORMATS[asked.output_format],
        scheduler=_scheduler(asked),
        image=image,
        mask=_one(asked, "mask"),
        strength=_one(asked, "strength"),
        loras=_loras(asked),
        expand=asked.prompt_upsampling,
        image_sized=of_image,
    )
    remarks += [f"{name}: {IGNORED[name]}" for name in IGNORED if name in asked.model_fields_set]
    return draft, remarks


def _changed(asked: Usual, name: str) -> bool:
    return bool(getattr(asked, name) != type(asked).model_fields[name].default)


def _one(asked: Usual, meaning: str) -> Any:
    """The one value under all names of a meaning: what was given, or else a default."""
    names = ALIASES[meaning]
    given = {name: getattr(asked, name) for name in names if name in asked.model_fields_set}
    if not given:
        defaults = [getattr(asked, name) for name in names]
        return next((each for each in defaults if each not in (None, [])), None)
    values = [each for value in given.values() for each in _listed(value)]
    if any(value != values[0] for value in values):
        what = "only one picture is painted over" if meaning == "image" else "they differ"
        raise invalid(meaning, f"{' and '.join(given)}: {what}; give one")
    return values[0] if values else None


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _size(
    asked: Usual, has_image: bool, follows: bool
) -> tuple[int | None, int | None, bool, list[str]]:
    """Width, height, whether the image decides on them instead, and remarks."""
    given = {name for name in asked.model_fields_set if getattr(asked, name) is not None}
    ratio = asked.aspect_ratio
    shaped = "aspect_ratio" in given and ratio not in (MATCH, CUSTOM)
    if asked.target_size is not None:
        size = asked.target_size.width, asked.target_size.height
        for name, side in zip(("width", "height"), size, strict=True):
            if name in given and getattr(asked, name) != side:
                raise invalid(name, f"{name} and target_size differ; give one")
        return *size, False, _unheard(asked, "target_size is given", CUSTOM)
    if given & {"width", "height"}:
        remarks = _unheard(asked, "width and height are given", CUSTOM)
        return asked.width, asked.height, False, remarks
    if has_image and (follows or not shaped):
        return None, None, True, _unheard(asked, "the picture has the shape of the image", MATCH)
    if ratio is not None or asked.megapixels is not None:
        width, height = RATIOS.get(ratio or "", RATIOS["1:1"])
        scale = 2 if asked.megapixels == "0.25" else 1
        missing = {MATCH: "there is no image to match", CUSTOM: "there is no width and height"}
        remarks = [f"aspect_ratio: {missing[ratio]}"] if ratio in missing else []
        return width // scale, height // scale, False, remarks
    return asked.width, asked.height, False, []


def _unheard(asked: Usual, why: str, heard: str) -> list[str]:
    """Remarks on what was given of the shape and has no say, but for the ratio `heard`."""
    names = [name for name in ("aspect_ratio", "megapixels") if name in asked.model_fields_set]
    return [f"{name}: {why}" for name in names if getattr(asked, name) not in (None, heard)]


def _scheduler(asked: Usual) -> str | None:
    """A default is left to the model, whose own it was."""
    name = asked.scheduler if "scheduler" in asked.model_fields_set else None
    if name is None or name in OWN_SCHEDULERS:
        return name
    if name not in SCHEDULERS:
        known = ", ".join(SCHEDULERS)
        raise invalid("scheduler", f"scheduler {name!r:.80} is not served here; one of {known}")
    return SCHEDULERS[name]


def _loras(asked: Usual) -> tuple[Lora, ...]:
    pairs = ((_one(asked, "loras"), asked.lora_scale), (asked.extra_lora, asked.extra_lora_scale))
    return tuple(Lora(_address(path), scale) for path, scale in pairs if path is not None)


def _address(path: str) -> str:
    """Where a LoRA's file is; of a repository of the Hub, the file that is usual in them."""
    found = _HUB.fullmatch(path)
    if found is not None:
        file, revision = found["file"] or LORA_FILE, found["revision"] or "main"
        return f"https://huggingface.co/{found['id']}/resolve/{revision}/{file}"
    if not path.startswith(("http://", "https://")):
        told = f"{path!r:.80} is no LoRA; give the address of a safetensors file"
        raise invalid("loras", f"{told}, or owner/name of the Hub")
    return path
