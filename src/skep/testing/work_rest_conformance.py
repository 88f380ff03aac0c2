"""What every work store must do about work that rests: it keeps its lease, and gives back its place."""

import pytest

from skep.kernel.database import Tx
from skep.kernel.errors import FencedError
from skep.product.work.model import WorkId, WorkState
from skep.testing.work_desk import LATER, WorkDesk, lease_of, work

ONE_AGENT = {"agent": 1}


class RestConformance:
    """Resting and going on."""

    async def test_what_rests_gives_back_its_place(self, desk: WorkDesk) -> None:
        """Under each of its keys; it stays its holder's, who can renew, and nobody else is given it."""
        await desk.add(*(work(n, keys=("agent:a", "runs")) for n in (1, 2)))
        limits = {"limits": {"runs": 1}, "defaults": ONE_AGENT}
        first = await desk.take(**limits)
        assert await desk.claim(**limits) is None
        await desk.rest(first)
        assert await desk.refs(1, **limits) == ["run_2"]
        assert await desk.claim(**limits) is None
        assert await desk.beat(first) is False
        await desk.check(first)
        assert await desk.state(1) is WorkState.LEASED

    async def test_what_goes_on_takes_its_place_again(self, desk: WorkDesk) -> None:
        """Whoever has it meanwhile keeps it, too: only new claims wait."""
        await desk.add(*(work(n, keys=("agent:a",)) for n in (1, 2, 3)))
        first = await desk.take(defaults=ONE_AGENT)
        await desk.rest(first)
        second = await desk.take(defaults=ONE_AGENT)
        await desk.go_on(first)
        await desk.check(second)
        for item in (second, first):
            assert await desk.claim(defaults=ONE_AGENT) is None
            await desk.finish(item)
        assert await desk.refs(1, defaults=ONE_AGENT) == ["run_3"]

    async def test_resting_and_going_on_again_change_nothing(self, desk: WorkDesk) -> None:
        """What is over, or never was, neither; each holder is told of his own."""
        await desk.add(*(work(n) for n in (1, 2, 3)))
        first, second = await desk.take(), await desk.take(owner="inc_2")
        for item in (first, first, second):
            await desk.rest(item)
        assert await desk.resting("inc_1") == {first.id}
        assert await desk.resting("inc_2") == {second.id}
        for _ in range(2):
            await desk.go_on(first)
        assert await desk.resting("inc_1") == frozenset()
        await desk.finish(second)
        await desk.go_on(second)
        assert await desk.resting("inc_2") == frozenset()
        assert await desk.state(2) is WorkState.DONE

    async def test_only_the_holder_has_it_rest(self, desk: WorkDesk) -> None:
        """Who lost the lease gives back nothing; anybody may have it go on."""
        await desk.add(work(1))
        old = await desk.take(lease_ms=0)
        new = await desk.take(owner="inc_2")
        with pytest.raises(FencedError):
            await desk.rest(old)
        await desk.rest(new)
        await desk.go_on(old)
        assert await desk.resting("inc_2") == frozenset()

    @pytest.mark.parametrize("lapsed", [False, True])
    async def test_it_rests_for_whoever_takes_it_up(self, desk: WorkDesk, lapsed: bool) -> None:
        """No limit keeps it back, whether its holder was known to be dead or not; and it takes nobody's place."""
        await desk.add(work(1, keys=("agent:a",)), work(2, keys=("agent:a",)))
        first = await desk.take(defaults=ONE_AGENT)
        await desk.rest(first)
        await desk.take(owner="inc_9", defaults=ONE_AGENT)
        if lapsed:
            await desk.beat(first, lease_ms=0)
        else:
            await desk.db.write(lambda tx: desk.store.release_owner(tx, ["inc_1"]))
        again = await desk.take(owner="inc_2", defaults=ONE_AGENT)
        assert (again.ref, again.fence) == ("run_1", 2)
        assert await desk.resting("inc_2") == {again.id}
        assert await desk.claim(defaults=ONE_AGENT) is None

    async def test_what_goes_on_while_nobody_has_it_waits_for_a_place(self, desk: WorkDesk) -> None:
        """Like any other."""
        await desk.add(work(1, keys=("agent:a",)), work(2, keys=("agent:a",)))
        first = await desk.take(defaults=ONE_AGENT)
        await desk.rest(first)
        second = await desk.take(owner="inc_9", defaults=ONE_AGENT)
        await desk.db.write(lambda tx: desk.store.release_owner(tx, ["inc_1"]))
        await desk.go_on(first)
        assert await desk.claim(defaults=ONE_AGENT) is None
        await desk.finish(second)
        assert await desk.refs(1, defaults=ONE_AGENT) == ["run_1"]

    async def test_an_error_does_not_end_the_rest(self, desk: WorkDesk) -> None:
        """It is put back until it is due, and rests still."""
        await desk.add(work(1, keys=("agent:a",)), work(2, keys=("agent:a",)))
        first = await desk.take(defaults=ONE_AGENT)
        await desk.rest(first)
        await desk.take(defaults=ONE_AGENT)
        assert await desk.retry(first, LATER)
        assert await desk.claim(defaults=ONE_AGENT) is None
        await desk.db.write(lambda tx: desk.store.request_cancel(tx, "run", "run_1"))
        assert await desk.state(1) is WorkState.DONE

    async def test_only_what_rests_is_claimed(self, desk: WorkDesk) -> None:
        """By who has room for nothing else: neither what is queued nor what has lost its holder."""
        await desk.add(*(work(n) for n in range(1, 6)))
        held = await desk.claims(4, lease_ms=0)
        for item in held[:2]:
            await desk.rest(item)
        assert [item.ref for item in await desk.claims(9, only_resting=True)] == ["run_1", "run_2"]
        assert await desk.claims(9, only_resting=True) == []
        assert [item.ref for item in await desk.claims(9)] == ["run_3", "run_4", "run_5"]

    async def test_what_rests_counts_for_no_project(self, desk: WorkDesk) -> None:
        """A project with runs that wait for people has its turn as if it had none."""
        await desk.add(*(work(n) for n in range(1, 6)), *(work(n, project_id="prj_2") for n in range(11, 14)))
        for item in [await desk.take() for _ in range(3)]:
            if item.project_id == "prj_1":
                await desk.rest(item)
        # prj_1 holds none now, prj_2 one.
        assert await desk.refs(3) == ["run_3", "run_4", "run_12"]

    async def test_a_claim_of_many_is_as_many_claims_though_some_rest(self, desk: WorkDesk) -> None:
        """What rests takes no turn from its project."""
        await desk.add(*(work(n) for n in range(1, 9)), *(work(n, project_id="prj_2") for n in range(11, 19)))
        for item in await desk.claims(6):
            if item.ref in ("run_1", "run_3", "run_11"):
                await desk.rest(item)
        await desk.db.write(lambda tx: desk.store.release_owner(tx, ["inc_1"]))
        for most in range(1, 14):
            assert await desk.would_claim(most, at_once=most) == await desk.would_claim(most, at_once=1)

    async def test_a_rest_ends_with_its_transaction(self, desk: WorkDesk) -> None:
        """Which is one with the check of the lease that went before."""
        await desk.add(work(1))
        item = await desk.take()

        def unit(tx: Tx) -> frozenset[WorkId]:
            desk.store.check(tx, lease_of(item))
            desk.store.rest(tx, lease_of(item))
            return desk.store.resting(tx, "inc_1")

        assert await desk.db.write(unit) == {item.id}
