"""What a machine is to Skep."""

from dataclasses import dataclass
from typing import NewType

NodeId = NewType("NodeId", str)


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A machine, and the server process that speaks for it now."""

    id: NodeId
    name: str
    #: The kernel's boot id: tells "the server restarted" from "the machine restarted".
    boot_id: str
    #: Id of the server process's life; the owner of its leases. Each start makes a new one.
    incarnation: str
    heartbeat_ms: int
    started_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeStart:
    """What a server learns about its machine when it starts."""

    node: Node
    #: The life before this one, if there was any.
    previous: Node | None

    @property
    def rebooted(self) -> bool:
        """Tell whether the machine was restarted since the server's last life."""
        return self.previous is not None and self.previous.boot_id != self.node.boot_id
