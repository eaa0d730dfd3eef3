"""What of a prompt a model never reads, because its text encoders take so many tokens at most."""

from collections.abc import Iterator
from typing import Any

from diffusers import DiffusionPipeline

from imagemill.pipelines.deriving import parameters

_TOKENIZERS = ("tokenizer", "tokenizer_2", "tokenizer_3", "tokenizer_4")
UNLIMITED = 2**20  # tokens; tokenizers without a limit say a number far above


def unread(pipe: DiffusionPipeline, prompt: str) -> tuple[str, ...]:
    """The words at the end of `prompt` that no text encoder of the pipeline takes."""
    words = prompt.split()
    read = 0
    for tokenizer, limit in _limited(pipe):
        read = max(read, _words_within(tokenizer, words, limit))
        if read == len(words):
            return ()
    return tuple(words[read:]) if read else ()


def _limited(pipe: DiffusionPipeline) -> Iterator[tuple[Any, int]]:
    """The tokenizers whose encoders are there, with the tokens that are read of each."""
    named = parameters(type(pipe)).get("max_sequence_length")
    most = named.default if named is not None and isinstance(named.default, int) else UNLIMITED
    for name in _TOKENIZERS:
        tokenizer = getattr(pipe, name, None)
        encoder = name.replace("tokenizer", "text_encoder")
        if tokenizer is not None and getattr(pipe, encoder, tokenizer) is not None:
            yield tokenizer, min(most, int(getattr(tokenizer, "model_max_length", UNLIMITED)))


def _words_within(tokenizer: Any, words: list[str], limit: int) -> int:
    """How many of the first words fit; by halving, since not every tokenizer tells where a token
    lies.
    """
    low, high = 0, len(words)
    if _tokens(tokenizer, words) <= limit:
        return high
    while high - low > 1:
        middle = (low + high) // 2
        if _tokens(tokenizer, words[:middle]) <= limit:
            low = middle
        else:
            high = middle
    return low


def _tokens(tokenizer: Any, words: list[str]) -> int:
    return len(tokenizer(" ".join(words)).input_ids)
