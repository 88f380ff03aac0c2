"""Builds and uploads."""

from collections.abc import AsyncIterator, Callable

from skep.edge.client.nouns import Noun
from skep.edge.client.transport import PREFIX
from skep.edge.wire.builds import BuildView, ExplainBuild, UploadView
from skep.edge.wire.common import LogPiece
from skep.product.images.model import BuildStatus


class Builds(Noun):
    """`/builds`."""

    async def explain(self, wanted: ExplainBuild) -> BuildView:
        """Begin to find out what a build of a source would do; nothing is built."""
        return await self._transport.call(BuildView, "POST", f"{PREFIX}/builds", body=wanted, creates=True)

    async def get(self, build: str) -> BuildView:
        """Return one build."""
        return await self._transport.call(BuildView, "GET", f"{PREFIX}/builds/{build}")

    def all(self, *, status: tuple[str, ...] = (), limit: int | None = None) -> AsyncIterator[BuildView]:
        """Yield the builds of the project, newest first."""
        return self._pages(BuildView, "/builds", status=status, limit=limit)

    async def cancel(self, build: str) -> BuildView:
        """Ask for the build's end."""
        return await self._transport.call(BuildView, "POST", f"{PREFIX}/builds/{build}/cancel")

    async def ended(self, build: str) -> BuildView:
        """Wait until the build is over, and return it."""
        going_on = (BuildStatus.QUEUED, BuildStatus.RUNNING)
        return await self._until(lambda: self.get(build), lambda found: found.status not in going_on)

    def log(self, build: str, *, offset: int = 0, follow: bool = False) -> AsyncIterator[LogPiece]:
        """Yield the build's log; following ends when the build has."""
        return self._log(f"/builds/{build}/log", offset, follow=follow)


class Uploads(Noun):
    """`/uploads`."""

    async def create(self, data: Callable[[], AsyncIterator[bytes]]) -> UploadView:
        """Upload a packed folder (tar, gzip); *data* yields its bytes, afresh at each call."""
        return await self._transport.call(UploadView, "POST", f"{PREFIX}/uploads", body=data, creates=True)
