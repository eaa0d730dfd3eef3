"""LoRAs: models with some of them paint beside the plain one, which never changes."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load as read_tensors
from safetensors.torch import save as save_tensors

from imagemill.engine.stand_ins import adapt, prepare
from imagemill.errors import Fault, Kind
from imagemill.generation import Generation, Lora
from imagemill.model_spec import FixedLora, ModelSpec
from imagemill.pipelines.families import EMBEDDED
from imagemill.pipelines.inputs import Weights, read
from imagemill.pipelines.loading import Loaded
from tests.checkpoints import THREE, Checkpoint, lora
from tests.lora_files import kept
from tests.studio import ASKED, Studio, alone
from tests.studio import inference as inference
from tests.studio import pico as pico

SMALL = replace(ASKED, width=64, height=64, steps=3)
PARTS = {"sd3": "transformer", "flux-dev": "transformer", "sdxl": "unet"}


@pytest.fixture(scope="module")
def sd3(checkpoint: Checkpoint) -> Loaded:
    return prepare(str(checkpoint("sd3")))


def weights(*files: tuple[bytes, float]) -> tuple[Weights, ...]:
    """As they are when they have been read."""
    inputs = {str(number): kept(content) for number, (content, _) in enumerate(files)}
    loras = tuple(Lora(str(number), scale) for number, (_, scale) in enumerate(files))
    return read(replace(ASKED, loras=loras), inputs).weights


def with_loras(loaded: Loaded, *files: tuple[bytes, float]) -> Loaded:
    return adapt(loaded, weights(*files))


def fault(loaded: Loaded, content: bytes) -> Fault:
    with pytest.raises(Fault) as raised:
        with_loras(loaded, (content, 1.0))
    return raised.value


@pytest.mark.parametrize("family", THREE)
def test_a_lora_changes_the_picture_and_not_the_plain_model(
    family: str, checkpoint: Checkpoint
) -> None:
    plain = prepare(str(checkpoint(family)))
    before = alone(plain, SMALL)
    adapted = with_loras(plain, (lora(plain.pipe, parts=(PARTS[family],)), 1.0))
    studio = Studio()
    studio.start(plain, plain=SMALL)
    studio.start(adapted, adapted=SMALL)
    studio.run()
    assert studio.files("plain") == before == alone(plain, SMALL)
    assert studio.files("adapted") == alone(adapted, SMALL) != before


def test_the_embedded_model_takes_loras_too(pico: Loaded) -> None:
    before = alone(pico, ASKED)
    adapted = with_loras(pico, (lora(pico.pipe), 1.0))
    assert alone(adapted, ASKED) != before == alone(pico, ASKED)


@pytest.mark.parametrize("family", THREE)
def test_the_alpha_in_the_header_is_the_strength(family: str, checkpoint: Checkpoint) -> None:
    """Without it a LoRA of rank 2 and alpha 8 was fused at a quarter."""
    plain, part = prepare(str(checkpoint(family))), PARTS[family]
    tensors = read_tensors(lora(plain.pipe, parts=(part,), rank=2))
    places = sorted({name.removeprefix(f"{part}.").partition(".lora_")[0] for name in tensors})
    config = {"r": 2, "lora_alpha": 8, "target_modules": places}
    told_of = json.dumps({f"{part}.{name}": value for name, value in config.items()})
    header = {"format": "pt", "lora_adapter_metadata": told_of}
    told = with_loras(plain, (save_tensors(tensors, header), 1.0))
    four_times = with_loras(plain, (save_tensors(tensors), 4.0))
    assert alone(told, SMALL) == alone(four_times, SMALL) != alone(plain, SMALL)


def test_two_at_once_paint_another_picture_than_one(sd3: Loaded) -> None:
    one, two = lora(sd3.pipe, 1), lora(sd3.pipe, 2)
    both = with_loras(sd3, (one, 0.5), (two, -1.0))
    pictures = {alone(each, SMALL) for each in (sd3, both, with_loras(sd3, (one, 0.5)))}
    assert len(pictures) == 3


def test_the_order_of_loras_changes_no_byte(sd3: Loaded) -> None:
    files = (lora(sd3.pipe, 1), 0.5), (lora(sd3.pipe, 2), 0.9)
    assert alone(with_loras(sd3, *files), SMALL) == alone(with_loras(sd3, *files[::-1]), SMALL)


def test_a_scale_of_0_is_none() -> None:
    assert weights((b"not even read", 0.0)) == ()


def test_a_lora_of_a_text_encoder_alone_changes_the_picture(sd3: Loaded) -> None:
    adapted = with_loras(sd3, (lora(sd3.pipe, parts=("text_encoder",)), 1.0))
    assert alone(adapted, SMALL) != alone(sd3, SMALL)


def test_an_adapted_model_paints_over_pictures_too(sd3: Loaded) -> None:
    adapted = with_loras(sd3, (lora(sd3.pipe), 1.0))
    assert {*adapted.pipes} == {*sd3.pipes}
    assert all(pipe.transformer.added is not None for pipe in adapted.pipes.values())
    assert all(pipe.transformer.added is None for pipe in sd3.pipes.values())


def test_adapters_leave_no_trace_in_the_modules(sd3: Loaded) -> None:
    before = {name: each.clone() for name, each in sd3.pipe.transformer.real.state_dict().items()}
    alone(with_loras(sd3, (lora(sd3.pipe), 1.0)), SMALL)
    after = sd3.pipe.transformer.real.state_dict()
    assert {*after} == {*before}
    assert all(torch.equal(after[name], each) for name, each in before.items())


def changed(content: bytes, change: dict[str, str]) -> bytes:
    """With one tensor under another name."""
    tensors = read_tensors(content)
    return save_tensors({change.get(name, name): tensor for name, tensor in tensors.items()})


@pytest.mark.parametrize("content", [b"", b"no tensors at all", b"\x00" * 100])
def test_a_file_that_is_none_is_told(sd3: Loaded, content: bytes) -> None:
    told = fault(sd3, content)
    assert (told.kind, told.field) == (Kind.UNREADABLE, "loras")
    assert "safetensors" in told.message


@pytest.mark.parametrize(
    "name",
    [
        "transformer.transformer_blocks.9.attn.to_q.lora_A.weight",
        "transformer.transformer_blocks.0.attn.to_strange.lora_A.weight",
        "elsewhere.transformer_blocks.0.attn.to_q.lora_A.weight",
        "transformer.transformer_blocks.0.attn.to_q.dora_scale",
    ],
)
def test_a_tensor_that_the_model_has_no_place_for_is_an_error(sd3: Loaded, name: str) -> None:
    first = "transformer.transformer_blocks.0.attn.to_q.lora_A.weight"
    told = fault(sd3, changed(lora(sd3.pipe), {first: name}))
    assert (told.kind, told.field) == (Kind.UNREADABLE, "loras")


def test_a_lora_of_another_model_is_told(sd3: Loaded, pico: Loaded) -> None:
    assert fault(sd3, lora(pico.pipe)).kind is Kind.UNREADABLE
    before: Generation = SMALL
    assert alone(sd3, before) == alone(sd3, before)


def test_a_failed_lora_leaves_the_model_as_it_was(sd3: Loaded, pico: Loaded) -> None:
    before = alone(sd3, SMALL)
    fault(sd3, lora(pico.pipe))
    assert alone(sd3, SMALL) == before
    names = [name for name, _ in sd3.pipe.transformer.real.named_parameters()]
    assert not [name for name in names if "lora" in name]


def test_company_of_other_loras_changes_no_byte(pico: Loaded) -> None:
    one = with_loras(pico, (lora(pico.pipe, 1), 1.0))
    two = with_loras(pico, (lora(pico.pipe, 2), 1.0))
    studio = Studio()
    for _ in range(2):
        for name, loaded in (("plain", pico), ("one", one), ("two", two)):
            studio.start(
                loaded, **{f"{name}{seed}": replace(ASKED, seed=seed) for seed in range(2)}
            )
        studio.run()
    for name, loaded in (("plain", pico), ("one", one), ("two", two)):
        assert studio.files(f"{name}1") == alone(loaded, replace(ASKED, seed=1))
    pictures = [studio.picture(f"{name}0") for name in ("plain", "one", "two")]
    assert not np.array_equal(pictures[0], pictures[1])
    assert not np.array_equal(pictures[1], pictures[2])


# LoRAs that an operator has always on


def always_on(*loras: FixedLora) -> Loaded:
    return prepare(ModelSpec(EMBEDDED, loras=loras).address)


def test_a_lora_that_is_always_on_paints_as_if_every_request_named_it(
    pico: Loaded,
) -> None:
    one, two = lora(pico.pipe, 1), lora(pico.pipe, 2)
    model = always_on(FixedLora(str(kept(one).path), 0.5))
    assert alone(model, ASKED) == alone(with_loras(pico, (one, 0.5)), ASKED) != alone(pico, ASKED)
    both = alone(with_loras(model, (two, 1.0)), ASKED)
    assert both not in (alone(model, ASKED), alone(with_loras(pico, (two, 1.0)), ASKED))


def test_a_lora_that_is_always_on_and_does_not_fit_keeps_the_model_from_loading(
    sd3: Loaded, tmp_path: Path
) -> None:
    for path in (str(kept(lora(sd3.pipe)).path), str(tmp_path / "absent.safetensors")):
        with pytest.raises(Fault) as raised:
            always_on(FixedLora(path))
        assert raised.value.kind is Kind.FAILED
        assert "LoRA" in raised.value.message or "absent.safetensors" in raised.value.message


def test_what_a_folder_holds_as_a_lora_is_named_by_its_weight_name(
    pico: Loaded, tmp_path: Path
) -> None:
    content = lora(pico.pipe, 1)
    (tmp_path / "ink.safetensors").write_bytes(content)
    model = always_on(FixedLora(str(tmp_path), 1.0, "ink.safetensors"))
    assert alone(model, ASKED) == alone(with_loras(pico, (content, 1.0)), ASKED)
    with pytest.raises(Fault, match="weight_name"):
        always_on(FixedLora(str(tmp_path)))
