"""The runner: many generations at once over stock pipelines, each as if it were alone."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from platform import machine
from threading import Event
from typing import Any

import numpy as np
import pytest
import torch

from imagemill.engine.events import Failed, Progress
from imagemill.engine.stand_ins import prepare
from imagemill.errors import Kind
from imagemill.pipelines.loading import Loaded
from tests.checkpoints import THREE, Checkpoint
from tests.studio import ASKED, Studio, alone
from tests.studio import inference as inference
from tests.studio import pico as pico


@pytest.fixture(scope="module", params=THREE)
def other(request: pytest.FixtureRequest, checkpoint: Checkpoint) -> Loaded:
    return prepare(str(checkpoint(request.param)))


@pytest.mark.parametrize("lanes", [1, 2])
def test_a_picture_has_the_same_bytes_alone_and_among_fifteen_others(
    pico: Loaded, lanes: int
) -> None:
    company = {
        f"other{i}": replace(
            ASKED,
            prompt=("a blue dog", "two green stars on a black background", "large red cat")[i % 3],
            seed=100 + i,
            steps=5 + i % 7,
            guidance_scale=(1.0, 2.5, 7.0, 4.0)[i % 4],
            scheduler=(None, "DPMSolverMultistepScheduler")[i % 2],
            width=(256, 320)[i % 5 == 0],
        )
        for i in range(15)
    }
    studio = Studio(lanes=lanes)
    studio.start(pico, it=ASKED, **company)
    studio.run()
    assert len(studio.finished) == 16
    assert studio.files("it") == alone(pico, ASKED)
    assert studio.files("other4") == alone(pico, company["other4"])


def test_a_picture_in_two_stages_has_the_same_bytes_in_company(pico: Loaded) -> None:
    large = replace(ASKED, width=400, height=512, steps=4)
    studio = Studio()
    studio.start(pico, it=large, other=replace(large, seed=9, steps=6), small=ASKED)
    studio.run()
    assert studio.files("it") == alone(pico, large)


def test_forwards_are_shared(pico: Loaded) -> None:
    ran: list[int] = []
    real = pico.pipe.transformer.real
    handle = real.register_forward_pre_hook(
        lambda _module, _args, kwargs: ran.append(kwargs["hidden_states"].shape[0]),
        with_kwargs=True,
    )
    studio = Studio()
    for _ in range(2):  # the first round proves the buckets
        ran.clear()
        studio.start(pico, a=ASKED, b=replace(ASKED, seed=2), c=replace(ASKED, steps=4))
        studio.run()
    handle.remove()
    assert sum(ran) == 2 * (8 + 8 + 4)
    assert len(ran) < 8 + 8 + 4 or machine() != "x86_64"  # where it was measured


def test_forwards_run_side_by_side(pico: Loaded) -> None:
    real, second, running, met = pico.pipe.transformer.real, Event(), count(1), list[bool]()

    def wait(*_: Any) -> None:
        if next(running) == 2:
            second.set()
        met.append(second.wait(60))  # the first goes on when another has begun

    handle = real.register_forward_pre_hook(wait)
    studio = Studio(lanes=2)
    studio.start(pico, a=ASKED, b=replace(ASKED, seed=2))
    studio.run()
    handle.remove()
    assert set(met) == {True}
    assert set(studio.finished) == {"a", "b"}


@pytest.mark.parametrize(("free", "threads"), [(2, 2), (1, 1)])
def test_a_lone_request_takes_the_processors_that_others_leave(
    pico: Loaded, free: int, threads: int
) -> None:
    used = set[int]()
    real = pico.pipe.transformer.real
    handle = real.register_forward_pre_hook(lambda *_: used.add(torch.get_num_threads()))
    studio = Studio(lanes=2)
    studio.runner.free = lambda: free
    studio.start(pico, it=ASKED)
    studio.run()
    handle.remove()
    assert max(used) == threads
    assert studio.files("it") == alone(pico, ASKED)


def test_who_comes_later_joins_the_next_step_of_the_others(pico: Loaded) -> None:
    studio = Studio()
    studio.start(pico, first=ASKED)
    while studio.steps("first") < 2:
        studio.runner.step()
    studio.start(pico, second=replace(ASKED, seed=2, steps=50))
    while studio.steps("second") < 1:
        studio.runner.step()
    assert studio.steps("first") == 3


def test_the_pictures_of_one_generation_are_those_of_the_seeds_that_follow(pico: Loaded) -> None:
    assert alone(pico, replace(ASKED, num_images=3))[2] == alone(pico, replace(ASKED, seed=3))[0]


def test_progress_counts_every_step_of_every_picture(pico: Loaded) -> None:
    studio = Studio()
    studio.start(pico, it=replace(ASKED, num_images=2, width=512, height=512, steps=5))
    studio.run()
    assert studio.said["it"] == [Progress(done, 10) for done in range(1, 11)]


def test_cancelled_work_makes_no_further_step_and_disturbs_nobody(pico: Loaded) -> None:
    studio = Studio()
    studio.start(pico, gone=replace(ASKED, steps=50), stays=ASKED)
    while studio.steps("gone") < 3:
        studio.runner.step()
    studio.runner.cancel("gone")
    studio.run()
    assert studio.steps("gone") == 3
    assert studio.fault("gone") is Kind.CANCELLED
    assert studio.files("stays") == alone(pico, ASKED)
    assert not studio.runner.trajectories


def test_cancelling_what_is_finished_or_unknown_is_nothing(pico: Loaded) -> None:
    studio = Studio()
    studio.runner.cancel("never heard of")
    studio.start(pico, it=ASKED)
    studio.run()
    studio.runner.cancel("it")
    studio.run()
    assert not any(isinstance(event, Failed) for event in studio.said["it"])


def test_a_short_request_overtakes_long_ones(pico: Loaded) -> None:
    studio = Studio(budget=128)  # one guided row pair at a time
    studio.start(pico, **{f"long{i}": replace(ASKED, steps=40, seed=i) for i in range(4)})
    for _ in range(30):
        studio.runner.step()
    made = sum(studio.steps(f"long{i}") for i in range(4))
    studio.start(pico, short=replace(ASKED, steps=4))
    while "short" not in studio.finished:
        studio.runner.step()
    assert sum(studio.steps(f"long{i}") for i in range(4)) - made <= 4


@pytest.fixture
def failing(pico: Loaded) -> Iterator[dict[str, Any]]:
    """The transformer raises `error` for batches of more than `upto` rows."""
    real = pico.pipe.transformer.real
    told: dict[str, Any] = {"upto": 10**9, "error": RuntimeError("boom")}

    def refuse(_module: Any, _args: Any, kwargs: dict[str, Any]) -> None:
        if kwargs["hidden_states"].shape[0] > told["upto"]:
            raise told["error"]

    handle = real.register_forward_pre_hook(refuse, with_kwargs=True)
    yield told
    handle.remove()


def test_a_failure_of_the_model_fails_in_clear_words_and_the_next_request_is_painted(
    pico: Loaded, failing: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    failing |= {"upto": 0}
    studio = Studio()
    studio.start(pico, it=ASKED)
    studio.run()
    assert studio.fault("it") is Kind.FAILED
    assert "boom" in caplog.text
    assert "boom" not in str(studio.said["it"][-1])
    failing |= {"upto": 10**9}
    studio.start(pico, next=ASKED)
    studio.run()
    assert studio.files("next") == alone(pico, ASKED)


def test_what_a_model_cannot_do_is_told_to_its_caller_alone(checkpoint: Checkpoint) -> None:
    flux = prepare(str(checkpoint("flux-dev")))
    studio = Studio()
    small = replace(ASKED, width=64, height=64, steps=2)
    studio.start(flux, it=replace(small, negative_prompt="a dog"), other=small)
    studio.run()
    assert studio.fault("it") is Kind.INVALID
    assert "other" in studio.finished


def test_other_families_share_forwards_and_keep_their_bytes(other: Loaded) -> None:
    small = replace(ASKED, width=72, height=64, steps=4)
    company = {
        f"n{i}": replace(small, seed=i, steps=3 + i, guidance_scale=3.0 + i) for i in range(3)
    }
    studio = Studio(budget=10**6)
    studio.start(other, it=small, **company)
    studio.run()
    assert len(studio.finished) == 4
    assert studio.finished["it"].pictures[0].shape == (64, 72, 3)
    assert studio.files("it") == alone(other, small)


def test_other_families_paint_what_their_stock_pipeline_paints(other: Loaded) -> None:
    """Rounding apart: the engine pads a lone row to two."""
    small = replace(ASKED, width=64, height=64, steps=3)
    stock = type(other.pipe).from_pretrained(other.source, dtype=other.pipe.dtype)
    stock.set_progress_bar_config(disable=True)
    picture = stock(
        small.prompt, width=64, height=64, num_inference_steps=3, guidance_scale=4.0,
        generator=torch.Generator().manual_seed(1), output_type="np",
    ).images[0]  # fmt: skip
    studio = Studio()
    studio.start(other, it=small)
    studio.run()
    difference = studio.finished["it"].pictures[0] / 255 - picture
    assert np.abs(difference).mean() < 0.01
