"""Rule 14: whatever an agent uses up, it is its own, it has an end, and what goes over a limit is said clearly."""

import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.root

#: Executes what its inputs hold.
OBEDIENT = {"files": {"main.py": 'import json, os\nexec(json.load(open(os.environ["SKEP_INPUT"]))["code"])\n'}}
BOMB = """
import os
while True:
    try:
        os.fork()
    except OSError:
        pass
"""
STUBBORN = """
import os, signal, time
for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
    signal.signal(number, signal.SIG_IGN)
for _ in range(10):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            while True:
                time.sleep(1)
        os._exit(0)
while True:
    time.sleep(1)
"""
STOPPED = "import os, signal; os.killpg(0, signal.SIGSTOP)"
FLOOD = "import os\nwhile True: os.write(1, b'x' * 65536)"


@pytest.mark.parametrize("code", [BOMB, STUBBORN, STOPPED, FLOOD], ids=["bomb", "stubborn", "stopped", "flood"])
def test_the_time_limit_holds(attacker, code):
    """No signal handler, daemon, stopped group, fork bomb or flood of output outlives the time limit."""
    started = time.monotonic()
    run = attacker.run(code, timeout_s=1)

    assert (run["status"], run["error"]["code"]) == ("timed_out", "timed_out")
    assert time.monotonic() - started < 20
    assert len(run["output"]["stdout"]) < 12 << 20


def test_a_daemon_ends_with_its_run(attacker):
    """What left its group and session ends with the run; nothing of it is alive anywhere on the host."""
    name = "skep-daemon-that-stays"
    code = f"""
import os, time
if os.fork() == 0:
    os.setsid()
    os.execv("/usr/bin/python3", ["{name}", "-c", "import time; time.sleep(300)"])
time.sleep(0.2)
"""
    assert attacker.run(code)["status"] == "succeeded"
    assert [path for path in Path("/proc").glob("[0-9]*/cmdline") if _holds(path, name)] == []


def _holds(path, name):
    try:
        return path.read_bytes().startswith(name.encode())
    except OSError:
        return False


def test_memory(attacker):
    """Who takes too much is told so; memory that no process holds (shared, files in memory) counts as well."""
    taken = attacker.run("held = []\nwhile True: held.append(bytearray(1 << 24))")
    left = """
import ctypes
libc = ctypes.CDLL(None)
libc.shmat.restype = ctypes.c_void_p
while True:
    segment = libc.shmget(0, ctypes.c_size_t(1 << 24), 0o1600)
    address = libc.shmat(segment, None, 0)
    ctypes.memset(address, 1, 1 << 24)
    libc.shmdt(ctypes.c_void_p(address))
"""
    for run in (taken, attacker.run(left)):
        assert (run["status"], run["error"]["code"]) == ("failed", "out_of_memory")


FULL = """
import os
def filled(path):
    try:
        with open(path, "wb", buffering=0) as file:
            while True:
                file.write(b"x" * (1 << 20))
    except OSError as error:
        return error.errno
def strewn(folder):
    try:
        os.mkdir(folder)
        while True:
            os.close(os.open(f"{folder}/{os.urandom(8).hex()}", os.O_CREAT))
    except OSError as error:
        return error.errno
def held():
    found = []
    try:
        while True:
            found.append(os.open("/dev/null", os.O_RDONLY))
    except OSError as error:
        for each in found:
            os.close(each)
        return error.errno
print(held(), filled("/dev/shm/full"), filled("/tmp/full"), strewn("/home/agent/many"))
for number in range(20000):
    print("after", number)
"""


def test_disk_and_descriptors(attacker):
    """Disk, inodes, memory files and descriptors end at their limits, and the log is kept although all is full."""
    agent = attacker.build(OBEDIENT, resources={"disk_mb": 32})["agent_id"]
    lines = attacker.says(FULL, agent=agent).splitlines()

    assert lines[0] in ("24 28 28 28", "24 27 28 28")
    assert lines[1:] == [f"after {number}" for number in range(20000)]


