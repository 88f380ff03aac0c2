"""Files on their way to the sandboxes: each fetched once, however many wait for it, checked, and kept when it is right.

The last piece of a file is held back until the whole is known to be what its digest says: nobody gets a whole file
that is another one.
"""

import asyncio
import hashlib
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from dataclasses import KW_ONLY, dataclass, replace

import aiohttp

from skep.kernel.errors import SkepError
from skep.product.gateway.mirror.door_paths import Place, place_of
from skep.product.gateway.mirror.download import PIECE, Download, Running, checked
from skep.product.gateway.model import Digest
from skep.product.gateway.ports import Draft, PackageCache
from skep.product.gateway.site import Answer, BrokenOffError
from skep.product.gateway.upstream import Upstream, UpstreamError

log = logging.getLogger(__name__)

#: Of one file.
_TIMEOUT_S = 3600.0
_TRIES = 3
_AT_ONCE = 64
_BINARY = {"Content-Type": "application/octet-stream"}


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A file, and how it is asked for."""

    url: str
    digest: Digest
    _: KW_ONLY
    anonymous: bool


class Downloads:
    """Gives files out, from the cache or from where they lie."""

    def __init__(self, upstream: Upstream, cache: PackageCache) -> None:
        self._upstream = upstream
        self._cache = cache
        #: A digest alone would let whoever names another place for it decide what all others get.
        self._going: dict[_Wanted, Download] = {}
        self._places = asyncio.Semaphore(_AT_ONCE)

    async def close(self) -> None:
        """Give up what is on its way."""
        tasks = [download.task for download in self._going.values() if download.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def file(self, url: str, digest: Digest | None, *, anonymous: bool = False) -> Answer:
        """Return the file at *url*; with a *digest* it is that file or none, wherever it comes from.

        It is asked for with the operator's credentials unless that is to be *anonymous*.

        The body of what is returned is to be read, at least begun: it holds what has to be closed.

        Raises:
            UpstreamError: it cannot be had.
            SkepError: the data folder cannot be used.
        """
        if digest is None:
            return await self._passed_on(url, None, anonymous=anonymous)
        if (kept := await self._cache.find(digest)) is not None:
            return Answer(headers=_BINARY, body=self._kept(kept.chunks(), digest), length=kept.size)
        if self._cache.limit_bytes == 0:
            return await self._passed_on(url, digest, anonymous=anonymous)
        wanted = _Wanted(url, digest, anonymous=anonymous)
        download = self._going.get(wanted)
        if download is None:
            draft = await self._cache.draft()
            if (download := self._going.get(wanted)) is None:
                download = self._begin(draft, wanted)
            else:
                draft.close()
        download.join()
        try:
            length = await asyncio.shield(download.begun)
        except BaseException:
            download.leave()
            raise
        return Answer(headers=_BINARY, body=download.read(), length=length)

    async def unnamed(self, url: str) -> Answer:
        """Return the file at *url*, whose digest nobody says; it is kept by what it turns out to be.

        For addresses that are the registry's own alone: what is noted of them comes from there.

        Raises:
            UpstreamError: it cannot be had.
            SkepError: the data folder cannot be used.
        """
        noted = await self._cache.noted(url)
        if noted is not None and (kept := await self._cache.find(noted)) is not None:
            return Answer(headers=_BINARY, body=self._kept(kept.chunks(), noted), length=kept.size)
        given = await self._passed_on(url, None)
        if given.length is None or given.length > self._cache.limit_bytes or isinstance(given.body, bytes):
            return given
        return replace(given, body=self._noting(url, given.body))

    async def _noting(self, url: str, chunks: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
        running = hashlib.sha512()
        async with aclosing(chunks):
            draft = await self._cache.draft()
            try:
                async for chunk in chunks:
                    running.update(chunk)
                    await draft.write(chunk)
                    yield chunk
                digest = Digest("sha512", running.hexdigest())
                await draft.keep(digest)
                await self._cache.note(url, digest)
            finally:
                draft.close()

    async def _kept(self, chunks: AsyncGenerator[bytes], digest: Digest) -> AsyncGenerator[bytes]:
        try:
            async with aclosing(chunks), aclosing(checked(chunks, digest)) as good:
                async for chunk in good:
                    yield chunk
        except BrokenOffError:
            log.warning("a torn file of the package cache was removed", extra={"digest": digest.hex})
            await self._cache.forget(digest)
            raise

    async def _passed_on(self, url: str, digest: Digest | None, *, anonymous: bool = False) -> Answer:
        """Pass a file on without keeping it."""
        opened = self._upstream.get(url, anonymous=anonymous, marks=False)
        response = await opened.__aenter__()

        async def body() -> AsyncGenerator[bytes]:
            try:
                chunks = response.content.iter_chunked(PIECE)
                async for chunk in checked(chunks, digest) if digest is not None else chunks:
                    yield chunk
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                raise BrokenOffError("the index broke the file off") from error
            finally:
                await opened.__aexit__(None, None, None)

        return Answer(headers=_BINARY, body=body(), length=response.content_length)

    def _begin(self, draft: Draft, wanted: _Wanted) -> Download:
        download = self._going[wanted] = Download(draft, wanted.digest)
        download.task = asyncio.create_task(self._fetched(download, wanted))
        return download

    async def _fetched(self, download: Download, wanted: _Wanted) -> None:
        """Fetch the file to its end, whatever that is; nothing is raised."""
        failure = "the download was given up"
        try:
            async with self._places, asyncio.timeout(_TIMEOUT_S):
                failure = await self._fetch(download, wanted)
        except UpstreamError as error:
            failure = error.reason
            _fail(download, error)
        except TimeoutError:
            failure = f"the file did not come within {_TIMEOUT_S:.0f} s"
        except SkepError as error:
            failure = error.message
            _fail(download, error)
        finally:
            self._going.pop(wanted, None)
            if not download.begun.done():
                download.begun.set_exception(UpstreamError(502, failure, place_of(wanted.url)))
            if failure:
                await download.end(failure)
            download.leave()

    async def _fetch(self, download: Download, wanted: _Wanted) -> str:
        """Fetch the file, again from where it broke off; return why it cannot be had, or ""."""
        url, digest = wanted.url, wanted.digest
        running = hashlib.new(digest.algorithm)
        for _ in range(_TRIES):
            with suppress(aiohttp.ClientError, OSError, asyncio.IncompleteReadError):
                async with self._upstream.get(url, anonymous=wanted.anonymous) as response:
                    if not download.begun.done():
                        download.begun.set_result(response.content_length)
                    await self._take(download, response, running)
                if running.hexdigest() == digest.hex:
                    await download.end()
                    return ""
                place = place_of(url)
                log.warning("a file is not what its digest says", extra={"host": place.host, "path": place.path})
                return f"{_named(place)} gave another file than the one with the hash {digest.algorithm}:{digest.hex}"
        return f"{_named(place_of(url))} broke the file off {_TRIES} times"

    async def _take(self, download: Download, response: aiohttp.ClientResponse, running: Running) -> None:
        """Append the body; what an earlier try brought is skipped, the digest speaks of what was kept."""
        skip, taken = download.written, 0
        async for chunk in response.content.iter_chunked(PIECE):
            fresh = chunk[max(0, skip - taken) :]
            taken += len(chunk)
            if taken > self._cache.limit_bytes:
                raise UpstreamError(502, "the file is larger than the whole package cache", place_of(str(response.url)))
            if fresh:
                running.update(fresh)
                await download.write(fresh)


def _named(place: Place) -> str:
    """Return the last part of a file's path, percent-encoded as it is, and who has it."""
    return f"{place.path.partition('?')[0].rpartition('/')[2][:200]}: {place.authority}"


def _fail(download: Download, error: Exception) -> None:
    if not download.begun.done():
        download.begun.set_exception(error)
