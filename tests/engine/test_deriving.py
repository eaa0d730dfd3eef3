"""Modules of which nothing is known: they share forwards where that changes no bit, and only there.

What they ran is counted outside of them, for what is kept on a module is one of the traps.
"""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from imagemill.engine.exact_batching import Exact
from imagemill.engine.module_call import ModuleCall, describe, judged
from imagemill.engine.trials import Memory


@pytest.fixture(autouse=True)
def inference() -> Iterator[None]:
    with torch.inference_mode():
        yield


class Module(torch.nn.Module):
    """A class that nobody has heard of, whose output is some function of its arguments."""

    function: Callable[..., Any]

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        object.__setattr__(self, "function", function)
        self.weight = torch.nn.Parameter(torch.ones(4))


class Denoiser(Module):
    def forward(self, sample: Any, timestep: Any = None, **more: Any) -> Any:
        RAN.append(len(sample))
        return self.function(sample, timestep, **more)


RAN: list[int] = []  # rows of each forward


@pytest.fixture(autouse=True)
def ran() -> list[int]:
    RAN.clear()
    return RAN


def sample(seed: int, rows: int = 1) -> torch.Tensor:
    return torch.randn(rows, 4, 8, 8, generator=torch.Generator().manual_seed(seed))


def same_rows(module: torch.nn.Module, *arguments: dict[str, Any], rounds: int = 4) -> Exact:
    """Calls in company give, at each round, the bits that they give alone to a module that has
    never been called before.
    """
    exact, wanted = Exact(enough=1), [alone(module, each) for each in arguments]
    for _ in range(rounds):
        calls = [describe(module, "forward", (), each) for each in arguments]
        if len({call.group for call in calls}) == 1 and exact.shares(calls[0]):
            outputs = exact.run(calls)
        else:
            outputs = [exact.run([call])[0] for call in calls]
        assert all(same(a, b) for a, b in zip(wanted, outputs, strict=True))
    return exact


def alone(module: torch.nn.Module, arguments: dict[str, Any]) -> Any:
    kind = type(module)
    return Exact().run([describe(kind(module.function), "forward", (), arguments)])[0]


def same(a: Any, b: Any) -> bool:
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return torch.equal(a, b) if torch.is_tensor(a) else bool(a == b)


def test_a_class_that_did_not_exist_when_this_was_written_shares_forwards() -> None:
    module = Denoiser(
        lambda x, t, states: (x * t.view(-1, 1, 1, 1) + states.sum((1, 2, 3)).view(-1, 1, 1, 1),)
    )
    same_rows(
        module,
        *(
            {
                "sample": sample(i),
                "timestep": torch.tensor([i + 1.0]),
                "states": sample(i + 9)[0, None],
            }
            for i in range(4)
        ),
    )
    assert RAN[-1] == 4


def test_times_that_are_one_number_become_one_for_each_row() -> None:
    module = Denoiser(lambda x, t: (x * torch.as_tensor(t).float().reshape(-1, 1, 1, 1),))
    for time in (
        lambda i: torch.tensor(i * 10),
        lambda i: i + 0.5,
        lambda i: torch.tensor(0.1 * i),
    ):
        same_rows(module, *({"sample": sample(i, 2), "timestep": time(i + 1)} for i in range(3)))
        assert RAN[-1] == 6


def test_a_constant_that_happens_to_have_as_many_rows_is_left_as_it_is() -> None:
    module = Denoiser(lambda x, _, table: (x + torch.einsum("ij,kj->", table, table),))
    table = torch.randn(2, 3, generator=torch.Generator().manual_seed(5))
    same_rows(module, *({"sample": sample(i, 2), "table": table} for i in range(3)))
    assert RAN[-1] == 6
    other = {"sample": sample(7, 2), "table": table + 1}
    assert (
        describe(module, "forward", (), other).group
        != describe(module, "forward", (), {"sample": sample(7, 2), "table": table}).group
    )


def test_a_constant_of_one_row_that_agrees_while_it_is_the_same_is_found_out_when_it_differs() -> (
    None
):
    module = Denoiser(lambda x, _, table: (x + table.mean(0),))
    table = sample(5)
    same_rows(module, *({"sample": sample(i), "table": table} for i in range(4)))
    assert RAN[-1] == 4
    same_rows(module, *({"sample": sample(i), "table": sample(20 + i)} for i in range(4)))


@pytest.mark.parametrize(
    "trap",
    [
        lambda x, _: (x - x.mean(0, keepdim=True),),
        lambda x, _: (x * len(x),),
        lambda x, _: (x + (0.25 if len(x) > 2 else 0),),
        lambda x, _: (x + torch.arange(len(x)).view(-1, 1, 1, 1),),
        lambda x, _: (x.flip(0),),
        lambda x, _: (x.sum(0, keepdim=True),),
        lambda x, _: (x.sum(),),
        lambda x, _: (x, len(x)),
    ],
    ids=["mixes", "counts", "grows", "numbers", "turns", "sums", "one number", "tells"],
)
@pytest.mark.parametrize("rows", [1, 2])
def test_what_depends_on_its_neighbours_is_answered_as_if_it_were_alone(
    trap: Callable[..., Any], rows: int
) -> None:
    module = Denoiser(trap)
    same_rows(module, *({"sample": sample(i, rows)} for i in range(4)))


