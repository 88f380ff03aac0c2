"""How a run's state changes, and what follows from how an attempt ended. Pure: `now` is an argument."""

import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from skep.kernel.errors import ConflictError
from skep.product.agents.model import AgentConfig
from skep.product.images.model import Failure, Image
from skep.product.runs.model import Attempt, AttemptPhase, Run, RunStatus
from skep.product.sandboxes.machine import Shortage, shortage
from skep.product.sandboxes.model import Exit, ExitReason, Inspection, Limits


class Happening(StrEnum):
    """What can happen to a run."""

    #: The ids of an attempt are on disk.
    BEGUN = "begun"
    #: The attempt was lost, and there will be another.
    RETRIED = "retried"
    #: It asks a person.
    ASKED = "asked"
    #: The person answered.
    ANSWERED = "answered"
    #: Nobody waits for an answer any more: its time was up, or the agent did not listen.
    UNASKED = "unasked"
    #: It ended by itself, well.
    SUCCEEDED = "succeeded"
    #: It ended badly, or could not begin.
    FAILED = "failed"
    #: Somebody asked for its end, and it has come.
    CANCELLED = "cancelled"
    #: Its time was up.
    TIMED_OUT = "timed_out"
    #: The attempt was lost, and there will be no other.
    LOST = "lost"


_S, _H = RunStatus, Happening

#: What a run becomes; pairs that are not here cannot happen. The diagram in the docs is drawn from it.
CHANGES: Mapping[tuple[RunStatus, Happening], RunStatus] = {
    (_S.QUEUED, _H.BEGUN): _S.RUNNING,
    (_S.QUEUED, _H.FAILED): _S.FAILED,
    (_S.QUEUED, _H.CANCELLED): _S.CANCELLED,
    (_S.RUNNING, _H.RETRIED): _S.QUEUED,
    (_S.RUNNING, _H.ASKED): _S.WAITING,
    (_S.RUNNING, _H.SUCCEEDED): _S.SUCCEEDED,
    (_S.RUNNING, _H.FAILED): _S.FAILED,
    (_S.RUNNING, _H.CANCELLED): _S.CANCELLED,
    (_S.RUNNING, _H.TIMED_OUT): _S.TIMED_OUT,
    (_S.RUNNING, _H.LOST): _S.LOST,
    (_S.WAITING, _H.ANSWERED): _S.RUNNING,
    (_S.WAITING, _H.UNASKED): _S.RUNNING,
    (_S.WAITING, _H.RETRIED): _S.QUEUED,
    (_S.WAITING, _H.SUCCEEDED): _S.SUCCEEDED,
    (_S.WAITING, _H.FAILED): _S.FAILED,
    (_S.WAITING, _H.CANCELLED): _S.CANCELLED,
    (_S.WAITING, _H.TIMED_OUT): _S.TIMED_OUT,
    (_S.WAITING, _H.LOST): _S.LOST,
}

#: Every pair of a status and a happening; None: it cannot happen.
TABLE: Mapping[tuple[RunStatus, Happening], RunStatus | None] = {
    (status, happening): CHANGES.get((status, happening)) for status in RunStatus for happening in Happening
}

_P = AttemptPhase

#: What an attempt's phase may become; each may end at once when its sandbox is lost or nobody wants it any more.
PHASES: Mapping[AttemptPhase, tuple[AttemptPhase, ...]] = {
    _P.INTENDED: (_P.CREATED, _P.ENDED),
    _P.CREATED: (_P.STARTED, _P.ENDED),
    _P.STARTED: (_P.EXITED, _P.ENDED),
    _P.EXITED: (_P.ENDED,),
    _P.ENDED: (),
}

#: Attempts that may be lost before anything was started; then something is wrong that no repeat mends.
MAX_UNSTARTED = 5
_MAX_BACKOFF_S = 30.0
_MESSAGE = 500


