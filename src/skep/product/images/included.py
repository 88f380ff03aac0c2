"""Files of requirements that others lead to: read where the source lies, before anything of it runs."""

import asyncio
from dataclasses import replace

from skep.kernel.errors import InvalidError
from skep.product.images.fetch.fetcher import Fetcher
from skep.product.images.fetch.inside import MAX_LOCK_TEXT
from skep.product.images.model import Recognised, SourceListing
from skep.product.images.planning import further_files, pinned

#: How many they may lead to.
_MAX_FILES = 50


async def with_included(fetcher: Fetcher, listing: SourceListing, recognised: Recognised) -> SourceListing:
    """Add the files that lists of requirements lead to: they may say which contents are meant.

    Raises:
        InvalidError, TooLargeError: there are too many, or they are too large to be read.
    """
    lists = further_files.lists(recognised)
    texts, left = dict(listing.texts), MAX_LOCK_TEXT
    waiting, seen = [*lists], set[str]()
    while waiting:
        path = waiting.pop()
        if path in seen or path not in listing.files:
            continue
        seen.add(path)
        if path not in texts:
            texts[path] = await fetcher.text(path, limit=left) or ""
            left -= len(texts[path].encode())
        if len(texts) - len(listing.texts) > _MAX_FILES or left < 0:
            raise InvalidError(
                f"{lists[0]} leads to more than {_MAX_FILES} files, or to more than can be read.",
                code="requirements_too_large",
                hint="Put them together: `uv pip compile requirements.txt -o requirements.txt`.",
            )
        # Each is read once, and beside the event loop: strangers wrote it.
        waiting += await asyncio.to_thread(pinned.included, texts[path], path)
    return replace(listing, texts=texts)
