"""What every work store must do, whatever the database.

A test module derives a class from `WorkConformance`; the fixtures `db` and `stores` say over what it runs. Time is
the database's own and cannot be moved: a lease of 0 ms is over at once, and `LATER` never comes.
"""

import asyncio
import random
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from skep.adapters.storage.stores import Stores
from skep.kernel.database import Database, Tx
from skep.kernel.errors import FencedError
from skep.product.work.model import Lease, NewWork, WorkId, WorkItem, WorkState
from skep.product.work.ports import WorkStore

#: The year 2100, in milliseconds.
LATER = 4_102_444_800_000

_NO_LIMITS: Mapping[str, int] = {}


def work(number: int, **changes: Any) -> NewWork:
    """Return the piece of work number *number*; later ones have greater numbers."""
    whole: dict[str, Any] = {
        "id": WorkId(f"wrk_{number:04}"),
        "kind": "run",
        "ref": f"run_{number}",
        "project_id": "prj_1",
    }
    return NewWork(**(whole | changes))


def lease_of(item: WorkItem) -> Lease:
    """Return the lease that a claim gave."""
    return Lease(work_id=item.id, fence=item.fence, owner=item.owner)


class _TakenBackError(Exception):
    """Takes back the transaction that raises it."""


class _Desk:
    """Short words for what the tests do with a store."""

    def __init__(self, db: Database, store: WorkStore) -> None:
        self.db = db
        self.store = store

    async def add(self, *items: NewWork) -> None:
        for item in items:
            await self.db.write(lambda tx, item=item: self.store.enqueue(tx, item))

    async def claims(self, most: int, **choice: Any) -> list[WorkItem]:
        return await self.db.write(lambda tx: self._claims(tx, most, **choice))

    async def would_claim(self, most: int, *, at_once: int, **choice: Any) -> set[str]:
        """Return what claims of *at_once* each would take until there are *most*; nothing is changed."""
        refs = set[str]()

        def unit(tx: Tx) -> None:
            refs.clear()
            while items := self._claims(tx, min(at_once, most - len(refs)), **choice):
                refs.update(item.ref for item in items)
                if len(refs) == most:
                    break
            raise _TakenBackError

        with pytest.raises(_TakenBackError):
            await self.db.write(unit)
        return refs

    def _claims(
        self,
        tx: Tx,
        most: int,
        *,
        kinds: Sequence[str] = ("run",),
        owner: str = "inc_1",
        node_id: str = "nod_1",
        lease_ms: int = 60_000,
        limits: Mapping[str, int] = _NO_LIMITS,
        defaults: Mapping[str, int] = _NO_LIMITS,
    ) -> list[WorkItem]:
        return self.store.claim(
            tx,
            kinds=kinds,
            owner=owner,
            node_id=node_id,
            lease_ms=lease_ms,
            key_limits=limits,
            default_key_limits=defaults,
            most=most,
        )

    async def claim(self, **choice: Any) -> WorkItem | None:
        items = await self.claims(1, **choice)
        assert len(items) <= 1
        return items[0] if items else None

    async def take(self, **choice: Any) -> WorkItem:
        item = await self.claim(**choice)
        assert item is not None
        return item

    async def refs(self, count: int, **choice: Any) -> list[str]:
        return [(await self.take(**choice)).ref for _ in range(count)]

    async def finish(self, item: WorkItem) -> None:
        await self.db.write(lambda tx: self.store.finish(tx, lease_of(item)))

    async def retry(self, item: WorkItem, not_before_ms: int = 0) -> bool:
        return await self.db.write(
            lambda tx: self.store.retry(tx, lease_of(item), not_before_ms=not_before_ms, error="boom")
        )

    async def beat(self, item: WorkItem, lease_ms: int = 60_000) -> bool:
        return await self.db.write(lambda tx: self.store.heartbeat(tx, lease_of(item), lease_ms))

    async def check(self, item: WorkItem) -> None:
        await self.db.write(lambda tx: self.store.check(tx, lease_of(item)))

    async def check_and_finish(self, item: WorkItem) -> None:
        def unit(tx: Tx) -> None:
            self.store.check(tx, lease_of(item))
            self.store.finish(tx, lease_of(item))

        await self.db.write(unit)

    async def cancel(self, ref: str) -> bool:
        return await self.db.write(lambda tx: self.store.request_cancel(tx, "run", ref))

    async def state(self, number: int) -> WorkState | None:
        item = await self.db.read(lambda tx: self.store.get(tx, work(number).id))
        return item.state if item else None


