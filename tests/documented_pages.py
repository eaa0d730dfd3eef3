"""What the endpoints' documentation prints: fields in order, defaults, choices, examples."""

from typing import Any

from pydantic import BaseModel

from imagemill.dialects.fal.pages import PAGES

HIDREAM, HIDREAM_FAST = "fal-ai/hidream-i1-full", "fal-ai/hidream-i1-fast"
SD, OMNIGEN, RECRAFT = (
    "fal-ai/stable-diffusion-v35-large",
    "fal-ai/omnigen-v2",
    "fal-ai/recraft/v2/text-to-image",
)
IMAGEN, IMAGEN_FAST = "fal-ai/imagen4/preview", "fal-ai/imagen4/preview/fast"
FLUX, FLUX_DEV, FLUX_OLD = "fal-ai/flux-1/schnell", "fal-ai/flux/dev", "fal-ai/flux/schnell"
F_LITE, TEXTURE = "fal-ai/f-lite/standard", "fal-ai/f-lite/texture"
V2, V3 = "fal-ai/ideogram/v2", "fal-ai/ideogram/v3"
EDIT, REMIX, REFRAME, BACKGROUND = (
    f"{V3}/{task}" for task in ("edit", "remix", "reframe", "replace-background")
)
MUST = "required"
IMAGE, MASK = "https://example.com/image.png", "https://example.com/mask.png"

