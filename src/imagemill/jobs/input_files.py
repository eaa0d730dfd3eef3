"""Input files: the images and weights that calls name, and the images that come within them.

Whatever reference a dialect or a job has, it is read here, and by one rule. What comes by URL for a
job is written down as it comes, so that many slow hosts at a time take no memory, and draws on the
disk space that all inputs have together; what a caller waits for is fetched in turn.
"""

import hashlib
import hmac
import logging
import re
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Container, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from imagemill.budget import Budget, Share
from imagemill.errors import Fault, Kind
from imagemill.fetch import Fetcher
from imagemill.files.keys import TOLD_KEY, UNTOLD, derived_key, untold
from imagemill.files.objects import Objects, StoredFile
from imagemill.folders import make_private
from imagemill.generation import Generation
from imagemill.images.data_uris import check_bytes, data_uri
from imagemill.job import Job
from imagemill.references import host_of, is_inline
from imagemill.slots import Slots, Turnstile
from imagemill.threads import BODIES, DISK

log = logging.getLogger(__name__)

STORED = "file:"  # begins the reference to a file that is stored here
IMAGE_BYTES = 50 * 2**20  # of one image, wherever it comes from
KEPT_SECONDS = 86_400.0  # that an image lives which came within a request
SUFFIX = ".image"  # of what is on its way

# Images that are fetched at a time while their callers wait: so many usually, so many more that
# take longer than so many seconds, so many from one host.
FETCHES = (4, 8, 5.0, 2)

_ADDRESS = re.compile(rf"https?://(?P<host>[^/?#]+)(?:/fal/cdn)?/(?P<key>{TOLD_KEY.pattern})")


@dataclass(frozen=True)
class Caller:
    """Who names an input."""

    #: a digest of their credential, empty where they send none
    id: str
    #: the same, or else their address: whose share of the fetches it takes
    person: str
    #: they are a program on this machine, so that their URLs may lead to its other servers
    local: bool = False


@dataclass(frozen=True)
class Inline:
    """An image that came within a request."""

    content: bytes
    #: as it was declared, or as the content shows
    content_type: str = "image/png"


@dataclass(frozen=True)
class InputFile:
    """A file that is at hand."""

    #: in bytes
    size: int
    #: gives all of it
    read: Callable[[], Awaitable[bytes]]