class WorkConformance:
    """Claims, leases, fences, limits, fairness."""

    @pytest.fixture
    def desk(self, db: Database, stores: Stores) -> _Desk:
        """The store under test."""
        return _Desk(db, stores.work)

    async def test_work_is_claimed_and_finished(self, desk: _Desk) -> None:
        """A claim tells the holder all that he needs; what is done is not claimed again."""
        await desk.add(work(1, max_attempts=7))
        item = await desk.take()
        assert (item.id, item.kind, item.ref, item.project_id) == ("wrk_0001", "run", "run_1", "prj_1")
        assert (item.state, item.fence, item.attempts, item.max_attempts) == (WorkState.LEASED, 1, 1, 7)
        assert (item.owner, item.cancel_requested, item.last_error) == ("inc_1", False, "")
        assert item.lease_until_ms > 0
        assert await desk.claim() is None
        await desk.finish(item)
        assert await desk.claim() is None
        assert await desk.state(1) is WorkState.DONE

    async def test_one_live_item_for_a_thing(self, desk: _Desk) -> None:
        """While one is queued or leased a second is left out; after its end a new one is taken."""
        await desk.add(work(1), work(2, ref="run_1"))
        item = await desk.take()
        await desk.add(work(3, ref="run_1"), work(4, ref="run_1", kind="build"))
        assert await desk.claim() is None
        await desk.finish(item)
        await desk.add(work(5, ref="run_1"))
        assert (await desk.take()).id == "wrk_0005"
        assert [await desk.state(n) for n in (2, 3, 4)] == [None, None, WorkState.QUEUED]

    async def test_first_in_first_out_within_a_project(self, desk: _Desk) -> None:
        """The order is that of the ids, not of the writing."""
        await desk.add(work(3), work(1), work(2, keys=("agent:a",)))
        assert await desk.refs(3) == ["run_1", "run_2", "run_3"]

    async def test_projects_take_turns(self, desk: _Desk) -> None:
        """A project with a long queue does not keep another waiting."""
        await desk.add(*(work(n) for n in range(1, 5)), *(work(n, project_id="prj_2") for n in range(5, 7)))
        assert await desk.refs(6) == ["run_1", "run_5", "run_2", "run_6", "run_3", "run_4"]

    async def test_only_wanted_kinds(self, desk: _Desk) -> None:
        """A server claims what it has handlers for."""
        await desk.add(work(1, kind="build"), work(2))
        assert (await desk.take(kinds=("run", "graph"))).id == "wrk_0002"
        assert await desk.claim(kinds=("run",)) is None
        assert await desk.claim(kinds=()) is None

    async def test_work_for_a_machine(self, desk: _Desk) -> None:
        """Work that belongs to one machine waits for it."""
        await desk.add(work(1, node_id="nod_2"), work(2))
        assert await desk.refs(1) == ["run_2"]
        assert await desk.claim() is None
        assert await desk.refs(1, node_id="nod_2") == ["run_1"]

    async def test_work_waits_until_it_is_due(self, desk: _Desk) -> None:
        """It does not hold up what stands behind it in the same lane."""
        await desk.add(work(1, not_before_ms=LATER), work(2))
        assert await desk.refs(1) == ["run_2"]
        assert await desk.claim() is None

    async def test_a_default_limit_for_keys(self, desk: _Desk) -> None:
        """As many leases share a key as its prefix allows; an end makes room."""
        await desk.add(*(work(n, keys=("agent:a",)) for n in (1, 2, 3)), work(4, keys=("agent:b",)))
        first = await desk.take(defaults={"agent": 1})
        assert await desk.refs(1, defaults={"agent": 1}) == ["run_4"]
        assert await desk.claim(defaults={"agent": 1}) is None
        await desk.finish(first)
        assert await desk.refs(1, defaults={"agent": 1}) == ["run_2"]

    async def test_a_keys_own_limit(self, desk: _Desk) -> None:
        """It wins over the default, upwards and downwards; 0 means: not now."""
        await desk.add(*(work(n, keys=("agent:a", "project:p")) for n in (1, 2, 3)))
        assert await desk.claim(limits={"project:p": 0}) is None
        assert await desk.refs(2, limits={"agent:a": 2}, defaults={"agent": 1}) == ["run_1", "run_2"]
        assert await desk.claim(limits={"agent:a": 2}, defaults={"agent": 5}) is None

    async def test_each_of_three_keys_limits(self, desk: _Desk) -> None:
        """Whichever is full holds the item back."""
        await desk.add(work(1, keys=("agent:a", "project:p", "server:s")), work(2, keys=("agent:b", "x", "server:s")))
        await desk.take(defaults={"server": 1})
        assert await desk.claim(defaults={"server": 1}) is None
        assert await desk.refs(1, defaults={"agent": 1}) == ["run_2"]

    async def test_many_are_claimed_at_once(self, desk: _Desk) -> None:
        """Due ones, of the wanted kinds, for this machine, and those of lapsed leases; the oldest first."""
        await desk.add(work(1))
        await desk.take(owner="inc_0", lease_ms=0)
        await desk.add(work(5), work(2), work(3, kind="build"), work(4, node_id="nod_2"), work(6, not_before_ms=LATER))
        await desk.add(work(7), work(8))
        items = await desk.claims(4, owner="inc_9")
        assert [(item.ref, item.fence) for item in items] == [("run_1", 2), ("run_2", 1), ("run_5", 1), ("run_7", 1)]
        assert {(item.owner, item.state) for item in items} == {("inc_9", WorkState.LEASED)}
        assert [item.ref for item in await desk.claims(4)] == ["run_8"]
        assert await desk.claims(4) == []

    async def test_projects_share_a_claim_of_many(self, desk: _Desk) -> None:
        """Who holds less gets more of it."""
        await desk.add(*(work(n) for n in range(1, 9)), *(work(n, project_id="prj_2") for n in range(11, 19)))
        assert await desk.refs(1) == ["run_1"]
        assert [item.ref for item in await desk.claims(5)] == ["run_2", "run_3", "run_11", "run_12", "run_13"]

    async def test_a_claim_of_many_keeps_every_limit(self, desk: _Desk) -> None:
        """Defaults and own limits, of all three keys, together with what is held already."""
        await desk.add(*(work(n, keys=("agent:a", "project:p", "server")) for n in (1, 2, 3)))
        await desk.add(*(work(n, keys=("agent:b", "project:p", "server")) for n in (4, 5, 6)), work(7))
        limits = {"limits": {"server": 4, "agent:b": 3}, "defaults": {"agent": 2, "project": 9}}
        await desk.take()
        claimed = list[str]()
        while items := await desk.claims(9, **limits):
            claimed += [item.ref for item in items]
        assert claimed == ["run_2", "run_4", "run_5", "run_7"]

    async def test_a_claim_of_many_is_as_many_claims(self, desk: _Desk) -> None:
        """Whatever waits, and whatever is held: the same items, for the same reasons, as one by one."""
        chance = random.Random(7)  # noqa: S311  the same each time
        for step in range(12):
            some = [
                work(
                    100 * step + n,
                    project_id=f"prj_{chance.randrange(3)}",
                    keys=tuple(f"{word}:{chance.randrange(3)}" for word in ("agent", "project", "server")),
                )
                for n in range(12)
            ]
            await desk.add(*some)
            limits = {"agent": chance.randint(1, 4), "project": chance.randint(2, 6), "server": chance.randint(3, 9)}
            most = chance.randint(1, 9)
            one_by_one = await desk.would_claim(most, at_once=1, defaults=limits)
            assert await desk.would_claim(most, at_once=most, defaults=limits) == one_by_one
            await desk.claims(most, defaults=limits)

    async def test_a_lease_that_ran_out_is_taken_over(self, desk: _Desk) -> None:
        """The new holder's fence is higher; whatever the old one does is refused."""
        await desk.add(work(1))
        old = await desk.take(lease_ms=0)
        new = await desk.take(owner="inc_2")
        assert (new.id, new.fence, new.attempts, new.owner) == (old.id, old.fence + 1, 2, "inc_2")
        for act in (desk.check, desk.beat, desk.finish, desk.retry):
            with pytest.raises(FencedError):
                await act(old)
        await desk.check(new)
        assert await desk.state(1) is WorkState.LEASED

    async def test_a_lapsed_lease_holds_no_key(self, desk: _Desk) -> None:
        """An item whose holder died does not stand in its own way."""
        await desk.add(work(1, keys=("agent:a",)))
        await desk.take(lease_ms=0, defaults={"agent": 1})
        assert await desk.refs(1, defaults={"agent": 1}) == ["run_1"]

    async def test_of_many_that_end_together_only_the_lost_are_refused(self, desk: _Desk) -> None:
        """Each commit of a holder is checked for itself, whoever shares it."""
        await desk.add(*(work(n) for n in range(1, 31)))
        held = await desk.claims(30)
        lost = {item.id for item in held[::7]}
        for item in held[::7]:
            await desk.beat(item, lease_ms=0)
        assert {item.id for item in await desk.claims(9, owner="inc_2")} == lost
        for act in (desk.check, desk.check_and_finish):
            answers = await asyncio.gather(*(act(item) for item in held), return_exceptions=True)
            refused = {item.id for item, answer in zip(held, answers, strict=True) if answer is not None}
            assert {type(answer) for answer in answers} == {type(None), FencedError}
            assert refused == lost
        assert await desk.db.read(desk.store.counts) == {"done": 30 - len(lost), "leased": len(lost)}

    async def test_what_ended_is_over_for_the_rest_of_its_commit(self, desk: _Desk) -> None:
        """The same thing can have new work at once, and nobody can end or use the lease a second time."""
        await desk.add(*(work(n) for n in range(1, 21)))
        held = await desk.claims(20)

        def again(tx: Tx, number: int, item: WorkItem) -> None:
            desk.store.finish(tx, lease_of(item))
            desk.store.enqueue(tx, work(100 + number, ref=item.ref))

        await asyncio.gather(
            *(desk.db.write(lambda tx, n=n, item=item: again(tx, n, item)) for n, item in enumerate(held))
        )
        assert await desk.db.read(desk.store.counts) == {"done": 20, "queued": 20}
        held = await desk.claims(20)
        for late in (desk.finish, desk.check, desk.beat):
            items, held = held[:5], held[5:]
            answers = await asyncio.gather(
                *(act(item) for item in items for act in (desk.finish, late)), return_exceptions=True
            )
            assert [type(answer) for answer in answers] == [type(None), FencedError] * 5

    async def test_a_heartbeat_keeps_the_lease(self, desk: _Desk) -> None:
        """A lapsed lease that nobody took is good again once it is renewed."""
        await desk.add(work(1))
        item = await desk.take(lease_ms=0)
        assert await desk.beat(item) is False
        assert await desk.claim() is None

    async def test_a_cancel_is_told_to_the_holder(self, desk: _Desk) -> None:
        """With the heartbeat, and with the claim of whoever comes after."""
        await desk.add(work(1))
        item = await desk.take(lease_ms=0)
        assert await desk.cancel("run_1") is True
        assert await desk.beat(item, lease_ms=0) is True
        assert (await desk.take()).cancel_requested

    async def test_a_cancel_of_what_waits_is_its_end(self, desk: _Desk) -> None:
        """Nobody holds it, nobody will; a cancel of nothing is nothing."""
        await desk.add(work(1))
        assert await desk.cancel("run_1") is False
        assert await desk.state(1) is WorkState.DONE
        assert await desk.claim() is None
        assert await desk.cancel("run_1") is False

    async def test_a_retry_puts_it_back(self, desk: _Desk) -> None:
        """Until it is due; the error is kept for the next holder."""
        await desk.add(work(1), work(2))
        assert await desk.retry(await desk.take()) is True
        again = await desk.take()
        assert (again.ref, again.attempts, again.fence, again.last_error) == ("run_1", 2, 2, "boom")
        assert await desk.retry(again, LATER) is True
        assert await desk.refs(1) == ["run_2"]
        assert await desk.claim() is None

    async def test_attempts_are_used_up(self, desk: _Desk) -> None:
        """Then it is dead, and nothing brings it back."""
        await desk.add(work(1, max_attempts=2))
        assert await desk.retry(await desk.take()) is True
        assert await desk.retry(await desk.take()) is False
        assert await desk.state(1) is WorkState.DEAD
        assert await desk.claim() is None

    async def test_a_dead_servers_leases_are_released(self, desk: _Desk) -> None:
        """They are claimed again at once; those of others stay."""
        await desk.add(work(1), work(2))
        old = await desk.take(owner="inc_1")
        other = await desk.take(owner="inc_2")
        assert await desk.db.write(lambda tx: desk.store.release_owner(tx, ["inc_0", "inc_1"])) == 1
        assert await desk.db.write(lambda tx: desk.store.release_owner(tx, [])) == 0
        with pytest.raises(FencedError):
            await desk.check(old)
        assert await desk.refs(1, owner="inc_3") == ["run_1"]
        await desk.check(other)

    async def test_states_are_counted_and_done_items_pruned(self, desk: _Desk) -> None:
        """Only done ones go, only old ones, and a few at a time."""
        await desk.add(*(work(n) for n in range(1, 6)))
        for _ in range(3):
            await desk.finish(await desk.take())
        await desk.take()
        assert await desk.db.read(desk.store.counts) == {"done": 3, "leased": 1, "queued": 1}

        async def prune(before_ms: int) -> int:
            return await desk.db.write(lambda tx: desk.store.prune(tx, before_ms=before_ms, limit=2))

        assert [await prune(1), await prune(LATER), await prune(LATER), await prune(LATER)] == [0, 2, 1, 0]
        assert await desk.db.read(desk.store.counts) == {"leased": 1, "queued": 1}

    async def test_dead_items_are_pruned_apart(self, desk: _Desk) -> None:
        """What was given up is kept when done items go, and goes when it is meant."""
        await desk.add(work(1, max_attempts=1), work(2))
        assert not await desk.retry(await desk.take())
        await desk.finish(await desk.take())
        await desk.db.write(lambda tx: desk.store.prune(tx, before_ms=LATER, limit=9))
        assert await desk.db.read(desk.store.counts) == {"dead": 1}
        counts = [
            await desk.db.write(lambda tx, at=at: desk.store.prune_dead(tx, before_ms=at, limit=9)) for at in (1, LATER)
        ]
        assert counts == [0, 1]
