"""Files: the cache of finished pictures, and the store of everything that has an address."""

from imagemill.files.cache import Cache, key, pack, unpack

__all__ = ["Cache", "key", "pack", "unpack"]
