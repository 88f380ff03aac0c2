"""The proxy between real sockets: a client, the proxy, a server."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable
from itertools import pairwise

from skep.kernel.clock import SystemClock
from skep.product.gateway.egress import EgressLimits, EgressProxy
from skep.product.gateway.model import ConnectionRecord, Policy, Refusal
from skep.product.gateway.pace import Pace
from skep.product.gateway.policy import parse_rule
from skep.product.gateway.site import Answer, Asked
from skep.testing.wait import until

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Names:
    """A resolver that answers from a table, and counts."""

    def __init__(self, **table: list[str]) -> None:
        self.table = {name.replace("_", "."): addresses for name, addresses in table.items()}
        self.asked: list[str] = []

    async def resolve(self, host: str, port: int) -> list[str]:
        """Answer from the table."""
        self.asked.append(host)
        return self.table.get(host, [])


class Setup:
    """A running proxy, its records, and how to talk to it."""

    def __init__(self, proxy: EgressProxy, port: int, records: "asyncio.Queue[ConnectionRecord]") -> None:
        self.proxy = proxy
        self.port = port
        self.records = records

    async def record(self) -> ConnectionRecord:
        """Return the next record."""
        async with asyncio.timeout(5):
            return await self.records.get()

    async def send(self, data: bytes, *, eof: bool = False) -> bytes:
        """Send *data* to the proxy and return all that comes back."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(data)
        if eof:
            writer.write_eof()
        try:
            async with asyncio.timeout(5):
                return await reader.read()
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


@contextlib.asynccontextmanager
async def server(serve: Serve) -> AsyncGenerator[int]:
    """Serve on a free port."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except (OSError, EOFError):
            pass
        finally:
            writer.close()

    listening = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with listening:
        yield listening.sockets[0].getsockname()[1]


@contextlib.asynccontextmanager
async def proxy(
    policy: Policy, names: Names | None = None, limits: EgressLimits | None = None
) -> AsyncGenerator[Setup]:
    """Run a proxy on a free port."""
    records: asyncio.Queue[ConnectionRecord] = asyncio.Queue()
    listener = socket.create_server(("127.0.0.1", 0))
    made = EgressProxy(policy, names or Names(), records.put_nowait, SystemClock(), limits)
    async with made.serving(listener):
        yield Setup(made, listener.getsockname()[1], records)


def opened(host: str, port: int) -> Policy:
    """Allow one host and port at any address."""
    rule = (parse_rule(f"{host}:{port}"),)
    return Policy(allow=rule, private=rule)


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send back what comes."""
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


async def test_connect_passes_bytes_both_ways_and_records_them() -> None:
    """A tunnel to an allowed host carries what is sent, resolves once and is recorded with its bytes."""
    names = Names(git_example=["127.0.0.1"])
    async with server(echo) as port, proxy(opened("git.example", port), names) as setup:
        answer = await setup.send(f"CONNECT git.example:{port} HTTP/1.1\r\n\r\n".encode() + b"hello", eof=True)
        assert answer == b"HTTP/1.1 200 Connection established\r\n\r\nhello"
        record = await setup.record()
    assert (record.host, record.port, record.allowed, record.address) == ("git.example", port, True, "127.0.0.1")
    assert (record.bytes_up, record.bytes_down, record.reason) == (5, 5, "")
    assert names.asked == ["git.example"]


async def test_a_host_that_is_not_listed_is_refused_by_name() -> None:
    """The answer says which host, and what the policy advises; no name is resolved for it."""
    names = Names(evil_example=["1.1.1.1"])
    async with proxy(Policy(advice="Ask the operator."), names) as setup:
        answer = await setup.send(b"CONNECT evil.example:443 HTTP/1.1\r\n\r\n")
        record = await setup.record()
    assert answer.startswith(b"HTTP/1.1 403 Forbidden\r\n")
    assert b"evil.example:443" in answer
    assert answer.endswith(b".\nAsk the operator.\n")
    assert (record.allowed, record.refusal) == (False, Refusal.UNLISTED)
    assert names.asked == []


