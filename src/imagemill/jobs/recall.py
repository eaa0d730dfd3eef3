"""Recall: finished pictures that are kept, and given again to the caller who asks for the same."""

from dataclasses import asdict, dataclass, replace

from imagemill import files
from imagemill.files import Cache
from imagemill.generation import Answer, GeneratedImages
from imagemill.job import Submission
from imagemill.telemetry import Telemetry
from imagemill.threads import DISK


@dataclass(frozen=True)
class Recall:
    cache: Cache
    telemetry: Telemetry

    async def find(self, submission: Submission) -> tuple[Submission, Answer | None]:
        """What was painted for it before, if that will do; the submission has the seed of that."""
        if not submission.cacheable:
            return submission, None
        if submission.seed_drawn:
            seed = await DISK.run(self.cache.get, seed_key(submission))
            if seed is not None:
                submission = seeded(submission, int(seed))
        content = await DISK.run(self.cache.get, image_key(submission))
        if content is None:
            return submission, None
        self.telemetry.cache.labels("hit").inc()
        return submission, Answer(files.unpack(content), submission.generation.seed, hit=True)

    def missed(self, submission: Submission) -> None:
        """Counts a submission that is painted, as nothing is kept for it."""
        if submission.cacheable:
            self.telemetry.cache.labels("miss").inc()

    async def keep(self, submission: Submission, painted: GeneratedImages) -> None:
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
