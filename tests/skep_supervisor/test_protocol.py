"""Frames: what breaks the protocol closes its connection, and nothing else."""

import json
import random
import socket
import struct
from pathlib import Path

import pytest

from skep.adapters.supervisor.connection import encode
from skep.testing.supervisor import start_supervisor
from skep.testing.wait import until
from skep_supervisor import protocol, wire

GOOD = {"op": "exec", "id": "a", "argv": ["x"], "env": {}, "cwd": "/", "user": "agent", "timeout_s": 1, "grace_s": 1}


@pytest.fixture
def supervisor():
    """A supervisor with the test's user."""
    with start_supervisor() as running:
        yield running
        assert "Traceback" not in running.complaints


def descriptors(supervisor):
    """Count the supervisor's open files."""
    return len(list(Path(f"/proc/{supervisor.pid}/fd").iterdir()))


def say(supervisor, data):
    """Send bytes on a new connection and return all of the answer."""
    with socket.socket(socket.AF_UNIX) as stream:
        stream.settimeout(20)
        stream.connect(str(supervisor.socket))
        stream.sendall(data)
        stream.shutdown(socket.SHUT_WR)
        answer = b""
        try:
            while block := stream.recv(65536):
                answer += block
        except ConnectionResetError:
            pass
        return answer


MALFORMED = {
    "no JSON": struct.pack("!II", 3, 0) + b"{a}",
    "no object": struct.pack("!II", 2, 0) + b"[]",
    "no UTF-8": struct.pack("!II", 4, 0) + b'"\xff\xff"',
    "trailing words": struct.pack("!II", 16, 0) + b'{"op":"hello"}{}',
    "deep": struct.pack("!II", 200_000, 0) + b"[" * 200_000,
    "huge header": struct.pack("!II", protocol.MAX_HEADER + 1, 0) + b"x" * 100,
    "huge payload": struct.pack("!II", 2, protocol.MAX_PAYLOAD + 1) + b"{}",
    "largest numbers": b"\xff" * 64,
    "a long number": struct.pack("!II", 10_002, 0) + b"[" + b"9" * 10_000 + b"]",
    "nothing": b"",
    "half a frame": encode({"op": "hello"})[:-3],
}


@pytest.mark.parametrize("name", MALFORMED)
async def test_a_malformed_frame_closes_its_connection(supervisor, client, run, command, name):
    """The caller gets nothing; everybody else is served as before."""
    assert say(supervisor, MALFORMED[name]) == b""

    assert (await run(command("echo well")))[1] == b"well\n"


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"op": None},
        {"op": "nonsense"},
        {"op": ["hello"]},
        {"op": "exec"},
        GOOD | {"id": 7},
        GOOD | {"argv": "x"},
        GOOD | {"argv": ["\ud800"]},
        GOOD | {"env": []},
        GOOD | {"user": "skep"},
        GOOD | {"timeout_s": True},
        GOOD | {"grace_s": None},
        {"op": "output", "id": "a", "offset": -1},
        {"op": "output", "id": "a/../b", "offset": 0},
        {"op": "wait", "id": None},
        {"op": "signal", "id": "a", "number": 0},
        {"op": "signal", "id": "a", "number": 65},
        {"op": "put", "path": "x", "mode": 0},
        {"op": "put", "path": "/x", "mode": 0o4777},
        {"op": "put", "path": "/x\0", "mode": 0},
        {"op": "get", "path": "/x", "limit": "1"},
        {"op": "list", "path": 1, "limit": 1},
    ],
)
async def test_a_wrong_request_is_answered_so(supervisor, client, request_):
    """A well-formed frame with wrong fields gets an error and keeps its connection."""
    content = encode({"more": True}, b"x") + encode({"more": False}) if request_.get("op") == "put" else b""

    answer = say(supervisor, encode(request_) + content + encode({"op": "hello"}))

    assert b'"error":"bad_request"' in answer
    assert b'"version":1' in answer


async def test_any_bytes_at_all(supervisor, client, run, command):
    """Two thousand connections with broken, cut, random frames: it lives, keeps its descriptors and its memory."""
    chance = random.Random(7)
    seeds = [
        encode({"op": "hello"}),
        encode({"op": "list", "path": "/usr/share", "limit": 50}),
        encode({"op": "get", "path": "/etc/passwd", "limit": 100_000}),
        encode({"op": "put", "path": "relative", "mode": 9999}) + encode({"more": True}, b"x" * 100),
        encode({"op": "wait", "id": "none"}),
        encode({"op": "exec", "id": "f", "argv": ["/bin/true"], "env": {}, "cwd": "/", "user": "agent"}),
    ]
    await client.hello()
    before = descriptors(supervisor)
    for _ in range(2000):
        data = bytearray(chance.choice(seeds))
        for _ in range(chance.randrange(4)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        with socket.socket(socket.AF_UNIX) as stream:
            stream.connect(str(supervisor.socket))
            stream.sendall(data[: chance.randrange(len(data) + 1)] if chance.random() < 0.3 else data)

    assert (await run(command("echo well")))[1] == b"well\n"
    await until(lambda: descriptors(supervisor) <= before + 1, what="all connections to close")


async def test_more_connections_than_it_takes_wait(supervisor, client):
    """Callers beyond the limit are served when others leave."""
    streams = [socket.socket(socket.AF_UNIX) for _ in range(60)]
    for stream in streams:
        stream.settimeout(20)
        stream.connect(str(supervisor.socket))
        stream.sendall(encode({"op": "hello"}))

    for stream in streams:
        assert b'"version":1' in stream.recv(4096)
        stream.close()
    assert (await client.hello())["version"] == 1


async def test_pipelined_requests_are_served_in_order(supervisor):
    """Two requests sent at once get two answers."""
    answer = say(supervisor, encode({"op": "hello"}) + encode({"op": "wait", "id": "none"}) + encode({"op": "hello"}))

    assert answer.count(b'"version":1') == 2
    assert answer.index(b'"version":1') < answer.index(b"not_found") < answer.rindex(b'"version":1')


@pytest.mark.parametrize(
    "value",
    [None, True, False, 0, -1, 1.5, 1e300, "", 'é\n"\\\x00\udcff😀', [], {}, [1, [2, {"a": None}]], {"k": {"l": [""]}}],
)
def test_json_is_what_json_says(value):
    """The light writer and reader agree with the library's."""
    assert json.loads(wire.dumps(value)) == value
    assert wire.loads(json.dumps(value)) == value