def becomes(status: RunStatus, happening: Happening) -> RunStatus:
    """Return what a run in *status* becomes; `ConflictError` if that cannot happen to it."""
    after = TABLE[status, happening]
    if after is None:
        raise ConflictError(f"A run that is {status.value} cannot be {happening.value}.", code="run_state")
    return after


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What an attempt's end means for its run."""

    happening: Happening
    failure: Failure | None = None


def outcome(end: Exit, *, cancel_requested: bool, seen: Inspection, limits: Limits, timeout_s: float) -> Outcome:
    """Say what it means that the command ended like *end*, in a sandbox with *limits* as the host has *seen* it since.

    It had *timeout_s* seconds.

    The first of these counts: somebody asked for the end before; the command succeeded, whatever limit it met on its
    way; time or memory ended it from outside; it failed by itself and had run out of disk, or of processes; its own
    exit code or signal. A lost command is not judged here: `after_loss` does that.
    """
    if cancel_requested:
        return CANCELLED
    happening, code, message, hint = Happening.FAILED, end.reason.value, "", ""
    match end.reason:
        case ExitReason.EXITED if end.code == 0:
            return Outcome(happening=Happening.SUCCEEDED)
        case ExitReason.EXITED | ExitReason.SIGNALED if lack := shortage(seen):
            return _ran_out(lack, end, limits)
        case ExitReason.EXITED:
            code, message, hint = "exit_code", f"The agent {_ended(end)}.", "Its log says more: skep logs RUN"
        case ExitReason.SIGNALED:
            message = f"The agent {_ended(end)}."
        case ExitReason.TIMED_OUT:
            happening = Happening.TIMED_OUT
            message, hint = _overran(end, timeout_s), "Ask for more with timeout_s."
        case ExitReason.OUT_OF_MEMORY:
            message, hint = "The agent used up its memory.", "Ask for more with resources.memory_mb."
        case ExitReason.NOT_STARTED:
            message = f"The agent could not be started: {clean(end.message) or 'nobody knows why'}."
        case ExitReason.LOST:
            return Outcome(happening=Happening.LOST, failure=_lost(clean(end.message)))
    return Outcome(happening=happening, failure=Failure(code=code, message=message, hint=hint))


def after_loss(
    end: Exit, *, attempts: Sequence[Attempt], maybe_started: bool, max_attempts: int, cancel_requested: bool
) -> Outcome:
    """Decide what becomes of a run whose attempt was lost; *attempts* are the ended ones before it.

    What may have been started is repeated only as often as the agent allows; what certainly was not, always,
    until it is plain that repeating does not help.
    """
    if cancel_requested:
        return CANCELLED
    tried = sum(1 for attempt in attempts if not _unstarted(attempt))
    if maybe_started and tried + 1 >= max_attempts:
        return Outcome(happening=Happening.LOST, failure=_lost(clean(end.message)))
    if not maybe_started and len(attempts) - tried + 1 >= MAX_UNSTARTED:
        said = clean(end.message) or "the sandbox vanished"
        return _failed("sandbox_failed", f"No sandbox lasted until the agent was started: {said}.")
    return Outcome(happening=Happening.RETRIED)


def lost_exit(why: str, *, maybe_started: bool) -> Exit:
    """Return what is kept of an attempt whose sandbox is gone: lost, or certainly never started."""
    return Exit(reason=ExitReason.LOST if maybe_started else ExitReason.NOT_STARTED, message=clean(why))


def backoff_ms(attempts: int, first_s: float) -> int:
    """Return how long to wait before the next attempt, after *attempts* of them."""
    return round(min(_MAX_BACKOFF_S, first_s * 2.0 ** max(0, min(attempts, 20) - 1)) * 1000)


def inputs_schema(config: AgentConfig, image: Image | None) -> Mapping[str, Any] | None:
    """Return what the inputs must fit: the owner's schema, else what the source tells, else nothing."""
    if config.inputs_schema is not None:
        return config.inputs_schema
    return None if image is None else image.recognised.inputs_schema


