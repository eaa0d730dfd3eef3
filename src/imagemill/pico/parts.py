"""The modules whose classes pico's pipeline has: with them imported, stock
`StableDiffusion3Pipeline.from_pretrained(imagemill.pico.folder())` loads it.
"""

from imagemill.pico import autoencoder, denoiser, looks, setting, tokenizers

__all__ = ["autoencoder", "denoiser", "looks", "setting", "tokenizers"]
