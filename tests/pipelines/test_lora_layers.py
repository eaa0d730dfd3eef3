"""LoRAs at work: rows with different ones, or with none, in one forward."""

from collections.abc import Sequence
from dataclasses import replace
from platform import machine
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save

from imagemill.engine.module_call import describe
from imagemill.engine.stand_ins import adapt
from imagemill.pipelines.inputs import Weights
from imagemill.pipelines.loading import Loaded
from imagemill.pipelines.lora.layers import Added, DenseTerm, Term, adding, hook
from tests.checkpoints import lora
from tests.lora_files import content, kept, loha, lokr, lycoris
from tests.studio import ASKED, Studio, alone
from tests.studio import inference as inference
from tests.studio import pico as pico


def weights(content: bytes, scale: float = 1.0) -> Weights:
    file = kept(content)
    return Weights(file.digest, scale, file)


@pytest.fixture(scope="module")
def four(pico: Loaded) -> dict[str, Loaded]:
    """With other LoRAs, another rank, another scale, and two at once."""
    one, two, three = (weights(lora(pico.pipe, seed)) for seed in (1, 2, 3))
    wide = weights(lora(pico.pipe, 4, rank=5), 0.5)
    made = {"one": [one], "weak": [replace(one, scale=0.3)], "two": [two, three], "wide": [wide]}
    return {name: adapt(pico, each) for name, each in made.items()}


def test_four_requests_with_four_loras_and_one_without_share_every_forward(
    pico: Loaded, four: dict[str, Loaded]
) -> None:
    ran: list[int] = []
    handle = pico.pipe.transformer.real.register_forward_pre_hook(
        lambda _module, _args, kwargs: ran.append(kwargs["hidden_states"].shape[0]),
        with_kwargs=True,
    )
    studio = Studio()
    for _ in range(3):  # the first proves the buckets
        ran.clear()
        for name, loaded in {**four, "plain": pico}.items():
            studio.start(loaded, **{name: ASKED})
        studio.run()
    handle.remove()
    assert sum(ran) >= 5 * 8 * 2
    assert len(ran) <= 8 + 1 or machine() != "x86_64"  # where it was measured


def test_each_has_the_bytes_that_it_has_alone(pico: Loaded, four: dict[str, Loaded]) -> None:
    everybody = {**four, "plain": pico}
    wanted = {name: alone(loaded, ASKED) for name, loaded in everybody.items()}
    studio = Studio(lanes=2)
    for _ in range(3):
        for name, loaded in everybody.items():
            other = replace(ASKED, seed=7, steps=5, guidance_scale=1.0)
            studio.start(loaded, **{name: ASKED, f"{name}-other": other})
        studio.run()
        assert {name: studio.files(name) for name in everybody} == wanted
    assert len(set(wanted.values())) == 5


def test_loha_and_lokr_have_the_bytes_that_they_have_alone(
    pico: Loaded, four: dict[str, Loaded]
) -> None:
    held = content(SimpleNamespace(transformer=pico.pipe.transformer.real))
    everybody = {
        name: adapt(pico, [weights(save(lycoris(held, factors)), 0.1)])
        for name, factors in (("loha", loha), ("lokr", lokr))
    }
    everybody |= {"one": four["one"], "plain": pico}
    wanted = {name: alone(loaded, ASKED) for name, loaded in everybody.items()}
    studio = Studio()
    for _ in range(2):
        for name, loaded in everybody.items():
            studio.start(loaded, **{name: ASKED})
        studio.run()
        assert {name: studio.files(name) for name in everybody} == wanted
    assert len(set(wanted.values())) == 4


def test_an_adapted_model_shares_every_module_with_the_plain_one(
    pico: Loaded, four: dict[str, Loaded]
) -> None:
    for part in ("transformer", "text_encoder", "vae"):
        reals = {id(getattr(each.pipe, part).real) for each in (pico, *four.values())}
        assert len(reals) == 1


def test_a_lora_is_held_once_whatever_its_scales(four: dict[str, Loaded]) -> None:
    def tensors(name: str) -> set[int]:
        added = four[name].pipe.transformer.added
        terms = (each for layer in added.terms.values() for each in layer)
        return {each.down.data_ptr() for each in terms}

    assert tensors("one") == tensors("weak")
    assert not tensors("one") & tensors("two")


# A layer by itself


def added(layer: torch.nn.Module, *terms: Term | DenseTerm) -> Added:
    hook(layer)
    return Added({layer: terms}, "")


def term(inputs: int, outputs: int, scale: float = 1.0) -> Term:
    return Term(torch.randn(2, inputs), torch.randn(outputs, 2), scale)


def applied(
    layer: torch.nn.Module, x: torch.Tensor, each: Sequence[tuple[Added | None, int]]
) -> torch.Tensor:
    with adding(each, x.shape[0]):
        output: torch.Tensor = layer(x)
    return output


