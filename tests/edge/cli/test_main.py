"""The command's own manners, for which no server is needed."""

import subprocess
import sys

from skep.edge.cli import exits


def skep(*arguments: str, **more) -> subprocess.CompletedProcess[str]:
    """Run the command."""
    argv = (sys.executable, "-m", "skep.edge.cli", *arguments)
    return subprocess.run(argv, capture_output=True, text=True, check=False, **more)


def test_nothing_is_removed_unasked():
    """Where nobody can be asked the question is not answered by itself: `--yes` must be there, whatever comes in."""
    for arguments in (("remove", "bee"), ("remove", "bee", "--json")):
        done = skep(*arguments, input="y\n")
        assert done.returncode == exits.USAGE
        assert "--yes" in done.stderr
