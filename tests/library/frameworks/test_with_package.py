"""Programs that are known by a package: OpenAI Agents, Swarm, LangChain."""

import pytest
from listings import found

from skep.product.images.model import Install

PROJECT = '[project]\nname = "x"\nrequires-python = ">=3.11"\ndependencies = ["{package}"]\n'


@pytest.mark.parametrize(
    ("package", "framework"),
    [
        ("openai-agents>=0.2", "openai-agents"),
        ("OpenAI_Agents[voice]", "openai-agents"),
        ("swarm", "swarm"),
        ("openai-swarm @ git+https://h/a.git", "swarm"),
        ("langchain", "langchain"),
        ("langchain-core~=1.0", "langchain"),
        ("langgraph", "langchain"),
        ("openai", "python"),
        ("swarms", "python"),
    ],
)
def test_a_dependency_of_pyproject(package, framework):
    """The name counts, however it is written; a package that is only called alike does not."""
    made = found({"pyproject.toml": PROJECT.format(package=package), "main.py": ""})
    assert (made.framework, made.command, made.install) == (framework, ("python", "main.py"), Install.PYPROJECT)
    assert made.notices == ()


def test_where_the_dependency_stands():
    """In requirements.txt, in a group, in Poetry's table, or in the lock of a project that does not list it."""
    assert found({"requirements.txt": "# a\nopenai-agents==0.24.0\n", "app.py": ""}).evidence == (
        "openai-agents in requirements.txt",
        "app.py",
        "requirements.txt",
    )
    for text in (
        '[dependency-groups]\nall = ["openai-agents"]\n',
        '[project.optional-dependencies]\nall = ["openai-agents"]\n',
        '[build-system]\n[tool.poetry.dependencies]\nopenai-agents = "^0.2"\n',
    ):
        assert found({"pyproject.toml": text, "main.py": ""}).framework == "openai-agents"
    lock = '[[package]]\nname = "x"\nsource = {{ virtual = "." }}\ndependencies = [{{ name = "{}" }}]\n'
    project = '[project]\nname = "x"\ndynamic = ["dependencies"]\n'
    for name, framework in (("openai-agents", "openai-agents"), ("bees", "python")):
        texts = {"pyproject.toml": project, "main.py": "", "uv.lock": lock.format(name)}
        assert found(texts).framework == framework
    assert found({"pyproject.toml": project, "main.py": "", "uv.lock": "]["}).framework == "python"


def test_nothing_is_traced_to_hosts_that_are_not_reached():
    """Each has its own switch."""
    assert found({"requirements.txt": "openai-agents", "main.py": ""}).env == {"OPENAI_AGENTS_DISABLE_TRACING": "1"}
    assert found({"requirements.txt": "langchain", "main.py": ""}).env["LANGSMITH_TRACING"] == "false"


def test_a_script_is_started_as_any_projects():
    """With a script of pyproject.toml it is that."""
    text = PROJECT.format(package="openai-agents") + '[project.scripts]\ngo = "a:b"\n'
    made = found({"pyproject.toml": text})
    assert made.command == ("/opt/env/bin/go",)
    assert made.evidence == ("openai-agents in pyproject.toml", "script go of pyproject.toml")


def test_langchain_leaves_langgraphs_to_langgraph():
    """Its file says more."""
    graph = '{"graphs": {"agent": "./main.py:graph"}}'
    made = found({"requirements.txt": "langchain\nlanggraph", "main.py": "", "langgraph.json": graph})
    assert (made.framework, made.notices) == ("langgraph", ())
