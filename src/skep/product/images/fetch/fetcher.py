"""Getting a source into the sandbox's /app: by git through the door, from an upload, or file by file."""

from skep.kernel.errors import NotFoundError
from skep.product.blobs.model import BlobId
from skep.product.blobs.ports import BlobStore
from skep.product.images import failures
from skep.product.images.environment import BASE
from skep.product.images.failures import BuildFailedError
from skep.product.images.fetch import addresses as sources
from skep.product.images.fetch import inside, listing
from skep.product.images.fetch.credentials import Credential
from skep.product.images.fetch.keyring import Keyring
from skep.product.images.fetch.repository import Repository
from skep.product.images.model import Failure, FilesSource, GitSource, SourceListing, UploadSource
from skep.product.images.options import BuildOptions
from skep.product.images.workshop import Ran, Workshop

_LIST_TIMEOUT_S = 120.0


class Fetcher:
    """Fetches one source into one sandbox; every failure is a `BuildFailedError`."""

    def __init__(self, workshop: Workshop, options: BuildOptions) -> None:
        self._workshop = workshop
        self._options = options

    async def git(self, source: GitSource, *, project_id: str, keyring: Keyring, credential: Credential | None) -> str:
        """Fetch a repository's folder; return the full hash of the commit."""
        repository = Repository(
            self._workshop, self._options, source, project_id=project_id, keyring=keyring, credential=credential
        )
        await repository.open()
        commit = await repository.fetch()
        await repository.close()
        await self._workshop.log.say(f"Commit {commit}.")
        await repository.check_out(commit)
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

    async def text(self, path: str, *, limit: int) -> str | None:
        """Return what is in a file of /app, None if it is not there.

        Raises:
            TooLargeError: it has more than *limit* bytes.
        """
        found = bytearray()
        try:
            async for data in self._workshop.driver.get(self._workshop.handle, f"{sources.APP}/{path}", limit=limit):
                found += data
        except NotFoundError as error:
            if error.code == "sandbox_gone":
                raise
            return None
        return found.decode("utf-8", "replace")

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
