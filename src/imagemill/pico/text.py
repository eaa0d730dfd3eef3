"""The text side of pico: a tokenizer of its words, and the empty third text encoder."""

from collections.abc import Iterable

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers, processors
from tokenizers.models import WordLevel
from transformers import PreTrainedTokenizerFast

from imagemill.pico.vocabulary import Vocabulary

# Tokens: three objects with count, size and colour, two relations, a ground, start and end.
MAX_LENGTH = 20
RESERVED = 512  # rows of the embedding, so that the vocabulary can grow without changing shapes
START, END, PAD, COMMA = "<start>", "<end>", "<pad>", ","


def tokenizer(vocabulary: Vocabulary) -> PreTrainedTokenizerFast:
    """A tokenizer that keeps the vocabulary's words, in their canonical form; all others fall."""
    words = vocabulary.canonical
    ids = {word: i for i, word in enumerate([START, END, PAD, COMMA, *words])}
    inner = Tokenizer(WordLevel(ids, unk_token=PAD))
    inner.normalizer = normalizers.Sequence([normalizers.Lowercase(), *_cleaning(vocabulary)])
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    inner.post_processor = processors.TemplateProcessing(
        single=f"{START} $A {END}", special_tokens=[(START, ids[START]), (END, ids[END])]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        model_max_length=MAX_LENGTH,
        bos_token=START,
        eos_token=END,
        pad_token=PAD,
        unk_token=PAD,
        split_special_tokens=True,  # "<end>" in a prompt is not the end
    )


def _cleaning(vocabulary: Vocabulary) -> Iterable[normalizers.Normalizer]:
    unknown = rf"(?<![^ ,])(?!(?:{'|'.join(vocabulary.canonical)})(?![^ ,]))[^ ,]+"
    yield from (replace(*rule) for rule in vocabulary.rules)
    yield replace(unknown, "")
    yield replace(" +", " ")  # first, or the rules below go back and forth over long gaps
    yield replace(" ?,[ ,]*", " , ")
    yield replace(r"\A[ ,]+|[ ,]+\Z", "")


def replace(pattern: str, by: str) -> normalizers.Normalizer:
    return normalizers.Replace(Regex(pattern), by)


class NoTextEncoder(ModelMixin, ConfigMixin):
    """Stands in the place of Stable Diffusion 3's T5 and gives one empty token: (n, 1, `width`).

    An absent T5 would be padded with 256 zero tokens by the pipeline, four fifths of all that the
    small transformer would attend to. None at all is more than the pipeline can reshape.
    """

    @register_to_config
    def __init__(self, width: int = 192) -> None:
        super().__init__()
        self.nothing = torch.nn.Parameter(torch.zeros(1), requires_grad=False)

    def forward(self, input_ids: torch.Tensor) -> tuple[torch.Tensor]:
        return (self.nothing.new_zeros((input_ids.shape[0], 1, self.config.width)),)
