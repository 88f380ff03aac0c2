"""Getting a source into the sandbox's /app: by git through the door, from an upload, or file by file."""

import re

from skep.kernel.errors import NotFoundError
from skep.kernel.settings import MIB
from skep.product.blobs.model import BlobId
from skep.product.blobs.ports import BlobStore
from skep.product.gateway.model import Policy, Rule
from skep.product.images import failures, inside, listing, refusals, sources
from skep.product.images.environment import BASE
from skep.product.images.failures import BuildFailedError
from skep.product.images.model import Failure, FilesSource, GitSource, SourceListing, UploadSource
from skep.product.images.options import BuildOptions
from skep.product.images.workshop import Ran, Workshop
from skep.product.sandboxes.model import ExitReason

_HASH = re.compile(r"(?:[0-9a-f]{40}|[0-9a-f]{64})")
_LIST_TIMEOUT_S = 120.0


class Fetcher:
    """Fetches one source into one sandbox; every failure is a `BuildFailedError`."""

    def __init__(self, workshop: Workshop, options: BuildOptions) -> None:
        self._workshop = workshop
        self._options = options

    async def git(self, source: GitSource) -> str:
        """Fetch a repository's folder; return the full hash of the commit."""
        origin = sources.remote(source.url, self._options.leave)
        here = Rule(host=origin.host, port=origin.port)
        policy = Policy(allow=(here,), private=self._options.allow_private, advice=refusals.while_fetching(here))
        # What comes in is packed and costs at the most twice its size; the rest is caught when it is listed.
        self._workshop.open_to(policy, bytes_down=2 * self._options.source_limit_bytes)
        if origin.scheme == "ssh":
            workshop = self._workshop
            await workshop.driver.put(workshop.handle, sources.SSH_PROXY, listing.program("through_door"), mode=0o644)
        for command in sources.prepare(origin):
            self._expect(await self._git(command), source)
        commit = await self._fetch(origin, source)
        await self._workshop.log.say(f"Commit {commit}.")
        for command in sources.check_out(origin, commit, source.path):
            ran = await self._git(command)
            if not ran.ok and source.path and "read-tree" in command:
                raise BuildFailedError(failures.no_path(source.path))
            self._expect(ran, source)
        return commit

    async def upload(self, source: UploadSource, blobs: BlobStore, blob_id: BlobId) -> None:
        """Unpack an upload, inside."""
        workshop = self._workshop
        await workshop.driver.put(workshop.handle, listing.ARCHIVE, blobs.get(blob_id))
        ran = await self._inside(listing.unpack(source.path, sources.APP, self._options.source_limit_bytes))
        if ran.exit.code == inside.NO_FOLDER:
            raise BuildFailedError(failures.no_path(source.path))
        if ran.exit.code == inside.BAD_ARCHIVE:
            message = f"The upload cannot be unpacked: {failures.quote(ran.stderr)}."
            raise BuildFailedError(
                Failure(code="upload_invalid", message=message, hint="Upload a tar archive, packed with gzip.")
            )
        self._check_inside(ran)

    async def files(self, source: FilesSource) -> None:
        """Write inline files."""
        for path, text in source.files.items():
            await self._workshop.driver.put(self._workshop.handle, f"{sources.APP}/{path}", text.encode(), mode=0o644)

    async def list(self, patterns: tuple[str, ...]) -> tuple[SourceListing, str]:
        """Return what is in /app now, and the version of the sandbox's Python."""
        workshop = self._workshop
        ran = await self._inside(listing.list_source(sources.APP, self._options.source_limit_bytes, patterns))
        self._check_inside(ran)
        answer = bytearray()
        try:
            async for data in workshop.driver.get(workshop.handle, listing.ANSWER, limit=listing.MAX_ANSWER):
                answer += data
        except NotFoundError as error:
            if error.code == "sandbox_gone":
                raise
            raise BuildFailedError(
                Failure(code="listing_invalid", message="The source's listing vanished.", hint="Build again.")
            ) from error
        return listing.parse(bytes(answer))

    async def _fetch(self, origin: sources.Remote, source: GitSource) -> str:
        ran = await self._git(sources.fetch_shallow(origin, source.ref))
        if ran.ok:
            return await self._resolve(origin, ("FETCH_HEAD",), source)
        may_be_commit = source.ref is not None and sources.is_commit(source.ref)
        if self._workshop.over_limit or not failures.wants_everything(ran.stderr, may_be_commit=may_be_commit):
            self._expect(ran, source)
        await self._workshop.log.say("The server cannot give that state alone: fetching all branches and tags.")
        self._expect(await self._git(sources.fetch_all(origin)), source)
        return await self._resolve(origin, sources.revisions(source.ref), source)

    async def _resolve(self, origin: sources.Remote, names: tuple[str, ...], source: GitSource) -> str:
        for name in names:
            ran = await self._git(sources.resolve(origin, name), shown=False)
            if ran.ok and _HASH.fullmatch(commit := ran.stdout.strip()):
                return commit
        raise BuildFailedError(failures.no_ref(source))

    async def _git(self, command: tuple[str, ...], *, shown: bool = True) -> Ran:
        return await self._workshop.run(
            command, env=sources.environment(BASE), timeout_s=self._options.git_timeout_s, shown=shown
        )

    def _expect(self, ran: Ran, source: GitSource) -> None:
        if ran.ok:
            return
        if self._workshop.over_limit or "no space left on device" in ran.stderr.lower():
            raise BuildFailedError(failures.too_large(self._options.source_limit_mb, "repository_too_large"))
        if ran.exit.reason is ExitReason.TIMED_OUT:
            raise BuildFailedError(failures.timed_out(self._options.git_timeout_s, "Fetching the repository"))
        if ran.exit.reason is ExitReason.OUT_OF_MEMORY:
            raise BuildFailedError(failures.out_of_memory(self._options.limits.memory_bytes // MIB))
        raise BuildFailedError(failures.of_fetch(ran.stderr, source, self._workshop.refusal))

    async def _inside(self, command: tuple[str, ...]) -> Ran:
        workshop = self._workshop
        await workshop.driver.put(workshop.handle, listing.PROGRAM, listing.program(), mode=0o644)
        return await workshop.run(command, env=BASE, timeout_s=_LIST_TIMEOUT_S)

    def _check_inside(self, ran: Ran) -> None:
        if ran.ok:
            return
        if ran.exit.code == inside.TOO_LARGE:
            raise BuildFailedError(failures.too_large(self._options.source_limit_mb))
        if "No space left on device" in ran.stderr:
            raise BuildFailedError(failures.too_large(self._options.source_limit_mb))
        message = f"The source cannot be read: {failures.quote(ran.stderr) or ran.exit.reason.value}"
        raise BuildFailedError(Failure(code="source_unreadable", message=message, hint="Build again."))