def test_rows_of_others_are_the_plain_ones_to_the_bit() -> None:
    layer, x = torch.nn.Linear(8, 6), torch.randn(5, 3, 8)
    plain = layer(x)
    first, second = term(8, 6), term(8, 6, -0.5)
    got = applied(
        layer, x, [(None, 1), (added(layer, first), 2), (None, 1), (added(layer, second), 1)]
    )
    assert torch.equal(got[0], plain[0])
    assert torch.equal(got[3], plain[3])
    assert torch.equal(got[1:3], plain[1:3] + x[1:3] @ first.down.T @ first.up.T)
    assert torch.equal(got[4:], plain[4:] + x[4:] @ second.down.T @ second.up.T * -0.5)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [(torch.nn.Linear(8, 6), (3, 5, 8)), (torch.nn.Conv2d(3, 6, 3, padding=1), (3, 3, 8, 8))],
    ids=["linear", "convolution"],
)
def test_a_change_of_the_whole_weight_is_added_to_its_rows_alone(
    layer: torch.nn.Linear | torch.nn.Conv2d, shape: tuple[int, ...]
) -> None:
    x, change = torch.randn(shape), torch.randn(layer.weight.shape)
    plain, one = layer(x), added(layer, DenseTerm(lambda: change, 0.5))
    got = applied(layer, x, [(None, 1), (one, 2)])
    assert torch.equal(got[0], plain[0])
    with torch.no_grad():
        layer.weight += 0.5 * change
    assert torch.allclose(got[1:], layer(x)[1:], atol=1e-5)


def test_several_loras_of_a_row_are_summed() -> None:
    layer, x = torch.nn.Linear(8, 6), torch.randn(2, 8)
    terms = term(8, 6, 0.5), term(8, 6, 2.0)
    got = applied(layer, x, [(added(layer, *terms), 2)])
    wanted = layer(x) + sum(each.scale * (x @ each.down.T @ each.up.T) for each in terms)
    assert torch.allclose(got, wanted, atol=1e-5)


def test_a_layer_whose_first_axis_is_a_multiple_of_the_rows_knows_whose_each_is() -> None:
    layer, x = torch.nn.Linear(8, 6), torch.randn(6, 4, 8)  # three places of each of two rows
    plain, one = layer(x), added(layer, term(8, 6))
    with adding([(None, 1), (one, 1)], 2):
        got = layer(x)
    assert torch.equal(got[:3], plain[:3])
    assert not torch.isclose(got[3:], plain[3:]).any(dim=-1).all()


def test_a_layer_that_does_not_tell_whose_its_rows_are_serves_one_call_alone() -> None:
    layer, x = torch.nn.Linear(8, 6), torch.randn(6, 8)  # of rows of any length
    one = added(layer, term(8, 6))
    with adding([(one, 2)], 2):
        assert not torch.equal(layer(x), applied(layer, x, []))
    with adding([(one, 1), (None, 1)], 2), pytest.raises(ValueError, match="whose"):
        layer(x)


def test_convolutions_take_loras_with_their_stride_and_padding() -> None:
    layer, x = torch.nn.Conv2d(3, 6, 3, stride=2, padding=1), torch.randn(2, 3, 8, 8)
    pair = Term(torch.randn(2, 3, 3, 3), torch.randn(6, 2, 1, 1), 0.7)
    got = applied(layer, x, [(added(layer, pair), 2)])
    merged = torch.nn.Conv2d(3, 6, 3, stride=2, padding=1)
    merged.weight.copy_(layer.weight + 0.7 * torch.einsum("orxy,rihw->oihw", pair.up, pair.down))
    merged.bias.copy_(layer.bias)  # type: ignore[union-attr, arg-type]
    assert torch.allclose(got, merged(x), atol=1e-4)


def test_nothing_is_left_of_loras_after_a_forward() -> None:
    layer, x = torch.nn.Linear(8, 6), torch.randn(2, 8)
    plain = layer(x)
    applied(layer, x, [(added(layer, term(8, 6)), 2)])
    assert torch.equal(layer(x), plain)
    assert [name for name, _ in layer.named_parameters()] == ["weight", "bias"]


def test_a_compiled_module_hears_of_loras_that_came_later() -> None:
    """What is compiled looks for no hooks that were not there then: its rows would be plain."""
    inner, x = torch.nn.Linear(8, 6), torch.randn(2, 8)
    module = torch.nn.Sequential(inner)
    module.compile(backend="eager")
    plain = describe(module, "forward", (x,), {})
    before = plain.run(plain.rowed)
    call = describe(module, "forward", (x,), {}, added(inner, term(8, 6)))
    with adding([(call.added, 2)], 2):
        assert not torch.equal(call.run(call.rowed), before)
    assert torch.equal(plain.run(plain.rowed), before)
    assert call.group != plain.group
