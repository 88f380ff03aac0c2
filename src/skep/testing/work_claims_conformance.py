"""What every work store must do about claims: who may have what, in which order, under which limits."""

import random

from skep.product.work.model import WorkState
from skep.testing.work_desk import LATER, WorkDesk, work


class ClaimConformance:
    """Claims, and fairness."""

    async def test_work_is_claimed_and_finished(self, desk: WorkDesk) -> None:
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

    async def test_one_live_item_for_a_thing(self, desk: WorkDesk) -> None:
        """While one is queued or leased a second is left out; after its end a new one is taken."""
        await desk.add(work(1), work(2, ref="run_1"))
        item = await desk.take()
        await desk.add(work(3, ref="run_1"), work(4, ref="run_1", kind="build"))
        assert await desk.claim() is None
        await desk.finish(item)
        await desk.add(work(5, ref="run_1"))
        assert (await desk.take()).id == "wrk_0005"
        assert [await desk.state(n) for n in (2, 3, 4)] == [None, None, WorkState.QUEUED]

    async def test_first_in_first_out_within_a_project(self, desk: WorkDesk) -> None:
        """The order is that of the ids, not of the writing."""
        await desk.add(work(3), work(1), work(2, keys=("agent:a",)))
        assert await desk.refs(3) == ["run_1", "run_2", "run_3"]

    async def test_projects_take_turns(self, desk: WorkDesk) -> None:
        """A project with a long queue does not keep another waiting."""
        await desk.add(*(work(n) for n in range(1, 5)), *(work(n, project_id="prj_2") for n in range(5, 7)))
        assert await desk.refs(6) == ["run_1", "run_5", "run_2", "run_6", "run_3", "run_4"]

    async def test_only_wanted_kinds(self, desk: WorkDesk) -> None:
        """A server claims what it has handlers for."""
        await desk.add(work(1, kind="build"), work(2))
        assert (await desk.take(kinds=("run", "graph"))).id == "wrk_0002"
        assert await desk.claim(kinds=("run",)) is None
        assert await desk.claim(kinds=()) is None

    async def test_work_for_a_machine(self, desk: WorkDesk) -> None:
        """Work that belongs to one machine waits for it."""
        await desk.add(work(1, node_id="nod_2"), work(2))
        assert await desk.refs(1) == ["run_2"]
        assert await desk.claim() is None
        assert await desk.refs(1, node_id="nod_2") == ["run_1"]

    async def test_work_waits_until_it_is_due(self, desk: WorkDesk) -> None:
        """It does not hold up what stands behind it in the same lane."""
        await desk.add(work(1, not_before_ms=LATER), work(2))
        assert await desk.refs(1) == ["run_2"]
        assert await desk.claim() is None

    async def test_many_are_claimed_at_once(self, desk: WorkDesk) -> None:
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

    async def test_projects_share_a_claim_of_many(self, desk: WorkDesk) -> None:
        """Who holds less gets more of it."""
        await desk.add(*(work(n) for n in range(1, 9)), *(work(n, project_id="prj_2") for n in range(11, 19)))
        assert await desk.refs(1) == ["run_1"]
        assert [item.ref for item in await desk.claims(5)] == ["run_2", "run_3", "run_11", "run_12", "run_13"]

    async def test_a_claim_of_many_is_as_many_claims(self, desk: WorkDesk) -> None:
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


class LimitConformance:
    """Keys whose concurrency is limited."""

    async def test_a_default_limit_for_keys(self, desk: WorkDesk) -> None:
        """As many leases share a key as its prefix allows; an end makes room."""
        await desk.add(*(work(n, keys=("agent:a",)) for n in (1, 2, 3)), work(4, keys=("agent:b",)))
        first = await desk.take(defaults={"agent": 1})
        assert await desk.refs(1, defaults={"agent": 1}) == ["run_4"]
        assert await desk.claim(defaults={"agent": 1}) is None
        await desk.finish(first)
        assert await desk.refs(1, defaults={"agent": 1}) == ["run_2"]

    async def test_a_keys_own_limit(self, desk: WorkDesk) -> None:
        """It wins over the default, upwards and downwards; 0 means: not now."""
        await desk.add(*(work(n, keys=("agent:a", "project:p")) for n in (1, 2, 3)))
        assert await desk.claim(limits={"project:p": 0}) is None
        assert await desk.refs(2, limits={"agent:a": 2}, defaults={"agent": 1}) == ["run_1", "run_2"]
        assert await desk.claim(limits={"agent:a": 2}, defaults={"agent": 5}) is None

    async def test_each_of_three_keys_limits(self, desk: WorkDesk) -> None:
        """Whichever is full holds the item back."""
        await desk.add(work(1, keys=("agent:a", "project:p", "server:s")), work(2, keys=("agent:b", "x", "server:s")))
        await desk.take(defaults={"server": 1})
        assert await desk.claim(defaults={"server": 1}) is None
        assert await desk.refs(1, defaults={"agent": 1}) == ["run_2"]

    async def test_a_claim_of_many_keeps_every_limit(self, desk: WorkDesk) -> None:
        """Defaults and own limits, of all three keys, together with what is held already."""
        await desk.add(*(work(n, keys=("agent:a", "project:p", "server")) for n in (1, 2, 3)))
        await desk.add(*(work(n, keys=("agent:b", "project:p", "server")) for n in (4, 5, 6)), work(7))
        limits = {"limits": {"server": 4, "agent:b": 3}, "defaults": {"agent": 2, "project": 9}}
        await desk.take()
        claimed = list[str]()
        while items := await desk.claims(9, **limits):
            claimed += [item.ref for item in items]
        assert claimed == ["run_2", "run_4", "run_5", "run_7"]

    async def test_a_lapsed_lease_holds_no_key(self, desk: WorkDesk) -> None:
        """An item whose holder died does not stand in its own way."""
        await desk.add(work(1, keys=("agent:a",)))
        await desk.take(lease_ms=0, defaults={"agent": 1})
        assert await desk.refs(1, defaults={"agent": 1}) == ["run_1"]
