"""Whom the token of this machine's installation is sent to."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from skep.edge.cli.target import same_server


@pytest.mark.parametrize(
    ("url", "own"),
    [
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://127.0.0.1:8080/", "http://127.0.0.1:8080"),
        ("http://localhost:8080", "http://127.0.0.1:8080"),
        ("https://[::1]:8443", "https://[::1]:8443"),
        ("http://10.0.0.5:8080", "http://10.0.0.5:8080"),
    ],
)
def test_this_machines_server_is_known_by_its_address(url, own):
    """Named by the user or found by itself: it is the same one, and needs no token of the user's."""
    assert same_server(url, own)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8081",
        "https://127.0.0.1:8080",
        "http://127.0.0.1",
        "http://example.org:8080",
        "http://127.0.0.1.example.org:8080",
        "http://127.0.0.1:8080@example.org",
        "http://me@127.0.0.1:8080",
        "http://127.0.0.1:8080/elsewhere",
        "http://127.0.0.1:99999999",
        "127.0.0.1:8080",
        "",
    ],
)
def test_any_other_is_a_stranger(url):
    """Another port, another host, another path: the token stays here."""
    assert not same_server(url, "http://127.0.0.1:8080")


@pytest.mark.parametrize("named", [True, False])
def test_a_data_folder_that_is_named_is_the_only_one(tmp_path: Path, named) -> None:
    """Whoever names a data folder, in which no server runs, is never led to the machine's own server."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("SKEP_")}  # noqa: TID251
    if named:
        environment["SKEP_DATA_DIR"] = str(tmp_path)
    asked = "from skep.edge.cli import target; from skep.kernel.settings import Settings; import json"
    shown = "print(json.dumps([str(folder) for folder in target.folders(Settings())]))"
    done = subprocess.run([sys.executable, "-c", f"{asked}; {shown}"], env=environment, check=True, capture_output=True)

    assert (json.loads(done.stdout) == [str(tmp_path)]) is named
    assert ("/var/lib/skep" in json.loads(done.stdout)) is not named
