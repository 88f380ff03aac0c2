"""Lines of the audit log, as people read them."""

from skep.edge.cli.system import _audited
from skep.edge.wire.access import AuditView

LINE = {
    "id": "aud_1",
    "at": "2020-01-02T03:04:05Z",
    "principal": "first (tok_1)",
    "action": "run.start",
    "resource": "run_1",
    "result": "ok",
    "details": {"agent": "bee", "n": 3},
    "address": "127.0.0.1",
}


def test_a_principal_is_shown_by_name():
    """The id of its token stands apart, so that it can go where there is no room; details are words."""
    cells = _audited(AuditView.model_validate(LINE))
    assert cells == (
        "2020-01-02 03:04:05",
        "first",
        "run.start",
        "run_1",
        "ok",
        "agent: bee, n: 3",
        "tok_1",
        "127.0.0.1",
    )
    assert _audited(AuditView.model_validate(LINE | {"principal": "a (b)"}))[1] == "a"
    assert _audited(AuditView.model_validate(LINE | {"principal": "skep"}))[1] == "skep"
