"""The client believes nothing: whatever a supervisor answers, the server gets values, bounded, or an error."""

import asyncio
import random
import shutil
import struct
import tempfile
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from skep.adapters.supervisor.answers import SupervisorGone
from skep.adapters.supervisor.client import SupervisorClient
from skep.adapters.supervisor.connection import encode
from skep.kernel.errors import ForbiddenError, InvalidError, NotFoundError, TooLargeError, UnavailableError
from skep.product.sandboxes.model import Command, CommandId, ExitReason
from skep_supervisor import protocol

CMD = CommandId("cmd_1")


@pytest.fixture
def socket_path():
    """A path short enough for a socket."""
    folder = Path(tempfile.mkdtemp(prefix="skep-"))
    yield folder / "c.sock"
    shutil.rmtree(folder)


@pytest.fixture
def answering(socket_path):
    """Make a client of a supervisor that answers every request with the same bytes, then hangs up or waits."""

    @asynccontextmanager
    async def make(*frames, hang_up=True, timeout_s=5.0):
        serving = set()

        async def serve(reader, writer):
            serving.add(asyncio.current_task())
            await reader.read(1)
            writer.write(b"".join(frames))
            if not hang_up:
                await reader.read()
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

        client = SupervisorClient(socket_path, reply_timeout_s=timeout_s)
        async with await asyncio.start_unix_server(serve, socket_path):
            yield client
            await client.close()
            await asyncio.gather(*serving, return_exceptions=True)

    return make


async def calls(client):
    """Call every verb; return what each raised or gave."""

    async def collect(stream):
        return [item async for item in stream]

    verbs = (
        client.hello(),
        client.exec(Command(id=CMD, argv=("x",))),
        collect(client.output(CMD)),
        client.wait(CMD),
        client.signal(CMD, 15),
        client.kill_all(),
        client.put("/x", b"x"),
        collect(client.get("/x", 10)),
        client.list("/x", 10),
    )
    return await asyncio.gather(*verbs, return_exceptions=True)


async def test_nobody_there(socket_path):
    """Without a listener every verb says that the supervisor is gone."""
    results = await calls(SupervisorClient(socket_path))

    assert {type(result) for result in results} == {SupervisorGone}


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\x00",
        struct.pack("!II", protocol.MAX_HEADER + 1, 0),
        struct.pack("!II", 2, protocol.MAX_PAYLOAD + 1) + b"{}",
        struct.pack("!II", 4, 0) + b"null",
        struct.pack("!II", 3, 0) + b"{a}",
        struct.pack("!II", 100_000, 0) + b"[" * 100_000,
        struct.pack("!II", 2, 0) + b"\xff\xfe",
        encode({"error": "surprise", "message": "x"}),
        encode({"error": 7}),
        encode({"end": "yes"}),
    ],
)
async def test_what_is_no_answer_means_gone(answering, answer):
    """A broken frame, a broken connection, an unknown error: gone, with a reason."""
    async with answering(answer) as client:
        for result in await calls(client):
            assert isinstance(result, SupervisorGone)
            assert result.message


async def test_silence_means_gone(answering):
    """A supervisor that accepts and never answers is given up, except where waiting is the point."""
    async with answering(hang_up=False, timeout_s=0.1) as client:
        for call in (client.hello(), client.kill_all(), client.put("/x", b""), client.list("/x", 1)):
            with pytest.raises(SupervisorGone, match="did not answer"):
                await call
        waiting = asyncio.ensure_future(client.wait(CMD))
        done, _ = await asyncio.wait([waiting], timeout=0.3)
        assert not done
        waiting.cancel()


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("bad_request", InvalidError),
        ("not_found", NotFoundError),
        ("too_large", TooLargeError),
        ("no_space", TooLargeError),
        ("denied", ForbiddenError),
        ("not_started", ForbiddenError),
        ("internal", UnavailableError),
    ],
)
async def test_errors_are_the_kernels(answering, code, kind):
    """Each code of the protocol is one kind of error; its message is one bounded, printable line."""
    assert code in protocol.ERROR_CODES
    words = "bad\x1b[2J\nnews" + "!" * 10_000
    async with answering(encode({"end": True, "error": code, "message": words})) as client:
        with pytest.raises(kind) as caught:
            await client.kill_all()

    assert caught.value.code == f"sandbox_{code}"
    assert caught.value.message.startswith("bad [2J news!")
    assert len(caught.value.message) <= 1000


STATE = {"running": False, "reason": "exited", "code": 0, "signal": None, "duration_s": 1.5, "truncated": False}


@pytest.mark.parametrize(
    "state",
    [None, [], "exited", {}, STATE | {"reason": "lost"}, STATE | {"reason": "out_of_memory"}, STATE | {"reason": 1}],
)
async def test_a_state_that_cannot_be_means_gone(answering, state):
    """The supervisor cannot claim what only the host can know, nor invent reasons."""
    async with answering(encode({"end": True, "state": state})) as client:
        with pytest.raises(SupervisorGone):
            await client.wait(CMD)


