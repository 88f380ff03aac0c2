"""The sites of package indexes: what a build asks of `/pypi/`, `/locked/` and `/npm/` is fetched for it.

The sandbox names packages and files; which indexes are asked, as whom, and whether an address may be dialled is not its
to say. A file lies under the digest that it has, never under one that somebody said.
"""

import re
from collections.abc import Mapping, Sequence
from html import escape
from urllib.parse import quote, unquote

from skep.kernel.clock import Clock
from skep.kernel.errors import InvalidError, SkepError
from skep.kernel.indexes import Indexes
from skep.product.blobs.space import Space
from skep.product.gateway.mirror import npm, simple_index
from skep.product.gateway.mirror.door_paths import parse_file_path, place_of
from skep.product.gateway.mirror.downloads import Downloads
from skep.product.gateway.mirror.naming import Naming
from skep.product.gateway.mirror.pages import Pages
from skep.product.gateway.mirror.seals import METADATA, Seals
from skep.product.gateway.mirror.shares import Share, Spool
from skep.product.gateway.model import Digest, LockedFile, Refusal
from skep.product.gateway.ports import PackageCache, Site
from skep.product.gateway.site import Answer, Asked, failure
from skep.product.gateway.upstream import Upstream, UpstreamError

#: For files on their way, however small the cache is: the largest of the public index has almost a GiB.
_SPOOL_BYTES = 2 * 1024 * 1024 * 1024
_HEX = {"sha256": re.compile(r"[0-9a-f]{64}"), "sha512": re.compile(r"[0-9a-f]{128}")}
#: Of a file: only that it can be asked for. No ranges are offered, so nobody has to know its length.
_HEAD = Answer(headers={"Content-Type": "application/octet-stream"})


class Mirrors:
    """Makes the sites (`ports.Mirrors`); all that belongs to all builds is held here, once per process."""

    def __init__(
        self,
        indexes: Indexes,
        upstream: Upstream,
        cache: PackageCache,
        clock: Clock,
        *,
        space: Space | None = None,
        spool_bytes: int = _SPOOL_BYTES,
    ) -> None:
        self._indexes = indexes
        self._spool = Spool(max(cache.limit_bytes, spool_bytes), space or Space())
        self._upstream = upstream
        self._downloads = Downloads(upstream, cache)
        self._seals = Seals()
        self._pages = Pages(upstream, clock, self._seals)
        self._naming = Naming(indexes, upstream, self._pages, self._seals)

    async def close(self) -> None:
        """End what goes on, and cut the connections."""
        await self._downloads.close()
        await self._upstream.close()

    def python(self) -> Site:
        """Return `/pypi/`: the operator's indexes of Python packages, and their files."""
        share = self._spool.share()
        files = _Files(self._downloads, share, self._seals, "sha256")
        return _Guarded(_Python(self._indexes.python, self._pages, share, files))

    def locked(self, files: Sequence[LockedFile]) -> Site:
        """Return `/locked/`: exactly *files*, each checked against its hash."""
        return _Guarded(_Locked(files, self._downloads, self._naming, self._spool.share()))

    def npm(self) -> Site:
        """Return `/npm/`: the operator's npm registry."""
        share = self._spool.share()
        files = _Files(self._downloads, share, self._seals, "sha512")
        return _Guarded(_Npm(self._indexes, self._pages, self._downloads, share, files))


class _Guarded:
    """Turns what a site raises into what its client is told."""

    def __init__(self, site: Site) -> None:
        self._site = site

    async def answer(self, asked: Asked) -> Answer:
        """Answer; nothing that is expected is raised."""
        try:
            return await self._site.answer(asked)
        except UpstreamError as error:
            return error.answer
        except InvalidError as error:
            return failure(404, error.message.rstrip("."), refusal=Refusal.REQUEST)
        except SkepError as error:
            return failure(503, error.message.rstrip("."))


class _Python:
    """`/pypi/simple/NAME/` and `/pypi/files/...`."""

    def __init__(self, indexes: Sequence[str], pages: Pages, share: Share, files: "_Files") -> None:
        self._indexes = tuple(indexes)
        self._pages = pages
        self._share = share
        self._files = files

    async def answer(self, asked: Asked) -> Answer:
        """Answer a project's page or a file."""
        part, _, rest = asked.path.partition("/")
        if part == "files":
            return await self._files.answer(asked, rest)
        name = rest.partition("?")[0].removesuffix("/")
        if part != "simple" or not name or "/" in name:
            raise InvalidError("There is simple/NAME/ and files/... here.")
        return await self._project(simple_index.normalised(unquote(name)))

    async def _project(self, name: str) -> Answer:
        """Ask one index after the other; the first that knows the project is believed, and no other is asked.

        An index that cannot be asked ends the search: what a later one says could be a stranger's.
        """
        for index in self._indexes:
            try:
                async with self._share.leg:
                    page = await self._pages.python(f"{index.rstrip('/')}/{name}/", name)
            except UpstreamError as error:
                if error.status != 404:
                    raise
                continue
            return Answer(headers={"Content-Type": simple_index.JSON_TYPE}, body=page)
        asked = ", ".join(place_of(index).authority for index in self._indexes)
        # Not a failure to be told: resolvers look for packages that are not there.
        return failure(404, f"no index knows a package {name}; asked: {asked}")


