"""Tokenizers in the files that people have downloaded, trained on a few sentences made here.

Each function writes one into a folder. SentencePiece models need the package sentencepiece.
"""

import json
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tokenizers import (
    AddedToken,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    trainers,
)
from tokenizers.processors import TemplateProcessing

Writer = Callable[[Path], None]

_TEXT = (
    "a large red cat sits on the yellow mat beside two small blue birds and one green house under "
    "the bright sun while rain falls softly over hills rivers boats and distant old stone towers "
    "photograph painting drawing of an orange bicycle with black wheels in front of white walls"
)
WORDS = _TEXT.split()
QWEN_SPECIAL = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>",
    "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>", "<think>", "</think>",
)  # fmt: skip
CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{{ message['content'] if message['content'] is string else message['content'][0]['text'] }}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def clip(folder: Path) -> None:
    clip_files(folder)


def clip_second(folder: Path) -> None:
    """SDXL's and SD3's second one, which pads with "!"."""
    clip_files(folder, pad="!")


def clip_long(folder: Path) -> None:
    """HiDream's, for 248 tokens."""
    clip_files(folder, length=248)


def clip_files(folder: Path, pad: str = "<|endoftext|>", length: int = 77) -> None:
    """Every byte, alone and at the end of a word, and the merges of a few words."""
    letters = _byte_letters()
    merges, longer = _merges()
    vocabulary = [*letters, *(f"{letter}</w>" for letter in letters), *longer]
    vocabulary = list(
        dict.fromkeys([*vocabulary, "<|startoftext|>", "<|endoftext|>", pad]),
    )
    _write_json(folder / "vocab.json", {token: i for i, token in enumerate(vocabulary)})
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges, ""]), "utf-8")
    special = {
        "bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>",
        "pad_token": pad, "unk_token": "<|endoftext|>",
    }  # fmt: skip
    _write_json(folder / "special_tokens_map.json", special)
    config = {"add_prefix_space": False, "do_lower_case": True, "errors": "replace"}
    named = {"model_max_length": length, "tokenizer_class": "CLIPTokenizer"}
    _write_json(folder / "tokenizer_config.json", config | special | named)


def clip_tokens(folder: Path) -> dict[str, int]:
    """What a text encoder has to know of the tokenizer in the folder."""
    vocabulary = json.loads((folder / "vocab.json").read_text("utf-8"))
    special = json.loads((folder / "special_tokens_map.json").read_text("utf-8"))
    return {
        "vocab_size": len(vocabulary),
        "bos_token_id": vocabulary["<|startoftext|>"],
        "eos_token_id": vocabulary["<|endoftext|>"],
        "pad_token_id": vocabulary[special["pad_token"]],
    }


def t5(folder: Path) -> None:
    """With `tokenizer.json`, as newer folders have it."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Nmt()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=300, special_tokens=["<pad>", "</s>", "<unk>"], unk_token="<unk>",
        initial_alphabet=[chr(i) for i in range(32, 127)],
    )  # fmt: skip
    tokenizer.train_from_iterator(_sentences(), trainer)
    tokenizer.post_processor = TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)]
    )
    extra = [AddedToken(f"<extra_id_{i}>", special=True) for i in range(99, -1, -1)]
    tokenizer.add_special_tokens(extra)
    tokenizer.save(str(folder / "tokenizer.json"))
    _t5_config(folder)


def t5_piece(folder: Path) -> None:
    """With `spiece.model` alone, as older folders have it."""
    sentence_piece(folder / "spiece.model", "unigram", pad=0, eos=1, unk=2, bos=-1)
    _t5_config(folder)


def _t5_config(folder: Path) -> None:
    extras = [f"<extra_id_{i}>" for i in range(100)]
    special: dict[str, Any] = {"eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    special["additional_special_tokens"] = extras
    _write_json(folder / "special_tokens_map.json", special)
    config = {"extra_ids": 100, "model_max_length": 512, "tokenizer_class": "T5Tokenizer"}
    _write_json(folder / "tokenizer_config.json", special | config)


def sentence_piece(path: Path, kind: str, **ids: int) -> None:
    import sentencepiece

    path.parent.mkdir(parents=True, exist_ok=True)
    options: dict[str, Any] = {f"{name}_id": value for name, value in ids.items()}
    if ids.get("pad", -1) >= 0:
        options["pad_piece"] = "<pad>"
    with path.open("wb") as file:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(_sentences()), model_writer=file, model_type=kind,
            vocab_size=300 if kind == "unigram" else 420, byte_fallback=kind == "bpe",
            hard_vocab_limit=False, num_threads=1, minloglevel=2, **options,
        )  # fmt: skip


def qwen(folder: Path) -> None:
    config = {
        "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "unk_token": None,
        "bos_token": None, "chat_template": CHATML, "model_max_length": 131072,
        "additional_special_tokens": QWEN_SPECIAL[1:8],
    }  # fmt: skip
    _byte_bpe(folder, "Qwen2Tokenizer", QWEN_SPECIAL, config)


def llama3(folder: Path) -> None:
    special = "<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"
    config = {
        "bos_token": special[0], "eos_token": special[2], "model_max_length": 131072,
        "model_input_names": ["input_ids", "attention_mask"],
    }  # fmt: skip
    _byte_bpe(folder, "PreTrainedTokenizerFast", special, config)


def glm4(folder: Path) -> None:
    """CogView4's."""
    special = "<|endoftext|>", "[gMASK]", "<sop>"
    config = {
        "eos_token": special[0], "pad_token": special[0], "model_max_length": 128000,
        "padding_side": "left", "model_input_names": ["input_ids", "attention_mask"],
    }  # fmt: skip
    _byte_bpe(folder, "PreTrainedTokenizerFast", special, config, begin=special[1:])