async def test_numbers_that_cannot_be_are_left_out(answering):
    """Impossible codes, signals, durations and messages become none."""
    odd = STATE | {"code": 1 << 70, "signal": -5, "duration_s": float("nan"), "truncated": "yes", "message": ["x"]}
    async with answering(encode({"end": True, "state": odd})) as client:
        exit_ = await client.wait(CMD)

    assert (exit_.reason, exit_.code, exit_.signal) == (ExitReason.EXITED, None, None)
    assert (exit_.duration_s, exit_.truncated, exit_.message) == (0.0, False, "")


@pytest.mark.parametrize(
    "entry",
    [
        ["../x", 1, 0, "f"],
        ["/x", 1, 0, "f"],
        ["a//b", 1, 0, "f"],
        ["", 1, 0, "f"],
        ["a/./b", 1, 0, "f"],
        ["a\x00b", 1, 0, "f"],
        ["x" * 5000, 1, 0, "f"],
        ["x", -1, 0, "f"],
        ["x", 1, 0o10000, "f"],
        ["x", 1.5, 0, "f"],
        ["x", 1, 0],
        {"path": "x"},
    ],
)
async def test_a_listing_cannot_lead_out(answering, entry):
    """A path that could leave the folder, or an impossible entry, means gone."""
    async with answering(encode({"entries": [entry]}), encode({"end": True})) as client:
        with pytest.raises(SupervisorGone):
            await client.list("/x", 10)


async def test_more_than_was_asked_for_is_not_taken(answering):
    """Too many entries, too many bytes: the answer is dropped."""
    many = encode({"entries": [["x", 1, 0, "f"]] * 11})
    async with answering(many, encode({"end": True})) as client:
        with pytest.raises(SupervisorGone):
            await client.list("/x", 10)
    async with answering(*[encode({}, b"x" * 6)] * 2, encode({"end": True})) as client:
        with pytest.raises(TooLargeError):
            _ = [block async for block in client.get("/x", 10)]


@pytest.mark.parametrize(
    "spool",
    [
        b"\x09" + bytes(12),
        b"\x01" + bytes(8) + b"\xff\xff\xff\xff",
        b"\x01" + bytes(8) + struct.pack("!I", protocol.MAX_RECORD + 1),
    ],
)
async def test_output_that_is_no_record_means_gone(answering, spool):
    """A bad record ends the stream with an error, before its bytes are gathered."""
    async with answering(encode({"offset": 0, "next": 1}, spool), encode({"end": True})) as client:
        with pytest.raises(SupervisorGone):
            _ = [chunk async for chunk in client.output(CMD)]


async def test_records_may_be_cut_anywhere(answering):
    """However the frames cut the records, the chunks and their offsets are the same."""
    spool = b"".join(
        struct.pack("!BQI", 1 + n % 3, 1000 * n, len(data)) + data
        for n, data in enumerate([b"", b"a", b"bc" * 300, b"", b"end"])
    )
    chance = random.Random(3)
    seen = set()
    for _ in range(20):
        cuts = sorted(chance.randrange(len(spool)) for _ in range(6))
        pieces = [spool[a:b] for a, b in zip([0, *cuts], [*cuts, len(spool)], strict=True)]
        async with answering(*(encode({}, piece) for piece in pieces), encode({"end": True})) as client:
            chunks = [chunk async for chunk in client.output(CMD, 7)]
        seen.add(tuple((chunk.data, chunk.next_offset) for chunk in chunks))

    assert len(seen) == 1
    assert seen.pop()[-1] == (b"end", 7 + len(spool))


async def test_times_are_dates(answering):
    """The largest time that a record can hold is still a time."""
    spool = struct.pack("!BQI", 1, (1 << 64) - 1, 1) + b"x"
    async with answering(encode({}, spool), encode({"end": True})) as client:
        chunks = [chunk async for chunk in client.output(CMD)]

    assert chunks[0].at_ms < 1 << 48


async def test_a_request_that_is_too_large_is_not_sent(answering):
    """An environment beyond the protocol's header is refused here."""
    async with answering(encode({"end": True})) as client:
        with pytest.raises(InvalidError) as caught:
            await client.exec(Command(id=CMD, argv=("x",), env={"A": "x" * (1 << 20)}))

    assert caught.value.code == "sandbox_request_too_large"


async def test_it_connects_again(socket_path):
    """A connection that broke between two requests is noticed, and a new one made."""
    connections = []

    async def serve(reader, writer):
        connections.append(writer)
        while (await reader.read(1 << 16)) != b"":
            writer.write(encode({"end": True, "version": 1}))
        writer.close()

    client = SupervisorClient(socket_path)
    async with await asyncio.start_unix_server(serve, socket_path):
        await client.hello()
        await client.hello()
        assert len(connections) == 1
        connections[0].close()
        await connections[0].wait_closed()
        await asyncio.sleep(0)

        await client.hello()

        assert len(connections) == 2
        await client.close()
