"""What is painted with weights by default: as their small files tell, whatever they are called."""

import json
from pathlib import Path
from typing import Any

import pytest

from imagemill.catalog import Catalog
from imagemill.catalog.usual import USUAL, usual
from imagemill.model_spec import ModelSpec
from imagemill.pipelines.families import FAMILIES
from tests.checkpoints import Checkpoint


def folder(place: Path, kind: str, **configs: dict[str, Any]) -> Path:
    """configs: by the part of the pipeline."""
    files = {"model_index.json": {"_class_name": kind}}
    for part, config in configs.items():
        name = "scheduler_config.json" if part == "scheduler" else "config.json"
        files[f"{part}/{name}"] = config
    for path, content in files.items():
        (place / path).parent.mkdir(parents=True, exist_ok=True)
        (place / path).write_text(json.dumps(content), "utf-8")
    return place


def told(place: Path) -> tuple[int, int, float]:
    defaults = usual(ModelSpec(str(place)))
    assert defaults is not None
    assert defaults.width == defaults.height
    return defaults.width, defaults.steps, defaults.guidance_scale


def test_stable_diffusion_by_any_name_paints_its_own_size(checkpoint: Checkpoint) -> None:
    """Under a name of one's own it once painted 1024 px in 28 steps."""
    endpoint = Catalog({"me/mine": str(checkpoint("sd15"))}, True).find("me/mine")
    defaults = endpoint.defaults
    assert (defaults.width, defaults.height) == (512, 512)
    assert (defaults.steps, defaults.guidance_scale) == (50, 7.5)


TRAILING = {"_class_name": "EulerAncestralDiscreteScheduler", "timestep_spacing": "trailing"}
VAE = {"block_out_channels": [128, 256, 512, 512]}


@pytest.mark.parametrize(
    ("kind", "configs", "wanted"),
    [
        ("FluxPipeline", {"transformer": {"guidance_embeds": True}}, (1024, 28, 3.5)),
        ("FluxPipeline", {"transformer": {"guidance_embeds": False}}, (1024, 4, 0.0)),
        ("StableDiffusion3Pipeline", {"transformer": {"qk_norm": "rms_norm"}}, (1024, 28, 3.5)),
        (
            "StableDiffusionXLPipeline",
            {"scheduler": TRAILING, "unet": {"sample_size": 64}, "vae": VAE},
            (512, 4, 0.0),
        ),
        (
            "StableDiffusionPipeline",
            {"unet": {"sample_size": 96}, "vae": VAE},
            (768, 50, 7.5),
        ),
        (
            "StableDiffusionPipeline",
            {"scheduler": {"_class_name": "LCMScheduler"}, "unet": {"sample_size": 64}},
            (512, 4, 1.0),
        ),
        (
            "HiDreamImagePipeline",
            {"scheduler": {"_class_name": "FlowMatchLCMScheduler", "shift": 6.0}},
            (1024, 28, 1.0),
        ),
        ("ZImagePipeline", {"scheduler": {"shift": 3.0}}, (1024, 9, 0.0)),
        (
            "SanaPipeline",
            {
                "transformer": {"sample_size": 16},
                "vae": {"encoder_block_out_channels": [128, 256, 512, 512, 1024, 1024]},
            },
            (512, 20, 4.5),
        ),
    ],
)
def test_size_steps_and_guidance_follow_the_weights(
    tmp_path: Path, kind: str, configs: dict[str, dict[str, Any]], wanted: tuple[int, int, float]
) -> None:
    assert told(folder(tmp_path, kind, **configs)) == wanted


def test_what_the_operator_says_wins(tmp_path: Path) -> None:
    from imagemill.model_spec import ModelDefaults

    spec = ModelSpec(str(folder(tmp_path, "FluxPipeline")), defaults=ModelDefaults(steps=9))
    defaults = Catalog({"a/b": spec}, True).find("a/b").defaults
    assert (defaults.steps, defaults.guidance_scale) == (9, 3.5)


@pytest.mark.parametrize("source", ["nowhere/to-be-found", "/no/such/folder"])
def test_weights_that_are_not_here_tell_nothing(source: str) -> None:
    assert usual(ModelSpec(source)) is None


def test_a_broken_file_tells_nothing(tmp_path: Path) -> None:
    (tmp_path / "model_index.json").write_text("{", "utf-8")
    assert usual(ModelSpec(str(tmp_path))) is None


def test_every_class_of_the_families_has_a_line() -> None:
    assert {*FAMILIES} == {*USUAL}
