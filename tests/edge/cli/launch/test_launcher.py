"""The launcher as a real root process; keeper and server are small scripted ones."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from skep.edge.cli.launch import pids
from skep.edge.cli.launch.config import LaunchConfig
from skep.edge.cli.launch.start import code_paths

pytestmark = pytest.mark.root

NOBODY = 65534

#: Stands where the interpreter stands: the same command line, but peers that need no installation.
PEER = """#!/usr/bin/python3 -I
import http.server, json, os, pathlib, socket, signal, sys
if "skep_keeper" in sys.argv:
    args = dict(zip(sys.argv[4::2], sys.argv[5::2]))
    path = args["--run-dir"] + "/keeper.sock"
    pathlib.Path(path).unlink(missing_ok=True)
    door = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    door.bind(path); door.listen(5)
    while True:
        door.accept()
marker = pathlib.Path(os.environ["HOME"]) / "crash"
if marker.exists():
    sys.exit(9)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        status = pathlib.Path("/proc/self/status").read_text()
        reads = {p: pathlib.Path(p).exists() for p in os.environ.get("SKEP_LOOK", "").split(",") if p}
        body = json.dumps({"uid": os.getuid(), "groups": os.getgroups(), "pid": os.getpid(), "status": status,
            "env": dict(os.environ), "cwd": os.getcwd(), "reads": reads,
            "fds": sorted(int(f) for f in os.listdir("/proc/self/fd"))}).encode()
        self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers()
        self.wfile.write(body)
    def log_message(self, *a): pass
