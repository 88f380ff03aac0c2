"""The proxy behind a sandbox's door: it reads where a connection is to go, asks the policy, and passes bytes on.

What is asked of the door itself is answered by its sites. A name is resolved once; each address is judged; a judged
address is dialled. Nothing in here decides: that is `policy`'s. Nothing from a sandbox is buffered beyond the limits in
`EgressLimits`.
"""

import asyncio
import socket
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass
from ipaddress import ip_address

from skep.kernel.clock import Clock
from skep.kernel.errors import InvalidError
from skep.product.gateway import head as heads
from skep.product.gateway import serving
from skep.product.gateway.connections import Connections
from skep.product.gateway.forward import Outgoing, RefusedError, forward
from skep.product.gateway.model import ConnectionRecord, Policy, Refusal
from skep.product.gateway.pace import Pace
from skep.product.gateway.policy import decide, decide_address
from skep.product.gateway.ports import Recorder, Resolver
from skep.product.gateway.relay import Budget, LimitPassedError, Pair, tunnel
from skep.product.gateway.serving import Sites
from skep.product.gateway.site import BrokenOffError

_LINGER_S = 1.0
_HTTP = 80
#: So many times the limit of connections are there those who are told that there are too many; more are cut.
_HEARD = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class EgressLimits:
    """What one door may use."""

    connections: int = 128
    #: Requests that are taken as fast as they come; then one after each pause.
    burst: int = 1000
    pause_s: float = 0.004
    #: What its own sites make and give at once: pages of many megabytes among it.
    answers: int = 12
    #: For the whole request head to arrive.
    head_timeout_s: float = 15.0
    #: For resolving and dialling.
    connect_timeout_s: float = 15.0
    #: Without a byte in either direction.
    idle_timeout_s: float = 120.0
    #: Over all connections, from the outside in; None means none.
    bytes_down: int | None = None
    #: Over all connections, from the sandbox out; None means none.
    bytes_up: int | None = None


@dataclass(slots=True)
class _Exchange:
    """What is known so far of one connection."""

    budget: Budget
    host: str = ""
    port: int = 0
    address: str = ""
    allowed: bool = False
    reason: str = ""
    refusal: Refusal | None = None
    over_limit: bool = False
    #: Another request may follow on the connection.
    goes_on: bool = False