@dataclass(frozen=True)
class InputFiles:
    """The only reader of references to inputs.

    Who may use a stored file: everybody, where it is public; its caller, by their credential, where
    it is private. A caller without a credential owns nothing, for nobody could tell them from
    others who send none. What they send within a request, or upload where they are told an id and
    no address, has a key that nobody is told: only this server can refer to it, and does so for
    who sent it or knows the id.
    """

    objects: Objects
    fetcher: Fetcher
    #: for what is on its way
    folder: Path
    #: the space that the inputs of all jobs have together
    disk: Budget
    #: gives what makes keys that nobody can guess, the same on whatever machine
    secret: Callable[[], Awaitable[bytes]]
    #: under which files have been given out whoever names them now, with a port where there is one
    hosts: Container[str] = frozenset()
    #: whom callers who wait for an image pass
    fetches: Turnstile = field(
        default_factory=lambda: Turnstile(Slots(*FETCHES, time.monotonic)), compare=False
    )

    @asynccontextmanager
    async def read(self, reference: str, field: str, caller: Caller) -> AsyncIterator[bytes]:
        """The image that a caller names who waits for it: a stored file, a URL or a data URI.

        Until the end of the `with` one from elsewhere counts among the few that are fetched at a
        time. Raises a Fault that names the field.
        """
        async with AsyncExitStack() as stack:
            with concerning(field):
                content = await self._content(reference, field, caller, stack)
            yield content

    async def _content(
        self, reference: str, field: str, caller: Caller, stack: AsyncExitStack
    ) -> bytes:
        if is_inline(reference):
            return (await BODIES.run(data_uri, reference, field, IMAGE_BYTES))[0]
        reference = self.own(reference)
        if reference.startswith(STORED):
            return await self.objects.read((await self.stored(reference, caller.id)).key)
        await stack.enter_async_context(self.fetches.slot(host_of(reference), caller.person))
        fetched = await self.fetcher.get(reference, local=caller.local, caller=caller.person)
        return fetched.content

    @asynccontextmanager
    async def at_hand(
        self, references: Mapping[str, str], job: Job
    ) -> AsyncIterator[dict[str, InputFile]]:
        """The files of a job's fields, by field, until the end of the `with`; raises a Fault that
        names the field of one that cannot be had.
        """
        fetched = sum(not each.startswith(STORED) for each in references.values())
        async with AsyncExitStack() as stack:
            # All of it at once: who holds a part and waits for the rest would keep others waiting.
            share = await self.disk.take(fetched * IMAGE_BYTES, patient=True)
            stack.callback(share.release)
            files = dict[str, InputFile]()
            for name, reference in references.items():
                with concerning(name):
                    if reference.startswith(STORED):
                        file = await self.stored(reference, job.submission.caller)
                        files[name] = InputFile(file.size, partial(self.objects.read, file.key))
                    else:
                        files[name] = await self._fetched(reference, job, stack, share)
            yield files

    def own(self, reference: str) -> str:
        """A file that is stored here by its name, whichever of our hosts its address has."""
        return stored_at(reference, self.hosts) or reference

    async def stored(self, reference: str, caller: str) -> StoredFile:
        """A file that is stored here, by the rule of this class. caller: as in Submission."""
        file = await self.objects.get(reference.removeprefix(STORED))
        if file is None or not _usable(file, caller):
            raise Fault(Kind.UNREACHABLE, "there is no such file here, or no longer")
        return file

    async def keep(self, image: Inline, field: str, caller: str) -> str:
        """The reference to what came within a request: the same for a caller's same content."""
        check_bytes(field, len(image.content), IMAGE_BYTES)
        digest = await BODIES.run(hashlib.sha256, image.content)
        name = f"{caller}/{image.content_type}/{digest.hexdigest()}".encode()
        key = derived_key(hmac.digest(await self.secret(), name, "sha256"), shelf=UNTOLD)
        file, now = await self.objects.get(key), self.objects.clock()
        if file is None or (file.expires or now) < now + KEPT_SECONDS / 2:
            await self.objects.put(
                image.content, image.content_type, key=key, caller=caller, keep=KEPT_SECONDS,
                public=False,
            )  # fmt: skip
        return STORED + key

    async def kept(
        self, generation: Generation, images: Mapping[str, Inline], caller: str
    ) -> Generation:
        """The generation, which refers to stored files where it had data URIs or their addresses.

        images: by field, what was decoded before; the field is a bare DATA then.
        """
        references = dict[str, str]()
        for name, reference in generation.images.items():
            if is_inline(reference):
                if (image := images.get(name)) is None:
                    image = await BODIES.run(_inline, reference, name)
                references[name] = await self.keep(image, name, caller)
            else:
                references[name] = self.own(reference)
        generation = generation.with_images(references)
        loras = tuple(replace(each, path=self.own(each.path)) for each in generation.loras)
        if (control := generation.control) is not None:
            control = replace(control, path=self.own(control.path))
        if (adapter := generation.ip_adapter) is not None:
            encoder = adapter.encoder_path and self.own(adapter.encoder_path)
            adapter = replace(adapter, path=self.own(adapter.path), encoder_path=encoder)
        return replace(generation, loras=loras, control=control, ip_adapter=adapter)

    async def _fetched(self, url: str, job: Job, stack: AsyncExitStack, share: Share) -> InputFile:
        await DISK.run(make_private, self.folder)
        path = self.folder / f"{uuid.uuid4().hex}{SUFFIX}"
        stack.push_async_callback(DISK.finish, path.unlink, missing_ok=True)
        try:
            submission = job.submission
            await self.fetcher.save(url, path, IMAGE_BYTES, submission.local, submission.caller)
        except OSError as error:
            log.warning("an image could not be put on disk: %s", error.strerror)
            message = "the picture could not be kept here; the disk may be full"
            raise Fault(Kind.FAILED, f"{message}; try again later") from None
        size = (await DISK.run(path.stat)).st_size
        share.shrink(share.size - IMAGE_BYTES + size)
        return InputFile(size, partial(DISK.run, path.read_bytes))

    def tidy(self) -> None:
        """Removes what a server left that did not live to read it."""
        for path in self.folder.glob(f"*{SUFFIX}"):
            path.unlink(missing_ok=True)


def stored_at(url: str | None, hosts: Container[str]) -> str | None:
    """The reference to the file that was given out as `url` below one of the hosts; None where it
    is none.
    """
    match = _ADDRESS.fullmatch(url or "")
    ours = match is not None and match["host"].lower().removesuffix(":443") in hosts
    return STORED + match["key"] if match is not None and ours else None


@contextmanager
def concerning(field: str) -> Iterator[None]:
    """Says of a fault which field of the call it is about."""
    try:
        yield
    except Fault as fault:
        raise Fault(fault.kind, fault.message, field, fault.retry_after) from None


def _usable(file: StoredFile, caller: str) -> bool:
    return file.open_to(caller) or (file.caller == caller and untold(file.key))


def _inline(uri: str, field: str) -> Inline:
    return Inline(*data_uri(uri, field, IMAGE_BYTES))