def test_lists_of_any_shapes_share_a_forward_and_come_back_as_lists() -> None:
    module = Denoiser(lambda x, t: ([each * time for each, time in zip(x, t, strict=True)],))
    arguments = [
        {"sample": [sample(i)[0, :, : 4 + 2 * (i % 2)]], "timestep": torch.tensor([i + 2.0])}
        for i in range(4)
    ]
    same_rows(module, *arguments)
    assert RAN[-1] == 4


def test_arguments_that_are_no_tensors_go_row_by_row() -> None:
    module = Denoiser(
        lambda x, _, sizes: (x * torch.tensor([a for a, _ in sizes]).view(-1, 1, 1, 1),)
    )
    same_rows(module, *({"sample": sample(i, 2), "sizes": [(3, 4), (3, 4)]} for i in range(3)))
    assert RAN[-1] == 6


def test_what_differs_in_a_way_that_is_no_row_runs_in_a_group_of_its_own() -> None:
    module = Denoiser(lambda x, _, scale: (x * scale,))
    a, b = (
        describe(module, "forward", (), {"sample": sample(0), "scale": each}) for each in (1.0, 2.0)
    )
    assert a.group != b.group
    same_rows(module, *({"sample": sample(i), "scale": 1.0 + i % 2} for i in range(4)))


class Counting(Denoiser):
    """Its output depends on how often it was called."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        self.calls, self.seen = 0, torch.zeros(1)

    def forward(self, sample: Any, timestep: Any = None, **more: Any) -> Any:
        self.calls += 1
        self.seen += 1
        return super().forward(sample * self.calls + self.seen, timestep, **more)


def test_what_keeps_something_from_call_to_call_is_called_once_for_each() -> None:
    module, exact = Counting(lambda x, _: (x,)), Exact()
    for i in range(1, 5):
        call = describe(module, "forward", (), {"sample": sample(3)})
        assert same(exact.run([call])[0], (sample(3) * i + i,))
    assert not exact.shares(describe(module, "forward", (), {"sample": sample(3)}))


class Lazy(Denoiser):
    """Makes a table at the first use."""

    def forward(self, sample: Any, timestep: Any = None, **more: Any) -> Any:
        if not hasattr(self, "table"):
            self.table = {"shift": torch.full((1,), 2.0)}
        return super().forward(sample + self.table["shift"], timestep, **more)


def test_what_is_made_at_the_first_use_does_not_keep_it_from_sharing() -> None:
    same_rows(Lazy(lambda x, _: (x,)), *({"sample": sample(i)} for i in range(4)))
    assert RAN[-1] == 4


def test_what_writes_into_its_arguments_runs_once_for_each_and_alone() -> None:
    module, exact = Denoiser(lambda x, _: (x.add_(1),)), Exact()
    for _ in range(3):
        mine = sample(3)
        exact.run([describe(module, "forward", (), {"sample": mine})])
        assert torch.equal(mine, sample(3) + 1)
    assert RAN == [1, 1, 1]


def test_what_draws_numbers_is_never_shared() -> None:
    module, exact = Denoiser(lambda x, _: (x + torch.rand(1),)), Exact()
    exact.run([describe(module, "forward", (), {"sample": sample(1)})])
    assert not exact.shares(describe(module, "forward", (), {"sample": sample(2)}))


@pytest.mark.parametrize(
    "argument",
    [torch.Generator(), lambda x: x, {"cache": object()}],
    ids=["draws", "calls", "keeps"],
)
def test_a_call_with_something_that_it_may_change_is_made_once(argument: Any) -> None:
    module, exact = Denoiser(lambda x, _, what: (x,)), Exact()
    for i in range(3):
        call = describe(module, "forward", (), {"sample": sample(i), "what": argument})
        assert not exact.shares(call)
        exact.run([call])
    assert RAN == [1, 1, 1]


def test_a_call_that_was_parked_before_the_verdict_gets_the_same_bits() -> None:
    module, exact = (
        Denoiser(lambda x, _, table: (x + torch.einsum("ij,kj->", table, table),)),
        Exact(),
    )
    table = torch.ones(2, 3)
    early = [
        describe(module, "forward", (), {"sample": sample(i, 2), "table": table}) for i in range(3)
    ]
    assert not exact.shares(early[0])
    outputs = [exact.run([call])[0] for call in early]
    assert all(same(a, (sample(i, 2) + 12,)) for i, a in enumerate(outputs))
    assert isinstance(early[0], ModuleCall)
    assert judged(early[0]) != early[0].facts
    assert not exact.shares(early[1])


def test_memory_that_runs_out_in_the_trial_is_no_verdict() -> None:
    def fails(x: torch.Tensor, _: Any) -> Any:
        if len(x) > 1:
            raise torch.OutOfMemoryError("no room")
        return (x,)

    module, exact = Denoiser(fails), Exact()
    call = describe(module, "forward", (), {"sample": sample(1)})
    with pytest.raises(torch.OutOfMemoryError):
        exact.run([call])
    assert judged(call) is None


def test_what_a_module_held_is_put_back() -> None:
    module = torch.nn.Sequential(torch.nn.BatchNorm1d(2), torch.nn.Identity())
    module[1].cache = [torch.zeros(2), {"a": 1}]  # type: ignore[assignment]
    held = Memory.of(module)
    assert held.holds(module)
    module.train()(torch.ones(3, 2))
    module[1].cache.append(3)  # type: ignore[union-attr,operator]
    module[1].new = 1  # type: ignore[assignment]
    assert not held.holds(module)
    held.restore()
    assert held.holds(module)
    assert not hasattr(module[1], "new")