def time_limit_s(run: Run, config: AgentConfig, default_s: float) -> float:
    """Return the wall-clock limit of each attempt of *run*: its own, else its version's, else the default."""
    if run.timeout_s is not None:
        return run.timeout_s
    return default_s if config.resources.timeout_s is None else config.resources.timeout_s


def overdue_in_s(attempt: Attempt, *, timeout_s: float, slack_s: float, now_ms: int) -> float | None:
    """Return in how many seconds the server itself ends the attempt, if the supervisor has not done so.

    None: not for as long as it waits for a person.
    """
    if attempt.waiting_since_ms is not None:
        return None
    started_ms = attempt.created_ms if attempt.started_ms is None else attempt.started_ms
    return max(slack_s, (started_ms + attempt.waited_ms - now_ms) / 1000 + timeout_s + slack_s)


def waits(attempt: Attempt, now_ms: int) -> Attempt:
    """Return the attempt as it waits for a person: from now on, or since it began to."""
    return attempt if attempt.waiting_since_ms is not None else replace(attempt, waiting_since_ms=now_ms)


def goes_on(attempt: Attempt, now_ms: int) -> Attempt:
    """Return the attempt as it waits no more; for how long it did is kept."""
    since_ms = attempt.waiting_since_ms
    if since_ms is None:
        return attempt
    return replace(attempt, waiting_since_ms=None, waited_ms=attempt.waited_ms + max(0, now_ms - since_ms))


def clean(text: str) -> str:
    """Return untrusted words as one bounded line without control characters."""
    return "".join(char if char.isprintable() else " " for char in text[:_MESSAGE]).strip().rstrip(".")


def signal_name(number: int | None) -> str:
    """Return the name of a signal, as a person writes it."""
    if number is None:
        return "a signal"
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _unstarted(attempt: Attempt) -> bool:
    return attempt.exit is not None and attempt.exit.reason is ExitReason.NOT_STARTED


def _ended(end: Exit) -> str:
    if end.reason is ExitReason.SIGNALED:
        return f"was ended by {signal_name(end.signal)}"
    return "ended with " + ("an unknown exit code" if end.code is None else f"exit code {end.code}")


def _overran(end: Exit, timeout_s: float) -> str:
    passed = f"The time limit of {timeout_s:g} s passed"
    if end.signal != signal.SIGKILL:
        return f"{passed}."
    until = f" after {end.duration_s:.1f} s" if end.duration_s else ""
    return f"{passed}; the agent did not end at TERM and was ended by KILL{until}."


def _ran_out(lack: Shortage, end: Exit, limits: Limits) -> Outcome:
    # Both are facts; that the one is the cause of the other is only likely, and not said.
    match lack:
        case Shortage.DISK:
            message = f"The agent {_ended(end)}, and its {limits.disk_bytes >> 20} MiB of disk are used up."
            return _failed("out_of_disk", message, "Ask for more with resources.disk_mb.")
        case Shortage.PROCESSES:
            message = f"The agent {_ended(end)}, and had reached its limit of processes and threads ({limits.pids})."
            hint = "Ask for more with resources.pids; a few of them are kept for Skep's own."
            return _failed("out_of_processes", message, hint)


def _failed(code: str, message: str, hint: str = "") -> Outcome:
    return Outcome(happening=Happening.FAILED, failure=Failure(code=code, message=message, hint=hint))


def _lost(why: str) -> Failure:
    said = why or "its sandbox vanished"
    return Failure(
        code="lost",
        message=f"The run was lost: {said}.",
        hint="Nobody knows how far it came. Start it again, or let the agent be repeated with max_attempts.",
    )


CANCELLED = Outcome(happening=Happening.CANCELLED, failure=Failure(code="cancelled", message="The run was cancelled."))
GAVE_UP = _failed("gave_up", "It was tried too often without coming to an end.")
