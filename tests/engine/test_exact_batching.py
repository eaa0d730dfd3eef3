"""Batches that give each call the bytes it would have alone, or are not used."""

from collections.abc import Iterator
from dataclasses import replace
from queue import Queue
from threading import Event, Thread
from typing import Any

import pytest
import torch
from diffusers import SD3Transformer2DModel
from hypothesis import given
from hypothesis import strategies as st

from imagemill.engine.exact_batching import Exact, compute_with
from imagemill.engine.module_call import ModuleCall, describe
from imagemill.pipelines.lora.layers import Added


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


class T5EncoderModel(torch.nn.Module):
    """Named as a class whose facts are known. `error` is added where more than `upto` rows run."""

    def __init__(self, upto: int = 10**9) -> None:
        super().__init__()
        self.upto, self.ran = upto, list[int]()

    def forward(self, input_ids: torch.Tensor, attention_mask: Any = None) -> tuple[torch.Tensor]:
        self.ran.append(input_ids.shape[0])
        return (input_ids * 2.0 + (0.25 if input_ids.shape[0] > self.upto else 0),)


def calls(module: torch.nn.Module, *rows: int) -> list[ModuleCall]:
    values = iter(range(sum(rows)))
    return [
        describe(module, "forward", (torch.tensor([[next(values)] for _ in range(n)]),), {})
        for n in rows
    ]


def doubled(module: torch.nn.Module, *rows: int) -> list[list[float]]:
    columns = (call.rowed[0] for call in calls(module, *rows))
    return [(x * 2.0).flatten().tolist() for x in columns if torch.is_tensor(x)]


def values(outputs: list[Any]) -> list[list[float]]:
    return [output[0].flatten().tolist() for output in outputs]


@given(st.lists(st.integers(1, 40), min_size=1, max_size=12))
def test_every_call_gets_its_own_rows_back(rows: list[int]) -> None:
    module, exact = T5EncoderModel(), Exact(enough=1)
    wanted = doubled(module, *rows)
    for _ in range(3):
        assert values(exact.run(calls(module, *rows))) == wanted


def test_a_bucket_is_used_alone_when_enough_values_have_agreed() -> None:
    module, exact = T5EncoderModel(), Exact(enough=8)
    for _ in range(3):
        exact.run(calls(module, 2, 2))
    assert module.ran == [4, 2, 2, 4, 2, 2, 4]


def test_loras_of_other_shapes_are_proved_for_themselves() -> None:
    module, exact = T5EncoderModel(), Exact(enough=8)
    plain = calls(module, 2, 2)
    adapted = [replace(call, added=Added({}, "rank 4")) for call in calls(module, 2, 2)]
    for _ in range(3):
        exact.run(plain)
    module.ran.clear()
    exact.run([plain[0], adapted[1]])  # the plain one's rows are proved, the other's are not
    assert module.ran == [4, 2, 2]
    for _ in range(3):
        exact.run(adapted)
    module.ran.clear()
    assert values(exact.run([plain[0], adapted[1]])) == [[0.0, 2.0], [4.0, 6.0]]
    assert module.ran == [4]


def test_equal_calls_prove_as_much_as_one() -> None:
    module, exact = T5EncoderModel(), Exact(enough=8)
    for _ in range(5):
        exact.run(calls(module, 2)[:1] * 4)
    assert module.ran == [8, 2, 2, 2, 2] * 4 + [8]


def test_a_bucket_that_agrees_once_and_not_the_next_time_is_never_answered_from() -> None:
    module, exact = T5EncoderModel(), Exact(enough=8)
    exact.run(calls(module, 2, 2))
    module.upto = 2
    for _ in range(2):
        assert values(exact.run(calls(module, 2, 2))) == doubled(module, 2, 2)
    assert module.ran[-2:] == [2, 2]


@given(st.lists(st.integers(1, 4), min_size=2, max_size=16))
def test_a_bucket_that_changes_a_bit_is_never_answered_from(rows: list[int]) -> None:
    module, exact = T5EncoderModel(upto=4), Exact(enough=1)
    wanted = doubled(module, *rows)
    for _ in range(2):
        assert values(exact.run(calls(module, *rows))) == wanted


def test_a_lone_row_runs_in_the_bucket_of_two() -> None:
    module = T5EncoderModel()
    Exact().run(calls(module, 1))
    assert module.ran == [2]


def test_little_of_a_bucket_is_padding() -> None:
    module, exact = T5EncoderModel(), Exact(enough=1)
    for _ in range(2):
        exact.run(calls(module, *[2] * 9))
    assert max(module.ran) == 16
    assert module.ran[-2:] == [16, 2]


class ByThreads(T5EncoderModel):
    """Its facts are T5's. `error` more where several threads compute, with `exact` unset."""

    exact = True

    def forward(self, input_ids: torch.Tensor, attention_mask: Any = None) -> tuple[torch.Tensor]:
        (output,) = super().forward(input_ids)
        self.threads = torch.get_num_threads()
        return (output + (0 if self.exact or self.threads == 1 else 0.25),)


ByThreads.__name__ = "T5EncoderModel"


@pytest.mark.parametrize(("same", "threads"), [(True, 2), (False, 1)])
@pytest.mark.parametrize("rows", [(2,), (2, 2)])
def test_threads_are_used_where_they_change_no_bit(
    rows: tuple[int, ...], same: bool, threads: int
) -> None:
    module, exact = ByThreads(), Exact(enough=1)
    module.exact = same
    for _ in range(2):
        assert values(exact.run(calls(module, *rows), 2)) == doubled(module, *rows)
    assert module.threads == threads


