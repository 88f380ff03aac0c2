"""The tables and decisions of runs: total, closed, and never more often than allowed."""

from dataclasses import replace
from signal import SIGKILL, SIGTERM

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from skep.kernel.errors import ConflictError
from skep.product.agents.model import AgentConfig, AgentId, Kind, Resources
from skep.product.blobs.model import LogId
from skep.product.runs.machine import (
    MAX_UNSTARTED,
    PHASES,
    TABLE,
    Happening,
    after_loss,
    backoff_ms,
    becomes,
    clean,
    goes_on,
    lost_exit,
    outcome,
    overdue_in_s,
    time_limit_s,
    waits,
)
from skep.product.runs.model import Attempt, AttemptId, AttemptPhase, Run, RunId, RunStatus
from skep.product.sandboxes.model import Exit, ExitReason, Inspection, Limits, SandboxId

EXITS = st.builds(
    Exit,
    reason=st.sampled_from(ExitReason),
    code=st.none() | st.integers(-1, 300),
    signal=st.none() | st.integers(-5, 100),
    duration_s=st.floats(allow_nan=False, allow_infinity=False),
    message=st.text(max_size=50),
)

SEEN = st.builds(
    Inspection,
    alive=st.booleans(),
    oom_kills=st.integers(0, 2),
    pids_reached=st.booleans(),
    disk_left_bytes=st.none() | st.integers(0, 1 << 30),
    disk_left_files=st.none() | st.integers(0, 9),
)
LIMITS = Limits(cpus=1, memory_bytes=1 << 28, disk_bytes=32 << 20, pids=48, output_bytes=1 << 20)


def judged(end, *, cancelled=False, **seen):
    """What the end of a command means, in a sandbox of which the host has *seen* so much."""
    return outcome(end, cancel_requested=cancelled, seen=Inspection(alive=True, **seen), limits=LIMITS, timeout_s=2)


def attempt(number=1, *, reason=None, phase=AttemptPhase.ENDED, started_ms=None):
    """An attempt that ended for *reason*."""
    return Attempt(
        id=AttemptId(f"a{number}"),
        run_id=RunId("r"),
        number=number,
        phase=phase,
        sandbox_id=SandboxId("s"),
        log_id=LogId("l"),
        node_id="n",
        exit=reason and Exit(reason=reason),
        created_ms=1000,
        started_ms=started_ms,
    )


def test_the_table_is_total():
    """Every status meets every happening; what is final stays as it is; every status can be reached."""
    assert set(TABLE) == {(status, happening) for status in RunStatus for happening in Happening}
    for (status, _), after in TABLE.items():
        assert after is None or not status.final
    assert {after for after in TABLE.values() if after} | {RunStatus.QUEUED} == set(RunStatus)


def test_every_unfinished_run_can_be_cancelled_and_can_fail():
    """Whatever a run does, its end can come."""
    for status in RunStatus:
        for happening in (Happening.CANCELLED, Happening.FAILED):
            assert (TABLE[status, happening] is None) == status.final


def test_phases_are_total_and_end():
    """Every phase has its successors, and from each the end is one step away."""
    assert set(PHASES) == set(AttemptPhase)
    for phase, after in PHASES.items():
        assert (AttemptPhase.ENDED in after) == (phase is not AttemptPhase.ENDED)


class RunLife(RuleBasedStateMachine):
    """Whatever happens in whatever order, a run moves along the table or refuses, and once final it rests."""

    def __init__(self):
        super().__init__()
        self.status = RunStatus.QUEUED
        self.final_at = None

    @rule(happening=st.sampled_from(Happening))
    def happen(self, happening):
        """Something happens."""
        expected = TABLE[self.status, happening]
        if expected is None:
            with pytest.raises(ConflictError):
                becomes(self.status, happening)
            return
        self.status = becomes(self.status, happening)
        assert self.status is expected
        if self.status.final:
            self.final_at = self.status

    @invariant()
    def rests(self):
        """A final status is the last one."""
        assert self.final_at in (None, self.status)


TestRunLife = RunLife.TestCase


def test_a_time_limit_that_passed_is_named():
    """The limit itself is told, and how long it took in the end only where the command had to be killed."""
    ended = judged(Exit(reason=ExitReason.TIMED_OUT, signal=SIGTERM, duration_s=2.04))
    killed = judged(Exit(reason=ExitReason.TIMED_OUT, signal=SIGKILL, duration_s=3.52))

    assert ended.failure.message == "The time limit of 2 s passed."
    assert killed.failure.message == (
        "The time limit of 2 s passed; the agent did not end at TERM and was ended by KILL after 3.5 s."
    )


