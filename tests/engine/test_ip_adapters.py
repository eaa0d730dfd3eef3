"""IP-Adapters: a reference image takes part in what is painted, as strongly as is said, and beside
images that have none it shares forwards and changes no byte.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from imagemill.conditions import Control, ImagePrompt
from imagemill.engine.footprints import footprint
from imagemill.engine.stand_ins import adapt, prepare
from imagemill.errors import Fault, Kind
from imagemill.generation import Generation
from imagemill.model_spec import AdapterPlace, ModelSpec, controlled, image_prompted
from imagemill.pipelines.controls import denoiser_of
from imagemill.pipelines.loading import Loaded
from tests.checkpoints import Checkpoint, controlnet, lora
from tests.checkpoints.ip_adapters import ENCODER, FILE, IP_ADAPTERS, ip_adapter
from tests.engine.test_controls import counted
from tests.engine.test_engine_adapters import weights
from tests.studio import ASKED, Studio, painted, png
from tests.studio import inference as inference

SIDE = 64  # px
SERVED = ("sd15", "sd15-full", "sdxl", "sdxl-plus", "sd3", "sd35", "flux")
PLAIN = replace(ASKED, width=SIDE, height=SIDE, steps=2, guidance_scale=3.0)
LEFT = np.kron([[255, 0]], np.ones((SIDE, SIDE // 2))).astype(np.uint8)
Prompted = Callable[[str], Loaded]  # a family's model with an IP-Adapter of a kind


def _reference() -> bytes:
    pixels = np.full((48, 80, 3), 240, np.uint8)
    pixels[8:40, 20:60] = 200, 30, 60
    return png(pixels)


INPUTS = {
    "reference": _reference(),
    "mask": png(LEFT),
    "nowhere": png(np.zeros((SIDE, SIDE), np.uint8)),
    "control": png(np.eye(SIDE, dtype=np.uint8)[..., None].repeat(3, 2) * 255),
    "image": png(np.full((SIDE, SIDE, 3), 90, np.uint8)),
}


def prompting(**values: Any) -> Generation:
    """The plain generation with a reference."""
    own = {name: values.pop(name) for name in ("scale", "mask") if name in values}
    return replace(PLAIN, ip_adapter=ImagePrompt("reference", "adapter", **own), **values)


@pytest.fixture(scope="module")
def adapter(
    checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Path]:
    """An IP-Adapter's folder, made once."""
    root = tmp_path_factory.mktemp("ip-adapters")
    return cache(lambda kind: ip_adapter(kind, checkpoint(IP_ADAPTERS[kind][0]), root / kind))


def place(folder: Path) -> AdapterPlace:
    return AdapterPlace(str(folder / FILE), str(folder / ENCODER))


@pytest.fixture(scope="module")
def prompted(checkpoint: Checkpoint, adapter: Callable[[str], Path]) -> Prompted:
    def prepared(kind: str) -> Loaded:
        base = ModelSpec(str(checkpoint(IP_ADAPTERS[kind][0])), dtype="float32")
        return prepare(image_prompted(base.address, place(adapter(kind))))

    return cache(prepared)


def pixels(loaded: Loaded, generation: Generation) -> Any:
    return painted(loaded, generation, INPUTS).pictures[0].astype(float)


def studio(loaded: Loaded, rounds: int = 1, **generations: Generation) -> Studio:
    own = Studio(inputs=INPUTS)
    own.runner.exact.enough = 1  # pictures this small prove little
    for _ in range(rounds):
        own.start(loaded, **generations)
        own.run()
    return own


def files(loaded: Loaded, generation: Generation) -> tuple[bytes, ...]:
    return studio(loaded, it=generation).files("it")


@pytest.mark.parametrize("kind", SERVED)
def test_a_reference_acts_as_it_does_in_stock_diffusers(
    kind: str, checkpoint: Checkpoint, adapter: Callable[[str], Path], prompted: Prompted
) -> None:
    loaded, asked = prompted(kind), prompting(scale=0.8)
    image = pixels(loaded, asked)
    wanted = stock(loaded, checkpoint(IP_ADAPTERS[kind][0]), adapter(kind), asked)
    assert np.abs(image - wanted).mean() < 0.5, "of 255"
    assert np.abs(image - pixels(loaded, PLAIN)).mean() > 2


