"""LoHa and LoKr, the changes of LyCORIS that are products of small matrices: they do what PEFT does
with them, take the memory of their files, and are refused by name where they are not whole.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import torch
from peft import LoHaConfig, LoKrConfig, inject_adapter_in_model
from safetensors.torch import load, save

from imagemill.errors import Fault, Kind
from imagemill.pipelines.adapters import Adapters
from imagemill.pipelines.inputs import Weights
from imagemill.pipelines.lora.factors import Change
from imagemill.pipelines.lora.layers import DenseTerm
from imagemill.pipelines.lora.names import places
from imagemill.pipelines.lora.reading import pairs
from tests.checkpoints import Checkpoint
from tests.lora_files import ALPHA, RANK, content, denoiser, file, kept, layers
from tests.pipelines.test_lora_layouts import SCALE, Bench, opened, outputs, same

KINDS: dict[str, Any] = {"LyCORIS LoHa": LoHaConfig, "LyCORIS LoKr": LoKrConfig}
Tensors = dict[str, torch.Tensor]


@pytest.fixture(scope="module", autouse=True)
def inference() -> Iterator[None]:
    with torch.inference_mode():
        yield


@pytest.fixture(scope="module")
def benches(checkpoint: Checkpoint) -> Mapping[str, Bench]:
    made = {}
    for family in ("sd15", "flux-dev"):
        pipe = opened(checkpoint(family))
        made[family] = Bench(checkpoint(family), pipe, Adapters(pipe), outputs(pipe, {}))
    return made


def by_peft(bench: Bench, layout: str, tensors: Tensors) -> Any:
    """What PEFT's own modules give, on a model of their own."""
    pipe = opened(bench.folder)
    model, named = getattr(pipe, denoiser(pipe)), layers(content(bench.pipe))
    config = KINDS[layout](r=RANK, alpha=ALPHA, target_modules=[name for name, _ in named])
    inject_adapter_in_model(config, model)
    for name, _ in named:
        stem, layer = f"lycoris_{name.replace('.', '_')}.", model.get_submodule(name)
        own = {x.removeprefix(stem): each for x, each in tensors.items() if x.startswith(stem)}
        del own["alpha"]
        for role in layer.adapter_layer_names:
            if "default" in getattr(layer, role):
                del getattr(layer, role)["default"]
        for role, each in own.items():
            getattr(layer, role)["default"] = torch.nn.Parameter(each)
        low = layout == "LyCORIS LoHa" or any(role.endswith("_b") for role in own)
        layer.scaling["default"] = SCALE * (ALPHA / RANK if low else 1.0)
    return outputs(pipe, {})


@pytest.mark.parametrize("layout", KINDS)
@pytest.mark.parametrize("family", ["sd15", "flux-dev"])
def test_they_do_what_peft_does(family: str, layout: str, benches: Mapping[str, Bench]) -> None:
    bench = benches[family]
    made = file(family, layout, bench.pipe)
    ours = bench.ours(made)
    assert not same(ours, bench.plain, within=1e-3)
    assert same(ours, by_peft(bench, layout, load(made)), within=1e-4)


@pytest.mark.parametrize("layout", KINDS)
def test_they_take_the_memory_of_their_files(layout: str, benches: Mapping[str, Bench]) -> None:
    bench = benches["sd15"]
    made = kept(file("sd15", layout, bench.pipe))
    added = bench.adapters.added([Weights(made.digest, 1.0, made)])["unet"]
    terms = [term for each in added.terms.values() for term in each]
    changes = {each for adapter in added.owners for each in adapter.pairs.values()}  # type: ignore[attr-defined]
    assert all(isinstance(term, DenseTerm) for term in terms)
    assert sum(x.nbytes for each in changes for x in each.factors.values()) < made.size


def test_a_kernel_may_be_a_factor_of_its_own() -> None:
    """As `use_tucker` has it: w1 o w2 of the cores, and a Kronecker product of one."""
    core, up, down = torch.randn(4, 4, 3, 3), torch.randn(4, 6), torch.randn(4, 5)
    whole = torch.einsum("ijkl,ip,jr->prkl", core, up, down)
    hada = {"hada_t1": core, "hada_w1_a": up, "hada_w1_b": down}
    hada |= {"hada_t2": core, "hada_w2_a": up, "hada_w2_b": down}
    made = Change("LoHa", hada, 1.0, (6, 5, 3, 3), 0, 6)
    assert made.fits
    assert torch.allclose(made.weight(), whole * whole)
    small = torch.randn(2, 3)
    kron = {"lokr_w1": small, "lokr_t2": core, "lokr_w2_a": up, "lokr_w2_b": down}
    made = Change("LoKr", kron, 1.0, (12, 15, 3, 3), 0, 12)
    assert made.fits
    assert torch.allclose(made.weight(), torch.kron(small[..., None, None], whole.contiguous()))


