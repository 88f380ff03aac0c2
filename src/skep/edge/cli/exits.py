"""Exit codes of the `skep` command: the one table of them."""

import re
import signal
from collections.abc import Mapping

from skep.edge.client.errors import ApiError
from skep.edge.wire.common import FailureView
from skep.edge.wire.runs import RunView
from skep.kernel.errors import (
    ConflictError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
    SkepError,
    TooLargeError,
    UnauthenticatedError,
    UnavailableError,
)
from skep.product.runs.model import RunStatus

OK, ERROR, USAGE, NOT_FOUND, REFUSED, CONFLICT, INVALID, UNAVAILABLE = range(8)
TIMED_OUT, NOT_RUN, CANCELLED, OUT_OF_MEMORY = 124, 125, 130, 137

#: What each code means, as `skep --help` and the documentation show it.
MEANINGS: Mapping[int, str] = {
    OK: "done",
    ERROR: "an error that is none of the others; a build that failed",
    USAGE: "the command line is wrong",
    NOT_FOUND: "there is no such thing",
    REFUSED: "the token is missing, wrong, or may not do this",
    CONFLICT: "its state, or another thing, forbids it",
    INVALID: "the request is wrong; the message names each wrong field",
    UNAVAILABLE: "the server, or a part that it needs, cannot be reached",
}

#: What `skep run` ends with; anything else is the agent's own exit code.
RUN_MEANINGS: Mapping[int | str, str] = {
    TIMED_OUT: "the run's time was up",
    NOT_RUN: "there is no exit code of the agent's to end with: the run was lost or could not be started, "
    "or what it left was refused although the agent ended with 0",
    "128+n": "signal n ended the agent: 139 for SIGSEGV, 143 for SIGTERM",
    CANCELLED: "the run was cancelled",
    OUT_OF_MEMORY: "the run used up its memory",
}

_SIGNAL = re.compile(r"\b(?P<name>SIG[A-Z0-9]+)\b|\bsignal (?P<number>\d{1,2})\b")
_BY_STATUS = {
    400: INVALID,
    401: REFUSED,
    403: REFUSED,
    404: NOT_FOUND,
    409: CONFLICT,
    413: INVALID,
    415: INVALID,
    422: INVALID,
    429: UNAVAILABLE,
    502: UNAVAILABLE,
    503: UNAVAILABLE,
    504: UNAVAILABLE,
}
_BY_KIND: tuple[tuple[type[SkepError], int], ...] = (
    (NotFoundError, NOT_FOUND),
    (UnauthenticatedError, REFUSED),
    (ForbiddenError, REFUSED),
    (ConflictError, CONFLICT),
    (InvalidError, INVALID),
    (TooLargeError, INVALID),
    (UnavailableError, UNAVAILABLE),
)


def of_error(error: SkepError) -> int:
    """Return the exit code of a command that ended with *error*."""
    if isinstance(error, ApiError):
        return _BY_STATUS.get(error.status, ERROR)
    return next((code for kind, code in _BY_KIND if isinstance(error, kind)), ERROR)


def of_run(run: RunView) -> int:
    """Return the exit code of `skep run` for a run that is final."""
    match run.status:
        case RunStatus.SUCCEEDED:
            return OK
        case RunStatus.TIMED_OUT:
            return TIMED_OUT
        case RunStatus.CANCELLED:
            return CANCELLED
        case RunStatus.FAILED:
            return _of_failure(run)
        case _:
            return NOT_RUN


def _of_failure(run: RunView) -> int:
    if run.error is not None and run.error.code == "out_of_memory":
        return OUT_OF_MEMORY
    if run.exit_code:
        return run.exit_code & 0xFF or ERROR
    number = _signal(run.error) if run.error is not None else None
    return NOT_RUN if number is None else 128 + number


def _signal(error: FailureView) -> int | None:
    """Return the number of the signal that ended the agent; the API only names it."""
    found = _SIGNAL.search(error.message) if error.code == "signaled" else None
    if found is None:
        return None
    return int(found["number"]) if found["number"] else getattr(signal.Signals, found["name"], None)


def epilog() -> str:
    """Return the table for the foot of `skep --help`."""
    codes = [f"{code} {meaning}" for code, meaning in MEANINGS.items()]
    runs = [f"{code} {meaning}" for code, meaning in RUN_MEANINGS.items()]
    return f"Exit codes: {'; '.join(codes)}. `skep run` ends with the agent's own exit code, or {'; '.join(runs)}."
