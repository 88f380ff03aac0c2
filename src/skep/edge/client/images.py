"""Images and layers."""

from skep.edge.client.nouns import Noun
from skep.edge.client.transport import PREFIX
from skep.edge.wire.images import ImageListing, ImageView, LayerView, PrunedView, PruneImages

_PAGE = 200


class Images(Noun):
    """`/images` and `/layers`."""

    async def all(self, *, limit: int | None = None) -> ImageListing:
        """Return the images, newest first, at most *limit*, with what their disk holds."""
        found: list[ImageView] = []
        cursor: str | None = None
        while True:
            size = _PAGE if limit is None else min(_PAGE, limit - len(found))
            params = {"limit": size, "cursor": cursor}
            page = await self._transport.call(ImageListing, "GET", f"{PREFIX}/images", params=params)
            found += page.items
            cursor = page.next
            if cursor is None or len(found) == limit:
                return ImageListing(items=found, next=cursor, disk_bytes=page.disk_bytes)

    async def layers(self) -> list[LayerView]:
        """Return the layers, the one used longest ago first."""
        return (await self._page(LayerView, "/layers")).items

    async def prune(self, *, dry_run: bool = False, older_than_s: float = 0) -> PrunedView:
        """Free what nothing uses, or say what that would be."""
        body = PruneImages(dry_run=dry_run, older_than_s=older_than_s)
        return await self._transport.call(PrunedView, "POST", f"{PREFIX}/images/prune", body=body)
