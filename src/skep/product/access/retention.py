"""How long the audit log reaches back, and how long an Idempotency-Key is remembered."""

from skep.kernel.batches import in_batches
from skep.kernel.clock import Clock, to_ms
from skep.kernel.database import Database
from skep.product.access.ports import AuditStore, IdempotencyStore

_AT_ONCE = 2_000


class AccessRetention:
    """Deletes old lines of the audit log, and kept answers that no client repeats for any more."""

    def __init__(
        self,
        db: Database,
        audit: AuditStore,
        answers: IdempotencyStore,
        clock: Clock,
        *,
        keep_audit_ms: int,
        keep_answers_ms: int,
    ) -> None:
        self._db = db
        self._audit = audit
        self._answers = answers
        self._clock = clock
        self._keep_audit_ms = keep_audit_ms
        self._keep_answers_ms = keep_answers_ms

    async def prune(self) -> int:
        """Delete what is too old; return how many lines and answers that were."""
        lines = await in_batches(self._lines, size=_AT_ONCE)
        return lines + await in_batches(self._kept_answers, size=_AT_ONCE)

    async def _lines(self) -> int:
        before_ms = to_ms(self._clock.now()) - self._keep_audit_ms
        return await self._db.write(lambda tx: self._audit.prune(tx, before_ms=before_ms, limit=_AT_ONCE))

    async def _kept_answers(self) -> int:
        before_ms = to_ms(self._clock.now()) - self._keep_answers_ms
        return await self._db.write(lambda tx: self._answers.prune(tx, before_ms=before_ms, limit=_AT_ONCE))
