"""The models that are known by name: one table of what every dialect has to know of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from imagemill.generation import Defaults

Task = Literal["text-to-image", "image-to-image"]
Provider = Literal["fal-ai", "replicate", "together", "nebius"]

# The embedded model where it does not stand in for another.
OWN_ID, FAST_ID = "imagemill/pico", "imagemill/pico-fast"


WEIGHTS = Defaults(1024, 1024, 28, 4.0)  # of a model of which nothing else is known
PICO = Defaults(512, 512, 12, 4.0)


@dataclass(frozen=True)
class Model:
    """One model, by whatever names it goes."""

    #: As the Hub has it; where the weights are closed, the name of its endpoint.
    id: str
    #: As people call it.
    title: str
    #: What it does under its id.
    task: Task = "text-to-image"
    #: The Hub's id of open weights; None where they are closed or the operator's own.
    weights: str | None = None
    #: Those of the model's own card.
    defaults: Defaults = WEIGHTS
    #: By provider, its names there, of which the first is told; where there is none, it is the id.
    aliases: Mapping[Provider, tuple[str, ...]] = field(default_factory=dict)
    #: Public names by which it is listed and served, whichever dialect names them.
    endpoints: tuple[str, ...] = ()

    def name_at(self, provider: str) -> str:
        """What `provider` calls it."""
        return next((names[0] for at, names in self.aliases.items() if at == provider), self.id)


def _open(
    id: str,
    title: str,
    *endpoints: str,
    task: Task = "text-to-image",
    defaults: Defaults = WEIGHTS,
    fal: str | None = None,
    replicate: str | None = None,
    together: tuple[str, ...] = (),
    nebius: str | None = None,
) -> Model:
    """A model with open weights. fal: its name there, where the first endpoint is another."""
    names: dict[Provider, tuple[str | None, ...]] = {
        "fal-ai": (fal, *endpoints),
        "replicate": (replicate,),
        "together": together,
        "nebius": (nebius,),
    }
    aliases = {name: tuple(dict.fromkeys(filter(None, each))) for name, each in names.items()}
    aliases = {name: each for name, each in aliases.items() if each}
    return Model(id, title, task, id, defaults, aliases, endpoints)


def _closed(endpoint: str, title: str, task: Task = "text-to-image") -> Model:
    return Model(endpoint, title, task, endpoints=(endpoint,))


_KNOWN: tuple[Model, ...] = (
    _open(
        "HiDream-ai/HiDream-I1-Full",
        "HiDream-I1 [full]",
        "fal-ai/hidream-i1-full",
        defaults=Defaults(1024, 1024, 50, 5.0),
    ),
    _open(
        "HiDream-ai/HiDream-I1-Fast",
        "HiDream-I1 [fast]",
        "fal-ai/hidream-i1-fast",
        defaults=Defaults(1024, 1024, 16, 1.0),
    ),
    _closed("fal-ai/ideogram/v2", "Ideogram V2"),
    _closed("fal-ai/ideogram/v3", "Ideogram V3"),
    _closed("fal-ai/ideogram/v3/edit", "Ideogram V3 Edit", "image-to-image"),
    _closed("fal-ai/ideogram/v3/remix", "Ideogram V3 Remix", "image-to-image"),
    _closed("fal-ai/ideogram/v3/reframe", "Ideogram V3 Reframe", "image-to-image"),
    _closed(
        "fal-ai/ideogram/v3/replace-background", "Ideogram V3 Replace Background", "image-to-image"
    ),
    _open(
        "stabilityai/stable-diffusion-3.5-large",
        "Stable Diffusion 3.5 Large",
        "fal-ai/stable-diffusion-v35-large",
        defaults=Defaults(1024, 1024, 28, 3.5),
        replicate="stability-ai/stable-diffusion-3.5-large",
    ),
    _open("OmniGen2/OmniGen2", "OmniGen2", "fal-ai/omnigen-v2"),
    _closed("fal-ai/imagen4/preview", "Imagen 4"),
    _closed("fal-ai/imagen4/preview/fast", "Imagen 4 Fast"),
    _open(
        "black-forest-labs/FLUX.1-schnell",
        "FLUX.1 [schnell]",
        "fal-ai/flux-1/schnell",
        "fal-ai/flux/schnell",
        defaults=Defaults(1024, 1024, 4, 0.0),
        fal="fal-ai/flux/schnell",
        replicate="black-forest-labs/flux-schnell",
        together=("black-forest-labs/FLUX.1-schnell", "black-forest-labs/FLUX.1-schnell-Free"),
        nebius="black-forest-labs/flux-schnell",
    ),
    _open(
        "black-forest-labs/FLUX.1-dev",
        "FLUX.1 [dev]",
        "fal-ai/flux/dev",
        "fal-ai/flux/dev/image-to-image",
        "fal-ai/flux-lora",
        "fal-ai/flux-lora/image-to-image",
        defaults=Defaults(1024, 1024, 28, 3.5),
        replicate="black-forest-labs/flux-dev",
        together=("black-forest-labs/FLUX.1-dev", "black-forest-labs/FLUX.1-dev-lora"),
        nebius="black-forest-labs/flux-dev",
    ),
    _closed("fal-ai/recraft/v2/text-to-image", "Recraft V2"),
    _open("Freepik/F-Lite", "F Lite", "fal-ai/f-lite/standard"),
    _open("Freepik/F-Lite-Texture", "F Lite Texture", "fal-ai/f-lite/texture"),
    _open(
        "black-forest-labs/FLUX.1-Krea-dev",
        "FLUX.1 Krea [dev]",
        "fal-ai/flux/krea",
        "fal-ai/flux/krea/image-to-image",
        replicate="black-forest-labs/flux-krea-dev",
    ),
    _open(
        "black-forest-labs/FLUX.1-Kontext-dev",
        "FLUX.1 Kontext [dev]",
        "fal-ai/flux-kontext/dev",
        task="image-to-image",
        replicate="black-forest-labs/flux-kontext-dev",
        together=("black-forest-labs/FLUX.1-kontext-dev",),
    ),
    _open(
        "stabilityai/stable-diffusion-xl-base-1.0",
        "Stable Diffusion XL",
        "fal-ai/fast-sdxl",
        defaults=Defaults(1024, 1024, 50, 5.0),
        replicate="stability-ai/sdxl",
        nebius="stability-ai/sdxl",
    ),
    _open(
        "stabilityai/stable-diffusion-3-medium-diffusers",
        "Stable Diffusion 3 Medium",
        defaults=Defaults(1024, 1024, 28, 7.0),
    ),
    _open("stabilityai/stable-diffusion-3.5-large-turbo", "Stable Diffusion 3.5 Large Turbo"),
    _open("black-forest-labs/FLUX.1-Fill-dev", "FLUX.1 Fill [dev]"),
    _open("Qwen/Qwen-Image", "Qwen-Image", "fal-ai/qwen-image", replicate="qwen/qwen-image"),
    _open(
        "Qwen/Qwen-Image-Edit",
        "Qwen-Image-Edit",
        "fal-ai/qwen-image-edit",
        task="image-to-image",
        replicate="qwen/qwen-image-edit",
    ),
    _open(
        "Qwen/Qwen-Image-Edit-2509",
        "Qwen-Image-Edit 2509",
        task="image-to-image",
        fal="fal-ai/qwen-image-edit-plus",
        replicate="qwen/qwen-image-edit-plus",
    ),
    _open(
        "stabilityai/stable-diffusion-3.5-medium",
        "Stable Diffusion 3.5 Medium",
        "fal-ai/stable-diffusion-v35-medium",
        defaults=Defaults(1024, 1024, 40, 4.5),
        replicate="stability-ai/stable-diffusion-3.5-medium",
    ),
    _open(
        "black-forest-labs/FLUX.2-dev",
        "FLUX.2 [dev]",
        "fal-ai/flux-2",
        defaults=Defaults(1024, 1024, 50, 4.0),
        replicate="black-forest-labs/flux-2-dev",
    ),
    _closed("fal-ai/flux-pro/v1.1", "FLUX1.1 [pro]"),
    _closed("fal-ai/flux-pro/v1.1-ultra", "FLUX1.1 [pro] ultra"),
    _closed("fal-ai/flux-pro/kontext", "FLUX.1 Kontext [pro]", "image-to-image"),
    _closed("fal-ai/flux-pro/kontext/max", "FLUX.1 Kontext [max]", "image-to-image"),
    _closed("fal-ai/imagen4/preview/ultra", "Imagen 4 Ultra"),
    _closed("fal-ai/nano-banana", "Gemini 2.5 Flash Image"),
    _closed("fal-ai/gemini-25-flash-image", "Gemini 2.5 Flash Image"),
    _closed("fal-ai/nano-banana-pro", "Gemini 3 Pro Image"),
    _closed("fal-ai/nano-banana-2", "Gemini 3.1 Flash Image"),
    _closed("fal-ai/bytedance/seedream/v3/text-to-image", "Seedream 3.0"),
    _closed("fal-ai/bytedance/dreamina/v3.1/text-to-image", "Dreamina 3.1"),
    _closed("bria/text-to-image/3.2", "Bria 3.2"),
    _closed("fal-ai/recraft/v3/text-to-image", "Recraft V3"),
)
# By id, in the order in which lists name them.
MODELS: Mapping[str, Model] = {model.id: model for model in _KNOWN}
# By the public names that are listed.
ENDPOINTS: Mapping[str, Model] = {name: model for model in _KNOWN for name in model.endpoints}
# The embedded model by its own names.
OWN: Mapping[str, Model] = {
    OWN_ID: Model(OWN_ID, "pico", defaults=PICO),
    FAST_ID: Model(FAST_ID, "pico, fast", defaults=Defaults(512, 512, 4, 1.0)),
}


def defaults_of(id: str) -> Defaults:
    """What is known of a model, or what is usual."""
    return MODELS[id].defaults if id in MODELS else WEIGHTS


def named_by(provider: str, name: str) -> str | None:
    """The id of what `provider` calls `name`, where the table has it."""
    return _NAMED.get((provider, name))


_NAMED: Mapping[tuple[str, str], str] = {
    (provider, name): model.id
    for model in _KNOWN
    for provider, names in model.aliases.items()
    for name in names
}