async def test_a_name_that_nobody_knows_is_not_refused() -> None:
    """What cannot be reached is told apart from what may not be."""
    async with proxy(opened("gone.example", 443)) as setup:
        answer = await setup.send(b"CONNECT gone.example:443 HTTP/1.1\r\n\r\n")
        record = await setup.record()
    assert answer.startswith(b"HTTP/1.1 502 Bad Gateway\r\n")
    assert (record.allowed, record.refusal, record.reason) == (False, None, "the name gone.example is not known")


async def test_a_listed_name_with_a_forbidden_address_is_refused() -> None:
    """What a name resolves to is judged: loopback, private, metadata, and mapped forms of them."""
    for address in ("127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1"):
        async with proxy(Policy(allow=(parse_rule("a.example"),)), Names(a_example=[address])) as setup:
            assert (await setup.send(b"CONNECT a.example:80 HTTP/1.1\r\n\r\n")).startswith(b"HTTP/1.1 403 ")
            record = await setup.record()
            assert not record.allowed
            assert address in record.reason


async def test_literal_addresses_do_not_pass_by_a_name_rule() -> None:
    """An address in any spelling is judged as itself or refused as odd."""
    async with server(echo) as port, proxy(Policy(allow=(parse_rule("127.0.0.1"),))) as setup:
        for host in (
            "127.0.0.1",
            "127.1",
            "2130706433",
            "0x7f.1",
            "[::ffff:127.0.0.1]",
            "localhost",
            "127.0.0.1\0.pypi.org",
        ):
            answer = await setup.send(f"CONNECT {host}:{port} HTTP/1.1\r\n\r\n".encode())
            assert answer.split(b" ")[1] in (b"403", b"400"), host


async def test_only_judged_addresses_are_dialled() -> None:
    """Of several addresses the forbidden ones are left out."""
    rule = parse_rule("a.example")
    async with server(echo) as port, proxy(Policy(allow=(rule,)), Names(a_example=["127.0.0.1", "10.0.0.1"])) as setup:
        answer = await setup.send(f"CONNECT a.example:{port} HTTP/1.1\r\n\r\n".encode())
        assert answer.startswith(b"HTTP/1.1 403")


async def test_plain_http_is_forwarded() -> None:
    """A request for http:// reaches the server in origin form with its body; the answer comes back whole."""
    seen: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        seen.append(await reader.readuntil(b"0\r\n\r\n"))
        writer.write(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nKeep-Alive: 5\r\n\r\n3\r\nabc\r\n0\r\nX: trailer\r\n\r\n"
        )
        await reader.read()

    async with server(serve) as port, proxy(opened("127.0.0.1", port)) as setup:
        answer = await setup.send(
            f"POST http://127.0.0.1:{port}/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
            + b"5;ext=1\r\nhello\r\n0\r\n\r\n"
        )
        record = await setup.record()
    assert answer == b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nConnection: close\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    assert seen[0].startswith(f"POST /x HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n".encode())
    assert seen[1] == b"5\r\nhello\r\n0\r\n\r\n"
    assert record.reason == ""


async def test_a_second_request_on_the_connection_goes_nowhere() -> None:
    """What follows the body is not passed on: no request can be smuggled."""
    seen: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        seen.append(await reader.read())

    async with server(serve) as port, proxy(opened("127.0.0.1", port)) as setup:
        head = f"GET http://127.0.0.1:{port}/ HTTP/1.1\r\n\r\n".encode()
        assert (await setup.send(head + b"GET http://evil.example/ HTTP/1.1\r\n\r\n")).endswith(b"\r\n\r\nok")
        await setup.record()
    assert seen[1] == b""


