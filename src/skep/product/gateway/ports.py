"""What the gateway needs from outside."""

from collections.abc import Callable
from typing import Protocol

from skep.product.gateway.model import ConnectionRecord

#: Is given each connection when it is over; must not block.
Recorder = Callable[[ConnectionRecord], None]


class Resolver(Protocol):
    """Turns a name into addresses."""

    async def resolve(self, host: str, port: int) -> list[str]:
        """Return the addresses of *host*, best first, as text; empty if there are none."""
        ...
