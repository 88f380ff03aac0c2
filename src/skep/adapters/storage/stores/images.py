"""Rows of builds, images and uploads."""

import json

from sqlalchemy import bindparam, select

from skep.adapters.storage.mapper import Mapper, on
from skep.adapters.storage.tables import builds, images, uploads
from skep.kernel.database import Tx
from skep.kernel.paging import Page, PageQuery
from skep.product.images.model import Build, BuildId, Image, ImageId, Upload, UploadId
from skep.product.sandboxes.model import LayerId


class SqlImageStore:
    """Implements `images.ports.ImageStore`."""

    def __init__(self) -> None:
        self._builds = Mapper(builds, Build)
        self._images = Mapper(images, Image)
        self._uploads = Mapper(uploads, Upload)
        self._layers = select(images.c.layers).distinct().where(images.c.node_id == bindparam("node_id"))

    def insert_build(self, tx: Tx, build: Build) -> None:
        """Add a build."""
        self._builds.insert(tx, build)

    def save_build(self, tx: Tx, build: Build) -> None:
        """Replace the build's row."""
        self._builds.save(tx, build)

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
        lists = on(tx).execute(self._layers, {"node_id": node_id}).scalars()
        return {LayerId(layer) for layers in lists for layer in json.loads(layers)}

    def insert_upload(self, tx: Tx, upload: Upload) -> None:
        """Add an upload."""
        self._uploads.insert(tx, upload)

    def upload(self, tx: Tx, upload_id: UploadId) -> Upload | None:
        """Return the upload of this id."""
        return self._uploads.get(tx, upload_id)
