"""Pure decisions about work."""

from hypothesis import given
from hypothesis import strategies as st

from skep.product.work.machine import TRANSITIONS, backoff_s, is_left_open, is_lost
from skep.product.work.model import Lease, WorkId, WorkItem, WorkState

LEASE = Lease(work_id=WorkId("wrk_1"), fence=3, owner="inc_1")


def item(state, fence=3):
    """Return the item that `LEASE` is about."""
    return WorkItem(
        id=WorkId("wrk_1"),
        kind="run",
        ref="run_1",
        project_id="prj_1",
        state=state,
        fence=fence,
        attempts=1,
        max_attempts=5,
        errors=0,
        lease_until_ms=0,
        owner="inc_1",
        cancel_requested=False,
        last_error="",
    )


def test_each_state_has_its_transitions():
    """The table is total, and only what is over goes nowhere."""
    assert set(TRANSITIONS) == set(WorkState)
    assert {state for state, ways in TRANSITIONS.items() if not ways} == {WorkState.DONE, WorkState.DEAD}


@given(st.integers(min_value=0, max_value=10**9), st.floats(min_value=0, max_value=1))
def test_backoff_is_bounded(attempts, jitter):
    """Never at once, never longer than five minutes, for any number of attempts."""
    assert 0.5 <= backoff_s(attempts, jitter) <= 300


@given(st.integers(min_value=1, max_value=100))
def test_backoff_grows(attempts):
    """A later attempt waits no shorter than an earlier one."""
    assert backoff_s(attempts + 1, 0.0) >= backoff_s(attempts, 0.0)


def test_a_lease_that_its_holder_ended_is_not_lost():
    """Done or dead under our own fence was our own last word; anything else was somebody else's."""
    assert [is_lost(item(state), LEASE) for state in WorkState] == [True, True, False, False]
    assert is_lost(item(WorkState.DONE, fence=4), LEASE)
    assert is_lost(None, LEASE)


def test_work_left_open():
    """Only what is still leased under our fence waits for a last word."""
    assert [is_left_open(item(state), LEASE) for state in WorkState] == [False, True, False, False]
    assert not is_left_open(item(WorkState.LEASED, fence=4), LEASE)
    assert not is_left_open(None, LEASE)