#: Many long names of one file, each folder in the one before: a listing of it does not fit into little memory.
CROWD = """
import os
seed = os.open(os.environ["SKEP_ARTIFACTS"], os.O_RDONLY)
os.close(os.open("seed", os.O_CREAT, dir_fd=seed))
here = seed
for depth in range(14):
    for number in range(6000):
        try:
            os.link("seed", "b" * 240 + f"{number:05}", src_dir_fd=seed, dst_dir_fd=here)
        except OSError:
            os.unlink("seed", dir_fd=seed)
            os.close(os.open("seed", os.O_CREAT, dir_fd=seed))
    os.mkdir("a" * 250, dir_fd=here)
    here = os.open("a" * 250, os.O_RDONLY, dir_fd=here)
"""


def test_folders_that_cannot_be_listed_end_nothing_but_the_run(attacker):
    """An agent that makes its artifacts too many and too long for its memory gets an error, and an end."""
    agent = attacker.build(OBEDIENT, resources={"memory_mb": 64})["agent_id"]
    run = attacker.run(CROWD, agent=agent, timeout_s=60)

    assert (run["status"], run["exit_code"], run["error"]["code"]) == ("failed", 0, "artifacts_too_large")


RESULTS = {
    "larger than allowed": ('b"[" + b"1," * (1 << 20) + b"1]"', "failed", None),
    "no UTF-8": ('b"\\xff\\xfe"', "succeeded", "\ufffd\ufffd"),
    "deep": ('b"[" * 10000 + b"]" * 10000', "succeeded", "[" * 10000 + "]" * 10000),
    "no number": ('b"[NaN]"', "succeeded", "[NaN]"),
    "too large a number": ('b"[1e999]"', "succeeded", "[1e999]"),
    "half a character": ("b'\"\\\\ud800\"'", "succeeded", '"\\ud800"'),
    "nul": ("b'\"a\\\\u0000b\"'", "succeeded", "a\0b"),
}


@pytest.mark.parametrize("case", RESULTS)
def test_results_of_all_kinds(attacker, case):
    """Too large a result fails its run, one that is no JSON is text, and none makes a run or a listing unreadable."""
    written, status, result = RESULTS[case]
    run = attacker.run(f'open(os.environ["SKEP_OUTPUT"], "wb").write({written})')

    assert (run["status"], run["result"]) == (status, result)
    assert attacker.ask("/api/v1/runs?limit=1")["items"][0]["id"] == run["id"]


def test_requests_that_are_too_large(attacker):
    """Large, deep and wide bodies are refused in words, also to those who send all before they listen."""
    big = b'{"agent_id": "x", "inputs": {"a": "' + b"x" * (5 << 20) + b'"}}'
    deep = b'{"agent_id": "x", "inputs": ' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001
    sent = {"Content-Type": "application/json"}
    answers = [attacker.send("POST", "/api/v1/runs", data=body, headers=sent) for body in (big, deep)]

    assert [(status, body["code"]) for status, body in answers] == [(413, "too_large"), (422, "invalid_json")]


def test_patterns_and_references_of_schemas(attacker):
    """A schema can neither fetch anything nor keep the server busy: not by a pattern, nor by references to itself."""
    files = {"files": {"main.py": "print(1)"}}
    for schema in ({"$ref": "http://169.254.169.254/"}, {"$ref": "file:///etc/passwd"}, {"pattern": "(x{1000}){1000}"}):
        status, body = attacker.send(
            "POST", "/api/v1/agents", {"name": "schema", "source": files, "inputs_schema": schema}
        )
        assert (status, body["code"]) == (422, "schema_invalid")
    slow = {"properties": {"a": {"pattern": "^(a+)+$"}}}
    endless = {"$defs": {"x": {"allOf": [{"$ref": "#/$defs/x"}] * 2}}, "$ref": "#/$defs/x"}
    for schema, code in ((slow, "inputs_invalid"), (endless, "inputs_too_complex")):
        agent = attacker.build(files, inputs_schema=schema)["agent_id"]
        started = time.monotonic()
        status, body = attacker.send("POST", "/api/v1/runs", {"agent_id": agent, "inputs": {"a": "a" * 50_000 + "!"}})
        assert (status, body["code"]) == (422, code)
        assert time.monotonic() - started < 10
