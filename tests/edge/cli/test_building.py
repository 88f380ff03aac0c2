"""How the command tells that a build failed."""

import pytest

from skep.edge.cli import building
from skep.edge.wire.builds import BuildView

NOW = "2026-01-01T00:00:00Z"


def told(capsys: pytest.CaptureFixture[str], message: str, hint: str = "Set `path`.") -> str:
    """Return what is printed about a build that failed with *message*, a space for each run of white space."""
    failed = {"id": "bld_1", "agent_id": "", "project_id": "prj_1", "status": "failed", "attempt": 1, "created_at": NOW}
    error = {"code": "x", "message": message, "hint": hint}
    building.say_failure(BuildView.model_validate(failed | {"source": {"upload": "upl_1"}, "error": error}))
    return " ".join(capsys.readouterr().err.split())


def test_a_short_message_is_told_whole(capsys: pytest.CaptureFixture[str]) -> None:
    """With its hint in the command's words."""
    assert told(capsys, "It broke.") == "build failed: It broke. hint: Give --path."


def test_of_a_long_message_the_beginning_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """The log, which was shown just before, ends with all of it: screens of it are not told twice."""
    assert told(capsys, "It broke:\nline\nline") == "build failed: It broke ... hint: Give --path."
    assert "word " * 40 + "..." in told(capsys, "word " * 500)
    assert told(capsys, "word " * 500).count("word") <= 41


def test_of_a_hint_with_a_list_the_first_line_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """The list is in the log."""
    assert told(capsys, "It broke.", "Set `path`.\nLooked for:\n  a: b") == "build failed: It broke. hint: Give --path."
