"""The house stays clear: rules on the tree that no single module can see."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src"
PRODUCT = SOURCE / "skep" / "product"

PURE_FILES = sorted([*PRODUCT.glob("*/model.py"), *PRODUCT.glob("*/machine.py"), *PRODUCT.glob("images/planning/*.py")])
INPUT_OUTPUT = {"asyncio", "socket", "ssl", "subprocess", "threading", "time", "sqlalchemy", "aiohttp", "fastapi", "os"}
ALONE = ("skep_guest", "skep_keeper", "skep_supervisor")
STANDARD_ONLY = sorted(path for package in ALONE for path in (SOURCE / package).rglob("*.py"))


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module.split(".")[0]


@pytest.mark.parametrize("path", PURE_FILES, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_models_and_machines_do_no_input_or_output(path: Path) -> None:
    """A model, a machine, what plans a build: none imports what could act."""
    assert not set(_imports(path)) & INPUT_OUTPUT


@pytest.mark.parametrize("path", STANDARD_ONLY, ids=lambda p: str(p.relative_to(SOURCE)))
def test_those_who_stand_alone_use_only_the_standard_library(path: Path) -> None:
    """The privileged and the sandboxed process depend on no package, and neither does what agents find."""
    import sys

    own = set(ALONE)
    assert {name for name in _imports(path) if name not in sys.stdlib_module_names} <= own


def test_no_type_checking_block_hides_a_cycle() -> None:
    """Nothing is imported only for the type checker: that is how cycles hide."""
    assert [str(p) for p in SOURCE.rglob("*.py") if re.search(r"^if TYPE_CHECKING", p.read_text(), re.MULTILINE)] == []


def test_only_the_assembly_names_drivers_and_databases() -> None:
    """Concrete adapters are imported by the assembly, by each other and by the testing shelf, and nowhere else."""
    allowed = ("skep/assembly/", "skep/adapters/", "skep/testing/")
    strangers = [
        relative
        for path in (SOURCE / "skep").rglob("*.py")
        if not (relative := str(path.relative_to(SOURCE))).startswith(allowed)
        and re.search(r"^\s*(from|import) skep\.adapters", path.read_text(), re.MULTILINE)
    ]

    assert strangers == []


def test_no_file_grows_past_its_idea() -> None:
    """Five hundred lines are the limit; a longer file holds two ideas."""
    long = {str(p.relative_to(ROOT)): n for p in SOURCE.rglob("*.py") if (n := len(p.read_text().splitlines())) > 500}

    assert long == {}
