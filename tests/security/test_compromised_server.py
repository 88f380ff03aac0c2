"""What somebody gains who has taken over the server: no root, no host files, nothing beyond the keeper's vocabulary."""

import json
import os
import pwd
import socket
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.root

#: One that every user of the machine can start.
PYTHON = "/usr/bin/python3"
SANDBOX = "sbx_" + "0" * 26
LAYER = "0" * 64
SPEC = {
    "op": "create",
    "id": SANDBOX,
    "isolation": "container",
    "cpus": 1,
    "memory_bytes": 64 << 20,
    "disk_bytes": 64 << 20,
    "pids": 64,
    "open_files": 256,
    "output_bytes": 4096,
    "layers": [],
    "doors": [80],
}
HOSTILE = (
    b"{",
    b"[]",
    b"\xff" * 64,
    b"[" * 60_000,
    b'{"op":' + b'{"a":' * 20_000,
    b'{"op":"hello"' + b" " * 70_000 + b"}",
    b'{"op":["hello"]}',
    {"op": "hello", "more": 1},
    {"op": "run", "argv": ["id"]},
    {"op": "destroy", "id": "../../../etc"},
    {"op": "destroy", "id": SANDBOX + "/"},
    {"op": "spool", "id": SANDBOX, "command": "../../../../etc/shadow", "part": "out"},
    {"op": "spool", "id": SANDBOX, "command": "x", "part": "../out"},
    {"op": "seal", "id": SANDBOX, "paths": ["/etc"], "layer": LAYER, "writable": True, "changes": True},
    {"op": "seal", "id": SANDBOX, "paths": ["/app/../etc"], "layer": LAYER, "writable": True, "changes": True},
    {"op": "drop_layer", "layer": "../" * 21 + "x"},
    {"op": "listen", "id": SANDBOX, "port": 8080},
    {**SPEC, "layers": ["/etc"]},
    {**SPEC, "layers": ["../../../../etc"]},
    {**SPEC, "mounts": [{"source": "/", "destination": "/host"}]},
    {**SPEC, "isolation": "none"},
    {**SPEC, "memory_bytes": -1},
    {**SPEC, "cpus": "1; id"},
    {**SPEC, "doors": [0, 70_000]},
    {**SPEC, "pids": True},
)


@pytest.fixture(scope="module")
def server_user(skep):
    """The user that the server runs as."""
    return pwd.getpwnam(skep.settings.server_user)


