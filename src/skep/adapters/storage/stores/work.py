"""Rows of work. The claim's SQL stands in `claim.py`."""

import json
from collections.abc import Callable, Collection, Mapping
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    ColumnElement,
    Connection,
    Text,
    bindparam,
    case,
    cast,
    delete,
    func,
    literal,
    literal_column,
    select,
    text,
    update,
)

from skep.adapters.storage.claim import claim_statement
from skep.adapters.storage.dialect import Dialect, insert_new
from skep.adapters.storage.mapper import Mapper, on
from skep.adapters.storage.shared import shared_on
from skep.adapters.storage.tables import DEAD, DONE, LEASED, LIVE, QUEUED, RESTING, work
from skep.kernel.database import Tx
from skep.kernel.errors import FencedError
from skep.product.work.model import Lease, NewWork, WorkId, WorkItem, WorkState

_MAX_KEYS = 3
_QUEUED, _DONE, _DEAD = (state.value for state in (WorkState.QUEUED, WorkState.DONE, WorkState.DEAD))
#: The time as PostgreSQL's clock tells it *now*, not at the transaction's start.
_CLOCK = "(extract(epoch from clock_timestamp()) * 1000)::bigint"


class SqlWorkStore:
    """Implements `work.ports.WorkStore`; with SQLite the time is *now_ms*'s, with PostgreSQL the database's."""

    def __init__(self, dialect: Dialect, now_ms: Callable[[], int]) -> None:
        self._ours = dialect == "sqlite"
        self._now_ms = now_ms
        self._items = Mapper(work, WorkItem)
        self._claim = claim_statement(dialect, [column.name for column in self._items.select.selected_columns])
        now: ColumnElement[int] = (
            bindparam("now_ms", type_=BigInteger) if self._ours else literal_column(_CLOCK, BigInteger)
        )
        self._enqueue = insert_new(dialect, work, created_ms=now)
        self._build_holders_statements(now)
        self._build_others_statements(now)

    def _build_holders_statements(self, now: ColumnElement[int]) -> None:
        c = work.c
        held = (
            c.id == bindparam("work_id"),
            c.fence == bindparam("held_fence"),
            c.owner == bindparam("held_by"),
            text(LEASED),
        )
        self._check = select(c.id).where(*held)
        until = now + bindparam("lease_ms", type_=BigInteger)
        self._heartbeat = update(work).where(*held).values(lease_until_ms=until).returning(c.cancel_requested)
        self._finish = update(work).where(*held).values(state=_DONE, ended_ms=now, owner="", lease_until_ms=0)
        each = _each_lease("sqlite" if self._ours else "postgresql")
        all_held = (*(c[name] == value for name, value in each.items()), text(LEASED))
        self._check_all = select(func.count(c.id)).where(*all_held)
        self._finish_all = update(work).where(*all_held).values(state=_DONE, ended_ms=now, owner="", lease_until_ms=0)
        self._rest = update(work).where(*held).values(resting=True)
        used_up = c.attempts >= c.max_attempts
        self._retry = (
            update(work)
            .where(*held)
            .values(
                state=case((used_up, _DEAD), else_=_QUEUED),
                ended_ms=case((used_up, now), else_=literal(None, BigInteger)),
                not_before_ms=bindparam("due_ms"),
                last_error=bindparam("error"),
                errors=c.errors + 1,
                owner="",
                lease_until_ms=0,
            )
            .returning(c.state)
        )

    def _build_others_statements(self, now: ColumnElement[int]) -> None:
        c = work.c
        this = (c.kind == bindparam("of_kind"), c.ref == bindparam("of_ref"), text(LIVE))
        self._cancel_held = update(work).where(*this, text(LEASED)).values(cancel_requested=True)
        self._cancel_waiting = update(work).where(*this, text(QUEUED)).values(state=_DONE, ended_ms=now)
        self._release = (
            update(work)
            .where(text(LEASED), c.owner.in_(bindparam("owners", expanding=True)))
            .values(state=_QUEUED, owner="", lease_until_ms=0)
        )
        self._go_on = update(work).where(c.id == bindparam("work_id"), text(RESTING)).values(resting=False)
        self._resting = select(c.id).where(text(RESTING), text(LEASED), c.owner == bindparam("held_by"))
        self._counts = select(c.state, func.count()).group_by(c.state)
        self._prune, self._prune_dead = (
            delete(work).where(
                c.id.in_(
                    select(c.id)
                    .where(text(over), c.ended_ms < bindparam("before_ms"))
                    .order_by(c.ended_ms)
                    .limit(bindparam("limit"))
                )
            )
            for over in (DONE, DEAD)
        )

    def enqueue(self, tx: Tx, work: NewWork) -> None:
        """Add a piece of work; a live one of the same (kind, ref) is left as it is."""
        keys = (*work.keys, *("",) * (_MAX_KEYS - len(work.keys)))
        values = {
            "id": work.id,
            "kind": work.kind,
            "ref": work.ref,
            "project_id": work.project_id,
            "node_id": work.node_id or "",
            **{f"k{number}": key for number, key in enumerate(keys, 1)},
            "lane": "\x1f".join((work.project_id, work.kind, work.node_id or "", *keys)),
            "state": _QUEUED,
            "fence": 0,
            "attempts": 0,
            "max_attempts": work.max_attempts,
            "errors": 0,
            "not_before_ms": work.not_before_ms,
            "lease_until_ms": 0,
            "owner": "",
            "cancel_requested": False,
            "last_error": "",
            "resting": False,
            "ended_ms": None,
        }
        self._settled(tx).execute(self._enqueue, self._timed(values))

    def claim(
        self,
        tx: Tx,
        *,
        kinds: Collection[str],
        owner: str,
        node_id: str,
        lease_ms: int,
        key_limits: Mapping[str, int],
        default_key_limits: Mapping[str, int],
        most: int,
        only_resting: bool = False,
    ) -> list[WorkItem]:
        """Take the next items that may be done now: one statement."""
        values = {
            "kinds": json.dumps(list(kinds)),
            "owner": owner,
            "node_id": node_id,
            "lease_ms": lease_ms,
            "key_limits": json.dumps(dict(key_limits)),
            "default_key_limits": json.dumps(dict(default_key_limits)),
            "most": most,
            "only_resting": only_resting,
        }
        rows = self._settled(tx).execute(self._claim, self._timed(values))
        return sorted(map(self._items.item, rows), key=lambda item: item.id)

    def heartbeat(self, tx: Tx, lease: Lease, lease_ms: int) -> bool:
        """Extend the lease; return whether a cancel is asked for; `FencedError` if the lease is lost."""
        values = self._timed({**_held(lease), "lease_ms": lease_ms})
        row = self._settled(tx).execute(self._heartbeat, values).first()
        if row is None:
            raise _fenced(lease)
        return bool(row[0])

    def check(self, tx: Tx, lease: Lease) -> None:
        """Raise `FencedError` unless *lease* is the newest and still leased."""
        shared = shared_on(on(tx))
        if shared is not None and lease not in shared.parts(self._finish_leases):
            shared.add(self._check_leases, lease)
        elif self._settled(tx).execute(self._check, _held(lease)).first() is None:
            raise _fenced(lease)

    def finish(self, tx: Tx, lease: Lease) -> None:
        """Mark the item done; `FencedError` as in `check`."""
        shared = shared_on(on(tx))
        if shared is not None and lease not in shared.parts(self._finish_leases):
            # The end checks the lease itself.
            shared.parts(self._check_leases).pop(lease, None)
            shared.add(self._finish_leases, lease)
        elif self._settled(tx).execute(self._finish, self._timed(_held(lease))).rowcount != 1:
            raise _fenced(lease)

    def _check_leases(self, connection: Connection, leases: Collection[Lease]) -> None:
        if connection.execute(self._check_all, _all_held(leases)).scalar_one() != len(leases):
            raise FencedError("one of several leases is lost")

    def _finish_leases(self, connection: Connection, leases: Collection[Lease]) -> None:
        if connection.execute(self._finish_all, self._timed(_all_held(leases))).rowcount != len(leases):
            raise FencedError("one of several leases is lost")

    def _settled(self, tx: Tx) -> Connection:
        """Look inside *tx* when all that was left for later is done, so that what is asked next sees it."""
        connection = on(tx)
        shared = shared_on(connection)
        if shared is not None:
            shared.settle(connection)
        return connection

    def retry(self, tx: Tx, lease: Lease, *, not_before_ms: int, error: str) -> bool:
        """Put the item back (after `check`); False when its attempts are used up and it is dead now."""
        values = self._timed({**_held(lease), "due_ms": not_before_ms, "error": error})
        row = self._settled(tx).execute(self._retry, values).first()
        if row is None:
            raise _fenced(lease)
        return row[0] == _QUEUED

    def rest(self, tx: Tx, lease: Lease) -> None:
        """Give back the item's place; `FencedError` as in `check`."""
        if self._settled(tx).execute(self._rest, _held(lease)).rowcount != 1:
            raise _fenced(lease)

    def go_on(self, tx: Tx, work_id: WorkId) -> None:
        """Have the item take its place again, if it rests."""
        self._settled(tx).execute(self._go_on, {"work_id": work_id})

    def resting(self, tx: Tx, owner: str) -> frozenset[WorkId]:
        """Return what rests of the items that *owner* holds."""
        return frozenset(WorkId(row[0]) for row in self._settled(tx).execute(self._resting, {"held_by": owner}))

    def request_cancel(self, tx: Tx, kind: str, ref: str) -> bool:
        """Ask the holder to stop; True if somebody holds it. An item that only waits becomes done."""
        values = {"of_kind": kind, "of_ref": ref}
        if self._settled(tx).execute(self._cancel_held, values).rowcount > 0:
            return True
        self._settled(tx).execute(self._cancel_waiting, self._timed(values))
        return False

    def release_owner(self, tx: Tx, owners: Collection[str]) -> int:
        """Give up all leases of owners that are known to be dead; return how many."""
        return self._settled(tx).execute(self._release, {"owners": list(owners)}).rowcount

    def get(self, tx: Tx, work_id: WorkId) -> WorkItem | None:
        """Return the item, if it exists."""
        self._settled(tx)
        return self._items.get(tx, work_id)

    def counts(self, tx: Tx) -> Mapping[str, int]:
        """Return the number of items per state; a state without any is left out."""
        return {state: count for state, count in self._settled(tx).execute(self._counts)}  # noqa: C416  rows are no pairs

    def prune(self, tx: Tx, *, before_ms: int, limit: int) -> int:
        """Delete done items that ended before *before_ms*, at most *limit*; return how many."""
        return self._settled(tx).execute(self._prune, {"before_ms": before_ms, "limit": limit}).rowcount

    def _timed(self, values: dict[str, Any]) -> dict[str, Any]:
        if self._ours:
            values["now_ms"] = self._now_ms()
        return values

    def prune_dead(self, tx: Tx, *, before_ms: int, limit: int) -> int:
        """Delete items that were given up on before *before_ms*, at most *limit*; return how many."""
        return self._settled(tx).execute(self._prune_dead, {"before_ms": before_ms, "limit": limit}).rowcount


def _held(lease: Lease) -> dict[str, Any]:
    return {"work_id": lease.work_id, "held_fence": lease.fence, "held_by": lease.owner}


def _each_lease(dialect: Dialect) -> Mapping[str, ColumnElement[Any]]:
    """Return the columns of a table of leases that is bound as one value (see `_all_held`)."""
    names = ("id", "fence", "owner")
    leases = bindparam("leases", type_=Text)
    if dialect == "sqlite":
        value = func.json_each(leases).table_valued("value", name="each_lease").c.value
        return {name: func.json_extract(value, f"$[{place}]") for place, name in enumerate(names)}
    row = func.json_array_elements(cast(leases, JSON)).table_valued("value", name="each_lease").render_derived().c.value
    return {name: cast(row.op("->>")(place), work.c[name].type) for place, name in enumerate(names)}


def _all_held(leases: Collection[Lease]) -> dict[str, Any]:
    return {"leases": json.dumps([(lease.work_id, lease.fence, lease.owner) for lease in leases])}


def _fenced(lease: Lease) -> FencedError:
    return FencedError(f"the lease on {lease.work_id} is lost")
