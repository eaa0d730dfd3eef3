"""Recall: finished pictures that are kept, and given again to the caller who asks for the same."""

from dataclasses import asdict, dataclass, replace

from imagemill import files
from imagemill.files import Cache
from imagemill.generation import Painted
from imagemill.job import Submission
from imagemill.telemetry import Telemetry
from imagemill.threads import DISK


@dataclass(frozen=True)
class Recall:
    cache: Cache
    telemetry: Telemetry

    async def find(self, submission: Submission) -> tuple[Submission, Painted | None]:
        """What was painted for it before, and the submission with the seed of that."""
        if submission.seed_drawn:
            seed = await DISK.run(self.cache.get, seed_key(submission))
            if seed is not None:
                submission = seeded(submission, int(seed))
        content = await DISK.run(self.cache.get, image_key(submission))
        self.telemetry.cache.labels("miss" if content is None else "hit").inc()
        return submission, None if content is None else files.unpack(content)

    async def keep(self, submission: Submission, painted: Painted) -> None:
        await DISK.run(self.cache.put, image_key(submission), files.pack(painted))
        if submission.seed_drawn:
            seed = str(submission.generation.seed).encode()
            await DISK.run(self.cache.put, seed_key(submission), seed)


def key_of(submission: Submission) -> str:
    """The same for all submissions of a caller that the same images answer."""
    return seed_key(submission) if submission.seed_drawn else image_key(submission)


def image_key(submission: Submission) -> str:
    """Of these very images; the caller's own, so that none learns what others asked."""
    return files.key(asdict(submission.generation), submission.version, submission.caller)


def seed_key(submission: Submission) -> str:
    """Of the seed that was drawn for this."""
    unseeded = asdict(replace(submission.generation, seed=0))
    return files.key(unseeded, submission.version, submission.caller, "seed")


def seeded(submission: Submission, seed: int) -> Submission:
    """The same, painted with another seed."""
    return replace(submission, generation=replace(submission.generation, seed=seed))
