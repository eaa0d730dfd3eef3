"""Claim room: how many jobs the engine may be given, and whose."""

from collections import Counter
from collections.abc import Sequence
from typing import Protocol

from imagemill.job import Job
from imagemill.turns import flow


class InPlace(Protocol):
    """A job that the engine has."""

    @property
    def job(self) -> Job: ...

    @property
    def held_back(self) -> bool: ...


def room(running: Sequence[InPlace], at_once: int) -> tuple[int, frozenset[str]]:
    """How many jobs may be claimed, and flows of which none may. running: what is claimed.

    What the engine holds back, as it died with it, takes no place, so that others are painted
    meanwhile; that are as many more as there are places, at most.
    Where all places are taken, who has less than a share of them still gets one (see `places`):
    so long jobs that fill them keep no short one out, and no caller's keep out another's.
    """
    held_back = sum(run.held_back for run in running)
    free = at_once + min(held_back, at_once) - len(running)
    if free > 0:
        return free, frozenset()
    flows = Counter(flow(run.job) for run in running)
    if len(flows) >= at_once:
        return 0, frozenset()
    share = at_once // len(flows)
    return 1, frozenset(name for name, count in flows.items() if count >= share)
