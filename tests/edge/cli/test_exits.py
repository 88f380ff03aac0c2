"""Exit codes."""

import pytest

from skep.edge.cli import exits
from skep.edge.client import ApiError
from skep.edge.wire.common import FailureView
from skep.edge.wire.runs import RunView
from skep.kernel import errors
from skep.product.runs.machine import signal_name
from skep.product.runs.model import RunStatus
from skep.product.sandboxes.model import ExitReason


@pytest.mark.parametrize(
    ("status", "code"), [(401, 4), (403, 4), (404, 3), (409, 5), (413, 6), (422, 6), (429, 7), (503, 7), (500, 1)]
)
def test_each_answer_has_its_code(status, code):
    """Scripts decide by it."""
    assert exits.of_error(ApiError("x", status=status, code="y")) == code


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.NotFoundError, 3),
        (errors.UnauthenticatedError, 4),
        (errors.ConflictError, 5),
        (errors.TooLargeError, 6),
        (errors.UnknownOutcomeError, 7),
        (errors.SkepError, 1),
    ],
)
def test_local_errors_have_the_same_codes(error, code):
    """It does not matter which side noticed."""
    assert exits.of_error(error("x")) == code


@pytest.mark.parametrize(
    ("status", "exit_code", "error", "code"),
    [
        ("succeeded", 0, None, 0),
        ("failed", 3, "exited", 3),
        ("failed", 137, "out_of_memory", 137),
        ("failed", None, "out_of_memory", 137),
        ("failed", None, "not_started", 125),
        ("failed", 256, "exited", 1),
        ("timed_out", None, "timed_out", 124),
        ("cancelled", None, None, 130),
        ("cancelled", 143, None, 130),
        ("lost", None, "sandbox_lost", 125),
        ("failed", 0, "result_too_large", 125),
    ],
)
def test_a_run_ends_the_command_with_its_own_code(status, exit_code, error, code):
    """As `docker run` and `timeout` do it."""
    run = RunView.model_construct(
        status=RunStatus(status),
        exit_code=exit_code,
        error=FailureView(code=error, message="") if error else None,
    )
    assert exits.of_run(run) == code


@pytest.mark.parametrize("number", [1, 6, 9, 11, 15, 34, 40])
def test_a_signal_is_told_as_shells_do(number):
    """128 and its number, also of one that has no name."""
    error = FailureView(code=ExitReason.SIGNALED, message=f"The agent was ended by {signal_name(number)}.")
    run = RunView.model_construct(status=RunStatus.FAILED, exit_code=None, error=error)
    assert exits.of_run(run) == 128 + number


def test_help_tells_all_codes():
    """The table at the foot of the help is complete."""
    text = exits.epilog()
    for code in (*exits.MEANINGS, *exits.RUN_MEANINGS):
        assert f"{code} " in text
