"""A database whose conformance tests did not run is seen."""

import subprocess
import sys
from pathlib import Path

import pytest

SUPPORT = Path(__file__).parent / "support"
TESTS = """
import pytest

@pytest.fixture(params=["sqlite", "postgresql"])
def db(request):
    if request.param == "postgresql" and SKIPPED:
        pytest.skip("not here")
    return request.param

def test_one(db):
    pass

def test_other(db):
    assert db in GOOD
"""


def ran(folder, *, skipped=False, good=("sqlite", "postgresql"), options=()):
    """Run the tests in a process of their own; return its status and what it said at the end."""
    (folder / "test_store_conformance.py").write_text(f"SKIPPED, GOOD = {skipped!r}, {good!r}\n{TESTS}")
    (folder / "pytest.ini").write_text(f"[pytest]\npythonpath = {SUPPORT}\n")
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "conformance", "-p", "no:cacheprovider", *options]
    done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=False)
    said = [line for line in done.stdout.splitlines() if line.startswith("store conformance")]
    return done.returncode, said


@pytest.mark.parametrize("options", [(), ("-n2",)], ids=["alone", "side by side"])
def test_a_database_that_was_skipped_fails_the_run(tmp_path, options):
    """Although no test has failed."""
    assert ran(tmp_path, skipped=True, options=options) == (1, ["store conformance: sqlite 2, postgresql 0"])


def test_both_must_pass_the_same(tmp_path):
    """A run in which they do is good, and so is one in which only one was asked for."""
    assert ran(tmp_path) == (0, ["store conformance: sqlite 2, postgresql 2"])
    assert ran(tmp_path, options=("-k", "sqlite")) == (0, ["store conformance: sqlite 2, postgresql 0"])
    assert ran(tmp_path, good=("sqlite",))[0] == 1
