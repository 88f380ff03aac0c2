"""Whether a Python project that depends on nothing is installed itself, for the packages of its own."""

import pytest
from listings import found

from skep.product.images.model import Install

PROJECT = '[project]\nname = "bee-bot"\n'
BUILT = PROJECT + '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'


def made(text=BUILT, main="", **files):
    """What becomes of a project with these files: `__` stands for a slash."""
    named = {f"{name.replace('___', '/')}.py": text for name, text in files.items()}
    return found({"pyproject.toml": text, "main.py": main, **named})


@pytest.mark.parametrize(
    "main",
    [
        "import zed\n",
        "import os, zed as z\n",
        "import zed.queen\n",
        "from zed.queen import (\n  a,\n)\n",
        "try:\n\timport zed\nexcept ImportError:\n    raise\n",
    ],
)
def test_a_program_that_imports_a_package_of_src(main):
    """It is found there only if the project is installed; so is a module, and what another entry imports."""
    assert made(main=main, src___zed___queen="").install is Install.PYPROJECT
    assert made(main=main, src___zed="").command == ("python", "main.py")
    other = found({"pyproject.toml": BUILT, "app.py": main, "src/zed/__init__.py": ""})
    assert (other.install, other.command) == (Install.PYPROJECT, ("python", "app.py"))


def test_a_package_named_like_the_project():
    """Each build backend finds it; it is installed whoever imports it."""
    assert made(src___bee_bot_____init__="").install is Install.PYPROJECT
    assert found({"pyproject.toml": BUILT, "src/bee_bot/__init__.py": ""}, ("python", "-m", "bee_bot")).install is (
        Install.PYPROJECT
    )


def test_what_it_needs_beside_it_is_installed_too():
    """A requirements.txt, or another list, is no reason to leave the project out."""
    for file in ("requirements.txt", "requirements/base.txt"):
        files = {"pyproject.toml": BUILT, "main.py": "import zed", "src/zed/__init__.py": "", file: "humanize"}
        assert (found(files).install, found(files).requirement_files) == (Install.PYPROJECT, (file,))


@pytest.mark.parametrize(
    ("text", "main", "files"),
    [
        (BUILT, "import json, os", {}),
        (BUILT, "import json", {"src___other_____init__": ""}),
        (BUILT, "# import zed of old\nprint('import zed')", {"src___zed_____init__": ""}),
        (BUILT, "import zed", {"zed_____init__": ""}),
        (PROJECT, "import zed", {"src___zed_____init__": ""}),
        (BUILT + "[tool.uv]\npackage = false\n", "import zed", {"src___zed_____init__": ""}),
        (BUILT + "[tool.poetry]\npackage-mode = false\n", "import zed", {"src___zed_____init__": ""}),
        (BUILT.replace(PROJECT, ""), "import zed", {"src___zed_____init__": ""}),
        (BUILT, "import .,\nfrom . import zed\nimport ,", {"src___zed_____init__": ""}),
    ],
)
def test_a_build_system_by_habit(text, main, files):
    """A program that needs no package of its own is started as it lies: no backend has to make something of it."""
    assert (made(text, main, **files).install, made(text, main, **files).command) == (
        Install.NOTHING,
        ("python3", "main.py"),
    )
