"""Files on their way to the sandboxes: each fetched once, however many wait for it, checked, and kept when it is right.

An index is read at its own pace into a draft, from which those who wait read at theirs: who reads slowly holds nothing
that others need. The last piece of a file is held back until the whole is known to be what its digest says: nobody gets
a whole file that is another one.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing
from dataclasses import KW_ONLY, dataclass, field

import aiohttp

from skep.kernel.errors import SkepError
from skep.product.gateway.mirror.door_paths import Place, place_of
from skep.product.gateway.mirror.download import PIECE, Download, checked
from skep.product.gateway.mirror.shares import Share
from skep.product.gateway.model import Digest
from skep.product.gateway.ports import PackageCache
from skep.product.gateway.site import Answer, BrokenOffError
from skep.product.gateway.upstream import Upstream, UpstreamError

log = logging.getLogger(__name__)

#: Of one file.
_TIMEOUT_S = 3600.0
_TRIES = 3
_BINARY = {"Content-Type": "application/octet-stream"}


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A file, and how it is asked for: whatever it is said to be, it is fetched once at a time."""

    url: str
    _: KW_ONLY
    anonymous: bool
    #: A page of an index named it.
    named: bool = field(compare=False)


class Downloads:
    """Gives files out, from the cache or from where they lie."""

    def __init__(self, upstream: Upstream, cache: PackageCache) -> None:
        self._upstream = upstream
        self._cache = cache
        #: A digest alone would let whoever names another place for it decide what all others get.
        self._going: dict[_Wanted, Download] = {}

    async def close(self) -> None:
        """Give up what is on its way."""
        tasks = [download.task for download in self._going.values() if download.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def file(self, url: str, digest: Digest | None, share: Share, *, anonymous: bool) -> Answer:
        """Return the file at *url*; with a *digest* it is that file or none, wherever it comes from.

        It is asked for with the operator's credentials unless that is to be *anonymous*, for a door that has *share*.

        The body of what is returned is to be read, at least begun: it holds what has to be closed.

        Raises:
            UpstreamError: it cannot be had.
            SkepError: the data folder cannot be used, or *url* is no address.
        """
        if digest is not None and (kept := await self.kept(digest)) is not None:
            return kept
        wanted = _Wanted(url, anonymous=anonymous, named=not anonymous)
        download = await self._download(wanted, share, digest.algorithm if digest is not None else "sha256")
        return await self._followed(download, share, digest)

    async def unnamed(self, url: str, share: Share, *, lasting: bool) -> Answer:
        """Return the file at *url*, whose digest nobody says; a *lasting* one is kept by what it turns out to be.

        For addresses that are the registry's own alone: what is noted of them comes from there.

        Raises:
            UpstreamError: it cannot be had.
            SkepError: the data folder cannot be used.
        """
        noted = await self._cache.noted(url) if lasting else None
        if noted is not None and (kept := await self.kept(noted)) is not None:
            return kept
        download = await self._download(_Wanted(url, anonymous=False, named=False), share, "sha512")
        download.unnamed |= lasting
        return await self._followed(download, share, None)

    async def kept(self, digest: Digest) -> Answer | None:
        """Return the file of *digest* if it is kept; its body is to be read, at least begun.

        Raises:
            SkepError: the data folder cannot be used.
        """
        kept = await self._cache.find(digest)
        if kept is None:
            return None
        return Answer(headers=_BINARY, body=self._kept(kept.chunks(), digest), length=kept.size)

    async def _kept(self, chunks: AsyncGenerator[bytes], digest: Digest) -> AsyncGenerator[bytes]:
        try:
            async with aclosing(chunks), aclosing(checked(chunks, digest)) as good:
                async for chunk in good:
                    yield chunk
        except BrokenOffError:
            log.warning("a torn file of the package cache was removed", extra={"digest": digest.hex})
            await self._cache.forget(digest)
            raise

    async def _download(self, wanted: _Wanted, share: Share, algorithm: str) -> Download:
        """Return what is on its way, or begin it when the door may; nothing is awaited after it was found."""
        if (going := self._going.get(wanted)) is not None:
            return going
        name = _named(place_of(wanted.url))
        # First what a door may have to wait for: others are not to wait with it.
        async with AsyncExitStack() as held:
            room = await share.room()
            held.callback(room.close)
            await share.leg.acquire()
            held.callback(share.leg.release)
            draft = await self._cache.draft()
            held.callback(draft.close)
            if (going := self._going.get(wanted)) is not None:
                return going
            download = self._going[wanted] = Download(draft, room, algorithm, name)
            held.pop_all()
            download.task = asyncio.create_task(self._fetched(download, wanted, share))
            return download

    async def _followed(self, download: Download, share: Share, digest: Digest | None) -> Answer:
        download.join(share, digest)
        try:
            length = await asyncio.shield(download.begun)
        except BaseException:
            download.leave()
            raise
        return Answer(headers=_BINARY, body=download.read(digest), length=length)

    async def _fetched(self, download: Download, wanted: _Wanted, share: Share) -> None:
        """Fetch the file to its end, whatever that is; nothing is raised."""
        failure = "the download was given up"
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                failure = await self._fetch(download, wanted)
        except UpstreamError as error:
            failure = error.reason
            _fail(download, error)
        except TimeoutError:
            failure = f"the file did not come within {_TIMEOUT_S:.0f} s"
        except SkepError as error:
            failure = error.message.rstrip(".")
            _fail(download, error)
        finally:
            share.leg.release()
            self._going.pop(wanted, None)
            if not download.begun.done():
                download.begun.set_exception(UpstreamError(502, failure, place_of(wanted.url)))
            if failure:
                download.fail(failure)
            download.leave()

    async def _fetch(self, download: Download, wanted: _Wanted) -> str:
        """Fetch the file, again from where it broke off; return why it cannot be had, or ""."""
        download.begin()
        for _ in range(_TRIES):
            try:
                download.resumed = download.written > 0
                async with self._upstream.get(wanted.url, anonymous=wanted.anonymous, marks=wanted.named) as response:
                    if not download.begun.done():
                        download.begun.set_result(response.content_length)
                    await _take(download, response)
            except (aiohttp.ClientError, OSError, asyncio.IncompleteReadError):
                if download.written and not download.claims:
                    break  # nobody could tell whether the pieces belong together
                continue
            await self._end(download, wanted)
            return ""
        return f"{_named(place_of(wanted.url))} broke the file off"

    async def _end(self, download: Download, wanted: _Wanted) -> None:
        if await download.end(self._cache.limit_bytes) and download.unnamed and download.found is not None:
            await self._cache.note(wanted.url, download.found)
        if download.claims and download.found not in download.claims:
            place = place_of(wanted.url)
            log.warning("a file is not what its digest says", extra={"host": place.host, "path": place.path})


async def _take(download: Download, response: aiohttp.ClientResponse) -> None:
    """Append the body; what an earlier try brought is skipped, the digest speaks of what was kept."""
    skip, taken = download.written, 0
    async for chunk in response.content.iter_chunked(PIECE):
        fresh = chunk[max(0, skip - taken) :]
        taken += len(chunk)
        if fresh:
            await download.write(fresh)


def _named(place: Place) -> str:
    """Return the last part of a file's path, percent-encoded as it is, and who has it."""
    return f"{place.path.partition('?')[0].rpartition('/')[2][:200]}: {place.authority}"


def _fail(download: Download, error: Exception) -> None:
    if not download.begun.done():
        download.begun.set_exception(error)
