"""When tokens were last used: remembered at each call, written now and then, so that no call waits for it."""

from dataclasses import replace

from skep.kernel.database import Database
from skep.product.access.model import Token, TokenId
from skep.product.access.ports import AccessStore


class Uses:
    """What is not written yet; a crash loses it."""

    def __init__(self, db: Database, access: AccessStore) -> None:
        self._db = db
        self._access = access
        self._unwritten: dict[TokenId, int] = {}

    def note(self, token_id: TokenId, at_ms: int) -> None:
        """Remember that the token is used now."""
        self._unwritten[token_id] = at_ms

    def seen(self, token: Token) -> Token:
        """Return *token* with its last use, written or not."""
        last_ms = max(token.last_used_ms or 0, self._unwritten.get(token.id, 0))
        return replace(token, last_used_ms=last_ms or None)

    async def keep(self) -> int:
        """Write what is not written; return of how many tokens.

        Raises:
            UnavailableError: the database is away; the next call writes it.
        """
        writing = dict(self._unwritten)
        if not writing:
            return 0
        await self._db.write(lambda tx: self._access.note_uses(tx, writing))
        for token_id, at_ms in writing.items():
            if self._unwritten.get(token_id) == at_ms:
                del self._unwritten[token_id]
        return len(writing)
