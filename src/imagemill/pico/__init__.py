"""The embedded model: a small text-to-image family in diffusers' format. See MODEL_CARD.md."""

from pathlib import Path


def folder(variant: str = "base") -> Path:
    """Where a shipped variant lies, for `StableDiffusion3Pipeline.from_pretrained`."""
    return Path(__file__).parent / "weights" / variant
