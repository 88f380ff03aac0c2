"""How the command tells that a build failed."""

import pytest

from skep.edge.cli import building
from skep.edge.wire.builds import BuildView
from skep.edge.wire.common import LogPiece

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


def test_a_long_message_is_told_whole(capsys: pytest.CaptureFixture[str]) -> None:
    """It is told here and nowhere else: the log's end is held back."""
    assert told(capsys, "It broke:\nline\nline") == "build failed: It broke: line line hint: Give --path."
    assert told(capsys, "word " * 500).count("word") == 500


def test_a_hint_with_a_list_is_told_whole(capsys: pytest.CaptureFixture[str]) -> None:
    """What to do in the command's words, the list as it is."""
    said = told(capsys, "It broke.", "Set `path`.\nLooked for:\n  path: timeout_s")
    assert said == "build failed: It broke. hint: Give --path. Looked for: path: timeout_s"


@pytest.mark.parametrize(
    ("stream", "text", "ends"),
    [
        ("system", "Failed (x): It broke.\n", True),
        ("system", "Recognised crewai.\n", False),
        ("stdout", "Failed (x): says a program.\n", False),
        ("stderr", "Failed (x): says a program.\n", False),
    ],
)
def test_what_the_log_says_of_a_failure_is_known(stream: str, text: str, ends: bool) -> None:
    """Skep's own words, and no program's."""
    piece = {"stream": stream, "at": NOW, "text": text, "offset": 0, "next": 1}
    assert building.begins_the_end(LogPiece.model_validate(piece)) is ends
