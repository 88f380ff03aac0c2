"""Pages of indexes, rewritten for the door, and held for as long as the index says that they stay as they are."""

import asyncio
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace

import aiohttp

from skep.kernel.clock import Clock
from skep.kernel.errors import InvalidError
from skep.product.gateway.mirror import npm, simple_index
from skep.product.gateway.mirror.door_paths import file_path, place_of
from skep.product.gateway.mirror.seals import Seals
from skep.product.gateway.mirror.simple_index import IndexFile
from skep.product.gateway.upstream import Upstream, UpstreamError

_MAX_PAGE = 64 * 1024 * 1024
#: HTML takes more time than JSON; the largest pages of the public index have some megabytes.
_MAX_HTML = 16 * 1024 * 1024
_MAX_HELD = 64 * 1024 * 1024
#: Pages that are larger are read and parsed a few at a time, by all builds together: one takes many times its size.
_LARGE = 1024 * 1024
_LARGE_AT_ONCE = 2
#: However long an index says.
_MAX_AGE_S = 600.0
_AGE = re.compile(r"(?:^|[\s,])max-age=([0-9]{1,9})")
_TRIES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class _Held:
    body: bytes
    etag: str
    until: float


#: Of an address and a form of the page: the text, its type and its own address in; the body out.
_Make = Callable[[str, str, str], bytes]


class Pages:
    """Fetches pages, once for all who ask at the same time."""

    def __init__(self, upstream: Upstream, clock: Clock, seals: Seals) -> None:
        self._upstream = upstream
        self._seals = seals
        self._clock = clock
        self._held: OrderedDict[tuple[str, str], _Held] = OrderedDict()
        self._size = 0
        self._locks: dict[tuple[str, str], asyncio.Lock] = {}
        self._large = asyncio.Semaphore(_LARGE_AT_ONCE)

    async def python(self, url: str, name: str) -> bytes:
        """Return the page of the project *name* as PEP 691, its files at the door.

        Raises:
            UpstreamError: it cannot be had.
        """

        def make(text: str, content_type: str, page_url: str) -> bytes:
            return simple_index.render(name, simple_index.parse(content_type, text, page_url), self._at_door)

        return await self._page((url, ""), {"Accept": simple_index.ACCEPT}, make)

    async def npm(self, url: str, door: str, *, short: bool) -> bytes:
        """Return a package's document, its files at *door*.

        Raises:
            UpstreamError: it cannot be had.
        """
        accept = f"{npm.SHORT}; q=1.0, application/json; q=0.8" if short else "application/json"
        return await self._page(
            (url, f"{door} {short}"), {"Accept": accept}, lambda text, _, __: npm.rewritten(text, door, self._seals.of)
        )

    async def _page(self, key: tuple[str, str], headers: Mapping[str, str], make: _Make) -> bytes:
        lock = self._locks.setdefault(key, asyncio.Lock())
        try:
            async with lock:
                held = self._held.get(key)
                if held is None or self._clock.monotonic() >= held.until:
                    held = await self._fresh(key[0], headers, make, held)
                    self._hold(key, held)
                return held.body
        finally:
            if not lock.locked():
                self._locks.pop(key, None)

    async def _fresh(self, url: str, headers: Mapping[str, str], make: _Make, held: _Held | None) -> _Held:
        if held is not None and held.etag:
            headers = {**headers, "If-None-Match": held.etag}
        for _ in range(_TRIES - 1):
            try:
                return await self._fetch(url, headers, make, held)
            except (aiohttp.ClientError, OSError, TimeoutError):
                continue  # broken off within the page
        try:
            return await self._fetch(url, headers, make, held)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            place = place_of(url)
            raise UpstreamError(502, f"the index {place.authority} broke its page off {_TRIES} times", place) from error

    async def _fetch(self, url: str, headers: Mapping[str, str], make: _Make, held: _Held | None) -> _Held:
        async with AsyncExitStack() as places:
            async with self._upstream.get(url, headers, fine=(200, 304), encoded=True) as response:
                until = self._clock.monotonic() + _age_s(response)
                if response.status == 304 and held is not None:
                    return replace(held, until=until)
                data = await self._read(response, url, places)
                charset, content_type, page_url, etag = (
                    response.charset,
                    response.content_type,
                    str(response.url),
                    response.headers.get("ETag", ""),
                )
            try:
                # Pages of many megabytes are parsed beside the event loop.
                body = await asyncio.to_thread(lambda: make(_text(data, charset), content_type, page_url))
            except InvalidError as error:
                place = place_of(url)
                raise UpstreamError(502, f"{place.authority}: {error.message.rstrip('.')}", place) from error
        return _Held(body=body, etag=etag, until=until)

    async def _read(self, response: aiohttp.ClientResponse, url: str, places: AsyncExitStack) -> bytes:
        """Return a page as it comes; from a size on it waits for a place, which is kept until *places* ends."""
        data, large = bytearray(), False
        most = _MAX_PAGE if "json" in response.content_type.lower() else _MAX_HTML
        async for chunk in response.content.iter_chunked(1 << 16):
            data += chunk
            if len(data) > most:
                place = place_of(url)
                raise UpstreamError(502, f"the page of {place.authority} is larger than {most} bytes", place)
            if len(data) > _LARGE and not large:
                large = True
                await places.enter_async_context(self._large)
        return bytes(data)

    def _at_door(self, file: IndexFile) -> str | None:
        try:
            place = place_of(file.url)
        except InvalidError:
            return None
        digests, metadata = simple_index.sha256(file.hashes) or "-", simple_index.sha256(file.metadata)
        seal = self._seals.of(place)
        return "/pypi/files/" + file_path(f"{digests}.{metadata}" if metadata else digests, place, seal)

    def _hold(self, key: tuple[str, str], held: _Held) -> None:
        before = self._held.pop(key, None)
        self._size += len(held.body) - (len(before.body) if before is not None else 0)
        self._held[key] = held
        while self._size > _MAX_HELD:
            _, gone = self._held.popitem(last=False)
            self._size -= len(gone.body)


def _age_s(response: aiohttp.ClientResponse) -> float:
    said = response.headers.get("Cache-Control", "").lower()
    age = _AGE.search(said)
    if age is None or "no-cache" in said or "no-store" in said:
        return 0.0
    return min(float(age[1]), _MAX_AGE_S)


def _text(data: bytes, charset: str | None) -> str:
    """Return a page's text; in a charset that nobody knows it is UTF-8 as far as it goes."""
    try:
        return data.decode(charset or "utf-8", "replace")
    except LookupError:
        return data.decode("utf-8", "replace")
