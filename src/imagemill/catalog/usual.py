"""What is painted with weights where nothing is said: read from the small JSON files beside them.

So a model under a name of one's own paints as its card recommends, whatever the name is.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from huggingface_hub import try_to_load_from_cache

from imagemill.generation import MAX_SIDE, Defaults
from imagemill.model_spec import ModelSpec

_INDEX = "model_index.json"


@dataclass(frozen=True)
class Configs:
    """The JSON of a folder; {} for what is not there."""

    read: Callable[[str], Mapping[str, Any]]

    @property
    def kind(self) -> str:
        """The class of the pipeline; empty where this is no pipeline's folder."""
        return str(self.read(_INDEX).get("_class_name", ""))

    def config(self, part: str) -> Mapping[str, Any]:
        return self.read(f"{part}/config.json")

    @property
    def scheduler(self) -> Mapping[str, Any]:
        return self.read("scheduler/scheduler_config.json")


def usual(spec: ModelSpec) -> Defaults | None:
    """None where the weights are not here yet, or of a class without a line below."""
    return of(Configs(lambda name: _json(spec, name)))


def of(configs: Configs) -> Defaults | None:
    line = USUAL.get(configs.kind)
    if line is None:
        return None
    fewer = next((defaults for tells, defaults in FEWER if tells(configs)), None)
    side = _side(configs) or line.width
    steps = fewer(line) if fewer else line
    return replace(steps, width=side, height=side)


# Of the models' cards, and else diffusers' own: side, steps and guidance.
USUAL: dict[str, Defaults] = {
    name: Defaults(side, side, steps, guidance)
    for name, side, steps, guidance in (
        ("StableDiffusionPipeline", 512, 50, 7.5),
        ("StableDiffusionInpaintPipeline", 512, 50, 7.5),
        ("StableDiffusionImg2ImgPipeline", 512, 50, 7.5),
        ("StableDiffusionControlNetPipeline", 512, 50, 7.5),
        ("LatentConsistencyModelPipeline", 768, 4, 8.5),
        ("StableDiffusionXLPipeline", 1024, 50, 5.0),
        ("StableDiffusionXLInpaintPipeline", 1024, 50, 7.5),
        ("StableDiffusionXLImg2ImgPipeline", 1024, 50, 5.0),
        ("StableDiffusionXLControlNetPipeline", 1024, 50, 5.0),
        ("KolorsPipeline", 1024, 50, 5.0),
        ("StableDiffusion3Pipeline", 1024, 28, 7.0),
        ("FluxPipeline", 1024, 28, 3.5),
        ("FluxFillPipeline", 1024, 50, 30.0),
        ("FluxKontextPipeline", 1024, 28, 2.5),
        ("FluxControlPipeline", 1024, 30, 10.0),
        ("Flux2Pipeline", 1024, 50, 4.0),
        ("Flux2KleinPipeline", 1024, 50, 4.0),
        ("HiDreamImagePipeline", 1024, 50, 5.0),
        ("OmniGenPipeline", 1024, 50, 2.5),
        ("QwenImagePipeline", 1024, 50, 4.0),
        ("QwenImageEditPipeline", 1024, 50, 4.0),
        ("QwenImageEditPlusPipeline", 1024, 40, 4.0),
        ("ZImagePipeline", 1024, 50, 5.0),
        ("SanaPipeline", 1024, 20, 4.5),
        ("PixArtAlphaPipeline", 1024, 20, 4.5),
        ("PixArtSigmaPipeline", 1024, 20, 4.5),
        ("Lumina2Pipeline", 1024, 30, 4.0),
        ("ChromaPipeline", 1024, 35, 5.0),
        ("CogView4Pipeline", 1024, 50, 5.0),
        ("AuraFlowPipeline", 1024, 50, 3.5),
    )
}


def _class(configs: Configs) -> str:
    return str(configs.scheduler.get("_class_name", ""))


def _schnell(configs: Configs) -> bool:
    return configs.kind == "FluxPipeline" and not configs.config("transformer").get(
        "guidance_embeds", True
    )


def _sd35(configs: Configs) -> bool:
    return configs.kind == "StableDiffusion3Pipeline" and bool(
        configs.config("transformer").get("qk_norm")
    )


def _turbo(configs: Configs) -> bool:
    """Turbo and Lightning space their few steps from the end."""
    trailing = configs.scheduler.get("timestep_spacing") == "trailing"
    return trailing and _class(configs).startswith("Euler") and bool(configs.config("unet"))


def _few_by_consistency(configs: Configs) -> bool:
    embeds = configs.config("unet").get("time_cond_proj_dim") is not None
    return _class(configs) == "LCMScheduler" and not embeds


def _hidream(configs: Configs, shift: float) -> bool:
    scheduler = configs.scheduler
    return _class(configs) == "FlowMatchLCMScheduler" and scheduler.get("shift", 1.0) == shift


def _z_turbo(configs: Configs) -> bool:
    turbo = configs.scheduler.get("shift", 1.0) <= 3.0
    return configs.kind == "ZImagePipeline" and turbo


def _guided(steps: int | None, guidance_scale: float) -> Callable[[Defaults], Defaults]:
    return lambda line: replace(line, steps=steps or line.steps, guidance_scale=guidance_scale)


# Weights that were made for fewer steps, or other guidance, than their class: by what tells them.
FEWER: tuple[tuple[Callable[[Configs], bool], Callable[[Defaults], Defaults]], ...] = (
    (_schnell, _guided(4, 0.0)),
    (_sd35, _guided(None, 3.5)),
    (_turbo, _guided(4, 0.0)),
    (_few_by_consistency, _guided(4, 1.0)),
    (lambda configs: _hidream(configs, 3.0), _guided(16, 1.0)),  # Fast
    (lambda configs: _hidream(configs, 6.0), _guided(28, 1.0)),  # Dev
    (lambda configs: bool(configs.read(_INDEX).get("is_distilled")), _guided(4, 1.0)),  # klein
    (_z_turbo, _guided(9, 0.0)),
)


def _side(configs: Configs) -> int | None:
    """What the weights were trained on, in px, where they tell: UNets, PixArt and Sana do."""
    network = configs.config("unet") or configs.config("transformer")
    states_side = bool(configs.config("unet")) or configs.kind.startswith(("PixArt", "Sana"))
    cells = network.get("sample_size")
    if not states_side or not isinstance(cells, int):
        return None
    vae = configs.config("vae")
    levels = vae.get("block_out_channels") or vae.get("encoder_block_out_channels") or (0,) * 4
    side: int = cells * 2 ** (len(levels) - 1)
    return min(MAX_SIDE, side)


def _json(spec: ModelSpec, name: str) -> Mapping[str, Any]:
    path = _path(spec, name)
    try:
        content = json.loads(path.read_text("utf-8")) if path is not None else {}
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _path(spec: ModelSpec, name: str) -> Path | None:
    """In a folder, or in what the Hub's cache has of an id."""
    folder = Path(spec.source).expanduser()
    if folder.exists():
        return folder / name
    if spec.source.count("/") != 1:
        return None
    try:
        cached = try_to_load_from_cache(spec.source, name, revision=spec.revision)
    except ValueError:  # not an id
        return None
    return Path(cached) if isinstance(cached, str) else None
