"""Rows of builds, images and uploads."""

import json
from collections.abc import Collection
from typing import Any

from sqlalchemy import BindParameter, ColumnElement, Select, bindparam, delete, exists, func, or_, select, text

from skep.adapters.storage.mapper import Mapper, on
from skep.adapters.storage.stores.catalogue import needed
from skep.adapters.storage.stores.layers import SqlLayerStore
from skep.adapters.storage.tables import ENDED, UNENDED, agents, builds, images, uploads
from skep.kernel.database import Tx
from skep.kernel.paging import Page, PageQuery
from skep.product.blobs.model import BlobId, LogId, Released
from skep.product.images.model import Build, BuildId, Image, ImageId, Upload, UploadId
from skep.product.sandboxes.model import LayerId


class SqlImageStore(SqlLayerStore):
    """Implements `images.ports.ImageStore`."""

    def __init__(self) -> None:
        super().__init__()
        self._builds = Mapper(builds, Build)
        self._images = Mapper(images, Image)
        self._uploads = Mapper(uploads, Upload)
        self._named_layers = select(images.c.layers).distinct().where(images.c.node_id == bindparam("node_id"))
        these: BindParameter[Any] = bindparam("ids", expanding=True)
        unused = select(images.c.id).where(images.c.created_ms < bindparam("before_ms"), ~needed())
        self._prune_images = delete(images).where(images.c.id.in_(unused.limit(bindparam("limit"))))
        mine = (builds.c.project_id == bindparam("project_id"), text(UNENDED))
        self._unfinished = select(func.count()).select_from(builds).where(*mine)
        self._old_builds = _old_builds()
        self._drop_builds = delete(builds).where(builds.c.id.in_(these))
        self._old_uploads = (
            select(uploads.c.id, uploads.c.blob_id)
            .where(uploads.c.created_ms < bindparam("before_ms"))
            .order_by(uploads.c.created_ms)
        )
        self._sources = (
            select(builds.c.source).where(builds.c.ended_ms.is_(None), _is_upload(builds.c.source)),
            select(agents.c.source).where(agents.c.removed_ms.is_(None), _is_upload(agents.c.source)),
        )
        self._drop_uploads = delete(uploads).where(uploads.c.id.in_(these))
        self._named = (
            select(builds.c.log_id).where(builds.c.log_id.in_(these)),
            select(uploads.c.blob_id).where(uploads.c.blob_id.in_(these)),
        )

    def insert_build(self, tx: Tx, build: Build) -> None:
        """Add a build."""
        self._builds.insert(tx, build)

    def save_build(self, tx: Tx, build: Build) -> None:
        """Replace the build's row."""
        self._builds.save(tx, build)

    def count_unfinished_builds(self, tx: Tx, project_id: str) -> int:
        """Return how many builds of the project are not over."""
        return on(tx).execute(self._unfinished, {"project_id": project_id}).scalar_one()

    def build(self, tx: Tx, build_id: BuildId) -> Build | None:
        """Return the build of this id."""
        return self._builds.get(tx, build_id)

    def builds(self, tx: Tx, project_id: str, agent_id: str | None, query: PageQuery) -> Page[Build]:
        """List builds of a project, or of one agent, newest first."""
        where = [builds.c.project_id == project_id]
        if agent_id is not None:
            where.append(builds.c.agent_id == agent_id)
        return self._builds.page(tx, query, *where, newest_first=True, status="status", search=("id", "agent_id"))

    def insert_image(self, tx: Tx, image: Image) -> None:
        """Add an image."""
        self._images.insert(tx, image)

    def image(self, tx: Tx, image_id: ImageId) -> Image | None:
        """Return the image of this id."""
        return self._images.get(tx, image_id)

    def layers_in_use(self, tx: Tx, node_id: str) -> set[LayerId]:
        """Return the layers that any image of the machine names."""
        lists = on(tx).execute(self._named_layers, {"node_id": node_id}).scalars()
        return {LayerId(layer) for layers in lists for layer in json.loads(layers)}

    def insert_upload(self, tx: Tx, upload: Upload) -> None:
        """Add an upload."""
        self._uploads.insert(tx, upload)

    def upload(self, tx: Tx, upload_id: UploadId) -> Upload | None:
        """Return the upload of this id."""
        return self._uploads.get(tx, upload_id)

    def prune_images(self, tx: Tx, *, before_ms: int, keep_versions: int, limit: int) -> int:
        """Delete images made before *before_ms* that nothing needs, at most *limit*; return how many."""
        values = {"before_ms": before_ms, "keep_versions": keep_versions, "limit": limit}
        return on(tx).execute(self._prune_images, values).rowcount

    def prune_builds(self, tx: Tx, *, before_ms: int, keep: int, limit: int) -> Released:
        """Delete old builds whose image is gone and that are not among the newest *keep* of a living agent."""
        values = {"before_ms": before_ms, "others": keep - 1, "limit": limit}
        old = on(tx).execute(self._old_builds, values).all()
        if old:
            on(tx).execute(self._drop_builds, {"ids": [id_ for id_, _ in old]})
        return Released(count=len(old), logs=tuple(LogId(log_id) for _, log_id in old))

    def prune_uploads(self, tx: Tx, *, before_ms: int, limit: int) -> Released:
        """Delete old uploads that neither an unfinished build nor a living agent's next one is made from."""
        old = on(tx).execute(self._old_uploads, {"before_ms": before_ms}).all()
        if not old:
            return Released(count=0)
        sources = (source for query in self._sources for source in on(tx).execute(query).scalars())
        needed = {json.loads(source).get("upload_id") for source in sources}
        doomed = [(id_, blob_id) for id_, blob_id in old if id_ not in needed][:limit]
        if doomed:
            on(tx).execute(self._drop_uploads, {"ids": [id_ for id_, _ in doomed]})
        return Released(count=len(doomed), blobs=tuple(BlobId(blob_id) for _, blob_id in doomed))

    def named(self, tx: Tx, files: Collection[str]) -> set[str]:
        """Return those of the logs and blobs *files* that a build or an upload names."""
        return {name for query in self._named for name in on(tx).execute(query, {"ids": list(files)}).scalars()}


def _is_upload(source: ColumnElement[str]) -> ColumnElement[bool]:
    """Build the condition that drops most of the sources that are no uploads; what is left is looked into."""
    return source.like('%"upload_id"%')


def _old_builds() -> Select[Any, Any]:
    """Build the query for the builds that may go: ids and logs."""
    newer = builds.alias("newer")
    living = exists().where(agents.c.id == builds.c.agent_id, agents.c.removed_ms.is_(None))
    shown = exists().where(agents.c.build_id == builds.c.id, agents.c.id == builds.c.agent_id)
    followed = exists(
        select(newer.c.id)
        .where(newer.c.agent_id == builds.c.agent_id, newer.c.id > builds.c.id)
        .order_by(newer.c.id)
        .offset(bindparam("others"))
        .limit(1)
    )
    return (
        select(builds.c.id, builds.c.log_id)
        .where(
            text(ENDED),
            builds.c.ended_ms < bindparam("before_ms"),
            ~exists().where(images.c.id == builds.c.image_id),
            or_(~living, followed & ~shown),
        )
        .order_by(builds.c.ended_ms)
        .limit(bindparam("limit"))
    )