class EgressProxy:
    """Serves CONNECT, plain absolute-form HTTP and its own sites on the doors it is given; one per sandbox."""

    def __init__(
        self,
        policy: Policy,
        resolver: Resolver,
        recorder: Recorder,
        clock: Clock,
        limits: EgressLimits | None = None,
        *,
        sites: Sites | None = None,
    ) -> None:
        #: May be replaced at any time; a connection is judged by the policy of the moment it is asked for.
        self.policy = policy
        self._sites: Sites = dict(sites or {})
        self._resolver = resolver
        self._recorder = recorder
        self._clock = clock
        self._limits = limits or EgressLimits()
        self._connections = Connections(self._serve)
        self._pace = Pace(self._limits.burst, self._limits.pause_s)
        self._answering = asyncio.Semaphore(self._limits.answers)
        self._total = Budget(self._limits.bytes_up, self._limits.bytes_down)

    def renew(self, policy: Policy, *, bytes_down: int | None = None, sites: Sites | None = None) -> None:
        """Put another policy and other sites in force, with a fresh count of bytes."""
        self.policy = policy
        self._sites = dict(sites or {})
        self._total = Budget(self._limits.bytes_up, bytes_down)

    def serving(self, listener: socket.socket) -> AbstractAsyncContextManager[None]:
        """Serve *listener* until the block is left; then every connection is cut."""
        return self._connections.serving(listener)

    async def _serve(self, client: Pair) -> None:
        if len(self._connections) > _HEARD * self._limits.connections:
            # Telling thousands why they are refused would use up the descriptors of the whole server.
            client[1].transport.abort()
            return
        reader, writer = client
        await self._pace.wait()
        again = await self._request(None, reader, writer)
        while again:
            try:
                async with asyncio.timeout(self._limits.head_timeout_s):
                    first = await reader.readexactly(1)
            except (OSError, TimeoutError, EOFError):
                return  # nothing was asked any more
            # What was sent at once is there already: reading it would let nobody else run.
            await self._pace.wait()
            again = await self._request(first, reader, writer)

    async def _request(self, first: bytes | None, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Serve one request, of which the byte *first* was read; tell whether another may follow."""
        started = self._clock.monotonic()
        exchange = _Exchange(budget=self._total.part())
        try:
            await self._exchange(exchange, first or b"", (reader, writer))
        except RefusedError as refused:
            exchange.reason, exchange.refusal = refused.reason, refused.refusal
            await _answer(reader, writer, refused)
        except LimitPassedError as error:
            exchange.over_limit, exchange.reason = True, str(error)
        except BrokenOffError as error:
            exchange.allowed, exchange.refusal, exchange.reason = False, Refusal.FILE, str(error)
            writer.transport.abort()
        except (OSError, TimeoutError, EOFError, heads.BadHeadError) as error:
            exchange.reason = exchange.reason or f"broken off: {error or type(error).__name__}"
        finally:
            self._recorder(
                ConnectionRecord(
                    host=exchange.host,
                    port=exchange.port,
                    allowed=exchange.allowed,
                    reason=exchange.reason,
                    refusal=exchange.refusal,
                    address=exchange.address,
                    bytes_up=exchange.budget.up,
                    bytes_down=exchange.budget.down,
                    duration_s=self._clock.monotonic() - started,
                    over_limit=exchange.over_limit,
                )
            )
        return exchange.goes_on

    async def _exchange(self, exchange: _Exchange, first: bytes, client: Pair) -> None:
        if len(self._connections) > self._limits.connections:
            said = f"more than {self._limits.connections} connections at once"
            raise RefusedError("503 Service Unavailable", said, refusal=Refusal.REQUEST)
        head = await self._read_head(client[0], first)
        if head.get(b"origin") is not None:
            raise RefusedError("403 Forbidden", "a web page may not use this proxy", refusal=Refusal.REQUEST)
        try:
            own, path = heads.own_target(head), None
            if head.method == b"CONNECT":
                exchange.host, exchange.port = heads.connect_target(head)
            elif own is None:
                exchange.host, exchange.port, path = heads.absolute_target(head)
            framing = heads.request_framing(head)
        except (InvalidError, heads.BadHeadError) as error:
            raise _malformed(error.message) from error
        if own is not None:
            async with self._answering:
                await self._answer_itself(exchange, head, own, client[1])
            return
        upstream = await self._dial(exchange)
        try:
            if path is None:
                client[1].write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                await tunnel(client, upstream, exchange.budget, self._limits.idle_timeout_s)
            else:
                request = heads.forwarded_request(head, exchange.host, exchange.port, path)
                await forward(
                    client,
                    upstream,
                    Outgoing(method=head.method, head=request, framing=framing),
                    exchange.budget,
                    self._limits.idle_timeout_s,
                )
        finally:
            upstream[1].transport.abort() if exchange.over_limit else upstream[1].close()

    async def _answer_itself(
        self, exchange: _Exchange, head: heads.RequestHead, path: bytes, writer: asyncio.StreamWriter
    ) -> None:
        given = await serving.answer(head, path, self._sites, _own_url(writer))
        exchange.host, exchange.port = given.host, given.port
        exchange.allowed, exchange.reason, exchange.refusal = not given.reason, given.reason, given.refusal
        try:
            await serving.give(given, head, writer, exchange.budget.count_down, self._limits.idle_timeout_s)
        except BaseException:
            exchange.allowed = False
            # Closed in good order, an answer without a length would look whole.
            writer.transport.abort()
            raise
        exchange.goes_on = serving.goes_on(head, given)

    async def _read_head(self, reader: asyncio.StreamReader, first: bytes) -> heads.RequestHead:
        try:
            async with asyncio.timeout(self._limits.head_timeout_s):
                data = await reader.readuntil(b"\r\n\r\n")
            return heads.parse_request(first + data)
        except asyncio.LimitOverrunError as error:
            raise RefusedError("431 Request Header Fields Too Large", "the request's head is too long") from error
        except TimeoutError as error:
            raise RefusedError("408 Request Timeout", "the request's head did not arrive in time") from error
        except heads.BadHeadError as error:
            raise _malformed(error.message) from error

    async def _dial(self, exchange: _Exchange) -> Pair:
        host, port, policy = exchange.host, exchange.port, self.policy
        decision = decide(policy, host, port)
        if not decision.allowed:
            raise RefusedError("403 Forbidden", decision.reason, hint=policy.advice, refusal=Refusal.UNLISTED)
        try:
            async with asyncio.timeout(self._limits.connect_timeout_s):
                addresses = await self._resolve(host, port)
                judged = [(address, decide_address(policy, host, port, address)) for address in addresses]
                refused = [verdict.reason for _, verdict in judged if not verdict.allowed]
                if len(refused) == len(judged):
                    raise RefusedError("403 Forbidden", refused[0], refusal=Refusal.ADDRESS)
                exchange.allowed = True
                return await self._connect(exchange, [address for address, verdict in judged if verdict.allowed])
        except TimeoutError as error:
            raise RefusedError("504 Gateway Timeout", f"{host}:{port} did not answer in time") from error

    async def _resolve(self, host: str, port: int) -> list[str]:
        with suppress(ValueError):
            return [str(ip_address(host))]
        addresses = await self._resolver.resolve(host, port)
        if not addresses:
            raise RefusedError("502 Bad Gateway", f"the name {host} is not known")
        return addresses

    async def _connect(self, exchange: _Exchange, addresses: list[str]) -> Pair:
        failure = ""
        for address in addresses:
            try:
                # An address, never the name: a second resolution could answer something else.
                pair = await asyncio.open_connection(address, exchange.port, limit=heads.MAX_HEAD)
            except OSError as error:
                failure = f"{exchange.host}:{exchange.port} cannot be reached: {error.strerror or error}"
                continue
            exchange.address = address
            return pair
        raise RefusedError("502 Bad Gateway", failure)


def _own_url(writer: asyncio.StreamWriter) -> str:
    """Return where the door is: what its client calls it is a client's word."""
    host, port = writer.get_extra_info("sockname")[:2]
    return f"http://{host}" if port == _HTTP else f"http://{host}:{port}"


def _malformed(message: str) -> RefusedError:
    # The log and the answer end it with a stop of their own.
    return RefusedError("400 Bad Request", message.removesuffix("."), refusal=Refusal.REQUEST)


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, refused: RefusedError) -> None:
    text = f"Skep: {refused.reason}.\n" + (f"{refused.hint}\n" if refused.hint else "")
    body = text.encode()
    head = f"HTTP/1.1 {refused.status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {len(body)}\r\n"
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(_LINGER_S):
            writer.write(head.encode("ascii") + b"Connection: close\r\n\r\n" + body)
            await writer.drain()
            writer.write_eof()
            # Closing with unread bytes would reset the connection and destroy the answer on its way.
            while await reader.read(heads.MAX_HEAD):
                pass
