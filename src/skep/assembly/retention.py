"""What deletes, per noun, the rows that were kept long enough, and their files."""

from collections.abc import Awaitable, Callable, Mapping

from skep.assembly.base import Base
from skep.assembly.care import layer_rules
from skep.assembly.nouns import Nouns
from skep.product.access.retention import AccessRetention
from skep.product.agents.retention import VersionRetention
from skep.product.images.layers.clearing import LayerRetention
from skep.product.images.retention import ImageRetention
from skep.product.runs.retention import RunRetention
from skep.product.work.retention import WorkRetention

_HOUR_MS, _DAY_MS = 3_600_000, 86_400_000


def prunes(base: Base, nouns: Nouns) -> Mapping[str, Callable[[], Awaitable[object]]]:
    """Return the deletions, each to be called now and then."""
    db, stores, clock, settings, files = base.db, base.stores, base.clock, base.settings, base.files
    keep_ms = round(settings.keep_runs_days * _DAY_MS)
    access = AccessRetention(
        db,
        stores.audit,
        stores.idempotency,
        clock,
        keep_audit_ms=round(settings.keep_audit_days * _DAY_MS),
        keep_answers_ms=round(settings.idempotency_hours * _HOUR_MS),
    )
    return {
        "runs": RunRetention(db, stores.runs, files, clock, keep_ms=keep_ms).prune,
        "versions": VersionRetention(db, stores.agents, clock, keep_ms=keep_ms).prune,
        "images": ImageRetention(
            db, stores.images, files, clock, keep_ms=keep_ms, keep_versions=settings.keep_versions
        ).prune,
        "layers": LayerRetention(nouns.clearing, clock, layer_rules(settings)).prune,
        "access": access.prune,
        "work": WorkRetention(db, stores.work, clock).prune,
    }