class _Locked:
    """`/locked/`: a page with links (PEP 503), and the files beside it."""

    def __init__(self, files: Sequence[LockedFile], downloads: Downloads, naming: Naming, share: Share) -> None:
        self._files: Mapping[str, LockedFile] = {file.filename: file for file in files}
        self._downloads = downloads
        self._naming = naming
        self._share = share

    async def answer(self, asked: Asked) -> Answer:
        """Answer the page or a file."""
        name = unquote(asked.path.partition("?")[0])
        if not name:
            return Answer(headers={"Content-Type": "text/html; charset=utf-8"}, body=self._page())
        file = self._files.get(name)
        if file is None or not _HEX["sha256"].fullmatch(file.sha256):
            raise InvalidError(f"{name[:80]} is not locked")
        if asked.method == "HEAD":
            return _HEAD
        digest = Digest("sha256", file.sha256)
        if (kept := await self._downloads.kept(digest)) is not None:
            return kept
        named = await self._naming.names(file, self._share)
        return await self._downloads.file(file.url, digest, self._share, anonymous=not named)

    def _page(self) -> bytes:
        links = (
            f'<a href="{escape(quote(file.filename))}#sha256={escape(file.sha256)}">{escape(file.filename)}</a><br>\n'
            for file in self._files.values()
        )
        return ("<!DOCTYPE html>\n<html><body>\n" + "".join(links) + "</body></html>\n").encode()


class _Npm:
    """`/npm/NAME`, `/npm/-/files/...`, and what a lock calls the registry's own: `/npm/NAME/-/FILE.tgz`."""

    def __init__(self, indexes: Indexes, pages: Pages, downloads: Downloads, share: Share, files: "_Files") -> None:
        self._registry = place_of(indexes.npm.rstrip("/") + "/")
        self._scopes = {scope: place_of(url.rstrip("/") + "/") for scope, url in indexes.scopes.items()}
        self._pages = pages
        self._downloads = downloads
        self._share = share
        self._files = files

    async def answer(self, asked: Asked) -> Answer:
        """Answer a package's document or a file."""
        if asked.path.startswith("-/files/"):
            return await self._files.answer(asked, asked.path.removeprefix("-/files/"))
        path = unquote(asked.path.partition("?")[0])
        registry = self._scopes.get(npm.scope(path), self._registry)
        # A lock of this very registry holds its path already.
        name = path.removeprefix(registry.path.lstrip("/"))
        if not npm.is_name(name):
            if not npm.is_file(name):
                raise InvalidError("It is no package of npm's, and no file of one.")
            return await self._file(asked, registry.url + quote(name, safe="/@+"))
        short = npm.SHORT in asked.accept
        async with self._share.leg:
            page = await self._pages.npm(f"{registry.url}{name.replace('/', '%2f')}", asked.door, short=short)
        return Answer(headers={"Content-Type": npm.SHORT if short else "application/json"}, body=page)

    async def _file(self, asked: Asked, url: str) -> Answer:
        if asked.method == "HEAD":
            return _HEAD
        # What is no tarball may be another one tomorrow.
        return await self._downloads.unnamed(url, self._share, lasting=url.endswith(".tgz"))


class _Files:
    """What lies below `files/` of an index: any file of its hosts; as the operator only what a page named."""

    def __init__(self, downloads: Downloads, share: Share, seals: Seals, algorithm: str) -> None:
        self._downloads = downloads
        self._share = share
        self._seals = seals
        self._algorithm = algorithm

    async def answer(self, asked: Asked, rest: str) -> Answer:
        """Answer the file that *rest* names."""
        said, place = parse_file_path(rest)
        digests, _, seal = said.partition("~")
        file, _, metadata = digests.partition(".")
        hexes = metadata if place.path.partition("?")[0].endswith(METADATA) else file.replace("-", "")
        if hexes and not _HEX[self._algorithm].fullmatch(hexes):
            raise InvalidError(f"{hexes[:130]} is no {self._algorithm}")
        digest = Digest(self._algorithm, hexes) if hexes else None
        if asked.method == "HEAD":
            return _HEAD
        return await self._downloads.file(place.url, digest, self._share, anonymous=not self._seals.good(seal, place))
