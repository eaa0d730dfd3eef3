"""Models as Hugging Face's clients look them up: what task each has, what each provider calls it.

Who looks up a model tells no task, and its clients refuse one that is mapped to another. So every
model that paints from words has a second id, which repaints images: the same with a suffix.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import get_args

from imagemill.catalog.models import MODELS, Model, Task

TASKS: tuple[Task, ...] = get_args(Task)
SUFFIX = "_image-to-image"
UNSAID = "a picture"  # painted over an image that came without a prompt

# By provider, what it can do; in the order in which clients that leave the choice try them.
PROVIDERS: Mapping[str, tuple[Task, ...]] = {
    "hf-inference": TASKS,
    "fal-ai": TASKS,
    "replicate": TASKS,
    "together": TASKS,
    "nebius": ("text-to-image",),
}


def task(id: str) -> Task:
    repaints = id.endswith(SUFFIX) or (id in MODELS and MODELS[id].task == "image-to-image")
    return "image-to-image" if repaints else "text-to-image"


def weights(id: str) -> str:
    """The id of the model itself, whichever task was looked up."""
    return id.removesuffix(SUFFIX)


def mapped(id: str) -> dict[str, str]:
    """What each provider that can do the task of `id` calls it."""
    model = MODELS.get(weights(id)) or Model(weights(id), title=weights(id))
    able = (provider for provider, tasks in PROVIDERS.items() if task(id) in tasks)
    return {provider: model.name_at(provider) for provider in able}


def with_tasks(ids: Iterable[str]) -> Iterator[str]:
    """Every id of every model: those that paint from words have a second one."""
    for id in ids:
        yield id
        if task(id) == "text-to-image":
            yield id + SUFFIX