@pytest.mark.parametrize("kind", ["sd15", "sdxl"])
def test_a_mask_keeps_it_where_stock_diffusers_does(
    kind: str, checkpoint: Checkpoint, adapter: Callable[[str], Path], prompted: Prompted
) -> None:
    loaded, asked = prompted(kind), prompting(mask="mask")
    wanted = stock(loaded, checkpoint(IP_ADAPTERS[kind][0]), adapter(kind), asked)
    masked = pixels(loaded, asked)
    assert np.abs(masked - wanted).mean() < 0.5
    assert np.abs(masked - pixels(loaded, prompting())).mean() > 1, "the right half is without"
    nowhere = pixels(loaded, prompting(mask="nowhere"))
    assert np.abs(nowhere - pixels(loaded, PLAIN)).mean() < 0.5


def stock(loaded: Loaded, base: Path, folder: Path, asked: Generation) -> Any:
    """What the class paints when it is called as its documentation says."""
    dtype = denoiser_of(loaded.pipe).dtype
    pipe = type(loaded.pipe).from_pretrained(base, dtype=dtype)
    pipe.set_progress_bar_config(disable=True)
    if pipe.vae.config.get("force_upcast"):
        pipe.vae.register_to_config(force_upcast=False)
    pipe.load_ip_adapter(str(folder), weight_name=FILE, **_encoder(pipe, folder, dtype))
    said = asked.ip_adapter
    assert said is not None
    pipe.set_ip_adapter_scale(said.scale)
    more = {} if said.mask is None else {"cross_attention_kwargs": {"ip_adapter_masks": _masks()}}
    image = pipe(
        prompt=asked.prompt, width=SIDE, height=SIDE, num_inference_steps=asked.steps,
        guidance_scale=asked.guidance_scale, output_type="np",
        generator=torch.Generator().manual_seed(asked.seed),
        ip_adapter_image=Image.open(_opened("reference")).convert("RGB"), **more,
    ).images[0]  # fmt: skip
    return image * 255


def _encoder(pipe: Any, folder: Path, dtype: torch.dtype) -> dict[str, Any]:
    place = str(folder / ENCODER)
    if type(pipe).__name__ == "FluxPipeline":
        return {
            "image_encoder_pretrained_model_name_or_path": place,
            "image_encoder_dtype": dtype,
        }
    more = {"subfolder": "."} if hasattr(pipe, "unet") else {}
    return {"image_encoder_folder": place, **more}


def _masks() -> list[torch.Tensor]:
    from diffusers.image_processor import IPAdapterMaskProcessor

    mask = IPAdapterMaskProcessor().preprocess([Image.fromarray(LEFT)], height=SIDE, width=SIDE)
    return [mask.reshape(1, 1, SIDE, SIDE)]


def _opened(name: str) -> Any:
    from io import BytesIO

    return BytesIO(INPUTS[name])


@pytest.mark.parametrize("kind", ["sd15", "sd3", "flux"])
def test_images_with_and_without_a_reference_share_forwards_and_keep_their_bytes(
    kind: str, prompted: Prompted
) -> None:
    loaded, masked = prompted(kind), {"mask": "mask"} if kind == "sd15" else {}
    asked = {
        "one": prompting(seed=2, scale=0.5),
        "other": prompting(seed=3, scale=1.5, **masked),
        "plain": PLAIN,
        "second": replace(PLAIN, seed=4),
    }
    # Enough steps for those to join the others who have an image to be encoded first.
    company = {name: replace(each, steps=5) for name, each in asked.items()}
    with counted(denoiser_of(loaded.pipe).real) as apart:
        before = {name: files(loaded, each) for name, each in company.items()}
    assert len(set(before.values())) == 4
    proving = studio(loaded, 2, **company)
    assert {name: proving.files(name) for name in company} == before
    proved = Studio(inputs=INPUTS)
    proved.runner.exact = proving.runner.exact
    with counted(denoiser_of(loaded.pipe).real) as denoised:
        proved.start(loaded, **company)
        proved.run()
    assert {name: proved.files(name) for name in company} == before
    rows = 1 if kind == "flux" else 2  # of a picture, as guidance is a number or a pair
    assert max(denoised) == 4 * rows, "two plain ones and both others"
    assert len(denoised) < len(apart)


