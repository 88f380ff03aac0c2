"""Rules 3 and 13: code runs in an OS sandbox, from which nothing of the host and of others can be had."""

import json
import socket
import subprocess
import sys

import pytest

from skep.testing.wait import until_sync

pytestmark = pytest.mark.root

#: Prints {name: errno}, 0 for what works. Each try has a process of its own, and harmless arguments.
PROBE = r"""
import ctypes, json, os, platform, socket
libc = ctypes.CDLL(None, use_errno=True)
names = "ptrace unshare setns chroot mount keyctl bpf io_uring_setup userfaultfd perf_event_open init_module kexec_load"
names += " open_by_handle_at process_vm_readv fsopen pivot_root syslog"
numbers = {
    "x86_64": (101, 272, 308, 161, 165, 250, 321, 425, 323, 298, 175, 246, 304, 310, 430, 155, 103),
    "aarch64": (117, 97, 268, 51, 40, 219, 280, 425, 282, 241, 105, 104, 265, 270, 430, 41, 116),
}[platform.machine()]
calls = dict(zip(names.split(), numbers))
text = ctypes.c_char_p
buffer = ctypes.create_string_buffer(256)
tries = {
    "trace": ("ptrace", 0, 0, 0, 0),
    "user namespace": ("unshare", 0x10000000),
    "mount namespace": ("unshare", 0x20000),
    "network namespace": ("unshare", 0x40000000),
    "enter a namespace": ("setns", 0, 0),
    "chroot": ("chroot", text(b"/")),
    "mount": ("mount", text(b"none"), text(b"/"), 0, 0x40000, 0),
    "keys": ("keyctl", 0, -3, 0),
    "bpf": ("bpf", 0, buffer, 64),
    "io_uring": ("io_uring_setup", 8, buffer),
    "userfaultfd": ("userfaultfd", 1),
    "perf": ("perf_event_open", buffer, 0, -1, -1, 0),
    "load a module": ("init_module", 0, 0, text(b"")),
    "another kernel": ("kexec_load", 0, 0, 0, 0),
    "file handles": ("open_by_handle_at", -100, buffer, 0),
    "foreign memory": ("process_vm_readv", 1, 0, 0, 0, 0, 0),
    "new mounts": ("fsopen", text(b"tmpfs"), 0),
    "pivot_root": ("pivot_root", text(b"/"), text(b"/")),
    "kernel log": ("syslog", 10, 0, 0),
}
sockets = {"packet": (17, 3, 0), "raw": (2, 3, 1), "vsock": (40, 1, 0), "alg": (38, 5, 0), "netlink audit": (16, 3, 9)}

def alone(what):
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(write, str(what()).encode())
        os._exit(0)
    os.close(write)
    said = os.read(read, 20)
    os.close(read)
    os.waitpid(child, 0)
    return int(said or -1)

def call(name, *arguments):
    ctypes.set_errno(0)
    words = [ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
    return 0 if libc.syscall(ctypes.c_long(calls[name]), *words) >= 0 else ctypes.get_errno()

def opened(family, kind, protocol):
    try:
        socket.socket(family, kind, protocol).close()
    except OSError as error:
        return error.errno
    return 0

found = {name: alone(lambda: call(*words)) for name, words in tries.items()}
found |= {name: alone(lambda: opened(*words)) for name, words in sockets.items()}
print(json.dumps(found))
"""
EPERM = 1


def test_system_calls_that_lead_out(attacker):
    """What opens a way to the kernel or to others is refused inside, and is something that root outside may do."""
    inside = json.loads(attacker.says(PROBE))
    outside = json.loads(subprocess.run([sys.executable, "-c", PROBE], capture_output=True, check=True).stdout)

    assert {name: errno for name, errno in inside.items() if errno != EPERM} == {}
    possible = {name for name, errno in outside.items() if errno == 0}
    assert possible >= {"trace", "user namespace", "mount namespace", "chroot", "keys", "packet", "raw"}


