"""Which Python a build takes, and how it comes there."""

from contextlib import nullcontext
from dataclasses import replace

import pytest
from plans import BASE, UV, kinds, python, source

from skep.kernel.errors import InvalidError
from skep.product.gateway.model import LockedFile
from skep.product.images import environment
from skep.product.images.model import Install, LayerKind, SourceListing
from skep.product.images.planning import pythons
from skep.product.images.planning.locks import Lock, LockedWheel
from skep.product.images.planning.planner import plan_build
from skep.product.images.planning.steps import LayerPlan, Reach


@pytest.mark.parametrize(
    ("demand", "wish", "taken"),
    [
        ("", "", "3.11.2"),
        (">=3.8", "", "3.11.2"),
        (">=3.12", "", "3.12.4"),
        (">=3.13,<4", "", "3.13.9"),
        ("<3.11", "", "3.10.1"),
        ("==3.12.3", "", "3.12.3"),
        (">=3.11", "3.13\n", "3.13.9"),
        (">=3.11", "# mine\n3.12.3\n", "3.12.3"),
        (">=3.11", "3.11", "3.11.2"),
        (">=3.11", "pypy@3.10", "3.11.2"),
    ],
)
def test_the_python_that_a_project_gets(demand: str, wish: str, taken: str):
    """The machine's own if it fits, else the copy that is nearest above, else below; the newest of its releases."""
    texts = {"main__py": "", "_python-version": wish} if wish else {"main__py": ""}
    listing = source(**texts)
    listing = replace(listing, texts={name.replace("_python", ".python"): text for name, text in listing.texts.items()})
    made = plan_build(listing, python(Install.NOTHING, requires_python=demand), None, BASE, "prj_1")
    whose = "the machine's" if taken == "3.11.2" else "uv's copy"
    by = ", by .python-version" if wish and "pypy" not in wish else ""
    assert made.runtimes == (f"Python {taken} ({whose}){by}",)


def test_a_copy_of_python():
    """It is a layer of its own below an environment made with it, also where nothing is installed."""
    made = plan_build(source(main__py=""), python(Install.NOTHING, requires_python=">=3.12"), None, BASE, "prj_1")
    assert kinds(made) == [LayerKind.RUNTIME, LayerKind.SHARED, LayerKind.SOURCE]
    runtime = made.layers[0]
    assert runtime == LayerPlan(
        id=runtime.id,
        kind=LayerKind.RUNTIME,
        about="Python 3.12.4",
        paths=("/opt/python",),
        steps=((UV, "python", "install", "3.12.4", "--install-dir", "/opt/python", "--no-bin", "--no-registry"),),
        env=environment.PYTHON_COPY,
        reach=Reach.PYTHON_COPIES,
    )
    assert made.layers[1].steps[0][-2:] == ("/opt/python/3.12.4/bin/python3", "/opt/env")
    assert made.recognised.path == ("/opt/env/bin",)


def wishing(wish: str) -> SourceListing:
    """Make a source with this `.python-version`."""
    return replace(source(main__py=""), texts={".python-version": wish})


@pytest.mark.parametrize("demand", [">" + "1" * 6000, ",".join(f">{n}" for n in range(1000)), "3.11rc1.*", "\0"])
def test_a_demand_that_cannot_be_read(demand: str):
    """It is the project's fault, and told; a number of thousands of digits too."""
    with pytest.raises(InvalidError, match="requires-python is wrong") as caught:
        pythons.choose(source(main__py=""), python(Install.NOTHING, requires_python=demand), BASE)
    assert caught.value.code == "project_invalid"


@pytest.mark.parametrize("wish", ["1" * 6000, "3" + ".1" * 100_000])
def test_a_wish_that_cannot_be_read(wish: str):
    """The same for `.python-version`."""
    with pytest.raises(InvalidError, match=r"\.python-version is wrong") as caught:
        pythons.choose(wishing(wish), python(Install.NOTHING), BASE)
    assert caught.value.code == "project_invalid"


def test_a_wish_for_a_release_before_the_release():
    """`3.14rc1` is one version, without others below it."""
    with pytest.raises(InvalidError, match=r"==3\.14rc1") as caught:
        pythons.choose(wishing("3.14rc1"), python(Install.NOTHING), BASE)
    assert caught.value.code == "python_unavailable"


def test_hashes_of_every_list_are_held_to():
    """Also those of a folder's; what it does not pin is free."""
    lock = Lock(
        wheels=(LockedWheel(name="a", version="1", file=LockedFile(filename="a", url="https://x/a", sha256="0" * 64)),)
    )
    made = python(Install.NOTHING, requirement_files=("lib/requirements.txt", "more/pyproject.toml"))
    for pinned, fits in (("0", True), ("1", False)):
        listing = replace(source(), texts={"lib/requirements.txt": f"a==1 \\\n  --hash=sha256:{pinned * 64}\n"})
        with nullcontext() if fits else pytest.raises(InvalidError, match="pins a 1 to other contents"):
            assert plan_build(listing, made, lock, BASE, "prj_1").layers


def test_a_python_that_cannot_be_had():
    """The message names what was asked for and what there is; a wrong specifier is the project's fault."""
    with pytest.raises(InvalidError, match=r">=3\.15.*3\.11\.2.*3\.14, 3\.13") as caught:
        plan_build(source(main__py=""), python(Install.NOTHING, requires_python=">=3.15"), None, BASE, "prj_1")
    assert caught.value.code == "python_unavailable"
    assert "SKEP_PYTHON_MIRROR" in (caught.value.hint or "")
    with pytest.raises(InvalidError) as caught:
        plan_build(source(main__py=""), python(Install.NOTHING, requires_python="three"), None, BASE, "prj_1")
    assert caught.value.code == "project_invalid"
