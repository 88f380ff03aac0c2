"""Which of several frameworks a source is of, and how that is chosen."""

from dataclasses import replace

import pytest
from listings import found

from skep.kernel.errors import InvalidError
from skep.product.images.model import Install, Language

TWO = {"main.py": "", "package.json": '{"scripts": {"start": "node a.js"}}', "langgraph.json": "{"}
BOTH = {"main.py": "", "package.json": '{"scripts": {"start": "node a.js"}}'}


def test_the_first_that_fits_wins_and_the_others_are_named():
    """With how to choose another."""
    made = found(BOTH)
    assert made.framework == "python"
    assert made.notices == (
        "recognised as python; node would have fitted too: choose with `framework: node` in skep.yaml",
    )
    crew = {"src/a/config/agents.yaml": "", "src/a/config/tasks.yaml": ""}
    graph = {"langgraph.json": '{"graphs": {"agent": "./main.py:graph"}}', "requirements.txt": "crewai\nlangchain"}
    notices = found(BOTH | crew | graph).notices
    assert "recognised as crewai; langgraph and node would have fitted too" in notices[0]


def test_what_is_only_more_general_is_no_other():
    """Every crew is a Python project; one that is wrong would not have fitted."""
    assert found({"main.py": "", "requirements.txt": "openai-agents"}).notices == ()
    assert found({"main.py": "", "package.json": "{"}).notices == ()


def test_a_source_may_choose():
    """The others are not even asked: what is wrong with their files does not matter."""
    made = found(TWO | {"skep.yaml": "framework: node"})
    assert (made.framework, made.language, made.notices) == ("node", Language.NODE, ())
    assert made.evidence[-1] == "skep.yaml: framework"
    with pytest.raises(InvalidError) as caught:
        found(TWO)
    assert caught.value.code == "langgraph_invalid"


@pytest.mark.parametrize("file", ["skep.yml", ".skep.yaml", ".skep.yml"])
def test_a_file_that_nearly_has_the_right_name(file):
    """It is not read, and that is said; where nothing else is known it is the reason."""
    assert found({"main.py": "", file: "name: x"}).notices == (f"{file} is not read: the file is named skep.yaml",)
    assert found({"main.py": "", file: "", "skep.yaml": "name: x"}).notices == ()
    assert found({file: ""}, ("sh", "x")).notices == (f"{file} is not read: the file is named skep.yaml",)
    with pytest.raises(InvalidError, match=r"is not read: the file is named skep\.yaml") as caught:
        found({file: "command: sh x"})
    assert caught.value.code == "nothing_recognised"


def test_a_choice_that_does_not_fit_is_refused():
    """At its place, with what that framework looks for; a command makes it fit."""
    with pytest.raises(InvalidError, match=r"line 1, column 12: the source is no crewai; that is src/\*/config/agents"):
        found({"main.py": "", "skep.yaml": "framework: crewai"})
    with pytest.raises(InvalidError, match="there is no framework 'pyton'; did you mean python"):
        found({"main.py": "", "skep.yaml": "framework: pyton"})
    made = found({"x.js": "", "skep.yaml": "framework: node\ncommand: node x.js"})
    assert (made.framework, made.language, made.install) == ("node", Language.NODE, Install.NOTHING)


def test_a_command_of_the_owner_alone():
    """Node and npm make it Node's, whatever the source is."""
    made = found({"package.json": "{}", "package-lock.json": "{}"}, ("npm", "run", "x"))
    assert (made.language, made.install) == (Language.NODE, Install.NPM_LOCK)
    assert found({"x.js": ""}, ("node", "x.js")).install is Install.NOTHING
    assert found({"x": "", "requirements.txt": "a"}, ("sh", "x")).install is Install.REQUIREMENTS


def test_what_the_source_needs_is_the_same_whoever_gives_the_command():
    """Its owner, or its skep.yaml: locks, versions and files decide as they do for what is recognised."""
    project = '[project]\nname = "x"\nrequires-python = ">=3.12"\ndependencies = ["humanize"]\n'
    package = '{"engines": {"node": ">=22"}, "dependencies": {"a": "1"}}'
    for files, command in (
        ({"pyproject.toml": project, "uv.lock": "", "src/agent.py": ""}, ("python", "src/agent.py")),
        ({"pyproject.toml": project, "src/agent.py": ""}, ("python", "src/agent.py")),
        ({"package.json": package, "npm-shrinkwrap.json": "{}", "x.js": ""}, ("node", "x.js")),
        ({"package.json": package, "x.js": ""}, ("node", "x.js")),
        ({"agent.txt": ""}, ("python", "agent.txt")),
    ):
        owners = found(files, command)
        own = found(files | {"skep.yaml": f"command: {' '.join(command)}"})
        assert replace(owners, evidence=()) == replace(own, evidence=())
        assert owners.evidence == (*own.evidence[:-1], "command")
    locked = found({"pyproject.toml": project, "uv.lock": ""}, ("python", "a.py"))
    assert (locked.install, locked.requires_python, locked.command[0]) == (Install.UV_LOCK, ">=3.12", "python")
    assert found({"package.json": package, "npm-shrinkwrap.json": ""}, ("npx", "a")).install is Install.NPM_LOCK
    with pytest.raises(InvalidError) as caught:
        found({"package.json": package, "yarn.lock": ""}, ("node", "x.js"))
    assert caught.value.code == "lock_unsupported"


def test_a_runtime_in_its_file_decides_for_the_owners_command_too():
    """A script of the shell may start either."""
    made = found({"package.json": '{"dependencies": {"a": "1"}}', "skep.yaml": "runtime: node24"}, ("sh", "run.sh"))
    assert (made.language, made.install, made.requires_node) == (Language.NODE, Install.NPM, "24")


def test_a_python_that_is_there_runs_the_owners_command():
    """Without an environment the machine's has its long name only, whatever was recognised."""
    assert found({"main.py": "", "b.py": ""}, ("python", "b.py")).command == ("python3", "b.py")
    assert found({"main.py": "", "requirements.txt": "a"}, ("python", "b.py")).command == ("python", "b.py")
    node = {"package.json": '{"scripts": {"start": "a"}, "dependencies": {"a": "1"}}'}
    assert found(node, ("python", "b.py")).command == ("python3", "b.py")
