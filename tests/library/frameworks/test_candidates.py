"""What is said of sources that have programs, of which none is known to be the agent."""

import pytest
from listings import found

from skep.kernel.errors import InvalidError


def said(*names):
    """Return what the owner of empty files is told."""
    return refused(dict.fromkeys(names, ""))


def refused(files):
    """Return what the owner of *files* is told."""
    with pytest.raises(InvalidError) as caught:
        found(files)
    assert caught.value.code == "nothing_recognised"
    why, _, there = caught.value.message.partition(" Files found: ")
    assert there
    return why


def test_several_programs():
    """One is chosen by its command; the usual names come first, tests and the like are none."""
    assert said("triage.py", "research_bot.py", "setup.py", "test_triage.py", "conftest.py") == (
        "Nothing was recognised: which program is the agent is not known: "
        'choose: --command "python research_bot.py" (or python triage.py).'
    )
    assert 'choose: --command "python agent.py" (or python app.py, python a.py)' in said("a.py", "app.py", "agent.py")
    assert 'choose: --command "python triage.py".' in said("triage.py", "src/lib.py")
    assert 'choose: --command "python src/triage.py".' in said("src/triage.py", "src/zed/__init__.py")
    assert "python p4.py)" in said(*(f"p{number}.py" for number in range(9)))


def test_packages_that_are_not_installed():
    """Neither several, nor one that nothing makes findable; how they are started all the same is told."""
    assert 'choose: --command "env PYTHONPATH=src python3 -m zed".' in said("src/zed/__main__.py")
    told = refused({"a/__main__.py": "", "b/__main__.py": "", "requirements.txt": "humanize"})
    assert 'only one, and installed: choose: --command "python -m a" (or python -m b)' in told


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("setup.py", 'setup(entry_points={"console_scripts": ["zed=zed.main:run", "other=a:b"]})'),
        ("setup.py", "setup(\n entry_points={\n  'console_scripts': [\n   'zed = zed:run',\n  ]})"),
        ("setup.cfg", "[options.entry_points]\nconsole_scripts =\n    zed = zed.main:run\n"),
    ],
)
def test_scripts_of_setuptools(file, text):
    """They are named."""
    told = refused({file: text, "zed/__init__.py": ""})
    assert 'the scripts of setup.py and setup.cfg are not looked for: choose: --command "zed"' in told


@pytest.mark.parametrize("more", ["", "package-mode = false\n"])
def test_scripts_of_poetry_that_nobody_makes(more):
    """What they want is told."""
    text = f'[tool.poetry]\nname = "zed"\n{more}[tool.poetry.scripts]\nzed = "zed:main"\n'
    assert "[tool.poetry.scripts] counts only where Poetry makes a package" in refused({"pyproject.toml": text})


def test_graphs_of_javascript():
    """The file is there, so that it cannot be what is missing."""
    assert refused({"langgraph.json": '{"graphs": {"agent": "./agent.ts:graph"}}'}) == (
        "Nothing was recognised: langgraph.json names graphs of JavaScript only, and only those of Python are started: "
        "give a `command`."
    )


def test_nothing_like_it():
    """Nothing is guessed of other sources."""
    assert refused({"README.md": ""}) == "Nothing was recognised."
