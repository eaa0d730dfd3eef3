"""Jobs, in A1111's words."""

import base64
import json
from datetime import UTC, datetime
from typing import Any

from fastapi.responses import JSONResponse

from imagemill import __version__
from imagemill.dialects.sdapi import checkpoints
from imagemill.dialects.sdapi.active_calls import ActiveCall
from imagemill.dialects.sdapi.bodies import SECRET, Img2img
from imagemill.dialects.sdapi.options import CHECKPOINT
from imagemill.dialects.sdapi.read import Plan
from imagemill.dialects.sdapi.samplers import AUTOMATIC
from imagemill.dialects.sdapi.vocabulary import TEXTINFO
from imagemill.images.decode import parameters_of
from imagemill.job import Job
from imagemill.scheduler_names import UNHEEDED

VERSION = f"imagemill {__version__}"

# What `info` tells of every call alike.
ALWAYS: dict[str, Any] = {
    "subseed_strength": 0,
    "restore_faces": False,
    "face_restoration_model": None,
    "sd_vae_name": None,
    "sd_vae_hash": None,
    "seed_resize_from_w": -1,
    "seed_resize_from_h": -1,
    "index_of_first_image": 0,
    "clip_skip": 1,
    "is_using_inpainting_conditioning": False,
    "version": VERSION,
}


class SdapiResponse(JSONResponse):
    """In ASCII: a string of JSON may hold what UTF-8 cannot."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content, separators=(",", ":")).encode("ascii")


def painted(plan: Plan, job: Job, images: list[bytes], served_by: str, base: str) -> Any:
    """The answer of txt2img and img2img, with as many images as there are."""
    shown = images if plan.body.send_images is not False else []
    return {
        "images": [base64.b64encode(each).decode() for each in shown],
        "parameters": parameters(plan),
        "info": json.dumps(info(plan, job, images, served_by, base)),
    }


def parameters(plan: Plan) -> dict[str, Any]:
    """The parameters of a call, with what was left open filled in."""
    generation, params = plan.submission.generation, plan.body.model_dump(exclude=set(SECRET))
    open_ = {
        "prompt": "",
        "negative_prompt": "",
        "styles": [],
        "seed": -1,
        "sampler_name": plan.sampler.name,
        "scheduler": "automatic",
        "batch_size": 1,
        "n_iter": 1,
        "steps": generation.steps,
        "cfg_scale": generation.guidance_scale,
        "width": generation.width,
        "height": generation.height,
        "override_settings": {},
        "alwayson_scripts": {},
        "send_images": True,
        "save_images": False,
    }
    params |= {name: value for name, value in open_.items() if params.get(name) is None}
    if isinstance(plan.body, Img2img):
        params["denoising_strength"] = generation.strength
        if not plan.body.include_init_images:
            params |= {"init_images": None, "mask": None}
    return params


def info(plan: Plan, job: Job, images: list[bytes], served_by: str, base: str) -> dict[str, Any]:
    generation, body, count = plan.submission.generation, plan.body, len(images)
    prompt, negative = body.prompt or "", body.negative_prompt or ""
    seeds = [generation.seed_of(index) for index in range(count)]
    schedule = _schedule(plan, job)
    files = [] if job.result is None or not body.save_images else job.result.files
    return {
        **ALWAYS,
        "prompt": prompt,
        "all_prompts": [prompt] * count,
        "negative_prompt": negative,
        "all_negative_prompts": [negative] * count,
        "seed": generation.seed,
        "all_seeds": seeds,
        "subseed": generation.seed,
        "all_subseeds": seeds,
        "width": generation.width,
        "height": generation.height,
        "sampler_name": plan.sampler.name,
        "extra_generation_params": {"Schedule type": schedule},
        "cfg_scale": generation.guidance_scale,
        "steps": generation.steps,
        "batch_size": body.batch_size or 1,
        "sd_model_name": generation.model,
        "sd_model_hash": checkpoints.short_hash(plan.submission.version),
        "denoising_strength": generation.strength if generation.image else None,
        "infotexts": [parameters_of(each) for each in images],
        "styles": body.styles or [],
        "job_timestamp": timestamp(job.created),
        "imagemill": {
            "served_by": served_by,
            "interrupted": job.result is None,
            "ignored": dict(plan.ignored),
            "unknown_words": [] if job.result is None else list(job.result.ignored),
            "files": [f"{base}/{file.key}" for file in files],
        },
    }


def _schedule(plan: Plan, job: Job) -> str:
    """The label of the schedule that was painted with, which is the model's own where the wish for
    another means nothing to it.
    """
    spacing = plan.sampler.spacing
    ignored = () if job.result is None else job.result.ignored
    unheeded = spacing is not None and UNHEEDED.format(spacing) in ignored
    return AUTOMATIC if unheeded else plan.sampler.schedule


def progress(
    call: ActiveCall | None, count: int, now: float, image: bytes | None
) -> dict[str, Any]:
    done = 0.0 if call is None else call.progress
    began = None if call is None else call.job.started
    passed = 0.0 if began is None else max(0.0, now - began)
    return {
        "progress": round(done, 4),
        "eta_relative": round(passed / done - passed, 3) if done else 0.0,
        "state": state(call, count),
        "current_image": None if image is None else base64.b64encode(image).decode(),
        "textinfo": None if call is None else TEXTINFO[call.job.status],
    }


def state(call: ActiveCall | None, count: int) -> dict[str, Any]:
    steps = 0 if call is None else call.job.generation.steps
    return {
        "skipped": call is not None and call.skipped,
        "interrupted": call is not None and call.stopped,
        "stopping_generation": False,
        "job": "" if call is None else call.name,
        "job_count": count,
        "job_timestamp": "0" if call is None else timestamp(call.job.created),
        "job_no": 0,
        "sampling_step": 0 if call is None else min(steps, round(call.share * steps)),
        "sampling_steps": steps,
    }


def timestamp(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y%m%d%H%M%S")


def model(id: str) -> dict[str, Any]:
    return {
        "title": id,
        "model_name": id,
        "hash": None,
        "sha256": None,
        "filename": id,
        "config": None,
    }


def options(kept: dict[str, Any], title: str) -> dict[str, Any]:
    return {**kept, CHECKPOINT: title}
