"""The keeper's door: who may come in, and what nonsense does there."""

import array
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.root


def connect(running):
    """Open a connection to a keeper."""
    client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    client.settimeout(30)
    client.connect(str(running.socket))
    return client


@pytest.mark.parametrize(
    "packet",
    [b"x", b"[]", b"null", b"{}", b'{"op":"rm -rf"}', b'{"op":"destroy","id":"../.."}', b"\xff\xfe", b"[" * 1000],
)
def test_nonsense_is_answered_and_the_connection_goes_on(ask, packet):
    """A malformed request gets an error, and the next one its answer."""
    with connect(ask.running) as client:
        client.sendall(packet)
        assert json.loads(client.recv(1 << 17))["error"] == "bad_request"
        client.sendall(b'{"op":"list"}')
        assert json.loads(client.recv(1 << 17)) == {"items": [], "more": False}


def test_a_packet_that_is_too_long_is_refused(ask):
    """Length is bounded; the keeper goes on."""
    with connect(ask.running) as client:
        client.sendall(b'{"op":"list"}' + b" " * (1 << 16))
        assert json.loads(client.recv(1 << 17))["error"] == "bad_request"


def test_descriptors_that_come_along_are_closed(ask):
    """Nobody can fill the keeper's table of descriptors."""
    folder = Path(f"/proc/{ask.running.process.pid}/fd")
    with connect(ask.running) as client, Path("/dev/null").open() as null:
        client.sendall(b'{"op":"list"}')
        client.recv(1 << 17)
        before = len(list(folder.iterdir()))
        for _ in range(50):
            rights = array.array("i", [null.fileno()] * 4)
            client.sendmsg([b'{"op":"list"}'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
            client.recv(1 << 17)
        assert len(list(folder.iterdir())) == before


def test_another_user_is_turned_away(ask):
    """Even with the file's permissions out of the way, the kernel's word on who calls decides."""
    ask.running.socket.chmod(0o666)
    ask.running.run_dir.parent.chmod(0o755)
    program = (
        "import socket, sys\n"
        "client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)\n"
        "client.connect(sys.argv[1])\n"
        "try:\n"
        '    client.sendall(b\'{"op":"list"}\')\n'
        "    print(client.recv(1000))\n"
        "except OSError:\n"
        "    print(b'')\n"
    )
    done = subprocess.run(
        ["/usr/bin/python3", "-I", "-c", program, str(ask.running.socket)],
        user=54321,
        group=54321,
        extra_groups=[],
        capture_output=True,
        text=True,
        check=True,
        cwd="/",
    )

    assert done.stdout == "b''\n"
    assert '"uid": 54321' in ask.running.log


def test_a_second_keeper_does_not_start(ask):
    """One keeper per folder: the second says why, and leaves the first alone."""
    second = subprocess.run(ask.running.argv, capture_output=True, text=True, check=False)

    assert second.returncode == 1
    assert "another keeper runs" in second.stderr
    assert ask("list") == {"items": [], "more": False}


@pytest.mark.parametrize("mode", [0o777, 0o775])
def test_folders_that_others_can_exchange_are_refused(ask, tmp_path, mode):
    """A keeper on a folder that is not root's alone would be everybody's tool."""
    place = tmp_path / "open"
    place.mkdir()
    place.chmod(mode)
    argv = [str(place / "store") if word == str(ask.running.store_dir) else word for word in ask.running.argv]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert "writable for others" in done.stderr


def test_a_foreign_folder_is_refused(ask, tmp_path):
    """A folder of another user, too."""
    place = tmp_path / "foreign"
    place.mkdir()
    os.chown(place, 1234, 1234)
    argv = [str(place / "run") if word == str(ask.running.run_dir) else word for word in ask.running.argv]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert "must belong to root" in done.stderr


def test_sigterm_ends_it_and_leaves_sandboxes_alone(ask):
    """An operator can restart the keeper under living sandboxes."""
    ask.create(1)
    pid = ask.process(1)

    assert ask.running.stop() == 0
    assert Path(f"/proc/{pid}").exists()
    ask.running.restart()
    assert ask("inspect", id="sbx_" + "0" * 25 + "1")["ok"]["alive"] is True


def test_it_runs_without_anything_of_the_server():
    """The keeper imports the standard library only."""
    words = (
        "import sys, skep_keeper.start; "
        "print([n for n in sys.modules if n.split('.')[0] not in {*sys.stdlib_module_names, 'skep_keeper'}"
        " and not n.startswith(('__', '_virtualenv', 'a1_', '_distutils'))])"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, 'src'); {words}"],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path.cwd(),
    )

    assert done.stdout.strip() == "[]"
