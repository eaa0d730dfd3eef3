"""What goes over the wire to an upstream: the usual fields, and those of closed models."""

from dataclasses import replace
from typing import Any

import pytest

from imagemill.conditions import Control, SafetyCheck, Swatch
from imagemill.errors import Fault, Kind
from imagemill.generation import Defaults, Generation, Lora
from imagemill.upstream_spec import UpstreamKind
from imagemill.upstreams import DIALECTS
from imagemill.upstreams.wire import Outgoing, WireBody, body

USUAL = Defaults(1024, 1024, 28, 4.0)
PLAIN = Generation("a red cat", "a/b", 1024, 768, 28, 4.0, seed=7)
IMAGE = replace(PLAIN, image="image", strength=0.6)


def sent(kind: UpstreamKind, model: str, generation: Generation) -> WireBody:
    dialect = DIALECTS[kind]
    images = {name: f"<{name}>" for name in generation.images}
    return body(dialect.table(model), Outgoing(generation, images, model), USUAL)


@pytest.mark.parametrize(
    ("kind", "model", "generation", "fields"),
    [
        ("fal", "fal-ai/flux/dev", replace(IMAGE, mask="mask", loras=(Lora("o/n", 0.5),)), {
            "prompt": "a red cat", "image_size": {"width": 1024, "height": 768},
            "num_inference_steps": 28, "guidance_scale": 4.0, "seed": 7, "num_images": 1,
            "output_format": "png", "image_url": "<image>", "mask_url": "<mask>",
            "strength": 0.6, "loras": [{"path": "o/n", "scale": 0.5}],
        }),
        ("fal", "fal-ai/imagen4/preview/fast", PLAIN, {
            "prompt": "a red cat", "aspect_ratio": "4:3", "seed": 7, "num_images": 1,
        }),
        ("fal", "fal-ai/ideogram/v2", replace(PLAIN, style="ideogram/render_3d", expand=True), {
            "prompt": "a red cat", "aspect_ratio": "4:3", "seed": 7, "expand_prompt": True,
            "style": "render_3D",
        }),
        ("fal", "fal-ai/ideogram/v3",
         replace(PLAIN, steps=12, palette=(Swatch(255, 0, 0, 0.5),), negative_prompt="dogs"), {
            "prompt": "a red cat", "negative_prompt": "dogs", "rendering_speed": "TURBO",
            "image_size": {"width": 1024, "height": 768}, "seed": 7, "num_images": 1,
            "expand_prompt": False, "style": "AUTO",
            "color_palette": {"members": [{"rgb": {"r": 255, "g": 0, "b": 0},
                                           "color_weight": 0.5}]},
        }),
        ("fal", "fal-ai/ideogram/v3/edit", replace(IMAGE, mask="mask", steps=50), {
            "prompt": "a red cat", "image_url": "<image>", "mask_url": "<mask>", "seed": 7,
            "rendering_speed": "QUALITY", "num_images": 1, "expand_prompt": False,
        }),
        ("fal", "fal-ai/ideogram/v3/remix", IMAGE, {
            "prompt": "a red cat", "image_url": "<image>", "strength": 0.4, "seed": 7,
            "rendering_speed": "BALANCED", "num_images": 1, "expand_prompt": False,
            "style": "AUTO", "image_size": {"width": 1024, "height": 768},
        }),
        ("fal", "fal-ai/ideogram/v3/reframe", replace(IMAGE, outpaint=True), {
            "image_url": "<image>", "image_size": {"width": 1024, "height": 768}, "seed": 7,
            "rendering_speed": "BALANCED", "num_images": 1, "style": "AUTO",
        }),
        ("fal", "fal-ai/ideogram/v3/replace-background",
         replace(IMAGE, keep_foreground=True, style_images=("s",)), {
            "prompt": "a red cat", "image_url": "<image>", "image_urls": ["<style_images.0>"],
            "seed": 7, "rendering_speed": "BALANCED", "num_images": 1, "style": "AUTO",
            "expand_prompt": False,
        }),
        ("fal", "fal-ai/recraft/v3/text-to-image",
         replace(PLAIN, style="recraft/realistic_image/hdr", palette=(Swatch(1, 2, 3),),
                 safety=SafetyCheck(wanted=False), guidance_scale=4.0), {
            "prompt": "a red cat", "image_size": {"width": 1024, "height": 768},
            "style": "realistic_image/hdr", "colors": [{"r": 1, "g": 2, "b": 3}],
            "enable_safety_checker": False,
        }),
        ("fal", "fal-ai/omnigen-v2",
         replace(PLAIN, references=("a", "b"), image_guidance_scale=2.0), {
            "prompt": "a red cat", "image_size": {"width": 1024, "height": 768},
            "num_inference_steps": 28, "text_guidance_scale": 4.0, "image_guidance_scale": 2.0,
            "seed": 7, "num_images": 1, "output_format": "png",
            "input_image_urls": ["<references.0>", "<references.1>"],
        }),
        ("replicate", "google/imagen-4", replace(PLAIN, format="webp"), {
            "prompt": "a red cat", "aspect_ratio": "4:3",
        }),
        ("replicate", "ideogram-ai/ideogram-v3-turbo", replace(IMAGE, mask="mask"), {
            "prompt": "a red cat", "aspect_ratio": "4:3", "style_type": "Auto", "seed": 7,
            "magic_prompt_option": "Off", "image": "<image>", "mask": "<mask>",
        }),
        ("replicate", "recraft-ai/recraft-v3", PLAIN, {
            "prompt": "a red cat", "size": "1024x768", "style": "any",
        }),
        ("replicate", "o/n",
         replace(IMAGE, loras=(Lora("a/b"), Lora("c/d", 0.5)), safety=SafetyCheck(wanted=False)), {
            "prompt": "a red cat", "width": 1024, "height": 768, "num_inference_steps": 28,
            "guidance_scale": 4.0, "seed": 7, "num_outputs": 1, "output_format": "png",
            "image": "<image>", "prompt_strength": 0.6, "lora_weights": "a/b", "lora_scale": 1.0,
            "extra_lora": "c/d", "extra_lora_scale": 0.5, "disable_safety_checker": True,
        }),
        ("openai", "gpt-image-1", replace(PLAIN, height=1400), {
            "prompt": "a red cat", "n": 1, "size": "1024x1536", "output_format": "png",
        }),
        ("openai", "Qwen/Qwen-Image", replace(PLAIN, negative_prompt="dogs"), {
            "prompt": "a red cat", "negative_prompt": "dogs", "n": 1, "size": "1024x768",
            "num_inference_steps": 28, "guidance_scale": 4.0, "seed": 7, "output_format": "png",
        }),
        ("together", "black-forest-labs/FLUX.1-kontext-dev", replace(PLAIN, references=("a",)), {
            "prompt": "a red cat", "width": 1024, "height": 768, "steps": 28, "seed": 7, "n": 1,
            "guidance_scale": 4.0, "output_format": "png", "image_url": "<references.0>",
        }),
    ],
)  # fmt: skip
def test_a_generation_is_written_in_the_words_of_the_model(
    kind: UpstreamKind, model: str, generation: Generation, fields: dict[str, Any]
) -> None:
    assert sent(kind, model, generation).fields == fields


