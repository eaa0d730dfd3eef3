"""What an operator says of a model is done: precision, device, attention, words, parts."""

from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import init_empty_weights
from diffusers import DiffusionPipeline
from safetensors.torch import load_file, save_file

from imagemill.engine.checks import check
from imagemill.errors import Fault
from imagemill.model_spec import ModelSpec
from imagemill.pipelines.loading import load
from imagemill.pipelines.weights.parts import fill, read_tensors
from imagemill.pipelines.weights.precision import dtype_of
from tests.checkpoints import Checkpoint


def loaded(source: Path, **options: Any) -> Any:
    return load(ModelSpec(str(source), **options).address, "cpu").pipe


@pytest.mark.parametrize(
    ("denoiser", "device", "expected"),
    [
        ("UNet2DConditionModel", "cuda", torch.float16),
        ("FluxTransformer2DModel", "cuda", torch.bfloat16),
        ("SD3Transformer2DModel", "cuda", torch.bfloat16),
    ],
)
def test_the_precision_on_a_gpu_is_the_one_that_the_family_is_nearest_in(
    denoiser: str, device: str, expected: torch.dtype
) -> None:
    assert dtype_of(ModelSpec("x"), device, denoiser) is expected
    assert dtype_of(ModelSpec("x", dtype="float32"), device, denoiser) is torch.float32


@pytest.mark.parametrize("family", ["sdxl", "flux-dev"])
def test_a_precision_that_is_chosen_is_that_of_every_part(
    family: str, checkpoint: Checkpoint
) -> None:
    pipe = loaded(checkpoint(family), dtype="bfloat16")
    for name in ("unet", "transformer", "text_encoder", "text_encoder_2", "vae"):
        if (part := getattr(pipe, name, None)) is not None:
            assert part.dtype is torch.bfloat16


@pytest.mark.filterwarnings("ignore:`upcast_vae`:FutureWarning")  # of the stock pipeline
def test_a_vae_that_overflows_in_float16_is_held_in_float32_and_paints(
    checkpoint: Checkpoint,
) -> None:
    pipe = loaded(checkpoint("sdxl"), dtype="float16")
    assert (pipe.unet.dtype, pipe.vae.dtype) == (torch.float16, torch.float32)
    options = {"num_inference_steps": 2, "output_type": "np", "width": 64, "height": 64}
    image = pipe("a cat", generator=torch.manual_seed(0), **options).images
    stock = DiffusionPipeline.from_pretrained(checkpoint("sdxl"), dtype=torch.float16)
    stock.set_progress_bar_config(disable=True)
    expected = stock("a cat", generator=torch.manual_seed(0), **options).images
    assert abs(image - expected).max() < 1 / 255  # kernels of their own round otherwise


def test_every_task_of_a_model_in_float16_paints(checkpoint: Checkpoint) -> None:
    report = check(ModelSpec(str(checkpoint("sdxl")), dtype="float16").address)
    assert (report.family, report.precision) == ("StableDiffusionXLPipeline", "float16")
    assert report.batches


def test_attention_is_by_the_backend_that_was_chosen(checkpoint: Checkpoint) -> None:
    pipe = loaded(checkpoint("flux-dev"), attention="_native_math")
    backends = {each._attention_backend for each in pipe.transformer.attn_processors.values()}
    assert {str(getattr(each, "value", each)) for each in backends} == {"_native_math"}
    with pytest.raises(Fault, match="attention sage cannot be had here"):
        loaded(checkpoint("flux-dev"), attention="sage")


