"""Noise: where the numbers come from that a picture is painted from."""

import numpy as np
import torch

_WORD = 2**32  # seeds below it fill torch's generator as torch does it
# Where the words of the Mersenne Twister lie in what torch tells of a generator on the CPU:
# behind its seed and three counters, in 64 bits each.
_WORDS = slice(24, 24 + 624 * 8)


def generator(seed: int) -> torch.Generator:
    """A generator on the CPU for a seed of 64 bits, all of which count.

    torch itself seeds by the lower 32. What is larger fills the twister by its makers' own way for
    long keys, which starts no two seeds alike; what is smaller gives what it gives in torch.
    """
    made = torch.Generator("cpu").manual_seed(seed)
    if seed < _WORD:
        return made
    twister = np.random.RandomState(np.array([seed % _WORD, seed // _WORD], np.uint32))
    words = np.asarray(twister.get_state(legacy=False)["state"]["key"], np.uint64)
    state = made.get_state()
    state[_WORDS] = torch.from_numpy(words.view(np.uint8))
    return made.set_state(state)
