"""Input files: the pictures that jobs name, on disk until they are read.

What comes by URL is written down as it comes, so that many slow hosts at a time take no memory, and
draws on the disk space that all inputs have together.
"""

import logging
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from imagemill.budget import Budget, Share
from imagemill.errors import Fault, Kind
from imagemill.fetch import Fetcher
from imagemill.files.objects import Objects, StoredFile
from imagemill.folders import make_private
from imagemill.job import Job
from imagemill.threads import DISK

log = logging.getLogger(__name__)

OWN = "file:"  # begins the reference to a file of our own
PICTURE_BYTES = 50 * 2**20  # of one that is fetched
SUFFIX = ".picture"


@dataclass(frozen=True)
class InputFile:
    """size: in bytes. read: gives all of it."""

    size: int
    read: Callable[[], Awaitable[bytes]]


@dataclass(frozen=True)
class InputFiles:
    """folder: for what is on its way. disk: the space that all inputs have together."""

    objects: Objects
    fetcher: Fetcher
    folder: Path
    disk: Budget

    @asynccontextmanager
    async def at_hand(
        self, references: Mapping[str, str], job: Job
    ) -> AsyncIterator[dict[str, InputFile]]:
        """The files of a job's fields, by field, until the end of the `with`; raises a Fault that
        names the field of one that cannot be had.
        """
        fetched = sum(not each.startswith(OWN) for each in references.values())
        async with AsyncExitStack() as stack:
            # All of it at once: who holds a part and waits for the rest would keep others waiting.
            share = await self.disk.take(fetched * PICTURE_BYTES, patient=True)
            stack.callback(share.release)
            files = dict[str, InputFile]()
            for name, reference in references.items():
                with concerning(name):
                    if reference.startswith(OWN):
                        file = await self.stored(reference, job)
                        read = partial(self.objects.read, file.key)
                        files[name] = InputFile(file.size, read)
                    else:
                        files[name] = await self._fetched(reference, job, stack, share)
            yield files

    async def stored(self, reference: str, job: Job) -> StoredFile:
        """A file of our own that the job's caller may use."""
        file = await self.objects.get(reference.removeprefix(OWN))
        if file is None or not (file.public or file.caller == job.submission.caller):
            raise Fault(Kind.UNREACHABLE, "there is no such file here, or no longer")
        return file

    async def _fetched(self, url: str, job: Job, stack: AsyncExitStack, share: Share) -> InputFile:
        await DISK.run(make_private, self.folder)
        path = self.folder / f"{uuid.uuid4().hex}{SUFFIX}"
        stack.push_async_callback(DISK.finish, path.unlink, missing_ok=True)
        try:
            await self.fetcher.save(
                url, path, PICTURE_BYTES, job.submission.local, job.submission.caller
            )
        except OSError as error:
            log.warning("a picture could not be put on disk: %s", error.strerror)
            told = "the picture could not be kept here; the disk may be full"
            raise Fault(Kind.FAILED, f"{told}; try again later") from None
        size = (await DISK.run(path.stat)).st_size
        share.shrink(share.size - PICTURE_BYTES + size)
        return InputFile(size, partial(DISK.run, path.read_bytes))

    def tidy(self) -> None:
        """Removes what a server left that did not live to read it."""
        for path in self.folder.glob(f"*{SUFFIX}"):
            path.unlink(missing_ok=True)


@contextmanager
def concerning(field: str) -> Iterator[None]:
    """Says of a fault which field of the call it is about."""
    try:
        yield
    except Fault as fault:
        raise Fault(fault.kind, fault.message, field, fault.retry_after) from None
