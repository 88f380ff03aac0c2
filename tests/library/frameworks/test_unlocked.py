"""Python projects that write their dependencies down in other ways: installed, or told why not and what to do."""

import pytest
from listings import found

from skep.kernel.errors import InvalidError
from skep.library.frameworks import unlocked
from skep.product.images.model import Install

POETRY = '[tool.poetry]\nname = "bee-bot"\n{}\n[tool.poetry.dependencies]\npython = "^3.10"\nhumanize = "^4.0"\n'
BACKEND = '[build-system]\nrequires = ["poetry-core"]\nbuild-backend = "poetry.core.masonry.api"\n'
MAIN = {"main.py": ""}


def refused(files, command=()):
    """What the owner of such a source is told."""
    with pytest.raises(InvalidError) as caught:
        found(files, command)
    assert caught.value.code == "lock_unsupported"
    assert "nothing would be installed" in caught.value.message
    return f"{caught.value.message} {caught.value.hint}"


def test_a_package_of_poetry():
    """Its build backend says what it needs; the Python that it takes is chosen; that its lock is not read is said."""
    made = found(MAIN | {"pyproject.toml": POETRY.format("") + BACKEND, "bee_bot/__init__.py": "", "poetry.lock": ""})
    assert (made.install, made.requirement_files, made.requires_python) == (Install.PYPROJECT, (), ">=3.10,<4")
    assert made.command == ("python", "main.py")
    assert made.notices == (
        "poetry.lock is not read: versions are chosen by pyproject.toml; a uv.lock (`uv lock`) would be",
    )


def test_a_program_of_poetry():
    """Without the package's folder Poetry makes no package: only what it depends on is installed."""
    made = found(MAIN | {"pyproject.toml": POETRY.format("") + BACKEND})
    assert (made.install, made.requirement_files) == (Install.NOTHING, ("pyproject.toml",))
    assert (made.command, made.evidence) == (("python", "main.py"), ("main.py", "pyproject.toml"))
    project = '[project]\nname = "x"\ndependencies = ["humanize"]\n[tool.poetry]\npackage-mode = false\n'
    assert found(MAIN | {"pyproject.toml": project + BACKEND}).requirement_files == ("pyproject.toml",)


@pytest.mark.parametrize("text", [POETRY.format(""), POETRY.format("package-mode = false") + BACKEND])
def test_what_poetry_tells_nobody(text):
    """It is refused, with what to do; a requirements.txt, even an empty one, decides otherwise."""
    said = refused(MAIN | {"pyproject.toml": text})
    assert "[tool.poetry] of pyproject.toml" in said
    assert "`poetry export -o requirements.txt`" in said
    assert found(MAIN | {"pyproject.toml": text, "requirements.txt": "a"}).install is Install.REQUIREMENTS
    assert found(MAIN | {"pyproject.toml": text, "requirements.txt": ""}).install is Install.NOTHING


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("^3.10", ">=3.10,<4"),
        ("~3.11", ">=3.11,<3.12"),
        ("~3", "==3.*"),
        (">=3.10, <3.13", ">=3.10,<3.13"),
        ("3.11", "==3.11.*"),
        ("==3.11.2", "==3.11.2"),
        ("3.11.*", "==3.11.*"),
        ("*", ""),
        ("^3.10 || ^4", ""),
        ("@@", ""),
        ("^" + "9" * 150, ""),
    ],
)
def test_versions_of_python_as_poetry_writes_them(said, meant):
    """They choose the runtime; what is not understood is left to Poetry."""
    assert unlocked.python_of_poetry({"dependencies": {"python": said}}) == meant


@pytest.mark.parametrize(
    "files",
    [
        {"setup.py": "setup()"},
        {"setup.py": "setup()", "setup.cfg": "[options]\ninstall_requires =\n  a\n"},
        {"setup.py": "setup()", "pyproject.toml": "[tool.black]\n"},
        {"setup.cfg": "[options]\ninstall_requires =\n  a\n", "pyproject.toml": "[build-system]\n"},
    ],
)
def test_what_setuptools_knows(files):
    """The project itself is installed as a package, with what it says that it needs."""
    made = found(MAIN | files)
    assert (made.install, made.command) == (Install.PACKAGE, ("python", "main.py"))
    assert made.evidence[-1] in ("setup.py", "setup.cfg")


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"Pipfile": "[packages]"}, "`pipenv requirements > requirements.txt`"),
        ({"Pipfile.lock": "{}"}, "which is Pipenv's"),
        ({"environment.yml": "dependencies: []"}, "which is Conda's"),
        ({"setup.cfg": "[options]\ninstall_requires = a\n"}, "from setuptools import setup; setup()"),
        ({"requirements/base.txt": "a", "requirements/prod.txt": "b"}, "a line `-r requirements/base.txt`"),
    ],
)
def test_what_is_not_read(files, words):
    """The file is named, and what to do; whoever gives the command is told as well."""
    assert words in refused(MAIN | files)
    assert words in refused(files | {"a.py": ""}, ("python", "a.py"))
    assert words in refused(files | {"a.py": "", "skep.yaml": "command: python a.py"})


def test_only_where_a_program_of_python_would_need_it():
    """Beside another list, and in a project of Node's, such a file says nothing."""
    assert found(MAIN | {"Pipfile": "", "requirements.txt": "a"}).install is Install.REQUIREMENTS
    assert found({"Pipfile": "", "package.json": '{"scripts": {"start": "a"}}'}).framework == "node"
    assert found(MAIN | {"setup.cfg": "[flake8]\n"}).install is Install.NOTHING


def test_a_list_by_another_name():
    """The only one is used; those for development are none."""
    for file in ("requirements/base.txt", "requirements-prod.txt", "requirements.in", "reqs.txt"):
        made = found(MAIN | {file: "a", "requirements-dev.txt": "b", "docs/requirements.txt": "c"})
        assert (made.install, made.requirement_files) == (Install.NOTHING, (file,))
        assert (made.command, made.evidence) == (("python", "main.py"), ("main.py", file))
    assert found(MAIN | {"requirements-dev.txt": "b"}).requirement_files == ()


def test_scripts_of_a_project_that_lists_its_needs_elsewhere():
    """The package is installed for its script, and the list beside it is read."""
    files = {"pyproject.toml": '[project]\nname = "x"\n[project.scripts]\nx = "x:main"\n', "requirements.txt": "a"}
    made = found(files)
    assert (made.install, made.requirement_files) == (Install.PYPROJECT, ("requirements.txt",))
    assert found({"requirements.txt": "a", "pyproject.toml": "[tool.x]\n"} | MAIN).install is Install.REQUIREMENTS


def test_a_list_that_is_not_read_is_told():
    """Where pyproject.toml says what is needed; a list of the same names is not worth a word."""
    files = MAIN | {"pyproject.toml": '[project]\nname = "x"\ndependencies = ["humanize"]\n'}
    assert found(files | {"requirements.txt": "humanize==4.0\n"}).notices == ()
    assert found(files | {"requirements.txt": "humanize==4.0\nwax\n"}).notices == (
        "requirements.txt is not read, because pyproject.toml says what is needed: wax stands in the former only",
    )
