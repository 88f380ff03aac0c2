"""How crews and flows of CrewAI are recognised, and what is said of their files."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from listings import found

from skep.kernel.errors import InvalidError
from skep.library.frameworks import crew_files
from skep.library.frameworks.crew_files import CrewFile
from skep.product.agents import schema as schemas
from skep.product.images.model import Install

# As `crewai create crew` writes them.
PYPROJECT = """\
[project]
name = "research"
requires-python = ">=3.10,<3.14"
dependencies = ["crewai[tools]==1.15.30"]

[project.scripts]
research = "research.main:run"
run_crew = "research.main:run"
train = "research.main:train"

[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[tool.crewai]
type = "crew"
"""
AGENTS = """\
researcher:
  role: >
    {topic} Senior Data Researcher
  goal: >
    Uncover cutting-edge developments in {topic}
  backstory: >
    You answer with {{topic}} and {"name": 3} and { spaced }.
"""
TASKS = """\
research_task:
  description: >
    Research {topic}. The current year is {current_year}.
  expected_output: >
    A list
  agent: researcher
"""
TEXT = {"type": ["string", "number", "boolean"]}
CREW = {
    "pyproject.toml": PYPROJECT,
    "src/research/config/agents.yaml": AGENTS,
    "src/research/config/tasks.yaml": TASKS,
    "src/research/main.py": 'INPUTS = json.loads(Path(os.environ["SKEP_INPUT"]).read_text())',
}


def refused(**changed):
    """What the author of a wrong crew is told."""
    named = {f"src/research/config/{name}.yaml": text for name, text in changed.items()}
    with pytest.raises(InvalidError) as caught:
        found(CREW | named)
    assert caught.value.code == "crew_invalid"
    return caught.value.message


def test_a_crew_as_its_own_command_makes_it():
    """The keys in braces are its inputs; its script is its command, for `crewai run` ends with 0 when that fails."""
    made = found(CREW)
    assert (made.framework, made.command, made.install) == ("crewai", ("/opt/env/bin/run_crew",), Install.PYPROJECT)
    assert made.inputs_schema == {
        "type": "object",
        "properties": {"topic": TEXT, "current_year": TEXT},
        "required": ["topic", "current_year"],
    }
    assert made.evidence == (
        "[tool.crewai] of pyproject.toml",
        "src/research/config/agents.yaml",
        "src/research/config/tasks.yaml",
        "script run_crew of pyproject.toml",
    )
    wanted = {"UV_NO_SYNC": "1", "UV_OFFLINE": "1", "UV_PROJECT_ENVIRONMENT": "/opt/env", "OTEL_SDK_DISABLED": "true"}
    assert wanted.items() <= made.env.items()
    assert (made.requires_python, made.notices) == (">=3.10,<3.14", ())


def test_inputs_that_crewai_makes_a_text_of():
    """A year need not be quoted; lists and objects are no part of a sentence."""
    schema = found(CREW).inputs_schema
    schemas.check_inputs({"topic": "bees", "current_year": 2026}, schema)
    schemas.check_inputs({"topic": True, "current_year": 20.5}, schema)
    for value in ([], {}, None):
        with pytest.raises(InvalidError):
            schemas.check_inputs({"topic": value, "current_year": 2026}, schema)


def test_a_crew_that_has_its_inputs_in_its_program():
    """As `crewai create` writes it: whoever gives others is told that nothing reads them."""
    stock = "import sys\ndef run():\n    inputs = {'topic': 'AI LLMs'}\n    trigger = json.loads(sys.argv[1])\n"
    notices = found(CREW | {"src/research/main.py": stock}).notices
    assert len(notices) == 1
    assert notices[0].startswith("src/research/main.py does not read the inputs of a run")
    for line in ("import skep", "from skep import inputs", "open(os.environ['SKEP_INPUT'])"):
        assert found(CREW | {"src/research/main.py": f"{stock}\n{line}"}).notices == ()
    without_keys = {name: text.replace("{", "").replace("}", "") for name, text in CREW.items()}
    assert found(without_keys | {"src/research/main.py": stock, "pyproject.toml": PYPROJECT}).notices == ()


def test_a_crew_is_known_by_its_files_alone():
    """Without [tool.crewai], and with a lock."""
    made = found(CREW | {"pyproject.toml": PYPROJECT.partition("\n[tool")[0], "uv.lock": ""})
    assert (made.framework, made.install) == ("crewai", Install.UV_LOCK)


def test_a_flow():
    """It has its crews deeper, and another script."""
    text = PYPROJECT.replace("run_crew", "kickoff").replace('"crew"', '"flow"')
    made = found({"pyproject.toml": text, "src/research/crews/one/config/agents.yaml": AGENTS})
    assert (made.framework, made.command, made.inputs_schema) == ("crewai", ("/opt/env/bin/kickoff",), None)


def test_a_flow_that_has_the_script_of_a_crew_too():
    """As `crewai create flow` writes it: the type says which is meant."""
    scripts = 'run_crew = "research.main:run"\nkickoff = "research.main:kickoff"'
    text = PYPROJECT.replace('run_crew = "research.main:run"', scripts)
    assert found(CREW | {"pyproject.toml": text}).command == ("/opt/env/bin/run_crew",)
    assert found(CREW | {"pyproject.toml": text.replace('"crew"', '"flow"')}).command == ("/opt/env/bin/kickoff",)


def test_a_crew_in_json():
    """Only CrewAI's own command knows what its file means, and what that calls neither syncs nor goes online.

    It needs no script, and would not be asked for one; that its inputs are its file's is said.
    """
    text = PYPROJECT.partition("[project.scripts]")[0] + '[tool.crewai]\ntype = "crew"\ndefinition = "crew.jsonc"\n'
    made = found({"pyproject.toml": text, "crew.jsonc": "{}"})
    assert (made.framework, made.command) == ("crewai", ("crewai", "run"))
    assert found({"pyproject.toml": text.replace("[tool.", "[project.scripts]\nrun_crew = 'a:b'\n[tool.")}).command == (
        ("crewai", "run")
    )
    assert "starts crew.jsonc with the inputs of that file" in made.notices[0]


def test_a_crew_without_the_script_is_started_as_any_project():
    """By another script of its own."""
    made = found(CREW | {"pyproject.toml": PYPROJECT.replace('run_crew = "research.main:run"\n', "")})
    assert made.command == ("/opt/env/bin/research",)


def test_a_crew_with_nothing_to_start():
    """Its run fails, and does not end well as that of `crewai run` would; what is missing is said before."""
    text = PYPROJECT.replace(PYPROJECT[PYPROJECT.index("[project.scripts]") : PYPROJECT.index("[build")], "")
    made = found(CREW | {"pyproject.toml": text})
    assert made.command == ("/opt/env/bin/run_crew",)
    assert "has no script run_crew in [project.scripts]" in made.notices[0]


def test_files_that_only_look_like_a_crews():
    """One of the two, and nothing that depends on CrewAI, is no crew."""
    made = found({"src/a/config/agents.yaml": "][", "main.py": ""})
    assert made.framework == "python"


def test_what_looks_forgotten_is_said_not_refused():
    """Its code may say it: keys, agents, a file, the package."""
    tasks = TASKS.replace("expected_output: >\n    A list", "x: y").replace("agent: researcher", "agent: reseacher")
    notices = found(CREW | {"src/research/config/tasks.yaml": tasks}).notices
    meant = "`reseacher`, which is not there; did you mean `researcher`?"
    assert notices == (
        f"src/research/config/tasks.yaml, line 5: the task `research_task` names the agent {meant}",
        "src/research/config/tasks.yaml, line 1: the task `research_task` has no expected_output",
    )
    alone = {name: text for name, text in CREW.items() if not name.endswith("tasks.yaml")}
    assert found(alone).notices == ("src/research/config/tasks.yaml is missing beside src/research/config/agents.yaml",)
    other = found(CREW | {"pyproject.toml": PYPROJECT.replace("crewai[tools]==1.15.30", "other")})
    assert "add it to [project.dependencies]" in other.notices[0]
    assert "is empty" in found(CREW | {"src/research/config/agents.yaml": ""}).notices[-1]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- a", "src/research/config/agents.yaml, line 1, column 1: the file is a list; expected a mapping"),
        ("a: b", "line 1, column 4: `a` is a text; expected agent `a` with role, goal, backstory"),
        ("a:\n  role: {topic} x", "line 2, column 17: while parsing a block mapping"),
        ("a: {role: x}\na: {role: y}", "line 2, column 1: the key `a` stands twice in the file"),
        ("a:", "line 1, column 3: `a` is nothing; expected agent `a`"),
        ("#" * 70_000, "larger than 65536 characters"),
    ],
)
def test_wrong_files(text, said):
    """Each is refused at its place, with what is expected."""
    assert said in refused(agents=text)


def test_aliases_are_what_crews_use():
    """Anchors and merges are taken; a node that holds itself, and a bomb, cost nothing."""
    text = "researcher: &one {role: '{topic}', goal: g, backstory: b}\nb: *one\nc:\n  <<: *one\n"
    assert found(CREW | {"src/research/config/agents.yaml": text}).notices == ()
    assert (
        found(CREW | {"src/research/config/agents.yaml": "researcher: &a {role: *a, goal: x, backstory: x}"}).notices
        == ()
    )
    bomb = "a: &a0 {k: x}\n" + "".join(f"b{n}: &a{n} {{x: *a{n - 1}, y: *a{n - 1}}}\n" for n in range(1, 40))
    assert found(CREW | {"src/research/config/agents.yaml": bomb}).framework == "crewai"


def test_of_many_forgotten_agents_a_few_are_told():
    """What nobody will read is not looked for: comparing each task with each agent took minutes."""
    agents = "".join(f"{'a' * 40}{n}: {{role: r, goal: g, backstory: b}}\n" for n in range(480))
    tasks = "".join(f"t{n}: {{agent: {'a' * 60}b, description: d, expected_output: e}}\n" for n in range(500))
    files = {"src/research/config/agents.yaml": agents, "src/research/config/tasks.yaml": tasks}
    with pytest.raises(InvalidError, match="more than 65536 characters together"):
        found({name.replace("research", f"r{n}"): text for n in range(12) for name, text in files.items()})
    notices = found(CREW | files).notices
    assert len(notices) == 10
    assert all("is not there; did you mean `aaaa" in notice for notice in notices)


def test_names_are_compared_one_after_another_and_as_they_are_needed():
    """The words come lazily; a name that is far down is not offered, however near it is."""
    names = (*(f"n{n}" for n in range(300)), "y" * 50_000, "researcher")
    agents = CrewFile(names=names, agents={})
    tasks = CrewFile(agents={"one": ("researcher", 1), "two": ("reseacher", 2), "three": ("n1x", 3)})
    words = crew_files.strangers(agents, tasks, "tasks.yaml")
    assert (
        next(words)
        == "tasks.yaml, line 2: the task `two` names the agent `reseacher`, which is not there in agents.yaml"
    )
    assert next(words).endswith("`n1x`, which is not there; did you mean `n1`?")
    assert next(words, None) is None


@pytest.mark.parametrize(
    "text", ["{" * 65_000, "[" * 65_000, "- " * 32_000, "a: '" + "{k}" * 20_000, "a{b}: {}\n" * 900]
)
def test_a_bomb_costs_little(text):
    """However it is written, it is judged in a moment."""
    began = time.process_time()
    refused(agents=text)
    assert time.process_time() - began < 5


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=60) | st.text(alphabet="a:role{}[],&*!|>-'\" \n\t#<", max_size=60))
def test_any_text_ends_in_a_value_or_in_words(text):
    """Nothing that a stranger writes comes out as another error."""
    told = "crewai"
    try:
        assert found(CREW | {"src/research/config/tasks.yaml": text}).framework == told
    except InvalidError as error:
        told = error.code
    assert told in {"crewai", "crew_invalid"}
