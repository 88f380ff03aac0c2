"""Rows of sealed secrets."""

from typing import Any

from sqlalchemy import bindparam, delete, insert, select, update

from skep.adapters.storage.mapper import Mapper, on
from skep.adapters.storage.tables import secrets
from skep.kernel.database import Tx
from skep.kernel.paging import Page, PageQuery
from skep.product.secrets.model import SealedSecret, SecretInfo

_SEALED = ("nonce", "ciphertext", "key_id")


class SqlSecretStore:
    """Implements `secrets.ports.SecretStore`."""

    def __init__(self) -> None:
        c = secrets.c
        this = (c.project_id == bindparam("_project_id"), c.name == bindparam("_name"))
        self._infos = Mapper(secrets, SecretInfo)
        self._get = select(*self._infos.select.selected_columns, c.nonce, c.ciphertext, c.key_id).where(*this)
        changed: dict[str, Any] = {name: bindparam(name) for name in ("updated_ms", *_SEALED)}
        self._replace = update(secrets).where(*this).values(changed)
        self._insert = insert(secrets)
        self._delete = delete(secrets).where(*this)

    def put(self, tx: Tx, sealed: SealedSecret) -> None:
        """Add the secret, or replace the one of the same project and name (keeping id and created_ms)."""
        info = self._infos.row(sealed.info)
        value: dict[str, Any] = {name: getattr(sealed, name) for name in _SEALED}
        this = _key(sealed.info.project_id, sealed.info.name)
        changed = on(tx).execute(self._replace, {**this, "updated_ms": info["updated_ms"], **value})
        if changed.rowcount == 0:
            on(tx).execute(self._insert, {**info, **value})

    def get(self, tx: Tx, project_id: str, name: str) -> SealedSecret | None:
        """Return the secret of this name."""
        row = on(tx).execute(self._get, _key(project_id, name)).first()
        if row is None:
            return None
        *info, nonce, ciphertext, key_id = row
        return SealedSecret(info=self._infos.item(info), nonce=nonce, ciphertext=ciphertext, key_id=key_id)

    def entries(self, tx: Tx, project_id: str, query: PageQuery) -> Page[SecretInfo]:
        """List the secrets of a project, oldest first."""
        where = secrets.c.project_id == project_id
        return self._infos.page(tx, query, where, newest_first=False, search=("id", "name"))

    def delete(self, tx: Tx, project_id: str, name: str) -> bool:
        """Remove it; tell whether there was one."""
        return on(tx).execute(self._delete, _key(project_id, name)).rowcount > 0


def _key(project_id: str, name: str) -> dict[str, Any]:
    return {"_project_id": project_id, "_name": name}