# Every field in the order in which the documentation prints it, with its default.
PRINTED: dict[str, dict[str, Any]] = {
    HIDREAM: {
        "prompt": MUST,
        "negative_prompt": "",
        "image_size": {"width": 1024, "height": 1024},
        "num_inference_steps": 50,
        "seed": None,
        "guidance_scale": 5,
        "sync_mode": False,
        "num_images": 1,
        "enable_safety_checker": True,
        "output_format": "jpeg",
        "loras": [],
    },
    V2: {
        "prompt": MUST,
        "aspect_ratio": "1:1",
        "expand_prompt": True,
        "seed": None,
        "style": "auto",
        "sync_mode": False,
        "negative_prompt": "",
    },
    SD: {
        "prompt": MUST,
        "negative_prompt": "",
        "num_inference_steps": 28,
        "seed": None,
        "guidance_scale": 3.5,
        "sync_mode": False,
        "num_images": 1,
        "enable_safety_checker": True,
        "output_format": "jpeg",
        "controlnet": None,
        "image_size": "landscape_4_3",
        "loras": [],
        "ip_adapter": None,
    },
    OMNIGEN: {
        "prompt": MUST,
        "input_image_urls": None,
        "image_size": "square_hd",
        "num_inference_steps": 50,
        "seed": None,
        "text_guidance_scale": 5,
        "image_guidance_scale": 2,
        "negative_prompt": "(((deformed))), blurry, over saturation, bad anatomy, disfigured, "
        "poorly drawn face, mutation, mutated, (extra_limb), (ugly), (poorly drawn hands), fused "
        "fingers, messy drawing, broken legs censor, censored, censor_bar",
        "cfg_range_start": 0,
        "cfg_range_end": 1,
        "scheduler": "euler",
        "sync_mode": False,
        "num_images": 1,
        "enable_safety_checker": True,
        "output_format": "jpeg",
    },
    IMAGEN: {
        "prompt": MUST,
        "negative_prompt": "",
        "aspect_ratio": "1:1",
        "num_images": 1,
        "seed": None,
    },
    HIDREAM_FAST: {
        "prompt": MUST,
        "negative_prompt": "",
        "image_size": {"width": 1024, "height": 1024},
        "num_inference_steps": 16,
        "seed": None,
        "sync_mode": False,
        "num_images": 1,
        "enable_safety_checker": True,
        "output_format": "jpeg",
    },
    FLUX: {
        "prompt": MUST,
        "image_size": "landscape_4_3",
        "num_inference_steps": 4,
        "seed": None,
        "sync_mode": False,
        "num_images": 1,
        "enable_safety_checker": True,
        "output_format": "png",
        "acceleration": "regular",
    },
    RECRAFT: {
        "prompt": MUST,
        "image_size": "square_hd",
        "style": "realistic_image",
        "colors": [],
        "style_id": None,
        "enable_safety_checker": False,
    },
    F_LITE: {
        "prompt": MUST,
        "negative_prompt": "",
        "image_size": "landscape_4_3",
        "num_inference_steps": 28,
        "seed": None,
        "guidance_scale": 3.5,
        "sync_mode": False,
        "num_images": 1,
        "enable_safety_checker": True,
    },
    FLUX_DEV: {
        "prompt": MUST,
        "image_size": "landscape_4_3",
        "num_inference_steps": 28,
        "seed": None,
        "guidance_scale": 3.5,
        "sync_mode": False,
        "num_images": 1,
        "enable_safety_checker": True,
        "output_format": "jpeg",
        "acceleration": "none",
    },
}
FLUX_FILES = {"output_format": "png", "acceleration": "regular"}
STYLED = {
    "image_urls": None,
    "rendering_speed": "BALANCED",
    "color_palette": None,
    "style_codes": None,
    "style": None,
}
COUNTED = {"expand_prompt": True, "num_images": 1, "seed": None, "sync_mode": False}
PRINTED |= {
    FLUX_OLD: {**PRINTED[FLUX_DEV], "num_inference_steps": 4, **FLUX_FILES},
    IMAGEN_FAST: PRINTED[IMAGEN],
    TEXTURE: PRINTED[F_LITE],
    V3: {**STYLED, **COUNTED, "prompt": MUST, "image_size": "square_hd", "negative_prompt": ""},
    REMIX: {
        **STYLED,
        **COUNTED,
        "prompt": MUST,
        "image_url": MUST,
        "strength": 0.8,
        "image_size": "square_hd",
        "negative_prompt": "",
    },
    EDIT: {
        **{name: each for name, each in STYLED.items() if name != "style"},
        **COUNTED,
        "prompt": MUST,
        "image_url": MUST,
        "mask_url": MUST,
    },
    REFRAME: {
        **STYLED,
        **{name: each for name, each in COUNTED.items() if name != "expand_prompt"},
        "image_url": MUST,
        "image_size": MUST,
    },
    BACKGROUND: {**STYLED, **COUNTED, "prompt": MUST, "image_url": MUST},
}
# SHA-256 of the example bodies, as JSON, cut from the documentation: they are long.
EXAMPLES: dict[str, str] = {
    HIDREAM: "09198405f81b39cf",
    V2: "b91b7ea92e634965",
    SD: "e5868381297ad832",
    OMNIGEN: "f80518935e66abe1",
    IMAGEN: "babf9776a16b1977",
    HIDREAM_FAST: "38d06f10d9e7150f",
    FLUX: "ba830082a19216b2",
    IMAGEN_FAST: "48494cfd7a224f89",
    RECRAFT: "bd9e134b4e2b64b2",
    F_LITE: "ed839d9a23e22d0d",
}
PRINTED_CHOICES: dict[tuple[str, str], str] = {
    (HIDREAM, "output_format"): "jpeg, png",
    (V2, "aspect_ratio"): "10:16, 16:10, 9:16, 16:9, 4:3, 3:4, 1:1, 1:3, 3:1, 3:2, 2:3",
    (V2, "style"): "auto, general, realistic, design, render_3D, anime",
    (V3, "rendering_speed"): "TURBO, BALANCED, QUALITY",
    (V3, "style"): "AUTO, GENERAL, REALISTIC, DESIGN",
    (OMNIGEN, "scheduler"): "euler, dpmsolver",
    (IMAGEN, "aspect_ratio"): "1:1, 16:9, 9:16, 3:4, 4:3",
    (FLUX, "acceleration"): "none, regular, high",
    (FLUX, "image_size"): "square_hd, square, portrait_4_3, portrait_16_9, landscape_4_3, "
    "landscape_16_9",
    (RECRAFT, "style"): "any, realistic_image, digital_illustration, vector_illustration, "
    "realistic_image/b_and_w, realistic_image/enterprise, realistic_image/hard_flash, "
    "realistic_image/hdr, realistic_image/motion_blur, realistic_image/natural_light, "
    "realistic_image/studio_portrait, digital_illustration/2d_art_poster, "
    "digital_illustration/2d_art_poster_2, digital_illustration/3d, digital_illustration/80s, "
    "digital_illustration/engraving_color, digital_illustration/glow, digital_illustration/grain, "
    "digital_illustration/hand_drawn, digital_illustration/hand_drawn_outline, "
    "digital_illustration/handmade_3d, digital_illustration/infantile_sketch, "
    "digital_illustration/kawaii, digital_illustration/pixel_art, "
    "digital_illustration/psychedelic, digital_illustration/seamless, digital_illustration/voxel, "
    "digital_illustration/watercolor, vector_illustration/cartoon, "
    "vector_illustration/doodle_line_art, vector_illustration/engraving, "
    "vector_illustration/flat_2, vector_illustration/kawaii, vector_illustration/line_art, "
    "vector_illustration/line_circuit, vector_illustration/linocut, "
    "vector_illustration/seamless, icon/broken_line, icon/colored_outline, icon/colored_shapes, "
    "icon/colored_shapes_gradient, icon/doodle_fill, icon/doodle_offset_fill, icon/offset_fill, "
    "icon/outline, icon/outline_gradient, icon/uneven_fill",
}


def required(id: str) -> dict[str, Any]:
    """The least that a page takes."""
    least = {"prompt": "p", "image_url": IMAGE, "mask_url": MASK, "image_size": "landscape_16_9"}
    return {name: least[name] for name, default in PRINTED[id].items() if default == MUST}


def ask(id: str, **changed: Any) -> BaseModel:
    """The least of a page, with something more or something else."""
    params: BaseModel = PAGES[id].Input.model_validate({**required(id), **changed})
    return params
