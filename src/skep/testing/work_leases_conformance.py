"""What every work store must do about what is held: leases and fences, and the ways in which work ends."""

import asyncio

import pytest

from skep.kernel.database import Tx
from skep.kernel.errors import FencedError
from skep.product.work.model import WorkItem, WorkState
from skep.testing.work_desk import LATER, WorkDesk, lease_of, work


class LeaseConformance:
    """Leases and fences."""

    async def test_a_lease_that_ran_out_is_taken_over(self, desk: WorkDesk) -> None:
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

    async def test_of_many_that_end_together_only_the_lost_are_refused(self, desk: WorkDesk) -> None:
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

    async def test_what_ended_is_over_for_the_rest_of_its_commit(self, desk: WorkDesk) -> None:
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

    async def test_a_heartbeat_keeps_the_lease(self, desk: WorkDesk) -> None:
        """A lapsed lease that nobody took is good again once it is renewed."""
        await desk.add(work(1))
        item = await desk.take(lease_ms=0)
        assert await desk.beat(item) is False
        assert await desk.claim() is None

    async def test_a_dead_servers_leases_are_released(self, desk: WorkDesk) -> None:
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


class EndConformance:
    """Cancels, retries, the end."""

    async def test_a_cancel_is_told_to_the_holder(self, desk: WorkDesk) -> None:
        """With the heartbeat, and with the claim of whoever comes after."""
        await desk.add(work(1))
        item = await desk.take(lease_ms=0)
        assert await desk.cancel("run_1") is True
        assert await desk.beat(item, lease_ms=0) is True
        assert (await desk.take()).cancel_requested

    async def test_a_cancel_of_what_waits_is_its_end(self, desk: WorkDesk) -> None:
        """Nobody holds it, nobody will; a cancel of nothing is nothing."""
        await desk.add(work(1))
        assert await desk.cancel("run_1") is False
        assert await desk.state(1) is WorkState.DONE
        assert await desk.claim() is None
        assert await desk.cancel("run_1") is False

    async def test_a_retry_puts_it_back(self, desk: WorkDesk) -> None:
        """Until it is due; the error is kept for the next holder."""
        await desk.add(work(1), work(2))
        assert await desk.retry(await desk.take()) is True
        again = await desk.take()
        assert (again.ref, again.attempts, again.fence, again.last_error) == ("run_1", 2, 2, "boom")
        assert await desk.retry(again, LATER) is True
        assert await desk.refs(1) == ["run_2"]
        assert await desk.claim() is None

    async def test_attempts_are_used_up(self, desk: WorkDesk) -> None:
        """Then it is dead, and nothing brings it back."""
        await desk.add(work(1, max_attempts=2))
        assert await desk.retry(await desk.take()) is True
        assert await desk.retry(await desk.take()) is False
        assert await desk.state(1) is WorkState.DEAD
        assert await desk.claim() is None

    async def test_states_are_counted_and_done_items_pruned(self, desk: WorkDesk) -> None:
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

    async def test_dead_items_are_pruned_apart(self, desk: WorkDesk) -> None:
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