@given(end=EXITS, seen=SEEN, cancelled=st.booleans())
def test_every_exit_has_an_outcome(end, seen, cancelled):
    """Any exit, however odd its numbers and words, ends a running run, with a reason unless it succeeded."""
    meant = outcome(end, cancel_requested=cancelled, seen=seen, limits=LIMITS, timeout_s=2)
    status = becomes(RunStatus.RUNNING, meant.happening)
    assert status.final
    assert (meant.failure is None) == (status is RunStatus.SUCCEEDED)
    if cancelled:
        assert status is RunStatus.CANCELLED
    if status is RunStatus.SUCCEEDED:
        assert (end.reason, end.code) == (ExitReason.EXITED, 0)
    elif (end.reason, end.code) == (ExitReason.EXITED, 0):
        assert cancelled
    if meant.failure:
        assert meant.failure.message.isprintable()


@pytest.mark.parametrize(
    ("end", "status", "code"),
    [
        (Exit(reason=ExitReason.EXITED, code=0), RunStatus.SUCCEEDED, None),
        (Exit(reason=ExitReason.EXITED, code=7), RunStatus.FAILED, "exit_code"),
        (Exit(reason=ExitReason.EXITED), RunStatus.FAILED, "exit_code"),
        (Exit(reason=ExitReason.SIGNALED, signal=9), RunStatus.FAILED, "signaled"),
        (Exit(reason=ExitReason.TIMED_OUT, signal=15), RunStatus.TIMED_OUT, "timed_out"),
        (Exit(reason=ExitReason.OUT_OF_MEMORY, signal=9), RunStatus.FAILED, "out_of_memory"),
        (Exit(reason=ExitReason.NOT_STARTED, message="no such file"), RunStatus.FAILED, "not_started"),
        (Exit(reason=ExitReason.LOST), RunStatus.LOST, "lost"),
    ],
)
def test_exits(end, status, code):
    """Each reason has its status and its code."""
    meant = judged(end)
    assert becomes(RunStatus.RUNNING, meant.happening) is status
    assert (meant.failure and meant.failure.code) == code


FULL, FEW = {"disk_left_bytes": 4096, "disk_left_files": 9}, {"pids_reached": True}


@pytest.mark.parametrize(
    ("reason", "seen", "code"),
    [
        (ExitReason.EXITED, FULL, "out_of_disk"),
        (ExitReason.EXITED, {"disk_left_bytes": 9 << 20, "disk_left_files": 0}, "out_of_disk"),
        (ExitReason.EXITED, FEW, "out_of_processes"),
        (ExitReason.EXITED, FULL | FEW, "out_of_disk"),
        (ExitReason.EXITED, {"disk_left_bytes": 1 << 20, "disk_left_files": 1, "pids": 48}, "exit_code"),
        (ExitReason.SIGNALED, FULL, "out_of_disk"),
        (ExitReason.SIGNALED, FEW, "out_of_processes"),
        (ExitReason.OUT_OF_MEMORY, FULL | FEW, "out_of_memory"),
        (ExitReason.TIMED_OUT, FULL | FEW, "timed_out"),
        (ExitReason.NOT_STARTED, FULL | FEW, "not_started"),
        (ExitReason.LOST, FULL | FEW, "lost"),
    ],
)
def test_which_limit_is_named(reason, seen, code):
    """What ended a command from outside comes first, then a full disk, then too many processes, then its own code."""
    end = Exit(reason=reason, code=7 if reason is ExitReason.EXITED else None, signal=6)
    assert judged(end, **seen).failure.code == code
    assert judged(end, cancelled=True, **seen).failure.code == "cancelled"


def test_who_succeeds_at_a_limit_has_succeeded():
    """A full disk or a limit of processes is no failure of an agent that can live with it."""
    assert judged(Exit(reason=ExitReason.EXITED, code=0), **FULL, **FEW).happening is Happening.SUCCEEDED


