"""Rows of images, together with what names them."""

import json
from collections import Counter
from collections.abc import Collection
from typing import Any

from sqlalchemy import BindParameter, ColumnElement, bindparam, delete, exists, func, or_, select, text

from skep.adapters.storage.mapper import Mapper, on
from skep.adapters.storage.tables import UNFINISHED, agents, images, runs, versions
from skep.kernel.database import Tx
from skep.kernel.paging import Page, PageQuery
from skep.product.images.layers.catalogue import ImageUse
from skep.product.images.model import Image, ImageId
from skep.product.sandboxes.model import LayerId


class SqlCatalogueStore:
    """Implements `images.catalogue.CatalogueStore`."""

    def __init__(self) -> None:
        self._images = Mapper(images, Image)
        these: BindParameter[Any] = bindparam("ids", expanding=True)
        current = (agents.c.version_id == versions.c.id) & agents.c.removed_ms.is_(None)
        self._uses = (
            select(versions.c.image_id, agents.c.id, agents.c.name, versions.c.number, current)
            .join(agents, agents.c.id == versions.c.agent_id)
            .where(versions.c.image_id.in_(these))
            .order_by(agents.c.id, versions.c.number)
        )
        self._unneeded = self._images.select.where(
            images.c.node_id == bindparam("node"), images.c.created_ms <= bindparam("before_ms"), ~needed()
        ).order_by(images.c.id)
        self._named_layers = select(images.c.layers).where(images.c.node_id == bindparam("node"))
        self._drop = delete(images).where(images.c.id.in_(these))

    def images(self, tx: Tx, node_id: str, project_id: str | None, query: PageQuery) -> Page[Image]:
        """List the images of a machine, newest first."""
        where = [images.c.node_id == node_id]
        if project_id is not None:
            where.append(images.c.project_id == project_id)
        return self._images.page(tx, query, *where, newest_first=True)

    def uses(self, tx: Tx, images: Collection[ImageId]) -> list[ImageUse]:
        """Return the versions that name one of *images*, by agent and number."""
        rows = on(tx).execute(self._uses, {"ids": list(images)})
        return [
            ImageUse(image_id=image, agent_id=agent, agent_name=name, number=number, current=bool(current))
            for image, agent, name, number, current in rows
        ]

    def needs(self, tx: Tx, node_id: str) -> Counter[LayerId]:
        """Count, for each layer, the images that name it."""
        found = on(tx).execute(self._named_layers, {"node": node_id}).scalars()
        return Counter(LayerId(layer) for layers in found for layer in set(json.loads(layers)))

    def unneeded(
        self, tx: Tx, node_id: str, project_id: str | None, *, before_ms: int, keep_versions: int
    ) -> list[Image]:
        """Return the images made up to *before_ms* that nothing needs."""
        values = {"node": node_id, "before_ms": before_ms, "keep_versions": keep_versions}
        query = self._unneeded if project_id is None else self._unneeded.where(images.c.project_id == project_id)
        return self._images.all(tx, query, values)

    def drop(self, tx: Tx, images: Collection[ImageId]) -> None:
        """Delete images; the versions that name them stay, and cannot run."""
        on(tx).execute(self._drop, {"ids": list(images)})


def needed() -> ColumnElement[bool]:
    """Build the condition for an image that something needs; it binds `keep_versions`."""
    newest = versions.alias("newest")
    last = select(func.max(newest.c.number)).where(newest.c.agent_id == versions.c.agent_id).scalar_subquery()
    living = exists().where(agents.c.id == versions.c.agent_id, agents.c.removed_ms.is_(None))
    current = exists().where(
        agents.c.id == versions.c.agent_id, agents.c.removed_ms.is_(None), agents.c.version_id == versions.c.id
    )
    goes_on = exists().where(runs.c.version_id == versions.c.id, text(f"runs.{UNFINISHED}"))
    kept = living & (versions.c.number > last - bindparam("keep_versions"))
    return exists().where(versions.c.image_id == images.c.id, or_(current, kept, goes_on))
