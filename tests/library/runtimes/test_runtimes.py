"""Which runtimes can be had: Node by hashes that are known here, copies of Python by uv's list or the operator's."""

import json
import re

import pytest

from skep.kernel.errors import InvalidError
from skep.library import runtimes
from skep.library.runtimes import Source
from skep.library.runtimes.node import nodes
from skep.library.runtimes.python import pythons
from skep.product.images.planning.base import Runtime


def entry(version: str, **changes) -> dict[str, object]:
    """Make what uv says of a copy."""
    made = {
        "key": f"cpython-{version}-linux-x86_64-gnu",
        "version": version,
        "url": f"https://x.lan/{version}.tar.gz",
        "implementation": "cpython",
        "variant": "default",
        "os": "linux",
        "arch": "x86_64",
        "libc": "gnu",
    }
    return {**made, **changes}


def test_node_is_the_same_on_every_machine():
    """Two lines of it, each with one wheel for each machine, by its hash; none for a machine that has none."""
    for machine in ("x86_64", "aarch64"):
        found = nodes(machine)
        assert [one.version.split(".")[0] for one in found] == ["24", "22"]
        for one in found:
            (file,) = one.files
            assert re.fullmatch(r"[0-9a-f]{64}", file.sha256)
            assert one.facts == file.sha256
            assert file.url.endswith(f"/{file.filename}")
            assert machine in file.filename
            assert one.version in file.filename
    assert nodes("riscv64") == ()


def test_uvs_copies_newest_first():
    """Released CPythons of the usual kind for this machine; nothing else that uv has."""
    listing = [
        entry("3.9.18"),
        entry("3.13.2"),
        entry("3.14.0a2"),
        entry("3.13.3", variant="freethreaded"),
        entry("3.13.4", arch="aarch64"),
        entry("3.13.5", libc="musl"),
        entry("3.10.1", implementation="pypy"),
        entry("3.12.1", key="../../etc"),
        "nonsense",
    ]
    found = pythons(json.dumps(listing), Source(), "x86_64")
    assert [one.version for one in found] == ["3.13.2", "3.9.18"]
    assert found[0] == Runtime(
        name="python",
        version="3.13.2",
        origin="uv's copy",
        facts="cpython-3.13.2-linux-x86_64-gnu https://x.lan/3.13.2.tar.gz",
        folder="/opt/python/cpython-3.13.2-linux-x86_64-gnu",
    )


@pytest.mark.parametrize("listing", ["", "no json", "[]"])
def test_a_list_that_is_none(listing: str):
    """Then there are no copies."""
    assert pythons(listing, Source(), "x86_64") == ()


def test_where_copies_come_from_is_told_to_uv_in_the_sandbox():
    """A mirror and a list's address are named; of a list that is a file, the sandbox gets what it needs."""
    listing = json.dumps([entry("3.13.2")])
    (mirrored,) = pythons(listing, Source(mirror="https://m.lan"), "x86_64")
    assert mirrored.env == {"UV_PYTHON_INSTALL_MIRROR": "https://m.lan"}
    (listed,) = pythons(listing, Source(downloads="https://m.lan/list.json"), "x86_64")
    assert listed.env == {"UV_PYTHON_DOWNLOADS_JSON_URL": "https://m.lan/list.json"}
    own = {"a": {"url": "https://x.lan/3.13.2.tar.gz", "sha256": "0"}, "b": {"url": "https://x.lan/other"}, "c": 1}
    (filed,) = pythons(listing, Source(downloads="/etc/list.json"), "x86_64", json.dumps(own))
    (path,) = filed.puts
    assert filed.env == {"UV_PYTHON_DOWNLOADS_JSON_URL": path}
    assert json.loads(filed.puts[path]) == {"a": own["a"]}


def test_the_uv_that_came_with_skep_is_asked():
    """It knows copies of several lines, without a network."""
    found = runtimes.load(machine="x86_64")
    assert len({one.version.split(".")[1] for one in found.pythons()}) >= 3
    assert [one.name for one in found.nodes()] == ["node", "node"]


def test_a_list_of_the_operators_that_cannot_be_read(tmp_path):
    """The server says so when it starts, and which setting it is."""
    (tmp_path / "list.json").write_text("no json")
    for path in (tmp_path / "list.json", tmp_path / "none.json"):
        with pytest.raises(InvalidError) as caught:
            runtimes.load(Source(downloads=str(path)))
        assert caught.value.code == "python_downloads_invalid"
        assert "SKEP_PYTHON_DOWNLOADS" in (caught.value.hint or "")


def test_without_uv_there_are_no_copies(tmp_path):
    """Node can be had all the same."""
    found = runtimes.load(uv=str(tmp_path / "uv"), machine="x86_64")
    assert found.pythons() == ()
    assert found.nodes()
