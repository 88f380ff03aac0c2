"""What a build will do, as a value."""

import pytest

from skep.kernel.errors import InvalidError
from skep.library.frameworks.python import PythonFramework
from skep.product.images.model import Install, Recognised, SourceListing
from skep.product.images.plan import Base, BuildPlan, make_plan, recognise

BASE = Base(fingerprint="debian", python="3.11.2", uv="0.9.0")
UV = "/opt/skep/bin/uv"
VENV = (UV, "venv", "--no-project", "--allow-existing", "--python", "/usr/bin/python3", "/opt/env")
INTO = (UV, "pip", "install", "--python", "/opt/env/bin/python")


def source(digest: str = "a" * 64, **texts: str) -> SourceListing:
    """Make a listing; `__` stands for a dot."""
    named = {name.replace("__", "."): text for name, text in texts.items()}
    return SourceListing(
        files={name: len(text) for name, text in named.items()},
        texts=named,
        digest=digest,
        hashes={name: f"hash of {text}" for name, text in named.items()},
    )


def plan(listing: SourceListing, base: Base = BASE, project: str = "prj_1") -> BuildPlan:
    """Plan as a build does."""
    return make_plan(listing, recognise(listing, [PythonFramework()]), base, project, {})


def test_nothing_to_install() -> None:
    """The source is the only layer."""
    made = plan(source(main__py=""))
    assert made.env_layer is None
    assert made.steps == ()
    assert not made.packaged


def test_requirements() -> None:
    """A plain list decides the environment by itself."""
    made = plan(source(main__py="", requirements__txt="humanize==4.0\n"))
    assert made.steps == (VENV, (*INTO, "--requirements", "requirements.txt"))
    again = plan(source(digest="b" * 64, main__py="changed", requirements__txt="humanize==4.0\n"))
    assert again.env_layer == made.env_layer
    assert again.app_layer != made.app_layer


@pytest.mark.parametrize(
    "line",
    ["-r more.txt", "-e .", "./wheel", "a @ file:///app/a", "../x", "--find-links wheels", "-c c.txt", "a/b.whl"],
)
def test_a_list_that_leads_to_other_files_depends_on_the_whole_source(line: str) -> None:
    """Another file's change makes another environment."""
    one = plan(source(main__py="", requirements__txt=f"humanize\n{line}\n"))
    two = plan(source(digest="b" * 64, main__py="", requirements__txt=f"humanize\n{line}\n"))
    assert one.env_layer != two.env_layer


@pytest.mark.parametrize(
    "line",
    [
        "a",
        "a==1",
        "a[b,c]>=1,<2",
        "a~=1 ; python_version<'3.9'",
        "a # b",
        "",
        "# -r x",
        "a (>=1)",
        "a==1 \\",
        "--hash=sha256:ab",
    ],
)
def test_a_plain_list_does_not(line: str) -> None:
    """Names, versions, extras, markers and comments say everything."""
    one = plan(source(main__py="", requirements__txt=f"humanize\n{line}\n"))
    two = plan(source(digest="b" * 64, main__py="", requirements__txt=f"humanize\n{line}\n"))
    assert one.env_layer == two.env_layer


def test_a_lock_with_a_package() -> None:
    """The project itself is installed by uv; its environment then depends on the whole source."""
    text = '[project]\nname="x"\n[project.scripts]\nx="x:y"\n[build-system]\nrequires=["hatchling"]\n'
    made = plan(source(pyproject__toml=text, uv__lock="1"))
    assert made.steps == (VENV, (UV, "sync", "--frozen", "--no-dev"))
    assert made.packaged
    other = plan(source(digest="b" * 64, pyproject__toml=text, uv__lock="1"))
    assert other.env_layer != made.env_layer


def test_a_lock_with_scripts_but_no_build_system() -> None:
    """Such a project is left out by uv: it is installed by a step of its own."""
    made = plan(source(pyproject__toml='[project]\nname="x"\n[project.scripts]\nx="x:y"\n', uv__lock="1"))
    assert made.steps[2:] == ((*INTO, "--no-deps", "--editable", "."),)


