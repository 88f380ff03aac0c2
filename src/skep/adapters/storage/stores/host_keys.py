"""Rows of ssh servers' keys."""

from sqlalchemy import bindparam, delete

from skep.adapters.storage.mapper import Mapper, on
from skep.adapters.storage.tables import host_keys
from skep.kernel.database import Tx
from skep.product.images.fetch.keyring import SeenKey


class SqlHostKeyStore:
    """Implements `images.keyring.HostKeyStore`."""

    def __init__(self) -> None:
        c = host_keys.c
        self._keys = Mapper(host_keys, SeenKey)
        self._of_host = self._keys.by("project_id", "host", "port").order_by(c.created_ms, c.key)
        self._of_project = self._keys.by("project_id").order_by(c.host, c.port, c.created_ms, c.key)
        this = (c.project_id == bindparam("_project_id"), c.host == bindparam("_host"))
        self._forget = delete(host_keys).where(*this)

    def insert(self, tx: Tx, seen: SeenKey) -> None:
        """Add one; `ConflictError` if it is there."""
        self._keys.insert(tx, seen)

    def of_host(self, tx: Tx, project_id: str, host: str, port: int) -> list[SeenKey]:
        """List those of one server."""
        return self._keys.all(tx, self._of_host, {"project_id": project_id, "host": host, "port": port})

    def all(self, tx: Tx, project_id: str) -> list[SeenKey]:
        """List those of a project, by host."""
        return self._keys.all(tx, self._of_project, {"project_id": project_id})

    def forget(self, tx: Tx, project_id: str, host: str, port: int | None) -> int:
        """Delete those of a host, on one port or on all; return how many."""
        statement = self._forget if port is None else self._forget.where(host_keys.c.port == port)
        return on(tx).execute(statement, {"_project_id": project_id, "_host": host}).rowcount
