"""What `skep deploy --explain` prints, and the name that a folder gives its agent."""

import pytest
import typer

from skep.edge.cli import explaining, sources
from skep.edge.cli.deploy import _name
from skep.edge.wire.builds import BuildView
from skep.kernel.errors import InvalidError

NOW = "2026-01-01T00:00:00Z"
RECOGNISED = {
    "framework": "crewai",
    "evidence": ["src/a/config/agents.yaml", "uv.lock"],
    "command": ["crewai", "run"],
    "install": "uv_lock",
    "requires_python": ">=3.11",
    "inputs_schema": {"properties": {"topic": {"type": "string"}, "n": {}}, "required": ["topic"]},
    "env": {"A": "b\x1b[2J"},
    "resources": {"cpus": 0.5},
    "notices": ["node would have fitted too"],
}
PLAN = {
    "runtimes": ["Python 3.11.2 (the machine's)"],
    "shared": 57,
    "private": ["bees"],
    "layers": [
        {"id": "1", "kind": "shared", "about": "57 packages", "there": True},
        {"id": "2", "kind": "source", "about": "the source", "there": False},
    ],
}


def build(**changed):
    """A build that explained, as the server shows it."""
    whole = {"id": "bld_1", "agent_id": "", "project_id": "prj_1", "status": "succeeded", "attempt": 1}
    whole |= {"source": {"upload": "upl_1"}, "created_at": NOW, "recognised": RECOGNISED, "explanation": PLAN}
    return BuildView.model_validate(whole | {"explain": True} | changed)


def test_what_was_found_is_told(capsys):
    """By which files, with which command and inputs, on what, in which layers; notices beside it."""
    explaining.tell(build(), as_json=False)
    out, err = capsys.readouterr()
    lines = {" ".join(line.split()) for line in out.splitlines()}
    assert lines >= {
        "framework crewai",
        "because of src/a/config/agents.yaml, uv.lock",
        "command crewai run",
        "inputs topic (string), n, optional",
        "wants cpus 0.5",
        "wants python >=3.11",
        "run by Python 3.11.2 (the machine's)",
        "packages, shared 57 hash-checked wheels",
        "packages, private bees (they run code when they are installed)",
        "shared 57 packages everybody's there",
        "source the source the project's to be made",
    }
    assert "note: node would have fitted too" in err
    assert "\x1b[2J" not in out


def test_a_source_that_cannot_be_built_ends_with_an_error(capsys):
    """What was found before is shown all the same."""
    error = {"code": "python_unavailable", "message": "No Python fits.", "hint": "Widen it."}
    with pytest.raises(typer.Exit) as caught:
        explaining.tell(build(status="failed", explanation=None, error=error), as_json=False)
    out, err = capsys.readouterr()
    assert caught.value.exit_code == 1
    assert "crewai" in out
    assert "No Python fits." in err
    assert "Widen it." in err


def test_inputs_that_a_schema_does_not_name():
    """Without a schema any object is taken, and one without properties says as much."""
    assert explaining.inputs(None) == ["any JSON object"]
    assert explaining.inputs({}) == ["any"]
    assert explaining.inputs({"properties": {"n": {"type": ["string", "number"]}}}) == [
        "n (string or number), optional"
    ]
    assert explaining.inputs({"properties": [], "required": 3}) == ["any"]


def test_a_folder_names_its_agent(tmp_path):
    """Below a name that was given, over the folder's own; a wrong file is refused before anything is sent."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "skep.yaml").write_text("name: my-bees")
    folder = sources.Local(folder=tmp_path)
    assert _name(None, folder, "sub") == "my-bees"
    assert _name("other", folder, "sub") == "other"
    assert _name(None, folder, "") == sources.name_for(str(tmp_path))
    assert _name(None, sources.Remote(url="https://h/me/agent.git"), "sub") == "agent"
    (tmp_path / "skep.yaml").write_text("nme: x")
    with pytest.raises(InvalidError, match="line 1, column 1: unknown key `nme`; did you mean `name`"):
        _name(None, folder, "")
    (tmp_path / "skep.yaml").unlink()
    (tmp_path / "skep.yaml").symlink_to("sub/skep.yaml")
    assert sources.declared_name(tmp_path, "") == ""
