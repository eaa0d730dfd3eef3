#!/bin/sh
# diffusers 0.42.1: FluxPipeline tells every scheduler `mu`, the shift by picture size, also where the
# checkpoint's scheduler shifts by nothing (FLUX.1-schnell). DPM-Solver and DEIS then fail with an
# AssertionError without a text; UniPC passes it over and paints. FlowMatchHeun cannot be had in FLUX
# at all, though it is flow matching's own: it takes no custom sigmas.
#
# Guessed: either all of them refuse a mu without use_dynamic_shifting, or none. Seen: one family of
# schedulers, three behaviours, by class and by checkpoint; with FLUX.1-dev's configuration DPM-Solver
# and DEIS work. scheduler.compatibles lists neither case.
#
# So a list of schedulers that "work with FLUX" is wrong for one of its two models: ask each pair once
# with set_timesteps when a model is loaded, and refuse by name before painting.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6 \
    safetensors==0.8.0 diffusers==0.42.1 accelerate==1.15.0

cd "$folder"
HF_HUB_OFFLINE=1 "$folder/venv/bin/python" - <<'PYTHON' 2>"$folder/log" | tee "$folder/seen"
import warnings

import numpy as np

warnings.simplefilter("ignore")
from diffusers import (
    DEISMultistepScheduler,
    DPMSolverMultistepScheduler,
    FlowMatchEulerDiscreteScheduler,
    FlowMatchHeunDiscreteScheduler,
    UniPCMultistepScheduler,
)
from diffusers.pipelines.flux.pipeline_flux import retrieve_timesteps

OWN = {
    "schnell": {"shift": 1.0, "use_dynamic_shifting": False},
    "dev": {"shift": 3.0, "use_dynamic_shifting": True},
}
flow = {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}


def asked(scheduler, steps=4):
    """As FluxPipeline.__call__ asks for its timesteps."""
    sigmas = np.linspace(1.0, 1 / steps, steps)
    if getattr(scheduler.config, "use_flow_sigmas", False):
        sigmas = None
    try:
        return f"{len(retrieve_timesteps(scheduler, steps, sigmas=sigmas, mu=0.8)[0])} timesteps"
    except (AssertionError, ValueError) as error:
        return f"{type(error).__name__}({str(error)[-75:]!r})"


for model, config in OWN.items():
    own = FlowMatchEulerDiscreteScheduler(**config)
    for kind in (UniPCMultistepScheduler, DPMSolverMultistepScheduler, DEISMultistepScheduler,
                 FlowMatchHeunDiscreteScheduler):  # fmt: skip
        print(model, kind.__name__, asked(kind.from_config(own.config, **flow)))
PYTHON

# The output seen:
cat >"$folder/expected" <<'EXPECTED'
schnell UniPCMultistepScheduler 4 timesteps
schnell DPMSolverMultistepScheduler AssertionError('')
schnell DEISMultistepScheduler AssertionError('')
schnell FlowMatchHeunDiscreteScheduler ValueError('sigmas schedules. Please check whether you are using the correct scheduler.')
dev UniPCMultistepScheduler 4 timesteps
dev DPMSolverMultistepScheduler 4 timesteps
dev DEISMultistepScheduler 4 timesteps
dev FlowMatchHeunDiscreteScheduler ValueError('sigmas schedules. Please check whether you are using the correct scheduler.')
EXPECTED
diff "$folder/expected" "$folder/seen"