def _byte_bpe(
    folder: Path,
    kind: str,
    special: Sequence[str],
    config: Mapping[str, Any],
    begin: Sequence[str] = (),
) -> None:
    """A byte-level BPE: `tokenizer.json`, `vocab.json`, `merges.txt`."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=380, initial_alphabet=_byte_letters())
    tokenizer.train_from_iterator(_sentences(), trainer)
    tokenizer.add_special_tokens([AddedToken(each, special=True) for each in special])
    if begin:
        tokenizer.post_processor = TemplateProcessing(
            single=" ".join([*begin, "$A"]), pair=" ".join([*begin, "$A", "$B"]),
            special_tokens=[(each, tokenizer.token_to_id(each)) for each in begin],
        )  # fmt: skip
    tokenizer.save(str(folder / "tokenizer.json"))
    tokenizer.model.save(str(folder))
    _write_json(folder / "tokenizer_config.json", {**config, "tokenizer_class": kind})


def gemma(folder: Path) -> None:
    special = {"pad_token": "<pad>", "eos_token": "<eos>", "bos_token": "<bos>"}
    _piece_bpe(folder, "GemmaTokenizerFast", special | {"unk_token": "<unk>"})


def llama2(folder: Path) -> None:
    """OmniGen's and AuraFlow's, with `tokenizer.model` beside it."""
    special = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}
    _piece_bpe(folder, "LlamaTokenizerFast", special | {"pad_token": "<unk>"})
    sentence_piece(folder / "tokenizer.model", "bpe", unk=0, bos=1, eos=2, pad=-1)


def _piece_bpe(folder: Path, kind: str, special: Mapping[str, str]) -> None:
    """As SentencePiece's models are written in `tokenizer.json`: a BPE with bytes."""
    begin, bytes_ = special["bos_token"], [f"<0x{i:02X}>" for i in range(256)]
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=620, special_tokens=[*dict.fromkeys(special.values()), *bytes_],
        initial_alphabet=["▁", *(chr(i) for i in range(33, 127))],
    )  # fmt: skip
    tokenizer.train_from_iterator(_sentences(), trainer)
    tokenizer.post_processor = TemplateProcessing(
        single=f"{begin} $A", pair=f"{begin} $A {begin} $B",
        special_tokens=[(begin, tokenizer.token_to_id(begin))],
    )  # fmt: skip
    raw = json.loads(tokenizer.to_str())
    # Bytes are tokens of the model, not added ones.
    raw["added_tokens"] = [each for each in raw["added_tokens"] if each["content"] not in bytes_]
    _write_json(folder / "tokenizer.json", raw)
    config = {"add_bos_token": True, "model_max_length": 120_000, "tokenizer_class": kind}
    _write_json(folder / "tokenizer_config.json", {**special, **config})


def glm(folder: Path) -> None:
    """ChatGLM's, which Kolors reads: a SentencePiece model alone."""
    config = {
        "tokenizer_class": "ChatGLMTokenizer", "do_lower_case": False, "remove_space": False,
        "model_max_length": 256, "padding_side": "left",
    }  # fmt: skip
    _write_json(folder / "tokenizer_config.json", config)
    sentence_piece(folder / "tokenizer.model", "bpe", unk=0, bos=1, eos=2, pad=-1)


def _sentences() -> list[str]:
    chosen = random.Random(0)
    return [" ".join(chosen.choices(WORDS, k=12)) for _ in range(400)]


def _byte_letters() -> list[str]:
    """What byte-level BPE writes for each byte."""
    return sorted(pre_tokenizers.ByteLevel.alphabet())


def _merges() -> tuple[list[str], list[str]]:
    """Of every word from its left, and the tokens that they make."""
    merges: dict[str, str] = {}
    for word in sorted(set(WORDS)):
        parts = [*word[:-1], f"{word[-1]}</w>"]
        while len(parts) > 1:
            merges[f"{parts[0]} {parts[1]}"] = parts[0] + parts[1]
            parts = [parts[0] + parts[1], *parts[2:]]
    return list(merges), list(dict.fromkeys(merges.values()))


def _write_json(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False), "utf-8")
