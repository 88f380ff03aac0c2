"""The runner of graphs: what it loads, how it calls that, what it writes down. Graphs here have LangGraph's shape."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import skep_guest

RUNNER = Path(skep_guest.__file__).parent / "run_langgraph.py"

GRAPHS = """
import dataclasses, os
from contextlib import asynccontextmanager

@dataclasses.dataclass
class Said:
    words: tuple

class Message:
    def model_dump(self, mode):
        return {"content": "hi", "mode": mode}

class Graph:
    checkpointer = None
    def __init__(self, how): self.how = how
    async def ainvoke(self, inputs, config):
        return {"how": self.how, "topic": inputs["topic"], "thread": config["configurable"]["thread_id"]}

class Builder:
    def compile(self): return Graph("compiled")

class Old(Graph):
    checkpointer = object()
    async def ainvoke(self, inputs, config): raise NotImplementedError
    def invoke(self, inputs, config): return {"how": "plain"}

class Odd(Graph):
    async def ainvoke(self, inputs, config):
        return {"m": [Message()], "d": Said((1, 2)), "s": {3}, 4: b"x", "o": os}

graph, builder, old, odd, number = Graph("graph"), Builder(), Old(""), Odd(""), 7
class Holder: inner = Graph("inner")
def plain(): return Graph("plain")
async def wants(config): return Graph("wants " + config["configurable"]["thread_id"])
@asynccontextmanager
async def opened():
    yield Graph("opened")
    print("closed")
"""


@pytest.fixture
def run(tmp_path):
    """Runs the runner as a sandbox does; gives how it ended and what it wrote."""
    (tmp_path / "graphs.py").write_text(GRAPHS)
    (tmp_path / "in.json").write_text('{"topic": "bees"}')

    def run(*arguments, **env):
        given = {"SKEP_INPUT": "in.json", "SKEP_OUTPUT": "out.json", "SKEP_RUN_ID": "run_1", **env}
        out = tmp_path / "out.json"
        out.unlink(missing_ok=True)
        done = subprocess.run(
            (sys.executable, RUNNER, *arguments),
            cwd=tmp_path,
            env=given,
            capture_output=True,
            text=True,
            check=False,
        )
        return done, json.loads(out.read_text()) if out.exists() else None

    return run


@pytest.mark.parametrize(
    ("spec", "how"),
    [
        ("./graphs.py:graph", "graph"),
        ("graphs:graph", "graph"),
        ("./graphs.py:builder", "compiled"),
        ("./graphs.py:plain", "plain"),
        ("./graphs.py:wants", "wants run_1"),
        ("./graphs.py:opened", "opened"),
        ("./graphs.py:Holder.inner", "inner"),
    ],
)
def test_every_kind_of_graph(run, spec, how):
    """Graphs, builders and factories of all kinds get the inputs, and the run's id for their thread."""
    done, result = run(spec)
    assert done.returncode == 0, done.stderr
    assert result == {"how": how, "topic": "bees", "thread": "run_1"}
    assert ("closed" in done.stdout) == (how == "opened")


def test_a_memory_without_async(run):
    """A graph whose checkpointer refuses async is called without it."""
    assert run("./graphs.py:old")[1] == {"how": "plain"}


def test_what_json_does_not_know(run):
    """Messages, dataclasses, sets, bytes and keys that are no texts are written as what comes nearest."""
    result = run("./graphs.py:odd")[1]
    said = result.pop("o")
    assert "module" in said
    assert result == {"m": [{"content": "hi", "mode": "json"}], "d": {"words": [1, 2]}, "s": [3], "4": "x"}


def test_files_of_packages_import_what_is_beside_them(run, tmp_path):
    """Relative imports work where the folder is a package; folders that are named are looked in."""
    for name, text in {
        "src/bees/__init__.py": "",
        "src/bees/agent.py": "from .parts import graph\nimport more",
        "src/bees/parts.py": "from graphs import graph",
        "other/more.py": "",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert run("./src/bees/agent.py:graph", "other")[1]["how"] == "graph"
    assert run("bees.agent:graph", "./src", "./other")[1]["how"] == "graph"


@pytest.mark.parametrize("name", ["json.py", "my-graph.py"])
def test_any_file_name_will_do(run, tmp_path, name):
    """Even that of a module which is there already, or one that no module can have."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / name).write_text("from graphs import graph")
    assert run(f"./sub/{name}:graph")[1]["how"] == "graph"


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("./graphs.py:nothing", "./graphs.py has no nothing"),
        ("./graphs.py:number", "this is no graph, but int"),
        ("./absent.py:graph", "there is no file ./absent.py"),
        ("graphs", "names no graph"),
    ],
)
def test_what_is_no_graph_is_said(run, spec, said):
    """In one line, with 2 as the exit code, and without a result."""
    done, result = run(spec)
    assert (done.returncode, result) == (2, None)
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_variables_of_a_file(run, tmp_path):
    """They are there for the graph; what the run sets itself stays, and an absent file is none."""
    (tmp_path / ".env").write_text("# no\nexport A='one two'\nSKEP_RUN_ID=other\nnothing\n")
    (tmp_path / "shows.py").write_text("import os\ndef make():\n import graphs\n return graphs.Graph(os.environ['A'])")
    assert run("--env", ".env", "./shows.py:make")[1] == {"how": "one two", "topic": "bees", "thread": "run_1"}
    assert run("--env", "absent", "./graphs.py:graph")[0].returncode == 0