@pytest.mark.parametrize("kind", ["sd15", "sd3", "flux"])
def test_at_a_scale_of_nothing_the_image_is_the_plain_one(kind: str, prompted: Prompted) -> None:
    loaded = prompted(kind)
    assert files(loaded, prompting(scale=0.0)) == files(loaded, PLAIN)


def test_more_scale_leads_further_from_the_plain_image(prompted: Prompted) -> None:
    loaded = prompted("sdxl")
    plain = pixels(loaded, PLAIN)
    apart = [
        np.abs(pixels(loaded, prompting(scale=scale)) - plain).mean() for scale in (0.2, 0.5, 1.0)
    ]
    assert apart == sorted(apart)
    assert apart[0] > 0


def test_it_goes_with_a_controlnet_loras_guidance_in_a_part_and_over_an_image(
    checkpoint: Checkpoint, adapter: Callable[[str], Path], tmp_path: Path
) -> None:
    base = checkpoint("sd15")
    steered = controlled(str(base), str(controlnet("sd15", base, tmp_path / "net")))
    loaded = prepare(image_prompted(steered, place(adapter("sd15"))))
    adapted = adapt(loaded, weights((lora(loaded.pipe, parts=("unet",)), 1.0)))
    asked = prompting(
        control=Control("control", "net"), guidance_range=(0.0, 0.5), image="image", strength=1.0
    )
    images = [
        pixels(adapted, asked),
        pixels(loaded, asked),
        pixels(adapted, replace(asked, control=None)),
        pixels(adapted, replace(asked, ip_adapter=None)),
        pixels(adapted, replace(asked, guidance_range=(0.0, 1.0))),
    ]
    for other in images[1:]:
        assert np.abs(images[0] - other).mean() > 0.3


def test_the_model_is_not_read_again(
    checkpoint: Checkpoint, adapter: Callable[[str], Path], tmp_path: Path
) -> None:
    base = checkpoint("sd15")
    plain = prepare(str(base))
    with_it = prepare(image_prompted(str(base), place(adapter("sd15"))), [plain])
    assert with_it.pipes == plain.pipes
    bare = prepare(str(base), [with_it])
    assert (bare.ip_adapter, bare.pipes) == (None, plain.pipes)
    net = str(controlnet("sd15", base, tmp_path / "net"))
    steered = prepare(controlled(str(base), net), [plain])
    both = prepare(
        image_prompted(controlled(str(base), net), place(adapter("sd15"))), [with_it, steered]
    )
    assert both.controls == steered.controls, "nor is its ControlNet"


def test_its_size_is_known_before_it_is_read(
    checkpoint: Checkpoint, adapter: Callable[[str], Path]
) -> None:
    base, folder = str(checkpoint("sd15")), adapter("sd15")
    plain = footprint(base, "cpu", 4)
    with_it = footprint(image_prompted(base, place(folder)), "cpu", 4)
    assert plain is not None
    assert with_it is not None
    own = sum(2 * x.nbytes for x in load_file(folder / FILE).values())  # half precision becomes 4
    assert with_it.bytes > plain.bytes + own


def test_an_encoder_is_read_from_its_file_alone(
    checkpoint: Checkpoint, adapter: Callable[[str], Path], tmp_path: Path, prompted: Prompted
) -> None:
    """As by URL, or of the Hub; files of OpenAI's CLIP have the text encoder beside it."""
    for kind in ("sd15", "sd3"):
        folder, alone = adapter(kind), tmp_path / f"{kind}.safetensors"
        tensors = load_file(folder / ENCODER / "model.safetensors")
        if kind == "sd3":  # as Google's files have it
            tensors = {f"vision_model.{name}": x for name, x in tensors.items()}
        save_file(tensors | {"text_model.final_layer_norm.weight": torch.ones(8)}, alone)
        base = ModelSpec(str(checkpoint(IP_ADAPTERS[kind][0])), dtype="float32").address
        loaded = prepare(image_prompted(base, AdapterPlace(str(folder / FILE), str(alone))))
        assert files(loaded, prompting()) == files(prompted(kind), prompting())


def refusal(base: Path, path: Path, encoder: Path) -> Fault:
    with pytest.raises(Fault) as caught:
        prepare(image_prompted(str(base), AdapterPlace(str(path), str(encoder))))
    return caught.value


