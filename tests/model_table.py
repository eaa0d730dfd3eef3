"""What each family does at each task, measured on its tiny checkpoint; docs/models.md tells it.

python -m pytest tests/pipelines/test_models.py --models     # writes the document
"""

import inspect
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from typing import Any, get_args

import diffusers
import numpy as np
import torch
from diffusers import DiffusionPipeline
from PIL import Image

from imagemill.engine.stand_ins import prepare
from imagemill.generation import Generation
from imagemill.pipelines.families import OWN, PLAIN_ARGUMENTS, Task
from imagemill.pipelines.inputs import Picture
from imagemill.pipelines.loading import Loaded
from tests.checkpoints import FAMILIES
from tests.studio import ASKED, Studio, png

DOCUMENT = Path(__file__).parent.parent / "docs" / "models.md"
SIDE = 64  # px
SHOWN = tuple(name for name in FAMILIES if name != "sd15-unsafe")
TASKS: tuple[Task, ...] = get_args(Task)
WORDS: dict[Task, str] = {
    "paint": "from words",
    "repaint": "over a picture",
    "inpaint": "inside a mask",
    "edit": "by pictures",
}
# How a person asks these for guidance and for a picture.
GUIDED: dict[str, dict[str, Any]] = {
    "qwen-image": {"true_cfg_scale": 3.0, "negative_prompt": " "},
    "qwen-image-edit": {"true_cfg_scale": 3.0, "negative_prompt": " "},
}
IMAGES = {"flux-depth": "control_image", "omnigen": "input_images"}


@dataclass(frozen=True)
class Row:
    """difference: from stock diffusers, of 255 on average. alone, together: forwards of the
    denoiser for two pictures, one by one and at once. same: bytes in company.
    """

    family: str
    kind: str
    task: Task
    difference: float
    alone: int
    together: int
    same: bool

    @property
    def equal(self) -> str:
        if self.difference == 0:
            return "same bytes"
        return "rounding" if self.difference < 1 else f"differs by {self.difference:.1f} of 255"

    @property
    def shares(self) -> str:
        shared = f"{self.alone} → {self.together}"
        return shared if self.together < self.alone else "no"


def generation(task: Task, pictures: int = 1) -> Generation:
    """pictures: of an edit."""
    plain = replace(ASKED, width=SIDE, height=SIDE, steps=2, guidance_scale=3.0)
    if task == "paint":
        return plain
    if task == "edit":
        return replace(plain, references=("image", "second")[:pictures])
    over = replace(plain, image="image", strength=1.0)
    return over if task == "repaint" else replace(over, mask="mask")


def _inputs() -> dict[str, bytes]:
    """All of the mask is white, since what it keeps is no pipeline's doing."""
    y, x = np.mgrid[:SIDE, :SIDE]
    image = np.stack([x * 3, y * 3, x + y], -1).astype(np.uint8)
    mask = np.full((SIDE, SIDE), 255, np.uint8)
    return {"image": png(image), "second": png(image[::-1]), "mask": png(mask)}


INPUTS = _inputs()


def measured(family: str, folder: Path, whole: bool = True) -> list[Row]:
    """A row for each task that the family does by a class of its own; not `whole`, for the first of
    them.
    """
    loaded = prepare(str(folder))
    stock = DiffusionPipeline.from_pretrained(folder, dtype=loaded.pipe.dtype)
    tasks = [task for task in TASKS if getattr(loaded.family, f"{task}s") is not None]
    return [_measured(family, loaded, stock, task) for task in (tasks if whole else tasks[:1])]


def _measured(family: str, loaded: Loaded, stock: DiffusionPipeline, task: Task) -> Row:
    pictures = min(2, loaded.family.references)
    asked = generation(task, pictures)
    with _forwards(loaded) as one:
        single = _studio(loaded, 1, it=asked)
    company = {"it": asked, "other": replace(asked, seed=2, guidance_scale=2.5)}
    with _forwards(loaded) as proving:
        _studio(loaded, 1, **company)
    with _forwards(loaded) as both:
        shared = _studio(loaded, 2, **company)
    wanted = _stock(family, stock, getattr(loaded.family, f"{task}s"), task, pictures)
    difference = np.abs(single.picture("it").astype(float) - wanted)
    return Row(
        family,
        type(loaded.pipes[task]).__name__,
        task,
        float(difference.mean()),
        2 * len(one),
        len(both) - len(proving),
        single.files("it") == shared.files("it"),
    )


def _studio(loaded: Loaded, rounds: int, **generations: Generation) -> Studio:
    studio = Studio(budget=10**6, inputs=INPUTS)
    studio.runner.exact.enough = 1  # pictures this small prove little, and one round is to do
    for _ in range(rounds):
        studio.start(loaded, **generations)
        studio.run()
    return studio


