"""The tokenizers of pico: they read a prompt and say what its picture shows.

They speak as transformers' tokenizers do, and give rows of one length whatever the prompt: a
setting, or a background and placements.
"""

import json
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import BatchEncoding, PreTrainedTokenizer

from imagemill.pico import stylising
from imagemill.pico.backgrounds import number
from imagemill.pico.concepts import traits
from imagemill.pico.layout import layout
from imagemill.pico.placing import LENGTH, token_ids
from imagemill.pico.reading import read
from imagemill.pico.setting import NOTHING, POSITIONS, WORDS, setting

NAMES = "vocab.json"


class PromptTokenizer(PreTrainedTokenizer):
    """Of a prompt all at once, where others know tokens one by one."""

    names: Sequence[str] = ()
    length: int

    def __init__(self, **options: Any) -> None:
        super().__init__(**options | {"model_max_length": self.length})

    @property
    def vocab_size(self) -> int:
        return len(self.names)

    def get_vocab(self) -> dict[str, int]:
        return {name: i for i, name in enumerate(self.names)}

    def _tokenize(self, text: str, **_: Any) -> list[str]:
        return [self.names[i] for i in self.ids(text)]

    def _convert_token_to_id(self, token: str) -> int:
        return self.get_vocab().get(token, 0)

    def _convert_id_to_token(self, index: int) -> str:
        return self.names[index]

    @abstractmethod
    def ids(self, prompt: str) -> Sequence[int]:
        """`length` numbers."""

    def __call__(self, text: str | Sequence[str], **_: Any) -> BatchEncoding:
        prompts = [text] if isinstance(text, str) else text
        return BatchEncoding({"input_ids": torch.tensor([self.ids(each) for each in prompts])})

    def save_vocabulary(
        self, save_directory: str, filename_prefix: str | None = None
    ) -> tuple[str, ...]:
        path = Path(save_directory) / NAMES
        path.write_text(json.dumps(self.names, ensure_ascii=False), "utf-8")
        return (str(path),)


class SettingTokenizer(PromptTokenizer):
    """Gives (n, positions): the place, time, weather and style of a prompt."""

    names, length = WORDS, len(POSITIONS)

    def ids(self, prompt: str) -> Sequence[int]:
        return setting(read(prompt).scene) if prompt.strip() else NOTHING


class PlacementTokenizer(PromptTokenizer):
    """Gives (n, LENGTH): the background of a prompt and where its things are, as `LookEncoder`
    reads it.

    vocab_file: the concepts that have a look, in the order of the table of looks.
    """

    vocab_files_names = {"vocab_file": NAMES}  # noqa: RUF012 so transformers has it
    length = LENGTH

    def __init__(self, vocab_file: str, **options: Any) -> None:
        self.names = json.loads(Path(vocab_file).read_text("utf-8"))
        self.looks = {name: i for i, name in enumerate(self.names)}
        super().__init__(**options)

    def ids(self, prompt: str) -> Sequence[int]:
        if not prompt.strip():
            return token_ids([], self.looks)
        scene = read(prompt).scene
        placements, style = layout(scene, traits(), None), stylising.number(scene.style)
        return token_ids(placements, self.looks, number(scene), style)
