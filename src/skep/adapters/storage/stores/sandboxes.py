"""Rows of sandboxes: the intents that recovery compares with what exists."""

from collections.abc import Iterable

from sqlalchemy import bindparam, delete, update

from skep.adapters.storage.codec import encoder
from skep.adapters.storage.mapper import Mapper, dumps, on
from skep.adapters.storage.tables import sandboxes
from skep.kernel.database import Tx
from skep.kernel.errors import NotFoundError
from skep.product.sandboxes.model import Handle, Phase, Sandbox, SandboxId


class SqlSandboxStore:
    """Implements `sandboxes.ports.SandboxStore`."""

    def __init__(self) -> None:
        this = sandboxes.c.id == bindparam("sandbox_id")
        self._sandboxes = Mapper(sandboxes, Sandbox)
        self._of_node = self._sandboxes.by("node_id").order_by(sandboxes.c.id)
        self._set_phase = update(sandboxes).where(this).values(phase=bindparam("new_phase"))
        self._set_handle = self._set_phase.values(handle=bindparam("new_handle"))
        self._delete = delete(sandboxes).where(this)
        self._handle_json = encoder(Handle)

    def insert(self, tx: Tx, sandbox: Sandbox) -> None:
        """Add a row."""
        self._sandboxes.insert(tx, sandbox)

    def set_phase(self, tx: Tx, sandbox_id: SandboxId, phase: Phase, handle: Handle | None = None) -> None:
        """Change the phase and, when given, the handle; `NotFoundError` if there is no row."""
        values = {"sandbox_id": sandbox_id, "new_phase": phase.value}
        if handle is None:
            done = on(tx).execute(self._set_phase, values)
        else:
            done = on(tx).execute(self._set_handle, {**values, "new_handle": dumps(self._handle_json(handle))})
        if done.rowcount != 1:
            raise NotFoundError(f"there is no sandbox {sandbox_id}")

    def get(self, tx: Tx, sandbox_id: SandboxId) -> Sandbox | None:
        """Return the row, if there is one."""
        return self._sandboxes.get(tx, sandbox_id)

    def delete(self, tx: Tx, sandbox_ids: Iterable[SandboxId]) -> None:
        """Remove rows of sandboxes that are known to be gone."""
        if rows := [{"sandbox_id": sandbox_id} for sandbox_id in sandbox_ids]:
            on(tx).execute(self._delete, rows)

    def of_node(self, tx: Tx, node_id: str) -> list[Sandbox]:
        """List all rows of one machine."""
        return self._sandboxes.all(tx, self._of_node, {"node_id": node_id})