async def test_a_web_page_may_not_use_it() -> None:
    """A request with an Origin is refused, whatever its target."""
    async with server(echo) as port, proxy(opened("127.0.0.1", port)) as setup:
        for line in (f"CONNECT 127.0.0.1:{port}", f"GET http://127.0.0.1:{port}/"):
            answer = await setup.send(f"{line} HTTP/1.1\r\nOrigin: http://x\r\n\r\n".encode())
            assert answer.startswith(b"HTTP/1.1 403")


async def test_heads_have_limits() -> None:
    """A head that is too long, or never ends, is answered and forgotten."""
    async with proxy(Policy(), limits=EgressLimits(head_timeout_s=0.05)) as setup:
        assert b" 408 " in await setup.send(b"GET")
        assert b" 431 " in await setup.send(b"GET http://a/ HTTP/1.1\r\nA: " + b"x" * 40_000)
        assert b" 400 " in await setup.send(b"nonsense\r\n\r\n")


async def test_the_byte_limit_cuts_the_connection() -> None:
    """What comes in beyond the limit is not passed on, and the record says so; `renew` starts afresh."""

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()

    limits = EgressLimits(bytes_down=100_000)
    async with server(flood) as port, proxy(opened("127.0.0.1", port), limits=limits) as setup:
        answer = await setup.send(f"CONNECT 127.0.0.1:{port} HTTP/1.1\r\n\r\n".encode())
        assert len(answer) < 200_000
        assert (await setup.record()).over_limit
        setup.proxy.renew(setup.proxy.policy, bytes_down=1_000_000)
        await setup.send(f"CONNECT 127.0.0.1:{port} HTTP/1.1\r\n\r\n".encode())
        record = await setup.record()
        assert record.over_limit
        assert record.bytes_down > 900_000


