"""How langgraph.json is read, and what is said of a wrong one."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from listings import found

from skep.kernel.errors import InvalidError
from skep.product.images.model import Install

RUNNER = "/opt/skep/lib/run_langgraph.py"
PYPROJECT = '[project]\nname = "x"\nrequires-python = ">=3.11"\ndependencies = ["langgraph>=1", "langchain-openai"]\n'


def graph(files=None, **said):
    """Recognise a source with this langgraph.json."""
    whole = {"dependencies": ["."], "graphs": {"answer": "./graph.py:graph"}} | said
    texts = {"langgraph.json": json.dumps(whole), "graph.py": "", "pyproject.toml": PYPROJECT}
    return found(texts | (files or {}))


def refused(**said):
    """What the author of a wrong one is told."""
    with pytest.raises(InvalidError) as caught:
        graph(**said)
    assert caught.value.code == "langgraph_invalid"
    assert caught.value.hint
    return caught.value.message


def test_one_graph():
    """The runner is started with the graph; nothing is traced to a host that is not reached."""
    made = graph()
    assert (made.framework, made.install) == ("langgraph", Install.PYPROJECT)
    assert made.command == ("python", RUNNER, "./graph.py:graph", ".")
    assert made.evidence == ("graph answer of langgraph.json", "pyproject.toml")
    assert made.env == {"LANGSMITH_TRACING": "false", "LANGCHAIN_TRACING_V2": "false"}
    assert (made.requires_python, made.inputs_schema, made.notices) == (">=3.11", None, ())


def test_of_several_graphs_one_is_taken_and_it_is_said_which():
    """The one called agent, else the first; how to take another is told."""
    two = {"one": "./graph.py:graph", "agent": {"path": "./graph.py:other"}}
    made = graph(graphs=two)
    assert made.command[2] == "./graph.py:other"
    assert made.notices[0].startswith("langgraph.json has 2 graphs; agent is run. For one (./graph.py:graph) set")
    other = graph(graphs={"b": "./graph.py:b", "a": "bees.graph:a"})
    assert other.command[2] == "./graph.py:b"
    assert "the first, because none is called agent" in other.notices[0]


def test_dependencies():
    """Names are required, folders are looked in, with what they require themselves."""
    files = {
        "src/x.py": "",
        "lib/__init__.py": "",
        "lib/requirements.txt": "bees>=1 \\\n  --hash=sha256:0\n-r other.txt\n\n",
        "tools/requirements.txt": "brush",
        "tools/pyproject.toml": "[tool.black]\nline-length = 100\n",
        "more/pyproject.toml": '[project]\nname = "more"\ndependencies = ["wax"]\n',
        "more/src/more/a.py": "",
    }
    made = graph(files, dependencies=[".", "./lib", "more-bees", "./more/", "./tools"])
    assert made.requirements == ("more-bees",)
    assert made.requirement_files == ("lib/requirements.txt", "more/pyproject.toml", "tools/requirements.txt")
    assert made.command[3:] == (".", "./src", "./lib", "./more", "./more/src", "./tools")
    assert made.evidence[1:5] == (*made.requirement_files, "`dependencies` of langgraph.json")


def test_many_files_beside_many_dependencies():
    """Each dependency costs a few looks at the names of files, not one at each of them; there may be a hundred."""
    others = {f"z{n}/{'x' * 20}.py": "" for n in range(20_000)}
    wanted = [f"./d{n}" for n in range(100)]
    made = graph(others | {"d7/src/m.py": "", "d8/__init__.py": ""}, dependencies=wanted)
    assert made.command[3:14] == (*wanted[:8], "./d7/src", "./d8", ".")
    assert "`dependencies` has more than 100 entries" in refused(dependencies=[*wanted, "."])


def test_python_for_what_is_installed():
    """Names alone make an environment; with nothing at all there is the system's Python only."""
    nothing = {"pyproject.toml": ""}
    assert graph(nothing).command[0] == "python3"
    assert graph(nothing, dependencies=["langgraph"]).command[0] == "python"


def test_versions_and_variables():
    """python_version narrows what the project takes; variables are there, those of a file are read in the run."""
    assert graph(python_version="3.12").requires_python == ">=3.11,==3.12.*"
    assert graph(env={"MODE": "fast", "N": 3}).env["N"] == "3"
    made = graph({".env": "A=b"}, env=".env")
    assert made.command[:4] == ("python", RUNNER, "--env", ".env")
    assert made.notices == ()
    assert "variables from .env, which is not in the source" in graph(env="./.env").notices[0]


def test_graphs_of_javascript_are_nodes():
    """They are started as package.json says."""
    made = graph(
        {"package.json": '{"scripts": {"start": "node a.js"}}', "pyproject.toml": ""}, graphs={"a": "./a.ts:g"}
    )
    assert made.framework == "node"


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"graphs": {}}, "`graphs` names none"),
        ({"graphs": ["a"]}, "`graphs` names none"),
        ({"graphs": {"a": 3}}, "the graph `a` is a number; expected a text"),
        ({"graphs": {"a": {"x": 1}}}, "the graph `a` is an object; expected a text"),
        ({"graphs": {"a": "./graph.py"}}, "the graph `a` is './graph.py'; expected FILE:NAME"),
        ({"graphs": {"a": "./graph.py:"}}, "expected FILE:NAME"),
        ({"graphs": {"a": "not a module:x"}}, "expected FILE:NAME or MODULE:NAME"),
        ({"graphs": {"a": "../graph.py:x"}}, "the graph `a` is at '../graph.py', which leads out of the source"),
        ({"graphs": {"a": "/etc/graph.py:x"}}, "leads out of the source"),
        ({"graphs": {"a": "./none.py:x"}}, "the graph `a` is in none.py, which is not in the source"),
        ({"dependencies": "."}, "`dependencies` is no list of texts"),
        ({"dependencies": [1]}, "`dependencies` is no list of texts"),
        ({"dependencies": ["../other"]}, "a dependency is at '../other', which leads out of the source"),
        ({"python_version": 3.12}, "`python_version` is no version"),
        ({"env": ["A"]}, "`env` is a list; expected the name of a file, or an object"),
        ({"env": {"SKEP_URL": "x"}}, "'SKEP_URL', which is no name for a variable"),
        ({"env": {"A": {}}}, "the variable `A` of `env` is an object; expected a text"),
        ({"env": "../.env"}, "the file of `env` is at '../.env', which leads out"),
    ],
)
def test_wrong_files(said, words):
    """Each is told, with what is expected."""
    assert words in refused(**said)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "langgraph.json is wrong: line 1, column 2: Expecting property name"),
        ("[]", "it holds a list; expected an object"),
        ('{"a": ' * 60_000, "it is nested too deeply"),
        ('{"a": ' + "9" * 5000 + "}", "Exceeds the limit"),
    ],
)
def test_what_is_no_json(text, words):
    """With line and column where JSON has them."""
    with pytest.raises(InvalidError, match=words):
        found({"langgraph.json": text})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(
    st.dictionaries(st.sampled_from(["graphs", "dependencies", "env", "python_version"]), JSON), st.text(max_size=20)
)
def test_any_file_ends_in_a_value_or_in_words(said, path):
    """Nothing that a stranger writes comes out as another error."""
    for whole in (said, {"graphs": {"a": path}, **said}):
        told = "langgraph_invalid"
        try:
            assert graph({"langgraph.json": json.dumps(whole)}).command
        except InvalidError as error:
            told = error.code
        assert told in {"langgraph_invalid", "nothing_recognised"}
