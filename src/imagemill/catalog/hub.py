"""Hugging Face ids as data: what task each has, and what each provider calls it.

Who looks up a model tells no task, and its clients refuse one that is mapped to another. So every
model that paints from words has a second id, which repaints pictures: the same with a suffix.
"""

from collections.abc import Iterator, Mapping
from typing import Literal, get_args

Task = Literal["text-to-image", "image-to-image"]
TASKS: tuple[Task, ...] = get_args(Task)
SUFFIX = "_image-to-image"

# By provider, what it can do; in the order in which clients that leave the choice try them.
PROVIDERS: Mapping[str, tuple[Task, ...]] = {
    "hf-inference": TASKS,
    "fal-ai": TASKS,
    "replicate": TASKS,
    "together": TASKS,
    "nebius": ("text-to-image",),
}
# What providers call a model otherwise than the Hub does; all others go by the Hub's own id.
KNOWN: Mapping[str, Mapping[str, str]] = {
    "black-forest-labs/FLUX.1-dev": {
        "fal-ai": "fal-ai/flux/dev",
        "replicate": "black-forest-labs/flux-dev",
        "nebius": "black-forest-labs/flux-dev",
    },
    "black-forest-labs/FLUX.1-schnell": {
        "fal-ai": "fal-ai/flux/schnell",
        "replicate": "black-forest-labs/flux-schnell",
        "nebius": "black-forest-labs/flux-schnell",
    },
    "black-forest-labs/FLUX.1-Krea-dev": {
        "fal-ai": "fal-ai/flux/krea",
        "replicate": "black-forest-labs/flux-krea-dev",
    },
    "black-forest-labs/FLUX.1-Kontext-dev": {
        "fal-ai": "fal-ai/flux-kontext/dev",
        "replicate": "black-forest-labs/flux-kontext-dev",
        "together": "black-forest-labs/FLUX.1-kontext-dev",
    },
    "stabilityai/stable-diffusion-xl-base-1.0": {
        "fal-ai": "fal-ai/fast-sdxl",
        "replicate": "stability-ai/sdxl",
        "nebius": "stability-ai/sdxl",
    },
    "stabilityai/stable-diffusion-3.5-large": {
        "fal-ai": "fal-ai/stable-diffusion-v35-large",
        "replicate": "stability-ai/stable-diffusion-3.5-large",
    },
    "HiDream-ai/HiDream-I1-Full": {"fal-ai": "fal-ai/hidream-i1-full"},
    "HiDream-ai/HiDream-I1-Fast": {"fal-ai": "fal-ai/hidream-i1-fast"},
    "OmniGen2/OmniGen2": {"fal-ai": "fal-ai/omnigen-v2"},
    "Freepik/F-Lite": {"fal-ai": "fal-ai/f-lite/standard"},
    "Freepik/F-Lite-Texture": {"fal-ai": "fal-ai/f-lite/texture"},
    "Qwen/Qwen-Image": {"fal-ai": "fal-ai/qwen-image", "replicate": "qwen/qwen-image"},
    "Qwen/Qwen-Image-Edit": {
        "fal-ai": "fal-ai/qwen-image-edit",
        "replicate": "qwen/qwen-image-edit",
    },
    "Qwen/Qwen-Image-Edit-2509": {
        "fal-ai": "fal-ai/qwen-image-edit-plus",
        "replicate": "qwen/qwen-image-edit-plus",
    },
}
# What repaints pictures under its own id.
EDITING = frozenset(
    {
        "black-forest-labs/FLUX.1-Kontext-dev",
        "Qwen/Qwen-Image-Edit",
        "Qwen/Qwen-Image-Edit-2509",
    }
)
UNSAID = "a picture"  # painted over an image that came without a prompt


def task(id: str) -> Task:
    edits = id.endswith(SUFFIX) or id in EDITING
    return "image-to-image" if edits else "text-to-image"


def weights(id: str) -> str:
    """The id of the model itself, whichever task was looked up."""
    return id.removesuffix(SUFFIX)


def mapped(id: str) -> dict[str, str]:
    """What each provider that can do the task of `id` calls it."""
    model = weights(id)
    names = KNOWN.get(model, {})
    return {name: names.get(name, model) for name, can in PROVIDERS.items() if task(id) in can}


def called(provider: str, name: str) -> str | None:
    """The id of what `provider` calls `name`, where the table has it."""
    found = (id for id, names in KNOWN.items() if names.get(provider) == name)
    return next(found, None)


def with_tasks(ids: Iterator[str]) -> Iterator[str]:
    """Every id of every model: painting models have a second one."""
    for id in ids:
        yield id
        if task(id) == "text-to-image":
            yield id + SUFFIX