def test_the_server_has_no_privilege(skep, server_user):
    """It runs as an ordinary user, without capabilities or groups, and no program can give it any."""
    status = Path(f"/proc/{skep.pid('server')}/status").read_text()
    words = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert words["Uid"].split() == [str(server_user.pw_uid)] * 4
    assert (words["Groups"].strip(), words["NoNewPrivs"]) == ("", "1")
    assert {words[name] for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {"0" * 16}


#: Connects as the server's user, sends what standard input names, prints the answers.
ASK = """
import json, socket, sys
for packet in map(bytes.fromhex, json.load(sys.stdin)):
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as keeper:
        keeper.connect(sys.argv[1])
        keeper.send(packet)
        answer, descriptors, _, _ = socket.recv_fds(keeper, 1 << 17, 8)
        print(json.dumps([json.loads(answer), len(descriptors)]))
"""


def ask(skep, user, *requests):
    """Return the keeper's answers to *requests* of *user*: (answer, descriptors)."""
    packets = [each if isinstance(each, bytes) else json.dumps(each).encode() for each in requests]
    done = subprocess.run(
        [PYTHON, "-c", ASK, skep.settings.keeper_socket],
        input=json.dumps([packet.hex() for packet in packets]),
        user=user,
        group=pwd.getpwnam(user).pw_gid,
        extra_groups=[],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
    )
    return [tuple(json.loads(line)) for line in done.stdout.splitlines()], done


def test_the_keeper_takes_nothing_but_its_vocabulary(skep, server_user):
    """Whatever is malformed, names a path or asks for more is refused, and the keeper goes on."""
    keeper = skep.pid("keeper")
    answers, done = ask(skep, server_user.pw_name, *HOSTILE)

    assert len(answers) == len(HOSTILE), done.stderr
    refused = ("bad_request", "not_found", "isolation_unavailable")
    taken = [
        (request, answer)
        for request, (answer, descriptors) in zip(HOSTILE, answers, strict=True)
        if answer.get("error") not in refused or descriptors
    ]
    assert taken == []
    ((hello, _),), _ = ask(skep, server_user.pw_name, {"op": "hello"})
    assert hello["ok"]["pid"] == keeper == skep.pid("keeper")


def test_nobody_else_speaks_to_the_keeper(skep):
    """Its socket is closed to all users but root and the server's."""
    answers, done = ask(skep, "nobody", {"op": "hello"})
    assert (answers, "PermissionError" in done.stderr) == ([], True)


def test_what_the_server_s_user_cannot_have(skep, server_user):
    """It reads nothing of root's, of the keeper's, or of process memory; it can neither mount nor signal the keeper."""
    settings = skep.settings
    secret = ["/root", "/etc/shadow", str(settings.keeper_dir / "layers"), str(settings.keeper_dir / "disks")]
    secret += [
        str(settings.instance_run_dir / "runc"),
        f"/proc/{skep.pid('keeper')}/environ",
        f"/proc/{skep.pid('keeper')}/mem",
    ]
    code = f"""
import ctypes, os
for path in {secret!r}:
    try:
        print("READ", path, os.listdir(path) if os.path.isdir(path) else open(path, "rb").read(1))
    except OSError:
        pass
for folder in {[str(settings.data_dir), str(settings.instance_run_dir), str(settings.keeper_dir)]!r}:
    try:
        os.symlink("/etc", folder + "/link")
        print("MADE", folder)
    except OSError:
        pass
try:
    os.kill({skep.pid("keeper")}, 0)
    print("SIGNALLED")
except PermissionError:
    pass
print(ctypes.CDLL(None).mount(b"none", b"/mnt", b"tmpfs", 0, None))
open("{settings.state_dir}/control", "w").close()
os.unlink("{settings.state_dir}/control")
"""
    done = subprocess.run(
        [PYTHON, "-c", code],
        user=server_user.pw_uid,
        group=server_user.pw_gid,
        extra_groups=[],
        capture_output=True,
        text=True,
        check=True,
        cwd="/",
    )
    assert done.stdout == "-1\n"


def test_a_planted_spool(skep, server_user):
    """A link, a pipe or a device in place of what a command printed is not opened, though the keeper is root."""
    made, _ = ask(skep, server_user.pw_name, SPEC)
    assert made[0][0]["ok"]["made"] is True
    try:
        spool = skep.settings.instance_run_dir / "s" / SANDBOX / "disk/spool"
        (spool / "link.out").symlink_to("/etc/shadow")
        os.mkfifo(spool / "pipe.out")
        (spool / "folder.out").mkdir()
        (spool / "good.out").write_bytes(b"x")
        asked = [
            {"op": "spool", "id": SANDBOX, "command": name, "part": "out"}
            for name in ("link", "pipe", "folder", "good")
        ]
        answers, _ = ask(skep, server_user.pw_name, *asked)
        assert [(answer.get("error"), count) for answer, count in answers] == [("not_found", 0)] * 3 + [(None, 1)]
    finally:
        ask(skep, server_user.pw_name, {"op": "destroy", "id": SANDBOX})


def test_root_speaks_and_the_rest_is_closed(skep):
    """The supervisors' sockets are the server's alone."""
    made, _ = ask(skep, skep.settings.server_user, SPEC)
    path = made[0][0]["ok"]["socket"]
    try:
        done = subprocess.run(
            [PYTHON, "-c", f"import socket; socket.socket(socket.AF_UNIX).connect({path!r})"],
            user="nobody",
            group="nogroup",
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
        )
        assert "PermissionError" in done.stderr
        with socket.socket(socket.AF_UNIX) as control:
            control.connect(path)
    finally:
        ask(skep, skep.settings.server_user, {"op": "destroy", "id": SANDBOX})
