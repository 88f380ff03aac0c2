"""The benchmarks run, and say what they found to people and to machines."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROW = "writes-sqlite"


def bench(*arguments):
    """Run the benchmarks as `make bench` does."""
    command = (sys.executable, "-m", "benchmarks", *arguments)
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """One run of a cheap row, with JSON, and the folder of its results."""
    folder = tmp_path_factory.mktemp("results")
    page = folder.parent / "page.md"
    page.write_text("before\n<!-- figures -->\nold\n<!-- end of figures -->\nafter\n")
    done = bench(ROW, "--repetitions", "1", "--json", "--results", str(folder), "--docs", str(page))
    assert done.returncode == 0, done.stderr
    return done, folder


def test_a_row_is_measured_beside_its_peers(ran):
    """JSON names the machine, the versions, the load, each figure with its statistics and its peers'."""
    done, _ = ran
    found = json.loads(done.stdout)
    assert {"cores", "memory_mb", "kernel", "fsync_ms"} <= set(found["machine"])
    assert {"python", "sqlite", "runc"} <= set(found["versions"])
    assert len(found["load_before"]) == 3
    assert found["not_measured"] == []
    (figure,) = found["figures"]
    assert (figure["row"], figure["unit"], figure["n"]) == (ROW, "writes/s", 1)
    assert figure["p50"] == figure["p95"] == figure["values"][0] > 0
    for peer in figure["peers"].values():
        assert peer["ratio"] == pytest.approx(figure["p50"] / peer["p50"], rel=0.01)


def test_the_result_is_kept(ran):
    """What was printed as JSON is written to a file named by the date."""
    done, folder = ran
    (place,) = folder.iterdir()
    assert place.name.endswith("Z.json")
    assert json.loads(place.read_text()) == json.loads(done.stdout)


def test_people_get_a_table(ran):
    """Beside JSON, the table goes to standard error."""
    done, _ = ran
    assert ROW in done.stderr
    assert "driver alone, one a commit" in done.stderr
    assert "bars met" in done.stderr


def test_a_page_gets_the_figures(ran):
    """They replace what stood between the marks, and nothing else."""
    _, folder = ran
    text = (folder.parent / "page.md").read_text()
    assert text.startswith("before\n<!-- figures -->\n")
    assert text.endswith("\n<!-- end of figures -->\nafter\n")
    assert f"| {ROW} |" in text
    assert "old" not in text


def test_a_row_that_is_not_there():
    """A wrong name is refused, and the right ones are named."""
    done = bench("speed")
    assert done.returncode == 2
    assert "no such row: speed" in done.stderr
    assert "cold" in done.stderr