def test_several_threads_are_used_as_long_as_they_are_quicker() -> None:
    took, now = {1: 1.0, 2: 0.5}, [0.0]

    class Timed(ByThreads):
        def forward(self, input_ids: torch.Tensor, attention_mask: Any = None) -> Any:
            output = super().forward(input_ids)
            now[0] += took[self.threads]
            return output

    Timed.__name__ = "T5EncoderModel"
    exact, call = Exact(enough=1, clock=lambda: now[0]), calls(Timed(), 2)[0]
    assert not exact.pays(call, 2)  # nothing to compare with
    exact.run([call])
    assert exact.pays(call, 2)
    exact.run([call], 2)
    assert exact.pays(call, 2)
    took[2] = 10.0  # as beside others
    exact.run([call], 2)
    assert [exact.pays(call, 2) for _ in range(51)] == [False] * 50 + [True]
    took[2] = 0.1
    for _ in range(6):
        exact.run([call], 2)
    assert exact.pays(call, 2)


def test_heavy_calls_have_all_threads_for_their_reference() -> None:
    module, exact = ByThreads(), Exact(most=2)
    exact.run([replace(call, heavy=True) for call in calls(module, 2)], 2)
    assert (module.ran, module.threads) == ([2], 2)


def test_calls_are_put_together_until_the_least_buckets_were_refuted() -> None:
    module, exact = T5EncoderModel(upto=2), Exact()
    for rows in ([2, 2], [2, 2, 2], [2, 2, 2, 2]):
        assert exact.shares(calls(module, 2)[0])
        exact.run(calls(module, *rows))
    assert not exact.shares(calls(module, 2)[0])


def test_a_call_is_heavy_by_its_size_alone() -> None:
    module, ids = T5EncoderModel(), torch.zeros(2, 4)
    assert not describe(module, "forward", (ids,), {}).heavy
    with torch.device("meta"):
        module.weight = torch.nn.Parameter(torch.empty(2**38))
    assert not describe(module, "forward", (ids,), {}).heavy  # looked at once
    other = T5EncoderModel()
    other.weight = module.weight
    assert describe(other, "forward", (ids,), {}).heavy


def test_a_thread_computes_with_its_own_number_whatever_another_has_set() -> None:
    def ours(numbers: Queue[int], another: Event) -> None:
        compute_with(1)
        numbers.put(torch.get_num_threads())
        another.wait()
        numbers.put(torch.get_num_threads())

    numbers, another = Queue[int](), Event()
    mine = Thread(target=ours, args=(numbers, another))
    mine.start()
    first = numbers.get()
    other = Thread(target=compute_with, args=(2,))
    other.start()
    other.join()
    another.set()
    mine.join()
    assert (first, numbers.get()) == (1, 1)


def test_calls_of_different_constants_are_of_different_groups() -> None:
    module, ids = T5EncoderModel(), torch.zeros(1, 3)
    plain = describe(module, "forward", (ids,), {})
    masked = describe(module, "forward", (ids,), {"attention_mask": torch.ones(1, 3)})
    wider = describe(module, "forward", (torch.zeros(1, 4),), {})
    assert len({plain.group, masked.group, wider.group}) == 3
    assert describe(module, "forward", (ids + 1,), {}).group == plain.group


class Unheard(T5EncoderModel):
    """Its facts are not known."""


def test_a_module_without_facts_costs_what_it_is_given() -> None:
    given = {"timestep": torch.tensor(0.5), "states": [torch.zeros(2, 30, 8), torch.zeros(2, 7)]}
    call = describe(Unheard(), "forward", (torch.zeros(2, 4, 16, 16),), given)
    assert (call.rows, call.cells) == (2, 256)
    bare = describe(Unheard(), "forward", (), {"timestep": 0.5})
    assert (bare.rows, bare.cells) == (1, 1)


def test_a_module_without_facts_runs_call_by_call() -> None:
    module = Unheard()
    assert values(Exact().run(calls(module, 2, 1))) == [[0.0, 2.0], [4.0]]
    assert module.ran == [2, 1]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_transformer_gives_the_same_bits_in_any_company(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    module = SD3Transformer2DModel(
        sample_size=16, patch_size=2, in_channels=16, num_layers=2, attention_head_dim=32,
        num_attention_heads=6, joint_attention_dim=192, caption_projection_dim=192,
        pooled_projection_dim=192, out_channels=16, pos_embed_max_size=32,
    ).to(dtype)  # fmt: skip

    def call(rows: int) -> ModuleCall:
        arguments = {
            "hidden_states": torch.randn(rows, 16, 16, 16, dtype=dtype),
            "encoder_hidden_states": torch.randn(rows, 21, 192, dtype=dtype),
            "pooled_projections": torch.randn(rows, 192, dtype=dtype),
            "timestep": torch.rand(()) * 1000,
            "return_dict": False,
        }
        return describe(module, "forward", (), arguments)

    with torch.inference_mode():
        asked = [call(rows) for rows in (2, 2, 1, 2, 2, 2, 1, 2)]
        alone = [Exact().run([one])[0][0] for one in asked]
        exact = Exact()
        for _ in range(2):
            together = [output[0] for output in exact.run(asked)]
            assert all(torch.equal(a, b) for a, b in zip(alone, together, strict=True))
