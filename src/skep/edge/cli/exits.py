"""Exit codes of the `skep` command: the one table of them."""

from collections.abc import Mapping

from skep.edge.client.errors import ApiError
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
RUN_MEANINGS: Mapping[int, str] = {
    TIMED_OUT: "the run's time was up",
    NOT_RUN: "the run was lost, or could not be started",
    CANCELLED: "the run was cancelled",
    OUT_OF_MEMORY: "the run used up its memory",
}

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
        case RunStatus.FAILED if run.error is not None and run.error.code == "out_of_memory":
            return OUT_OF_MEMORY
        case RunStatus.FAILED if run.exit_code:
            return run.exit_code & 0xFF or ERROR
        case _:
            return NOT_RUN


def epilog() -> str:
    """Return the table for the foot of `skep --help`."""
    codes = [f"{code} {meaning}" for code, meaning in MEANINGS.items()]
    runs = [f"{code} {meaning}" for code, meaning in RUN_MEANINGS.items()]
    return f"Exit codes: {'; '.join(codes)}. `skep run` ends with the agent's own exit code, or {'; '.join(runs)}."
