"""The generated pages."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_generated_pages_are_up_to_date():
    """Command line, settings and API in docs/ say what the code says."""
    done = subprocess.run(
        (sys.executable, ROOT / "scripts" / "docs.py", "--check"), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
