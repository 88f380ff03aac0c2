"""Rows of machines."""

from sqlalchemy import bindparam, update

from skep.adapters.storage.mapper import Mapper, on
from skep.adapters.storage.tables import nodes
from skep.kernel.database import Tx
from skep.kernel.errors import FencedError
from skep.product.nodes.model import Node, NodeId


class SqlNodeStore:
    """Implements `nodes.ports.NodeStore`."""

    def __init__(self) -> None:
        self._nodes = Mapper(nodes, Node)
        self._all = self._nodes.select.order_by(nodes.c.id)
        self._heartbeat = (
            update(nodes)
            .where(nodes.c.id == bindparam("node_id"), nodes.c.incarnation == bindparam("life"))
            .values(heartbeat_ms=bindparam("at_ms"))
        )

    def get(self, tx: Tx, node_id: NodeId) -> Node | None:
        """Return the machine's row."""
        return self._nodes.get(tx, node_id)

    def put(self, tx: Tx, node: Node) -> None:
        """Add or replace the machine's row."""
        if self._nodes.get(tx, node.id) is None:
            self._nodes.insert(tx, node)
        else:
            self._nodes.save(tx, node)

    def heartbeat(self, tx: Tx, node_id: NodeId, incarnation: str, at_ms: int) -> None:
        """Say that this life still goes on; `FencedError` if another one has taken its place."""
        values = {"node_id": node_id, "life": incarnation, "at_ms": at_ms}
        if on(tx).execute(self._heartbeat, values).rowcount != 1:
            raise FencedError(f"another server has taken over the node {node_id}")

    def all(self, tx: Tx) -> list[Node]:
        """List all machines."""
        return self._nodes.all(tx, self._all, {})
