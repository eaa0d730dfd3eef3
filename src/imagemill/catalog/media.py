"""What a model makes, as far as its id tells: an id that says nothing else makes images."""

import re
from collections.abc import Mapping
from typing import Literal

Medium = Literal["images", "video", "sound", "3D models", "text", "weights"]

_TARGET = re.compile(r"[-_]to[-_]([a-z0-9]+)")
_TARGETS: Mapping[str, Medium] = {  # of names such as text-to-image, which leave no doubt
    "image": "images",
    "images": "images",
    "video": "video",
    "audio": "sound",
    "speech": "sound",
    "music": "sound",
    "dialogue": "sound",
    "3d": "3D models",
    "world": "3D models",
    "text": "text",
    "lottie": "video",
}
# Words of ids, with or without a number behind. The first row with a word of the id holds:
# kling-image makes images, whatever else that family does, and qwen-image-trainer none.
_WORDS: tuple[tuple[Medium, str], ...] = (
    ("weights", "trainer"),
    ("images", "image images kolors"),
    (
        "video",
        "video videos animatediff cogvideox dreamactor flf2v framepack hailuo heygen i2v "
        "infinitalk kandinsky5 kling latentsync lipsync ltx ltxv lucy magi marey mochi musetalk "
        "omnihuman omnilottie pika pixverse recamera sadtalker seedance sora svd t2v v2v "
        "vace veed veo",
    ),
    (
        "sound",
        "audio audios tts speech voice music sfx dubbing elevenlabs kokoro lyria musicgen demucs "
        "diffrhythm mmaudio orpheus sonauto thinksound vibevoice xtts zonos yue personaplex",
    ),
    ("3D models", "hunyuan3d hyper3d meshy rodin trellis tripo tripo3d triposr omnipart"),
    (
        "text",
        "whisper wizper asr ocr stt llm llava caption captioner moondream openrouter transcription "
        "moderation",
    ),
)


def made_by(id: str) -> Medium:
    """What the model `id` makes; images where its id does not tell."""
    name = id.lower()
    for target in _TARGET.findall(name):
        if target in _TARGETS:
            return _TARGETS[target]
    words = set(re.split(r"[^a-z0-9]+", name))
    words |= {word.rstrip("0123456789") for word in words}
    return next((medium for medium, known in _WORDS if words & {*known.split()}), "images")