def test_privileges(attacker):
    """The agent has no capability, gets none by any program, and is watched by seccomp."""
    status = dict(
        line.split(":\t", 1) for line in attacker.says("print(open('/proc/self/status').read())").splitlines() if line
    )
    nothing = "0" * 16
    assert {status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {nothing}
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    asked = "import subprocess; print(subprocess.run(['su', '-c', 'id -u'], capture_output=True, text=True).stdout)"
    assert attacker.says(asked) == "\n"


LOOK = """
import os
for path in inputs:
    try:
        if os.stat(path).st_rdev == os.stat("/dev/null").st_rdev:
            continue  # it is masked
        found = os.listdir(path) if os.path.isdir(path) else open(path, "rb").read(100)
        print("READ", path, found)
    except OSError:
        pass
    try:
        os.close(os.open(path, os.O_WRONLY))
        print("OPENED", path)
    except OSError:
        pass
"""


def test_files_of_the_host(attacker, skep):
    """Neither the host's own files nor Skep's can be read or written; on the host, root can."""
    settings = skep.settings
    wanted = ["/etc/shadow", "/root", settings.data_dir, settings.state_dir / "key", settings.state_dir / "skep.db"]
    wanted += [settings.keeper_dir, settings.admin_token_file, settings.instance_run_dir, settings.keeper_socket]
    wanted += ["/proc/1/environ", "/proc/1/root", "/proc/1/mem", "/proc/sysrq-trigger", "/proc/kcore", "/sys"]
    wanted += ["/dev/mem", "/dev/kmsg", "/dev/loop0", "/dev/loop-control", "/opt/skep/spool", "/var/run/docker.sock"]
    paths = [str(path) for path in wanted]
    readable = "READ /etc/hosts b'127.0.0.1 localhost sandbox\\n::1 localhost\\n'\n"

    assert attacker.says(f"inputs = {[*paths, '/etc/hosts']!r}\n{LOOK}") == readable
    outside = subprocess.run(
        [sys.executable, "-c", f"inputs = {paths!r}\n{LOOK}"], capture_output=True, text=True, check=True
    )
    assert len(outside.stdout.splitlines()) > 8


WRITE = """
import os
for path in ("/usr/x", "/etc/x", "/x", "/dev/x", "/run/x", "/opt/skep/spool/x", "/opt/skep/supervisor/x",
             "/opt/skep/bin/uv", "/proc/sys/kernel/core_pattern", "/proc/sys/kernel/hostname", "/proc/self/uid_map"):
    try:
        with open(path, "w") as file:
            file.write("0 0 1")
        print("WROTE", path)
    except OSError:
        pass
for mode, device in ((0o020666, (1, 1)), (0o060666, (8, 0)), (0o020666, (0, 0))):
    try:
        os.mknod("/tmp/node", mode, os.makedev(*device))
        print("MADE", device)
    except OSError:
        pass
for signal in (0, 9, 15, 19):
    try:
        os.kill(1, signal)
        print("SIGNALLED", signal)
    except PermissionError:
        pass
print("proc", sorted(int(name) for name in os.listdir("/proc") if name.isdecimal()) == [os.getpid()])
open("/tmp/works", "w").write("positive control")
"""


def test_what_everybody_shares_is_read_only(attacker):
    """Programs, supervisor, spool and kernel settings cannot be changed; process 1 is neither seen nor signalled."""
    assert attacker.says(WRITE) == "proc True\n"


REACH = """
import socket
for address in inputs:
    try:
        socket.create_connection(tuple(address), 3).close()
        print("REACHED", address)
    except OSError:
        pass
for port in (80, 443, 1023):
    try:
        socket.socket().bind(("127.0.0.1", port))
        print("TOOK", port)
    except OSError:
        pass
"""


def test_no_network(attacker, skep):
    """A run reaches no address at all: not the server on the host's loopback, no metadata service."""
    port = int(skep.url.rpartition(":")[2])
    targets = [["127.0.0.1", port], ["::1", port], ["169.254.169.254", 80], ["127.0.0.1", 443], ["203.0.113.80", 443]]

    assert attacker.says(f"inputs = {targets!r}\n{REACH}") == ""
    with socket.create_connection(("127.0.0.1", port), 5):
        pass  # the host itself reaches it


PASS = """
import socket
for asked in inputs:
    with socket.create_connection(("127.0.0.1", 80), 5) as door:
        door.sendall(f"{asked} HTTP/1.1\\r\\nHost: 127.0.0.1\\r\\n\\r\\n".encode())
        print(door.recv(4096).split(b"\\r\\n")[0].split()[1].decode(), end=" ")
"""


def test_the_door_of_a_run_leads_nowhere(attacker, skep):
    """The one port that answers takes questions to people: it passes nothing on, to whatever address."""
    port = int(skep.url.rpartition(":")[2])
    asked = [
        f"CONNECT 127.0.0.1:{port}",
        "CONNECT pypi.org:443",
        f"GET http://127.0.0.1:{port}/healthz",
        "GET http://169.254.169.254/latest/meta-data/",
        "GET /pypi/simple/pip/",
        "GET /healthz",
    ]

    answers = attacker.says(f"inputs = {asked!r}\n{PASS}").split()

    assert len(answers) == len(asked)
    assert all(answer.startswith("4") for answer in answers), answers


HIDE = """
import socket, time
open("/dev/shm/mine", "w").write("mine")
open("/tmp/mine", "w").write("mine")
server = socket.create_server(("0.0.0.0", 23457))
abstract = socket.socket(socket.AF_UNIX)
abstract.bind("\\0mine")
abstract.listen()
print("hidden", flush=True)
time.sleep(60)
"""
SEEK = """
import os, socket
for path in ("/dev/shm/mine", "/tmp/mine"):
    print(os.path.exists(path), end=" ")
for family, address in ((socket.AF_INET, ("127.0.0.1", 23457)), (socket.AF_UNIX, "\\0mine")):
    with socket.socket(family) as found:
        print(found.connect_ex(address) == 0, end=" ")
print(len([name for name in os.listdir("/proc") if name.isdecimal()]))
"""


def test_sandboxes_do_not_see_each_other(attacker):
    """Files, processes, ports and sockets of one run are not there for another, nor is its port for the host."""
    hiding = attacker.begin(attacker.obedient, HIDE, timeout_s=60)
    until_sync(lambda: attacker.ask(f"/api/v1/runs/{hiding}")["output"]["stdout"] == "hidden\n", what="the hiding")
    try:
        assert attacker.says(SEEK) == "False False False False 1\n"
        with socket.socket() as found:
            assert found.connect_ex(("127.0.0.1", 23457)) != 0
        control = HIDE.partition("print")[0] + SEEK + 'for path in ("/dev/shm/mine", "/tmp/mine"): os.unlink(path)\n'
        sought = subprocess.run([sys.executable, "-c", control], capture_output=True, text=True, check=True)
        assert sought.stdout.startswith("True True True True ")
    finally:
        attacker.send("POST", f"/api/v1/runs/{hiding}/cancel")
