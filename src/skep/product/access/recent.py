"""Remembers for a moment who holds a token, so that not every call asks the database."""

from typing import NewType

from skep.kernel.clock import Clock
from skep.product.access.model import Principal, Token, TokenId

#: SHA-256 of the token, and the project that was asked for.
Key = tuple[str, str | None]
Known = tuple[Token, Principal]
Ticket = NewType("Ticket", int)

#: How long another process's revocation may go unnoticed.
KEPT_S = 3.0
_MOST = 4096


class Recent:
    """A small cache; a revocation in this process empties what it concerns at once."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known: dict[Key, tuple[float, Known]] = {}
        self._revocations = 0

    def get(self, key: Key) -> Known | None:
        """Return what is known of *key* and not too old."""
        entry = self._known.get(key)
        if entry is None:
            return None
        if entry[0] <= self._clock.monotonic():
            self._known.pop(key, None)
            return None
        return entry[1]

    def ticket(self) -> Ticket:
        """Take this before reading the database; `put` needs it."""
        return Ticket(self._revocations)

    def put(self, key: Key, known: Known, ticket: Ticket) -> None:
        """Remember what was read, unless a token was revoked since the ticket was taken."""
        if ticket != self._revocations:
            return
        if len(self._known) >= _MOST:
            self._known.clear()
        self._known[key] = (self._clock.monotonic() + KEPT_S, known)

    def forget(self, token_id: TokenId) -> None:
        """Drop what is known of a token."""
        self._revocations += 1
        for key in [key for key, (_, (token, _)) in self._known.items() if token.id == token_id]:
            del self._known[key]
