"""The trainer: stops and goes on, knows its words again, and writes what the product loads."""

from pathlib import Path

import pytest
import torch

from imagemill.pico.autoencoder import PatchAutoencoder
from imagemill.pico.text import tokenizer
from imagemill.pico.vocabulary import vocabulary
from training.denoiser import Trainer
from training.model import Pico, know, listed, shipped


def trained(out: Path, model: Pico, minutes: float) -> Trainer:
    torch.set_num_threads(1)
    autoencoder = PatchAutoencoder(width=32, encoder_blocks=1, decoder_blocks=1)
    trainer = Trainer(out, autoencoder.to(torch.bfloat16).eval(), model, 1e-3, minutes, 4, False)
    trainer.train()
    return trainer


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Trainer:
    return trained(tmp_path_factory.mktemp("run"), Pico(layers=1), minutes=0.02)


def test_a_stopped_run_goes_on_where_it_was(first: Trainer) -> None:
    assert first.step > 0
    again = trained(first.out, Pico(layers=1), minutes=1e-9)  # its time is over
    assert again.step == first.step
    mine, its = first.model.state_dict(), again.model.state_dict()
    assert all(torch.equal(mine[name], its[name]) for name in mine)


def test_training_starts_from_shipped_weights(first: Trainer) -> None:
    begun = shipped(first.out / "pipeline", layers=1).state_dict()
    average = first.average.state_dict()
    assert all(torch.allclose(begun[name], average[name], atol=0.02) for name in average)


def test_words_keep_their_embeddings_when_the_list_changes() -> None:
    model, words = Pico(layers=1), tokenizer(vocabulary())
    before = listed(words)[:-1]
    before[5], before[9] = before[9], before[5]
    table = model.text_encoder.get_input_embeddings().weight.data
    old = {word: table[i].clone() for i, word in enumerate(before)}
    know(model, before, words)
    now = listed(words)
    assert all(torch.equal(table[now.index(word)], row) for word, row in old.items())


def test_new_words_take_no_other_words_embedding() -> None:
    model, words = Pico(layers=1), tokenizer(vocabulary())
    before = listed(words)[:4] + listed(words)[30:]
    table = model.text_encoder.get_input_embeddings().weight.data
    know(model, before, words)
    now = table[: len(words)]
    assert len(now.unique(dim=0)) == len(words)
