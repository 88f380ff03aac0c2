"""The server's side of the keeper's socket: one request and its answer at a time per connection."""

import asyncio
import json
import os
import socket
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from skep.kernel.errors import ConflictError, InvalidError, NotFoundError, SkepError, TooLargeError, UnavailableError
from skep.product.sandboxes.model import LayerId, SandboxId, SandboxSpec

_MAX_ANSWER = 1 << 17
_IDLE = 8
_AT_ONCE = 128
_RETRY_S = 0.05

#: The code of what the keeper itself did not expect.
KEEPER_FAILED = "keeper_failed"
_ERRORS: Mapping[str, tuple[type[SkepError], str]] = {
    "bad_request": (InvalidError, "sandbox_invalid"),
    "isolation_unavailable": (InvalidError, "isolation_unavailable"),
    "not_found": (NotFoundError, "sandbox_not_found"),
    "conflict": (ConflictError, "sandbox_conflict"),
    "door_taken": (ConflictError, "door_taken"),
    "layer_in_use": (ConflictError, "layer_in_use"),
    "too_large": (TooLargeError, "sandbox_too_large"),
    "disk_full": (UnavailableError, "disk_full"),
    "not_started": (UnavailableError, "sandbox_not_started"),
}


class _GoneError(Exception):
    """The connection ended before the answer came."""


class KeeperClient:
    """Asks the keeper; connects when first needed, and again after it was restarted.

    Every request may be repeated, so one whose connection broke is sent again, for as long as *patience_s*.

    Errors: `UnavailableError` with the code `keeper_unavailable` when nobody answers for that long.
    """

    def __init__(self, socket_path: Path, *, patience_s: float = 5.0, reply_timeout_s: float = 600.0) -> None:
        self._path = str(socket_path)
        self._patience_s = patience_s
        self._reply_timeout_s = reply_timeout_s
        self._idle: list[socket.socket] = []
        # The keeper bounds its connections; waiting here is better than being turned away there.
        self._places = asyncio.Semaphore(_AT_ONCE)

    async def hello(self) -> dict[str, Any]:
        """Return what the keeper says of itself and of this machine."""
        return await self._object({"op": "hello"})

    async def create(self, spec: SandboxSpec) -> dict[str, Any]:
        """Make a sandbox, or find it made; return `id`, `made`, `alive`, `socket`."""
        return await self._object(create_request(spec))

    async def destroy(self, sandbox_id: SandboxId) -> None:
        """Remove a sandbox; one that is not there is no error."""
        await self._object({"op": "destroy", "id": sandbox_id})

    async def sandboxes(self) -> list[dict[str, Any]]:
        """List all sandboxes, whole or half made."""
        return await self._items({"op": "list"})

    async def inspect(self, sandbox_id: SandboxId) -> dict[str, Any]:
        """Look at a sandbox from the host."""
        return await self._object({"op": "inspect", "id": sandbox_id})

    async def kill(self, sandbox_id: SandboxId) -> None:
        """End all processes of a sandbox, its supervisor too; its files stay."""
        await self._object({"op": "kill", "id": sandbox_id})

    async def listen(self, sandbox_id: SandboxId, port: int) -> socket.socket:
        """Return a listening socket on a sandbox's loopback."""
        descriptor = await self._descriptor({"op": "listen", "id": sandbox_id, "port": port})
        return socket.socket(fileno=descriptor)

    async def spool(self, sandbox_id: SandboxId, command: str, part: str) -> int:
        """Return a descriptor of what was kept of a command: *part* is `out` or `exit`."""
        return await self._descriptor({"op": "spool", "id": sandbox_id, "command": command, "part": part})

    async def seal(
        self, sandbox_id: SandboxId, paths: tuple[str, ...], layer_id: LayerId, *, writable: bool, changes: bool
    ) -> int:
        """Copy folders out of a sandbox into a layer; return its size."""
        folders = {"paths": list(paths), "layer": layer_id, "writable": writable, "changes": changes}
        return int((await self._object({"op": "seal", "id": sandbox_id, **folders}))["size"])

    async def layers(self) -> list[LayerId]:
        """List the sealed layers."""
        return [LayerId(item) for item in await self._items({"op": "layers"})]

    async def drop_layer(self, layer_id: LayerId) -> None:
        """Remove a layer that no sandbox uses."""
        await self._object({"op": "drop_layer", "layer": layer_id})

    async def leftovers(self) -> list[str]:
        """Name what belongs to no sandbox."""
        return [str(item) for item in await self._items({"op": "leftovers"})]

    async def sweep(self) -> list[str]:
        """Remove what belongs to no sandbox; return what was removed."""
        return [str(item) for item in await self._items({"op": "sweep"})]

    async def fingerprint(self) -> str:
        """Return what identifies the base."""
        return str((await self._object({"op": "fingerprint"}))["fingerprint"])

    async def close(self) -> None:
        """Drop all idle connections."""
        while self._idle:
            self._idle.pop().close()

    async def _object(self, request: Mapping[str, Any]) -> dict[str, Any]:
        answer, descriptor = (await self._ask(request))[0]
        if descriptor is not None:
            os.close(descriptor)
        return answer["ok"]

    async def _items(self, request: Mapping[str, Any]) -> list[Any]:
        return [item for answer, _ in await self._ask(request) for item in answer["items"]]

    async def _descriptor(self, request: Mapping[str, Any]) -> int:
        _, descriptor = (await self._ask(request))[0]
        if descriptor is None:
            raise UnavailableError("the keeper sent no descriptor", code=KEEPER_FAILED)
        return descriptor

    async def _ask(self, request: Mapping[str, Any]) -> list[tuple[dict[str, Any], int | None]]:
        """Send *request*, again where that is needed; return its answers."""
        packet = json.dumps(request, separators=(",", ":")).encode()
        loop = asyncio.get_running_loop()
        deadline: float | None = None
        while True:
            try:
                async with self._places, asyncio.timeout(self._reply_timeout_s), self._connection() as connection:
                    return await _converse(connection, packet)
            except TimeoutError as error:
                raise _away(f"the keeper did not answer within {self._reply_timeout_s:g} s") from error
            except (OSError, _GoneError) as error:
                # It may have been restarted: then no other connection is good either.
                await self.close()
                deadline = loop.time() + self._patience_s if deadline is None else deadline
                if loop.time() >= deadline:
                    raise _away(f"the keeper does not answer: {error}") from error
            await asyncio.sleep(_RETRY_S)

    @asynccontextmanager
    async def _connection(self) -> AsyncGenerator[socket.socket]:
        """Lend a connection; one that was left in the middle of something is closed."""
        connection = self._idle.pop() if self._idle else self._connect()
        try:
            yield connection
        except SkepError:
            # The keeper's own refusal: the connection is in order.
            self._keep(connection)
            raise
        except BaseException:
            connection.close()
            raise
        self._keep(connection)

    def _keep(self, connection: socket.socket) -> None:
        if len(self._idle) < _IDLE:
            self._idle.append(connection)
        else:
            connection.close()

    def _connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        connection.setblocking(False)
        try:
            # A Unix socket connects at once, or fails when the keeper's backlog is full.
            connection.connect(self._path)
        except OSError:
            connection.close()
            raise
        return connection


