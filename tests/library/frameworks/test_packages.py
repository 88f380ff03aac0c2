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


def test_the_only_package_that_can_be_started():
    """From `src` it is installed for that; of the root it lies there, beside what is installed."""
    in_src = found({"pyproject.toml": BUILT, "src/zed/__main__.py": ""})
    assert (in_src.command, in_src.install) == (("python", "-m", "zed"), Install.PYPROJECT)
    assert in_src.evidence == ("src/zed/__main__.py", "pyproject.toml")
    in_root = found({"requirements.txt": "humanize", "zed/__main__.py": "", "tests/__main__.py": ""})
    assert (in_root.command, in_root.install) == (("python", "-m", "zed"), Install.REQUIREMENTS)
    assert found({"setup.py": "", "src/zed/__main__.py": ""}).command == ("python", "-m", "zed")
    assert found({"pyproject.toml": BUILT, "src/zed/__main__.py": "", "app.py": ""}).command == ("python3", "app.py")


def test_scripts_of_poetry():
    """Poetry makes them where it makes a package; a wrong one, and one that is a file, are none of these."""
    scripts = '[tool.poetry.scripts]\nzed = "zed:main"\n"../x" = "a:b"\ny = {reference = "y", type = "file"}\n'
    text = f'[tool.poetry]\nname = "zed"\n{scripts}[build-system]\nrequires = ["poetry-core"]\n'
    made = found({"pyproject.toml": text, "zed/__init__.py": ""})
    assert (made.command, made.install) == (("/opt/env/bin/zed",), Install.PYPROJECT)