def test_a_limit_is_told_with_the_end_and_the_way_out():
    """The words say how the agent ended, what the limit was, and what to ask for."""
    disk = judged(Exit(reason=ExitReason.EXITED, code=1), **FULL).failure
    assert disk.message == "The agent ended with exit code 1, and its 32 MiB of disk are used up."
    assert "resources.disk_mb" in disk.hint
    pids = judged(Exit(reason=ExitReason.SIGNALED, signal=6), **FEW).failure
    assert pids.message == "The agent was ended by SIGABRT, and had reached its limit of processes and threads (48)."
    assert "resources.pids" in pids.hint


@given(
    earlier=st.lists(st.sampled_from([ExitReason.LOST, ExitReason.NOT_STARTED]), max_size=8),
    maybe_started=st.booleans(),
    allowed=st.integers(1, 10),
    cancelled=st.booleans(),
)
def test_nothing_is_repeated_more_often_than_allowed(earlier, maybe_started, allowed, cancelled):
    """What may have been started is repeated within the agent's bound, what was not within ours."""
    attempts = [attempt(n, reason=reason) for n, reason in enumerate(earlier, 1)]
    end = lost_exit("why", maybe_started=maybe_started)
    meant = after_loss(
        end, attempts=attempts, maybe_started=maybe_started, max_attempts=allowed, cancel_requested=cancelled
    )
    assert becomes(RunStatus.RUNNING, meant.happening) is not RunStatus.SUCCEEDED
    if cancelled:
        assert meant.happening is Happening.CANCELLED
    elif meant.happening is Happening.RETRIED:
        tried = earlier.count(ExitReason.LOST) + maybe_started
        assert tried < allowed or not maybe_started
        assert earlier.count(ExitReason.NOT_STARTED) + (not maybe_started) < MAX_UNSTARTED or maybe_started
    else:
        assert meant.failure is not None


def test_without_leave_nothing_is_repeated():
    """By default an attempt that may have started is the last, and one that cannot have is not."""
    for maybe_started, happening in ((True, Happening.LOST), (False, Happening.RETRIED)):
        end = lost_exit("", maybe_started=maybe_started)
        meant = after_loss(end, attempts=[], maybe_started=maybe_started, max_attempts=1, cancel_requested=False)
        assert meant.happening is happening


@given(attempts=st.integers(0, 10_000), first_s=st.floats(0.001, 10))
def test_waiting_grows_and_is_bounded(attempts, first_s):
    """The pause before the next attempt never shrinks and never passes half a minute."""
    assert 0 < backoff_ms(attempts, first_s) <= backoff_ms(attempts + 1, first_s) <= 30_000


def test_whose_time_limit_counts():
    """The run's own, else its version's, else the installation's."""
    config = AgentConfig(resources=Resources(timeout_s=20))
    run = Run(
        id=RunId("r"),
        project_id="p",
        agent_id=AgentId("a"),
        agent_name="n",
        kind=Kind.JOB,
        version_id=None,
        status=RunStatus.QUEUED,
        inputs={},
        timeout_s=10,
        created_ms=0,
    )
    assert time_limit_s(run, config, 30) == 10
    assert time_limit_s(replace(run, timeout_s=None), config, 30) == 20
    assert time_limit_s(replace(run, timeout_s=None), AgentConfig(), 30) == 30


def test_the_limit_counts_from_the_start_of_the_attempt():
    """Time that passed while the server was down counts; the supervisor always has its slack first."""
    started = attempt(phase=AttemptPhase.STARTED, started_ms=1000)
    assert overdue_in_s(started, timeout_s=60, slack_s=5, now_ms=31_000) == 35
    assert overdue_in_s(started, timeout_s=60, slack_s=5, now_ms=10**9) == 5


def test_the_limit_does_not_count_waiting():
    """While it waits nothing is overdue; then the limit is as much later as it waited, however often it did."""
    started = attempt(phase=AttemptPhase.STARTED, started_ms=1000)
    waiting = waits(started, 11_000)
    assert waits(waiting, 15_000) == waiting
    assert overdue_in_s(waiting, timeout_s=60, slack_s=5, now_ms=10**9) is None
    going = goes_on(waiting, 21_000)
    assert goes_on(going, 25_000) == going
    assert overdue_in_s(going, timeout_s=60, slack_s=5, now_ms=31_000) == 45
    again = goes_on(waits(going, 31_000), 30_000)
    assert again == going, "a clock that was set back takes nothing away"


@given(st.text())
def test_words_from_a_sandbox_are_harmless(text):
    """Untrusted words become one bounded printable line."""
    assert clean(text) == "" or clean(text).isprintable()
    assert len(clean(text)) <= 500