def create_request(spec: SandboxSpec) -> dict[str, Any]:
    """Return the request that makes a sandbox."""
    return {
        "op": "create",
        "id": spec.id,
        "isolation": spec.isolation.value,
        **asdict(spec.limits),
        "layers": list(spec.layers),
        "doors": list(spec.doors),
    }


def error_from(code: str, message: str) -> SkepError:
    """Return the error that the keeper's *code* stands for."""
    kind, ours = _ERRORS.get(code, (UnavailableError, KEEPER_FAILED))
    return kind(message, code=ours)


def _away(message: str) -> UnavailableError:
    return UnavailableError(message, code="keeper_unavailable", hint="Is the keeper running? `skep up` starts it.")


async def _converse(connection: socket.socket, packet: bytes) -> list[tuple[dict[str, Any], int | None]]:
    await _when_ready(connection, writing=True)
    connection.send(packet)
    answers: list[tuple[dict[str, Any], int | None]] = []
    while True:
        await _when_ready(connection)
        answer, descriptor = _receive(connection)
        answers.append((answer, descriptor))
        if "error" in answer:
            raise error_from(str(answer["error"]), str(answer.get("message", "")))
        if not answer.get("more"):
            return answers


def _receive(connection: socket.socket) -> tuple[dict[str, Any], int | None]:
    data, descriptors, _, _ = socket.recv_fds(connection, _MAX_ANSWER, 1, socket.MSG_CMSG_CLOEXEC)
    if not data:
        raise _GoneError("the connection was closed")
    return json.loads(data), descriptors[0] if descriptors else None


async def _when_ready(connection: socket.socket, *, writing: bool = False) -> None:
    loop = asyncio.get_running_loop()
    ready = loop.create_future()

    def wake() -> None:
        if not ready.done():
            ready.set_result(None)

    add, remove = (loop.add_writer, loop.remove_writer) if writing else (loop.add_reader, loop.remove_reader)
    add(connection, wake)
    try:
        await ready
    finally:
        remove(connection)
