"""Statements that the units of one transaction share: each leaves its part here, and one statement does all parts.

Only the first try of a batch shares. If then anything at all is not as its units expect, the transaction is taken
back, and they run again without this: each statement by itself, where it stands, and each error to whom it belongs.
"""

from collections import defaultdict
from collections.abc import Callable, Collection
from typing import Any

from sqlalchemy import Connection

#: Does all parts at once; raises whatever it likes if one of them cannot be done.
Settle = Callable[[Connection, Collection[Any]], None]

_SHARED = "skep_shared"


class Shared:
    """What is still to be done in a transaction before it can be committed."""

    def __init__(self) -> None:
        self._parts: defaultdict[Settle, dict[Any, None]] = defaultdict(dict)

    def add(self, settle: Settle, part: Any) -> None:
        """Leave *part* to the next call of *settle*."""
        self._parts[settle][part] = None

    def parts(self, settle: Settle) -> dict[Any, None]:
        """Return what is left to *settle*."""
        return self._parts[settle]

    def settle(self, connection: Connection) -> None:
        """Do all that is left."""
        for settle, parts in self._parts.items():
            if parts:
                settle(connection, parts)
                parts.clear()


def share(connection: Connection, shared: Shared | None) -> None:
    """Have the units that run on *connection* share, or with None each do all by itself."""
    connection.info[_SHARED] = shared


def shared_on(connection: Connection) -> Shared | None:
    """Return what the units on *connection* share; None if each does all by itself."""
    return connection.info.get(_SHARED)
