"""The machine that this server process speaks for, and the process's life on it."""

from dataclasses import replace

from skep.kernel.clock import Clock, to_ms
from skep.kernel.database import Also, Database, Tx
from skep.kernel.errors import FencedError
from skep.kernel.ids import IdSource
from skep.product.nodes.model import Node, NodeId, NodeStart
from skep.product.nodes.ports import NodeStore


class NodeService:
    """Registers this machine at the start, and says that it lives."""

    def __init__(self, db: Database, store: NodeStore, clock: Clock, ids: IdSource) -> None:
        self._db = db
        self._store = store
        self._clock = clock
        self._ids = ids
        self._node: Node | None = None

    async def start(self, name: str, boot_id: str, also: Also[NodeStart] | None = None) -> NodeStart:
        """Begin a new life of the machine *name*, and do *also* in the same commit; any earlier life is fenced."""
        now_ms = to_ms(self._clock.now())
        incarnation = self._ids.new("inc", now_ms)
        fresh = Node(
            id=NodeId(self._ids.new("nod", now_ms)),
            name=name,
            boot_id=boot_id,
            incarnation=incarnation,
            heartbeat_ms=now_ms,
            started_ms=now_ms,
        )

        def work(tx: Tx) -> NodeStart:
            previous = next((node for node in self._store.all(tx) if node.name == name), None)
            node = fresh if previous is None else replace(fresh, id=previous.id)
            self._store.put(tx, node)
            begun = NodeStart(node=node, previous=previous)
            if also is not None:
                also(tx, begun)
            return begun

        started = await self._db.write(work)
        self._node = started.node
        return started

    async def heartbeat(self) -> None:
        """Say that this life still goes on.

        Raises:
            FencedError: another server has begun a life on this machine, or this one was never begun.
        """
        node = self._node
        if node is None:
            raise FencedError("The machine's life was not begun.")
        now_ms = to_ms(self._clock.now())
        await self._db.write(lambda tx: self._store.heartbeat(tx, node.id, node.incarnation, now_ms))