@contextmanager
def _forwards(loaded: Loaded) -> Iterator[list[None]]:
    part = getattr(loaded.pipe, "transformer", None) or loaded.pipe.unet
    ran: list[None] = []
    handle = part.real.register_forward_pre_hook(lambda *_: ran.append(None))
    yield ran
    handle.remove()


def _stock(family: str, pipe: DiffusionPipeline, name: str, task: Task, pictures: int) -> Picture:
    """What the class `name` paints when it is called as its documentation says."""
    if name != OWN:
        kind = getattr(diffusers, name)
        known = inspect.signature(kind.__init__).parameters
        given = {**pipe.config, **pipe.components}
        pipe = kind(**{key: part for key, part in given.items() if key in known})
    pipe.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(1)
    _prepared(family, pipe, generator)
    accepted = inspect.signature(type(pipe).__call__).parameters
    arguments = {**PLAIN_ARGUMENTS, **_arguments(family, task, pictures), "generator": generator}
    image = pipe(**{key: each for key, each in arguments.items() if key in accepted}).images[0]
    result: Picture = (image * 255).round().astype(np.uint8)
    return result


def _arguments(family: str, task: Task, pictures: int) -> dict[str, Any]:
    asked = generation(task, pictures)
    arguments: dict[str, Any] = {
        "prompt": asked.prompt, "num_inference_steps": asked.steps, "output_type": "np",
        "width": SIDE, "height": SIDE, "max_area": SIDE**2,
    }  # fmt: skip
    arguments |= GUIDED.get(family, {"guidance_scale": asked.guidance_scale})
    if task == "paint":
        return arguments
    read = {name: Image.open(BytesIO(content)) for name, content in INPUTS.items()}
    images = [read[name].convert("RGB") for name in asked.references or ("image",)]
    name = IMAGES.get(family, "image") if task in ("repaint", "edit") else "image"
    if name == "input_images":
        named = " ".join(f"<img><|image_{n}|></img>" for n in range(1, len(images) + 1))
        arguments["prompt"] = f"{named} {asked.prompt}"
    several = name == "input_images" or len(images) > 1
    arguments |= {name: images if several else images[0], "strength": 1.0}
    return arguments | ({"mask_image": read["mask"]} if task == "inpaint" else {})


def _prepared(family: str, pipe: DiffusionPipeline, generator: torch.Generator) -> None:
    """What stock cannot be told in a call."""
    if family.startswith("hidream"):
        pipe.default_sample_size = SIDE // 8  # or it paints a megapixel
    if family == "hidream-fast":  # or it draws from the process's generator
        pipe.scheduler = pipe.scheduler.from_config(pipe.scheduler.config)
        step = pipe.scheduler.step
        pipe.scheduler.step = lambda *args, **kw: step(*args, **kw, generator=generator)
    if family == "chroma":
        pipe.transformer.register_to_config(guidance_embeds=False)  # or masks fail
    vae = getattr(pipe, "vae", None)
    if vae is not None and vae.config.get("force_upcast"):
        vae.register_to_config(force_upcast=False)


def document(rows: Iterable[Row]) -> str:
    body = "\n".join(
        f"| {row.family} | `{row.kind}` | diffusers folder | {WORDS[row.task]} | yes "
        f"| {row.equal} | {row.shares} | {'yes' if row.same else 'no'} |"
        for row in rows
    )
    return TEXT.format(
        rows=body,
        classes=len({row.kind for row in rows}),
        torch=version("torch"),
        diffusers=version("diffusers"),
        transformers=version("transformers"),
    )


TEXT = """# Models

Written by the suite: `python -m pytest tests/pipelines/test_models.py --models`. Every row was
measured on a small random checkpoint of the family's real topology, on a processor,
with torch {torch}, diffusers {diffusers} and transformers {transformers}:
{classes} classes of pipelines.

- **Equals stock diffusers**: the picture of a lone request next to what the class paints when it is
  called by hand with the same seed. "Rounding" is less than one of 255 on average: the engine pads
  a lone row to two.
- **Shares forwards**: how often the denoiser ran for two pictures, one by one and at once.
- **Same bytes**: a picture asked for alone and among others is the same file.

| family | class | layout | task | loads | equals stock diffusers | shares forwards | same bytes |
|---|---|---|---|---|---|---|---|
{rows}

What has no class of its own for masks (Kolors, Depth, ControlNets, OmniGen, Qwen-Image-Edit-Plus,
FLUX.2-dev) repaints the whole picture, and what the mask keeps is pasted over it to the byte. Fill
and the inpainting checkpoints repaint a whole picture by a mask of white.

Where we differ from stock on purpose: sizes are those that were asked for, though Kontext, HiDream,
Sana and PixArt would paint a megapixel; prompts are not rewritten; the noise that a scheduler draws
in its steps comes from the request's seed, also where the pipeline would take the process's; SDXL's
VAE stays in the precision it was loaded in, since it is shared; SD3's pictures inside a mask get
the shift of their latents, which stock forgets.
"""
