"""Every scheduler on offer leads a family to a picture, or is refused with those that do."""

from dataclasses import replace

import diffusers
import pytest
import torch

from imagemill.engine.events import Failed, Progress
from imagemill.errors import Kind
from imagemill.generation import MAX_STEPS
from imagemill.pipelines.schedules import OPTIONS, name_of, scheduler_for, working
from imagemill.scheduler_names import SCHEDULERS, SPACINGS
from tests.studio import ASKED, Models, Studio, alone
from tests.studio import inference as inference
from tests.studio import model as model

SMALL = replace(ASKED, width=64, height=64, steps=3, guidance_scale=1.0)
PLAIN = tuple(name for name in SCHEDULERS if "+" not in name)
FLOW = (
    "flux-schnell", "sd3", "hidream-fast", "qwen-image", "z-image", "lumina2", "cogview4",
    "auraflow",
)  # fmt: skip
# By what leads them: schedules of noise, of flow, latent consistency, EDM.
MATRIX = {
    **dict.fromkeys(("sd15", "playground", "flux-dev", "sana"), SCHEDULERS),
    **dict.fromkeys(("lcm", "sdxl-turbo", "sd21", *FLOW), PLAIN),
}
DRAWING = (
    "EulerAncestralDiscreteScheduler", "KDPM2AncestralDiscreteScheduler", "DDPMScheduler",
    "LCMScheduler", "TCDScheduler", "DPMSolverMultistepScheduler+sde+karras",
    "DPMSolverSinglestepScheduler+sde",
)  # fmt: skip

pytestmark = pytest.mark.filterwarnings(  # DEIS's and KDPM2's, of numpy 2
    "ignore:__array_wrap__:DeprecationWarning"
)


@pytest.mark.parametrize("name", [*SCHEDULERS, "EDMEulerScheduler"])
def test_a_scheduler_is_told_by_the_name_that_asks_for_it(name: str) -> None:
    """Files say what led them, also where the caller left that to the model."""
    kind, *words = name.split("+")
    settings = {key: value for word in words for key, value in OPTIONS[word].items()}
    assert name_of(getattr(diffusers, kind)(**settings)) == name


@pytest.mark.parametrize("family", sorted(MATRIX))
def test_every_scheduler_paints_or_is_refused_by_name(family: str, model: Models) -> None:
    """Heun on FLUX, DPM++ on schnell and UniPC on Z-Image once failed without a word."""
    loaded = model(family)
    able = working(loaded.pipe, loaded.family)
    assert able
    for name in MATRIX[family]:
        studio = Studio()
        studio.start(loaded, it=replace(SMALL, scheduler=name))
        studio.run()
        if name in able:
            assert studio.said["it"] == [Progress(done, 3) for done in (1, 2, 3)], name
            continue
        last = studio.said["it"][-1]
        assert isinstance(last, Failed), name
        assert (last.fault.kind, last.fault.field) == (Kind.INVALID, "scheduler"), name
        assert f"try {next(each for each in able if '+' not in each)}" in last.fault.message


@pytest.mark.parametrize("name", DRAWING)
def test_noise_on_the_way_is_drawn_from_the_request_alone(name: str, model: Models) -> None:
    asked, files = replace(SMALL, scheduler=name), set()
    for seed in (1, 2):
        torch.manual_seed(seed)
        files.add(alone(model("sd15"), asked))
    studio = Studio()
    studio.start(model("sd15"), other=replace(asked, seed=9), it=asked)
    studio.run()
    assert files == {studio.files("it")}


@pytest.mark.parametrize("family", ["flux-dev", "sdxl", "sana"])
def test_every_schedule_ends_where_no_noise_is_left(family: str, model: Models) -> None:
    """diffusers' DEIS leaves a quarter of the noise in flow models, and is refused there."""
    loaded = model(family)
    for name in working(loaded.pipe, loaded.family):
        made = scheduler_for(loaded.pipe, name, loaded.family)
        made.set_timesteps(4, mu=0.8) if family == "flux-dev" else made.set_timesteps(4)
        if hasattr(made, "sigmas") and "LCM" not in name and "TCD" not in name:
            assert made.sigmas[-1] < 0.05, name


def test_schedules_are_spaced_as_the_name_says(model: Models) -> None:
    loaded, sigmas = model("sdxl"), set()
    for words in ("", "+karras", "+exponential"):
        made = scheduler_for(loaded.pipe, f"EulerDiscreteScheduler{words}", loaded.family)
        made.set_timesteps(6)
        sigmas.add(tuple(made.sigmas.tolist()))
    assert len(sigmas) == 3


@pytest.mark.parametrize("name", [None, "EulerDiscreteScheduler", "DPMSolverMultistepScheduler"])
def test_a_spacing_that_is_wished_for_spaces_the_steps(name: str | None, model: Models) -> None:
    loaded, timesteps = model("sdxl"), set()
    for spacing in (None, *SPACINGS):
        made = scheduler_for(loaded.pipe, name, loaded.family, spacing)
        made.set_timesteps(6)
        timesteps.add(tuple(made.timesteps.tolist()))
        assert loaded.unheeded(name, spacing) == ()
    assert len(timesteps) == 4
    assert (999.0, 832.0, 666.0, 499.0, 332.0, 166.0) in timesteps, "SGM uniform"


@pytest.mark.parametrize(
    ("family", "name", "spacing"),
    [
        ("flux-dev", None, "karras"),
        ("flux-dev", "DPMSolverMultistepScheduler", "sgm_uniform"),
        ("playground", None, "karras"),
        ("sdxl", "EulerAncestralDiscreteScheduler", "karras"),
    ],
)
def test_a_spacing_that_means_nothing_is_painted_as_without_it_and_told(
    family: str, name: str | None, spacing: str, model: Models
) -> None:
    loaded = model(family)
    studio = Studio()
    plain = replace(SMALL, scheduler=name)
    studio.start(loaded, it=plain, wish=replace(plain, spacing=spacing))
    studio.run()
    assert studio.files("it") == studio.files("wish"), "what the files tell of it, too"
    assert loaded.unheeded(name, spacing) == (f"schedule {spacing}: the model's own",)


def test_a_size_shifts_schedules_that_know_nothing_of_sizes(model: Models) -> None:
    loaded = model("flux-dev")
    for name in ("FlowMatchHeunDiscreteScheduler", "UniPCMultistepScheduler"):
        shifted = []
        for mu in (0.5, 1.15):
            made = scheduler_for(loaded.pipe, name, loaded.family)
            made.set_timesteps(sigmas=[1.0, 0.75, 0.5, 0.25], mu=mu)
            shifted.append(made.sigmas[2].item())
        assert shifted[0] < shifted[1], name


def test_more_steps_than_a_scheduler_has_are_told(model: Models) -> None:
    studio = Studio()
    asked = replace(SMALL, steps=MAX_STEPS, scheduler="LCMScheduler")
    studio.start(model("sd15"), it=asked)
    studio.run()
    assert (studio.fault("it"), studio.field("it")) == (Kind.INVALID, "scheduler")
