"""What the product knows of a database: a unit of work is a function of a transaction."""

from collections.abc import Callable
from typing import Any, NewType, Protocol, TypeVar

T = TypeVar("T")

#: An open transaction. Only the stores in `adapters.storage` look inside.
Tx = NewType("Tx", object)

#: What else is to happen in the transaction that made a thing (for example: keep the answer for its Idempotency-Key).
Also = Callable[[Tx, T], None]


class Database(Protocol):
    """Runs units of work; an answer is given only after the commit is on disk."""

    async def write(self, work: Callable[[Tx], T]) -> T:
        """Run *work* in a transaction and commit it before returning.

        Many callers share one commit (group commit); one whose *work* fails takes back only what is his. *work* may
        run more than once, must not block, and touches nothing but its transaction.

        Raises:
            UnavailableError: the database is away or its disk is full; nothing was done.
            UnknownOutcomeError: the connection broke during COMMIT.
        """
        ...

    async def read(self, work: Callable[[Tx], T]) -> T:
        """Run *work* in a read transaction on a reader thread."""
        ...

    def after_commit(self, tx: Tx, action: Callable[[], Any]) -> None:
        """Call *action* once, soon after *tx* has been committed; never if it is rolled back.

        It runs in the database's own thread, so it must only hand over (for example `Hub.notify`).
        """
        ...

    def tell_others(self, tx: Tx, topic: str) -> None:
        """Have *topic* notified in other servers on this database, when *tx* has been committed.

        It may be lost when a connection breaks; where there can be one server only, it does nothing. A caller wants
        `Hub.announce`, which tells this process, too.
        """
        ...