def test_a_scheduler_and_a_tokenizer_may_be_named_apart(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    other = checkpoint("sd15")
    apart = {"scheduler": str(other / "scheduler"), "tokenizer": str(other)}
    pipe = loaded(checkpoint("sdxl"), **apart)
    assert type(pipe.scheduler).__name__ == "PNDMScheduler"
    assert pipe.tokenizer("a cat").input_ids
    with pytest.raises(Fault, match=r"scheduler: vae holds no scheduler_config.json"):
        loaded(checkpoint("sdxl"), scheduler=str(other / "vae"))
    with pytest.raises(Fault, match=r"tokenizer: vae holds no tokenizer"):
        loaded(checkpoint("sdxl"), tokenizer=str(other / "vae"))


def test_a_part_of_another_size_is_told(checkpoint: Checkpoint, tmp_path: Path) -> None:
    tensors = load_file(checkpoint("sdxl") / "vae" / "diffusion_pytorch_model.safetensors")
    tensors["decoder.conv_out.bias"] = torch.zeros(4)
    save_file(tensors, tmp_path / "vae.safetensors")
    with pytest.raises(Fault, match=r"vae \(vae.safetensors\) does not fit"):
        loaded(checkpoint("sdxl"), vae=str(tmp_path / "vae.safetensors"))


def test_a_textual_inversion_teaches_the_word_that_is_its_name(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    width = loaded(checkpoint("sd15")).text_encoder.config.hidden_size
    save_file({"emb_params": torch.ones(2, width)}, tmp_path / "mycat.safetensors")
    pipe = loaded(checkpoint("sd15"), textual_inversions=(str(tmp_path / "mycat.safetensors"),))
    assert "mycat" in pipe.tokenizer.get_vocab()
    last = pipe.text_encoder.get_input_embeddings().weight[-2:]
    assert torch.equal(last, torch.ones(2, width))


def test_a_textual_inversion_for_sdxl_teaches_both_encoders(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    plain = loaded(checkpoint("sdxl"))
    widths = [each.config.hidden_size for each in (plain.text_encoder, plain.text_encoder_2)]
    one, two = (torch.ones(1, width) for width in widths)
    save_file({"clip_l": one, "clip_g": two}, tmp_path / "mycat.safetensors")
    pipe = loaded(checkpoint("sdxl"), textual_inversions=(str(tmp_path / "mycat.safetensors"),))
    for tokenizer in (pipe.tokenizer, pipe.tokenizer_2):
        assert "mycat" in tokenizer.get_vocab()


@pytest.mark.parametrize(
    ("family", "names", "message"),
    [
        ("sdxl", ["emb_params"], "made for a model with one text encoder"),
        ("sd15", ["clip_l", "clip_g"], "made for a model with two CLIP encoders, as SDXL"),
        ("sana", ["emb_params"], "SanaPipeline takes no textual inversions"),
    ],
)
def test_a_textual_inversion_of_another_family_is_told(
    family: str, names: list[str], message: str, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    save_file({name: torch.ones(1, 64) for name in names}, tmp_path / "cat.safetensors")
    with pytest.raises(Fault, match=message):
        loaded(checkpoint(family), textual_inversions=(str(tmp_path / "cat.safetensors"),))


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells")
def test_a_mapped_file_leaves_memory_as_it_is_copied(tmp_path: Path) -> None:
    def mapped() -> int:
        status = Path("/proc/self/status").read_text("ascii")
        return int(next(line.split()[1] for line in status.splitlines() if "RssFile" in line))

    side = 4096
    save_file({"weight": torch.ones(side, side, dtype=torch.float16)}, tmp_path / "a.safetensors")
    with init_empty_weights():
        module = torch.nn.Linear(side, side, bias=False)
    tensors = read_tensors(tmp_path / "a.safetensors", "")
    held, before = tensors["weight"], mapped()  # so that the file stays mapped
    fill("a", module, tensors, torch.float32)
    assert mapped() - before < side * side * 2 / 1024 / 2  # KiB: less than half of the file
    assert bool((module.weight == 1).all())
    assert bool((held == 1).all())  # and is there again when it is looked at
    assert tensors == {}


def test_what_is_kept_as_it_is_in_the_file_is_not_copied(tmp_path: Path) -> None:
    save_file({"weight": torch.ones(8, 8)}, tmp_path / "a.safetensors")
    with init_empty_weights():
        module = torch.nn.Linear(8, 8, bias=False)
    tensors = read_tensors(tmp_path / "a.safetensors", "")
    place = tensors["weight"].data_ptr()
    fill("a", module, tensors, torch.float32)
    assert module.weight.data_ptr() == place