@pytest.mark.parametrize(
    ("kind", "model", "changes", "remarks"),
    [
        ("fal", "fal-ai/imagen4/preview", {}, ()),
        ("fal", "fal-ai/imagen4/preview", {"steps": 50, "acceleration": "high"},
         ("steps", "acceleration")),
        ("fal", "fal-ai/recraft/v2/text-to-image", {"negative_prompt": "dogs"},
         ("seed", "negative_prompt")),
        ("together", "o/n", {"scheduler": "DDIMScheduler", "guidance_range": (0.2, 1.0)},
         ("scheduler", "guidance_range")),
        ("replicate", "google/imagen-4", {"guidance_scale": 9.0}, ("guidance_scale", "seed")),
    ],
)  # fmt: skip
def test_how_it_is_to_be_painted_is_told_where_it_is_not_taken(
    kind: UpstreamKind, model: str, changes: dict[str, Any], remarks: tuple[str, ...]
) -> None:
    ignored = sent(kind, model, replace(PLAIN, **changes)).ignored
    assert ignored == tuple(f"{name}: {model} takes none" for name in remarks)


@pytest.mark.parametrize(
    ("kind", "model", "changes", "field"),
    [
        ("fal", "fal-ai/imagen4/preview", {"image": "i"}, "image"),
        ("fal", "fal-ai/flux/dev", {"control": Control("i", "o/n")}, "control"),
        ("fal", "fal-ai/flux-kontext/dev", {"references": ("a", "b")}, "references"),
        ("fal", "fal-ai/ideogram/v2", {"num_images": 2}, "num_images"),
        ("together", "o/n", {"image": "i", "mask": "m"}, "mask"),
        ("openai", "gpt-image-1", {"loras": (Lora("a/b"),)}, "loras"),
        ("replicate", "o/n", {"loras": (Lora("a/b"),) * 3}, "loras"),
        ("replicate", "black-forest-labs/flux-dev", {"image": "i", "mask": "m"}, "mask"),
    ],
)
def test_what_is_to_be_painted_is_refused_where_it_is_not_taken(
    kind: UpstreamKind, model: str, changes: dict[str, Any], field: str
) -> None:
    with pytest.raises(Fault) as caught:
        sent(kind, model, replace(PLAIN, **changes))
    assert (caught.value.kind, caught.value.field) == (Kind.UNSUPPORTED, field)
    assert model in caught.value.message


def test_several_images_to_edit_are_several_files() -> None:
    generation = replace(PLAIN, references=("a", "b"))
    written = sent("openai", "gpt-image-1", generation)
    call = DIALECTS["openai"].submission(generation, "gpt-image-1", written)
    assert call.path == "/images/edits"
    assert [(name, str(file[1])) for name, file in call.files] == [
        ("image[]", "<references.0>"),
        ("image[]", "<references.1>"),
    ]
    assert call.form == {
        "model": "gpt-image-1", "prompt": "a red cat", "n": "1", "size": "1536x1024",
        "output_format": "png",
    }  # fmt: skip