server = http.server.HTTPServer(("", 0), Handler, bind_and_activate=False)
server.socket.close()
server.socket = socket.socket(fileno=int(sys.argv[-1]))
server.serve_forever()
"""


def say(answers: Iterator[bytes], event: str) -> dict:
    """Read what the launcher says until it says *event*."""
    for line in answers:
        found = json.loads(line)
        if found["event"] == event:
            return found
        assert found["event"] != "failed", found
    raise AssertionError(f"the launcher ended without {event}")


@pytest.fixture
def config(tmp_path: Path) -> LaunchConfig:
    """Orders for an installation in a temporary folder, whose server becomes nobody."""
    if os.geteuid() != 0:
        assert not os.environ.get("CI"), "needs root"  # noqa: TID251  in CI a missing part is a failure
        pytest.skip("needs root")
    tmp_path.chmod(0o755)
    peer = tmp_path / "code" / "peer"
    peer.parent.mkdir()
    peer.write_text(PEER)
    peer.chmod(0o755)
    data = tmp_path / "data"
    return LaunchConfig(
        instance="test",
        data_dir=str(data),
        state_dir=str(data / "state"),
        keeper_dir=str(data / "keeper"),
        run_dir=str(tmp_path / "run" / "test"),
        admin_token_file=str(data / "admin.token"),
        keeper_socket=str(tmp_path / "run" / "test" / "keeper.sock"),
        server_user="nobody",
        uid=NOBODY,
        gid=NOBODY,
        host="127.0.0.1",
        port=0,
        port_fixed=True,
        python=str(peer),
        code=(str(peer.parent),),
        uv=str(peer),
        ca_file="/etc/ssl/certs/ca-certificates.crt",
        env={"PATH": "/usr/bin:/bin"},
    )


@contextmanager
def launched(config: LaunchConfig, verb: str = "up") -> Iterator[subprocess.Popen[bytes]]:
    """Start the launcher and give it its orders; end it by closing them."""
    process = subprocess.Popen(
        (sys.executable, "-I", "-m", "skep.edge.cli.launch", verb), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None
    process.stdin.write(config.to_json().encode() + b"\n")
    process.stdin.flush()
    try:
        yield process
    finally:
        process.stdin.close()
        process.wait(30)
        process.stdout.close()


def fetch(url: str) -> dict:
    """Ask the scripted server what it sees."""
    with urllib.request.urlopen(url, timeout=20) as answer:
        return json.load(answer)


def test_the_server_is_an_ordinary_process(config):
    """It has another user, no groups, no capabilities, no way to gain any, and no descriptor but its socket."""
    with launched(config) as process:
        url = say(process.stdout, "ready")["url"]
        seen = fetch(url)
    status = dict(line.split(":\t", 1) for line in seen["status"].splitlines() if ":\t" in line)
    assert (seen["uid"], seen["groups"]) == (NOBODY, [])
    assert status["NoNewPrivs"] == "1"
    assert {status[name].strip("0") for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {""}
    assert seen["cwd"] == config.state_dir
    assert set(seen["fds"]) - {0, 1, 2, 3} <= {4, 5, 6}
    assert "AWS" not in str(seen["env"])


def test_places_have_their_owners(config):
    """The state is closed to all but the server; the token is its own file, empty until it fills it."""
    with launched(config) as process:
        say(process.stdout, "ready")
    for path, mode, owner in (
        (config.data_dir, 0o755, 0),
        (config.state_dir, 0o700, NOBODY),
        (config.keeper_dir, 0o711, 0),
        (config.admin_token_file, 0o600, NOBODY),
        (config.run_dir, 0o711, 0),
    ):
        info = Path(path).stat()
        assert (stat.S_IMODE(info.st_mode), info.st_uid) == (mode, owner), path


@pytest.mark.parametrize("name", ["server", "keeper"])
def test_a_killed_child_is_started_again(config, name):
    """SIGKILL of either leaves the address as it was; requests wait instead of being refused."""
    with launched(config) as process:
        url = say(process.stdout, "ready")["url"]
        killed = pids.read(config.pid_file(name))
        assert killed is not None
        os.kill(killed.pid, signal.SIGKILL)
        assert say(process.stdout, "died")["part"] == name
        assert fetch(url)["uid"] == NOBODY
        again = pids.read(config.pid_file("server"))
        assert again is not None
        assert again.alive


def test_both_children_die_with_the_launcher(config):
    """SIGKILL of the launcher leaves no process behind, and the next start takes over."""
    with launched(config) as process:
        say(process.stdout, "ready")
        children = [pids.read(config.pid_file(name)) for name in ("server", "keeper")]
        process.kill()
        process.wait()
        assert all(child is not None and child.end(0, 10) for child in children)
    with launched(config) as process:
        say(process.stdout, "ready")


def test_closing_the_orders_ends_an_attached_launcher(config):
    """When whoever started it is gone, it goes, and takes its files along."""
    with launched(config) as process:
        say(process.stdout, "ready")
        assert Path(config.server_json).exists()
        process.stdin.close()
        say(process.stdout, "stopped")
        assert process.wait(20) == 0
    assert not Path(config.server_json).exists()
    assert pids.read(config.pid_file("server")) is None


def test_a_second_launcher_leaves_the_first_alone(config):
    """The lock says who runs."""
    with launched(config) as first:
        url = say(first.stdout, "ready")["url"]
        with launched(config) as second:
            say(second.stdout, "running")
            assert second.wait(20) == 0
        assert fetch(url)["uid"] == NOBODY
        assert json.loads(Path(config.server_json).read_text())["url"] == url


def test_down_ends_a_detached_launcher(config):
    """Its id and start time are read from the run folder."""
    with launched(replace(config, detach=True)) as process:
        say(process.stdout, "ready")
        with launched(config, "down") as down:
            say(down.stdout, "stopped")
        assert process.wait(20) == 0
    with launched(config, "down") as down:
        say(down.stdout, "not_running")


def test_a_busy_port_gives_way_to_the_next(config):
    """And the user is told; a port that was asked for does not give way."""
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        with launched(replace(config, port=port, port_fixed=False)) as process:
            assert say(process.stdout, "port_taken")["asked"] == port
            say(process.stdout, "ready")
        with launched(replace(config, port=port)) as process:
            assert f"port {port}" in json.loads(list(process.stdout)[-1])["message"]
            assert process.wait(20) == 1


def test_a_server_that_cannot_start_is_said_so(config):
    """Three deaths at once and the start is given up; nothing keeps running."""
    with launched(config) as process:
        say(process.stdout, "ready")
    marker = Path(config.state_dir) / "crash"
    marker.touch()
    marker.chmod(0o644)
    with launched(config) as process:
        events = [json.loads(line) for line in process.stdout]
        assert events[-1]["event"] == "failed"
        assert [event["deaths"] for event in events if event["event"] == "died"] == [1, 2, 3]
        assert "status 9" in events[-1]["message"]
        assert process.wait(20) == 1
    assert pids.read(config.pid_file("keeper")) is None


def test_code_below_a_closed_folder_is_read_and_nothing_else(config, tmp_path):
    """The server runs code and keeps data below a folder that only root may enter, and sees only those."""
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    (home / "diary").write_text("private")
    code = home / "deep" / "code"
    code.mkdir(parents=True)
    Path(config.python).rename(code / "peer")
    data = home / "data"
    closed = replace(
        config,
        python=str(code / "peer"),
        code=(str(code),),
        uv=str(code / "peer"),
        data_dir=str(data),
        state_dir=str(data / "state"),
        keeper_dir=str(data / "keeper"),
        admin_token_file=str(data / "admin.token"),
        env={"PATH": "/usr/bin:/bin", "SKEP_LOOK": f"{home}/diary,{code}/peer,{data}/admin.token"},
    )
    with launched(closed) as process:
        seen = fetch(say(process.stdout, "ready")["url"])
    assert seen["uid"] == NOBODY
    assert seen["reads"] == {f"{home}/diary": False, f"{code}/peer": True, f"{data}/admin.token": True}
    assert (home / "diary").read_text() == "private"
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert str(home) not in Path("/proc/self/mountinfo").read_text()


def test_code_that_only_root_may_read_is_refused(config):
    """No mount helps there: the message names the folder and the command."""
    Path(config.python).parent.chmod(0o700)
    with launched(config) as process:
        failed = json.loads(list(process.stdout)[-1])
    assert failed["event"] == "failed"
    assert "chmod -R go+rX" in failed["hint"]


def test_the_real_code_is_among_the_needs():
    """The environment, the interpreter's own folder and the packages are listed."""
    found = code_paths()
    assert sys.prefix in found
    assert sys.base_prefix in found
    assert str(Path(pids.__file__).parents[4]) in found