def test_a_lock_without_a_package() -> None:
    """Only dependencies are installed; the environment depends on the lock alone."""
    listing = source(main__py="", pyproject__toml='[project]\nname="x"\ndependencies=["a"]\n', uv__lock="1")
    made = plan(listing)
    assert made.steps == (VENV, (UV, "sync", "--frozen", "--no-dev"))
    assert not made.packaged
    relocked = source(main__py="", pyproject__toml='[project]\nname="x"\ndependencies=["a"]\n', uv__lock="2")
    assert plan(relocked).env_layer != made.env_layer


def test_a_project_without_a_lock() -> None:
    """A package is installed in editable form, else only its dependencies are."""
    package = plan(source(pyproject__toml='[project]\nname="x"\n[project.scripts]\nx="x:y"\n'))
    assert package.steps == (VENV, (*INTO, "--editable", "."))
    dependencies = plan(source(main__py="", pyproject__toml='[project]\nname="x"\ndependencies=["a"]\n'))
    assert dependencies.steps == (VENV, (*INTO, "--requirements", "pyproject.toml"))


def test_layers_are_never_shared_between_projects() -> None:
    """Neither the environment nor the source of one project is another's."""
    listing = source(main__py="", requirements__txt="a")
    one, two = plan(listing, project="prj_1"), plan(listing, project="prj_2")
    assert one.env_layer != two.env_layer
    assert one.app_layer != two.app_layer


@pytest.mark.parametrize(
    "base",
    [
        Base(fingerprint="other", python="3.11.2", uv="0.9.0"),
        Base(fingerprint="debian", python="3.12.0", uv="0.9.0"),
        Base(fingerprint="debian", python="3.11.2", uv="0.9.1"),
    ],
)
def test_another_base_means_another_environment(base: Base) -> None:
    """An upgrade of the host rebuilds instead of breaking."""
    listing = source(main__py="", requirements__txt="a")
    assert plan(listing, base).env_layer != plan(listing).env_layer


def test_the_same_source_gives_the_same_plan() -> None:
    """Keys do not depend on the order of anything."""
    assert plan(source(main__py="", requirements__txt="a")) == plan(source(requirements__txt="a", main__py=""))


def test_python_that_the_base_has_not() -> None:
    """The message names both versions; a wrong specifier is the project's fault."""
    with pytest.raises(InvalidError, match=r">=3\.13.*3\.11\.2") as caught:
        plan(source(main__py="", pyproject__toml='[project]\nname="x"\nrequires-python=">=3.13"\n'))
    assert caught.value.code == "python_unavailable"
    with pytest.raises(InvalidError) as caught:
        plan(source(main__py="", pyproject__toml='[project]\nname="x"\nrequires-python="three"\n'))
    assert caught.value.code == "project_invalid"


def test_nothing_recognised_says_what_was_looked_for_and_found() -> None:
    """At most twenty files are named, those at the top first."""
    listing = source(**{f"f{number:02}__txt": "" for number in range(30)})
    with pytest.raises(InvalidError, match=r"main\.py.*f00\.txt.* and 10 more") as caught:
        recognise(listing, [PythonFramework()])
    assert caught.value.code == "nothing_recognised"
    with pytest.raises(InvalidError, match="Files found: none"):
        recognise(source(), [PythonFramework()])


def test_the_owners_command_goes_over_the_recognised_one() -> None:
    """It is also enough where nothing is recognised."""
    assert recognise(source(main__py=""), [PythonFramework()], ("python3", "x.py")).command == ("python3", "x.py")
    assert recognise(source(x__sh=""), [PythonFramework()], ("sh", "x.sh")) == Recognised(
        framework="command", evidence=("command",), command=("sh", "x.sh"), install=Install.NOTHING
    )