def test_what_does_not_fit_the_model_is_refused_with_both_names(
    checkpoint: Checkpoint, adapter: Callable[[str], Path], tmp_path: Path
) -> None:
    for family, kind, words in (
        ("sd15", "flux", "was made for FLUX.1, and this model is Stable Diffusion"),
        ("flux-dev", "sd3", "was made for Stable Diffusion 3, and this model is FLUX.1"),
        ("sd15", "sd15-faceid", "is for faces"),
    ):
        folder = adapter(kind)
        fault = refusal(checkpoint(family), folder / FILE, folder / ENCODER)
        assert (fault.kind, fault.field) == (Kind.UNSUPPORTED, "ip_adapter.path")
        assert words in fault.message
    for length, words in ((2048, "was made for SDXL"), (768, "was made for Stable Diffusion 1")):
        tensors = load_file(adapter("sd15") / FILE)
        tensors["ip_adapter.1.to_k_ip.weight"] = torch.ones(8, length)
        save_file(tensors, tmp_path / FILE)
        fault = refusal(checkpoint("sd15"), tmp_path / FILE, adapter("sd15") / ENCODER)
        assert words in fault.message


def test_another_size_of_the_family_is_refused_with_its_sizes(
    checkpoint: Checkpoint, adapter: Callable[[str], Path], tmp_path: Path
) -> None:
    tensors = load_file(adapter("sd15") / FILE)
    for broken in (
        {name: x for name, x in tensors.items() if ".3." not in name},
        tensors | {"ip_adapter.3.to_k_ip.weight": torch.ones(8, 8)},
        tensors | {"ip_adapter.99.to_k_ip.weight": torch.ones(8, 8)},
    ):
        save_file(broken, tmp_path / FILE)
        fault = refusal(checkpoint("sd15"), tmp_path / FILE, adapter("sd15") / ENCODER)
        assert (fault.kind, fault.field) == (Kind.UNSUPPORTED, "ip_adapter.path")
        assert "of another size" in fault.message
        assert "attentions" in fault.message


def test_another_image_encoder_is_refused_with_both_widths(
    checkpoint: Checkpoint, adapter: Callable[[str], Path], tmp_path: Path
) -> None:
    tensors = load_file(adapter("sd15") / FILE)
    tensors["image_proj.proj.weight"] = torch.ones(len(tensors["image_proj.proj.weight"]), 1024)
    save_file(tensors, tmp_path / FILE)
    fault = refusal(checkpoint("sd15"), tmp_path / FILE, adapter("sd15") / ENCODER)
    assert (fault.kind, fault.field) == (Kind.UNSUPPORTED, "ip_adapter.encoder_path")
    assert "reads 1024 numbers, and this image encoder gives 48" in fault.message


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"PK\x03\x04 and more bytes than a header has", "a pickle"),
        (b"<html> this is a page that says no", "a web page"),
    ],
)
def test_what_is_no_adapter_is_said(
    content: bytes, words: str, checkpoint: Checkpoint, adapter: Callable[[str], Path],
    tmp_path: Path,
) -> None:  # fmt: skip
    path, folder = tmp_path / "it.safetensors", adapter("sd15")
    path.write_bytes(content)
    fault = refusal(checkpoint("sd15"), path, folder / ENCODER)
    assert (fault.kind, fault.field) == (Kind.UNREADABLE, "ip_adapter.path")
    assert words in fault.message
    fault = refusal(checkpoint("sd15"), folder / FILE, path)
    assert (fault.kind, fault.field) == (Kind.UNREADABLE, "ip_adapter.encoder_path")
    assert words in fault.message
    fault = refusal(checkpoint("sd15"), folder / ENCODER / "model.safetensors", folder / ENCODER)
    assert "no IP-Adapter" in fault.message


def test_masks_are_refused_where_the_attention_takes_none(prompted: Prompted) -> None:
    own = studio(prompted("flux"), it=prompting(mask="mask"))
    assert own.fault("it") is Kind.UNSUPPORTED
    assert own.field("it") == "ip_adapter_mask"


def test_a_model_of_another_kind_says_which_take_one(
    checkpoint: Checkpoint, adapter: Callable[[str], Path]
) -> None:
    folder = adapter("sd15")
    fault = refusal(checkpoint("pixart-sigma"), folder / FILE, folder / ENCODER)
    assert (fault.kind, fault.field) == (Kind.UNSUPPORTED, "ip_adapter")
    assert "SDXL" in fault.message