async def test_connections_are_limited() -> None:
    """One more than the limit is told so."""
    async with server(echo) as port, proxy(opened("127.0.0.1", port), limits=EgressLimits(connections=1)) as setup:
        reader, writer = await asyncio.open_connection("127.0.0.1", setup.port)
        writer.write(f"CONNECT 127.0.0.1:{port} HTTP/1.1\r\n\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
        assert b" 503 " in await setup.send(f"CONNECT 127.0.0.1:{port} HTTP/1.1\r\n\r\n".encode())
        writer.close()
        await writer.wait_closed()


async def test_a_flood_of_connections_is_cut() -> None:
    """Those far over the limit are neither heard nor told: each would hold a descriptor that others need."""
    async with proxy(Policy(), limits=EgressLimits(connections=2)) as setup:
        held = [await asyncio.open_connection("127.0.0.1", setup.port) for _ in range(4)]
        reader, writer = await asyncio.open_connection("127.0.0.1", setup.port)
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        for _, each in [*held, (reader, writer)]:
            each.close()
            with contextlib.suppress(ConnectionError):
                await each.wait_closed()


async def test_the_policy_can_be_changed_while_it_runs() -> None:
    """The next connection is judged by the new policy."""
    async with server(echo) as port, proxy(Policy()) as setup:
        request = f"CONNECT 127.0.0.1:{port} HTTP/1.1\r\n\r\n".encode()
        assert b" 403 " in await setup.send(request)
        setup.proxy.policy = opened("127.0.0.1", port)
        assert b" 200 " in await setup.send(request, eof=True)


async def test_unreachable_and_unknown_hosts_are_told_apart() -> None:
    """An unknown name and a closed port each get their sentence."""
    spare = socket.create_server(("127.0.0.1", 0))
    port = spare.getsockname()[1]
    spare.close()
    async with proxy(opened("nowhere.example", 80)) as setup:
        assert b"the name nowhere.example is not known" in await setup.send(
            b"CONNECT nowhere.example:80 HTTP/1.1\r\n\r\n"
        )
    async with proxy(opened("127.0.0.1", port)) as setup:
        assert b"cannot be reached" in await setup.send(f"CONNECT 127.0.0.1:{port} HTTP/1.1\r\n\r\n".encode())


async def test_a_server_that_talks_nonsense_is_a_bad_gateway() -> None:
    """An answer that is no HTTP, and one that changes the protocol unasked, become 502."""
    for words in (
        b"SSH-2.0-x\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    ):

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, words: bytes = words) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(words)
            await writer.drain()

        async with server(serve) as port, proxy(opened("127.0.0.1", port)) as setup:
            assert b" 502 " in await setup.send(f"GET http://127.0.0.1:{port}/ HTTP/1.1\r\n\r\n".encode())


async def test_leaving_cuts_every_connection() -> None:
    """When the door is closed nothing stays open."""
    async with server(echo) as port:
        async with proxy(opened("127.0.0.1", port)) as setup:
            reader, writer = await asyncio.open_connection("127.0.0.1", setup.port)
            writer.write(f"CONNECT 127.0.0.1:{port} HTTP/1.1\r\n\r\n".encode())
            await reader.readuntil(b"\r\n\r\n")
        with contextlib.suppress(ConnectionResetError):
            async with asyncio.timeout(5):
                assert await reader.read() == b""
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def test_requests_sent_at_once_let_others_run_between_them() -> None:
    """Between two answers the server does everything else that there is to do."""
    course: list[str] = []
    loop = asyncio.get_running_loop()

    def note(_record: ConnectionRecord) -> None:
        course.append("answered")
        loop.call_soon(course.append, "others")

    listener = socket.create_server(("127.0.0.1", 0))
    made = EgressProxy(Policy(), Names(), note, SystemClock())
    async with made.serving(listener):
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        writer.write(b"HEAD /a HTTP/1.1\r\n\r\n" * 300 + b"HEAD /a HTTP/1.1\r\nConnection: close\r\n\r\n")
        async with asyncio.timeout(20):
            assert (await reader.read()).count(b"HTTP/1.1 404 ") == 301
        writer.close()
    assert course.count("answered") == 301
    assert ("answered", "answered") not in set(pairwise(course))


async def test_a_door_has_a_pace() -> None:
    """After so many requests the next one waits, on whichever connection of the door it comes."""
    limits = EgressLimits(burst=5, pause_s=3600.0)
    async with proxy(Policy(), limits=limits) as setup:
        pairs = [await asyncio.open_connection("127.0.0.1", setup.port) for _ in range(3)]
        for _, writer in pairs:
            writer.write(b"HEAD /a HTTP/1.1\r\n\r\n" * 3)
        await until(lambda: setup.records.qsize() >= 5)
        # Others come and go meanwhile.
        for _ in range(100):
            await asyncio.sleep(0)
        assert setup.records.qsize() <= 6
        for _, writer in pairs:
            writer.transport.abort()


def test_a_pace_forgives_who_rests() -> None:
    """A burst is free; then each waits a pause longer; who asked for nothing has a burst again."""
    pace = Pace(3, 1.0)
    assert [pace.delay_s(100.0) for _ in range(6)] == [0.0, 0.0, 0.0, 0.0, 1.0, 2.0]
    assert [pace.delay_s(200.0) for _ in range(5)] == [0.0, 0.0, 0.0, 0.0, 1.0]


async def test_who_asks_and_does_not_read_has_no_copy_of_a_page() -> None:
    """A page of many megabytes is held once, for however many: a connection has a small part of it at a time."""
    page = Answer(headers={"Content-Type": "text/plain"}, body=bytes(64 << 20))

    class Large:
        """A site that answers always the same."""

        async def answer(self, _asked: Asked) -> Answer:
            """Answer the page."""
            return page

    async with proxy(Policy()) as to:
        to.proxy.renew(Policy(), sites={"pypi": Large()})
        reader, writer = await asyncio.open_connection("127.0.0.1", to.port, limit=1024)
        writer.write(b"GET /pypi/x HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert await reader.readuntil(b"\r\n\r\n")
        writer.transport.abort()
        record = await to.record()

    # What the kernel's own buffers take is no more than some megabytes.
    assert record.bytes_down < 32 << 20
