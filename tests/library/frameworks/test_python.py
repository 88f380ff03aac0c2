"""How plain Python projects are recognised."""

from importlib.metadata import EntryPoint

import pytest

from skep.kernel.errors import InvalidError
from skep.library.frameworks import load
from skep.library.frameworks.python import PythonFramework
from skep.product.images.model import Install, Recognised, SourceListing


def source(**texts: str) -> SourceListing:
    """Make a listing of files with these texts; `__` stands for a dot in the name."""
    named = {name.replace("__", "."): text for name, text in texts.items()}
    return SourceListing(files={name: len(text) for name, text in named.items()}, texts=named, digest="0" * 64)


def recognise(**texts: str) -> Recognised | None:
    """Ask the framework."""
    return PythonFramework().recognise(source(**texts))


def test_main_py_alone_needs_nothing() -> None:
    """The standard library is enough, and the system's Python runs it."""
    assert recognise(main__py="print()") == Recognised(
        framework="python", evidence=("main.py",), command=("python3", "main.py"), install=Install.NOTHING
    )


def test_main_py_with_requirements() -> None:
    """requirements.txt makes an environment, whose Python runs it."""
    found = recognise(main__py="", requirements__txt="humanize\n")
    assert found is not None
    assert found.install is Install.REQUIREMENTS
    assert found.command == ("python", "main.py")
    assert found.evidence == ("main.py", "requirements.txt")


def test_an_empty_requirements_file_is_nothing_to_install() -> None:
    """No environment is made for an empty list."""
    found = recognise(main__py="", requirements__txt="")
    assert found is not None
    assert found.install is Install.NOTHING


def test_the_only_script_is_the_command() -> None:
    """A single script runs from the environment, and the wanted Python is told."""
    found = recognise(
        pyproject__toml='[project]\nname="a"\nrequires-python=">=3.11"\n[project.scripts]\ngo = "a:main"\n'
    )
    assert found == Recognised(
        framework="python",
        evidence=("script go of pyproject.toml",),
        command=("/opt/env/bin/go",),
        requires_python=">=3.11",
        install=Install.PYPROJECT,
    )


def test_of_several_scripts_the_one_named_like_the_project_is_taken() -> None:
    """Names are compared as packages are: case, dots, dashes and underscores mean the same."""
    found = recognise(pyproject__toml='[project]\nname="My.Agent"\n[project.scripts]\nother="a:b"\nmy_agent="a:c"\n')
    assert found is not None
    assert found.command == ("/opt/env/bin/my_agent",)
    assert "named like the project" in found.evidence[0]


def test_else_the_first_script_is_taken_and_said() -> None:
    """The evidence tells that there was a choice."""
    found = recognise(pyproject__toml='[project]\nname="x"\n[project.scripts]\none="a:b"\ntwo="a:c"\n')
    assert found is not None
    assert found.command == ("/opt/env/bin/one",)
    assert "of 2: the first" in found.evidence[0]


def test_a_lock_decides_the_installing() -> None:
    """uv.lock goes over everything else, but not without its pyproject.toml."""
    project = '[project]\nname="x"\ndependencies=["humanize"]\n'
    found = recognise(main__py="", pyproject__toml=project, uv__lock="version = 1", requirements__txt="a")
    assert found is not None
    assert found.install is Install.UV_LOCK
    without = recognise(main__py="", uv__lock="version = 1", requirements__txt="a")
    assert without is not None
    assert without.install is Install.REQUIREMENTS


def test_dependencies_of_a_project_without_scripts() -> None:
    """main.py is the command, pyproject.toml the list."""
    found = recognise(main__py="", pyproject__toml='[project]\nname="x"\ndependencies=["humanize"]\n')
    assert found is not None
    assert (found.install, found.command) == (Install.PYPROJECT, ("python", "main.py"))


def test_other_sources_are_none_of_these() -> None:
    """A library without a script, and no Python at all, are not recognised."""
    assert recognise(README__md="hello") is None
    assert recognise(pyproject__toml='[project]\nname="x"\n') is None


@pytest.mark.parametrize(
    "text",
    [
        "not toml",
        "project = 3",
        "[project]\nscripts = 3",
        "[project]\ndependencies = 'a'",
        "[project]\ndependencies = [3]",
        "[project.scripts]\n'../x' = 'a:b'",
        "[project.scripts]\n'a/b' = 'a:b'",
        "[project.scripts]\n'..' = 'a:b'",
        "[project.scripts]\na = 3",
        "[project]\nname = 3\n[project.scripts]\na = 'a:b'\nb = 'a:b'",
        "[project]\nrequires-python = 3",
    ],
)
def test_a_wrong_pyproject_is_said_to_be_wrong(text: str) -> None:
    """What it is that is wrong is told, under one code."""
    with pytest.raises(InvalidError) as caught:
        recognise(main__py="", pyproject__toml=text)
    assert caught.value.code == "project_invalid"


def test_foreign_frameworks_are_loaded_along_the_same_path() -> None:
    """An entry point is asked in its order, and one that is no framework is refused."""
    point = EntryPoint("again", "skep.library.frameworks.python:PythonFramework", "skep.frameworks")
    assert [framework.name for framework in load([point])] == [
        *("skep.yaml", "crewai", "langgraph", "openai-agents", "swarm", "langchain"),
        *("python", "python", "node", "dockerfile"),
    ]
    with pytest.raises(TypeError, match="is no framework"):
        load([EntryPoint("x", "json:dumps", "skep.frameworks")])
