"""Where machines are kept."""

from typing import Protocol

from skep.kernel.database import Tx
from skep.product.nodes.model import Node, NodeId


class NodeStore(Protocol):
    """Rows of machines."""

    def get(self, tx: Tx, node_id: NodeId) -> Node | None:
        """Return the machine's row."""
        ...

    def put(self, tx: Tx, node: Node) -> None:
        """Add or replace the machine's row."""
        ...

    def heartbeat(self, tx: Tx, node_id: NodeId, incarnation: str, at_ms: int) -> None:
        """Say that this life still goes on; `FencedError` if another one has taken its place."""
        ...

    def all(self, tx: Tx) -> list[Node]:
        """List all machines."""
        ...