def test_a_layer_of_the_original_code_gives_each_of_its_parts_their_rows(
    benches: Mapping[str, Bench],
) -> None:
    pipe = benches["flux-dev"].pipe
    block = pipe.transformer.single_transformer_blocks[0]
    parts = (block.attn.to_q, block.attn.to_k, block.attn.to_v, block.proj_mlp)
    inputs, outs = block.attn.to_q.in_features, sum(each.out_features for each in parts)
    stem = "lora_unet_single_blocks_0_linear1"
    one, two = torch.randn(outs // 2, inputs // 2), torch.randn(2, 2)
    found = pairs(pipe, places(pipe), {f"{stem}.lokr_w1": two, f"{stem}.lokr_w2": one}, {})
    names = ("attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp")
    split = [found["transformer", f"single_transformer_blocks.0.{name}"] for name in names]
    weights = [each.weight() for each in split if isinstance(each, Change)]
    assert [each.shape[0] for each in weights] == [each.out_features for each in parts]
    assert torch.equal(torch.cat(weights), torch.kron(two, one))


def test_pefts_configuration_in_the_header_says_how_strong_it_is(
    benches: Mapping[str, Bench],
) -> None:
    pipe = benches["sd15"].pipe
    name = layers(content(pipe))[0][0]
    tensors = {
        x.replace(f"lycoris_{name.replace('.', '_')}", f"unet.{name}"): each
        for x, each in load(file("sd15", "LyCORIS LoHa", pipe)).items()
        if x.startswith(f"lycoris_{name.replace('.', '_')}.hada")
    }
    header = {"lora_adapter_metadata": '{"unet.r": 8, "unet.alpha": 16}'}
    for told, strength in ((header, 2.0), ({}, 1.0)):
        (change,) = pairs(pipe, places(pipe), tensors, told).values()
        assert change.strength == strength


# What is refused, and how it is told


def sentence(bench: Bench, tensors: Tensors) -> str:
    with pytest.raises(Fault) as raised:
        bench.ours(save(tensors))
    assert (raised.value.kind, raised.value.field) == (Kind.UNREADABLE, "loras")
    return raised.value.message


@pytest.fixture
def flux(benches: Mapping[str, Bench]) -> Bench:
    return benches["flux-dev"]


@pytest.fixture
def loha(flux: Bench) -> Tensors:
    return load(file("flux-dev", "LyCORIS LoHa", flux.pipe))


def test_what_is_lacking_is_named(flux: Bench, loha: Tensors) -> None:
    name = next(name for name in loha if name.endswith(".hada_w2_b"))
    told = sentence(flux, {x: each for x, each in loha.items() if x != name})
    assert told.startswith("a LoHa lacks hada_w2_b of lycoris_")


def test_what_makes_no_weight_of_the_layer_is_told_with_the_shapes(
    flux: Bench, loha: Tensors
) -> None:
    name = next(name for name in loha if name.endswith(".hada_w2_b"))
    for wrong in (torch.ones(RANK, 7), torch.ones(RANK + 1, loha[name].shape[1])):
        told = sentence(flux, loha | {name: wrong})
        assert f"hada_w2_b {list(wrong.shape)}" in told
        assert "makes no weight of" in told


def test_factors_and_numbers_without_sense_are_told(flux: Bench, loha: Tensors) -> None:
    name = next(each for each in loha if each.endswith("hada_w1_b"))
    alpha = name.removesuffix("hada_w1_b") + "alpha"
    for strange in (
        {name: torch.tensor(1.0)},
        {alpha: torch.zeros(0)},
        {name: torch.zeros(0, 8), alpha: torch.tensor(1.0)},
    ):
        assert "make no sense" in sentence(flux, loha | strange)


def test_one_with_lengths_is_told(flux: Bench, loha: Tensors) -> None:
    stem = next(iter(loha)).rpartition(".")[0]
    told = sentence(flux, loha | {f"{stem}.dora_scale": torch.ones(4)})
    assert told.startswith(f"a LoRA has magnitude beside the LoHa of {stem}")


def test_a_layer_that_is_not_there_is_told_and_never_passed_over(
    flux: Bench, loha: Tensors
) -> None:
    stem = "lycoris_transformer_blocks_99_attn_to_q"
    strange = {f"{stem}.{x.rpartition('.')[2]}": each.clone() for x, each in loha.items()}
    told = sentence(flux, loha | strange)
    assert f"{len(strange)} weights that this model has no place for" in told
