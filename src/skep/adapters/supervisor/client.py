"""The server's side of the supervisor's protocol: a sandbox's commands and files, over its socket.

It never trusts an answer: lengths are bounded, values checked, and whatever breaks the protocol counts as gone.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from skep.adapters.supervisor.answers import RecordReader, SupervisorGone, entries_of, exit_of
from skep.adapters.supervisor.connection import Connection, Frame
from skep.kernel.errors import TooLargeError
from skep.product.sandboxes.model import Command, CommandId, Exit, FileEntry, OutputChunk
from skep_supervisor import protocol

#: Idle connections that are kept for the next request.
_IDLE = 4
_PUT_BLOCK = 1 << 16


class SupervisorClient:
    """Speaks with one sandbox's supervisor; connects when first needed, and again after a failure."""

    def __init__(self, socket_path: Path, *, reply_timeout_s: float = 30.0) -> None:
        self._path = socket_path
        self._reply_timeout_s = reply_timeout_s
        self._idle: list[Connection] = []
        self._closed = False

    async def hello(self) -> dict[str, Any]:
        """Return what the supervisor says of itself: version, sandbox, commands (untrusted).

        Raises:
            SupervisorGone: it is not there, or speaks another version.
        """
        header = await self._ask({"op": "hello"})
        if header.get("version") != protocol.VERSION:
            raise SupervisorGone("the supervisor speaks another version of the protocol")
        return header

    async def exec(self, command: Command) -> None:
        """Start *command*, or find it started; `wait` tells also that it could not be started."""
        await self._ask(
            {
                "op": "exec",
                "id": command.id,
                "argv": list(command.argv),
                "env": dict(command.env),
                "cwd": command.cwd,
                "user": command.user.value,
                "timeout_s": command.timeout_s,
                "grace_s": command.grace_s,
            }
        )

    async def output(self, command_id: CommandId, offset: int = 0) -> AsyncGenerator[OutputChunk]:
        """Yield output from the spool's *offset* on, as it comes; ends when the command is over."""
        async with self._connection() as connection:
            await connection.send({"op": "output", "id": command_id, "offset": offset})
            reader = RecordReader(offset)
            while not (frame := await connection.receive()).last:
                for chunk in reader.feed(frame.payload):
                    yield chunk

    async def wait(self, command_id: CommandId) -> Exit:
        """Return how the command ended, once it has; `NotFoundError` if it was never started."""
        async with self._connection() as connection:
            await connection.send({"op": "wait", "id": command_id})
            return exit_of((await _only(connection)).header.get("state"))

    async def signal(self, command_id: CommandId, number: int) -> None:
        """Signal all processes of a command; one that is over is left alone."""
        await self._ask({"op": "signal", "id": command_id, "number": number})

    async def hold(self, command_id: CommandId, *, held: bool) -> None:
        """Let a command's time limit stand still, or go on."""
        await self._ask({"op": "hold", "id": command_id, "held": held})

    async def kill_all(self) -> None:
        """Kill every process in the sandbox but the supervisor's own."""
        await self._ask({"op": "killall"})

    async def put(self, path: str, data: bytes | AsyncIterator[bytes], mode: int = 0o600) -> int:
        """Write a file as the agent's user, in place of one that is there; return its size."""
        async with self._connection() as connection:
            await self._send(connection, {"op": "put", "path": path, "mode": mode})
            async for block in _blocks(data):
                await self._send(connection, {"more": True}, block)
            await self._send(connection, {"more": False})
            async with self._patience():
                size = (await _only(connection)).header.get("size")
        return size if isinstance(size, int) else 0

    async def get(self, path: str, limit: int) -> AsyncGenerator[bytes]:
        """Yield a regular file's bytes, read as the agent's user; `TooLargeError` beyond *limit*."""
        size = 0
        async with self._connection() as connection:
            await self._send(connection, {"op": "get", "path": path, "limit": limit})
            while not (frame := await self._receive(connection)).last:
                size += len(frame.payload)
                if size > limit:
                    raise TooLargeError(f"{path} is larger than {limit} bytes", code="sandbox_too_large")
                yield frame.payload

    async def list(self, path: str, limit: int) -> list[FileEntry]:
        """List what is below a folder, at most *limit* entries; an absent folder is empty."""
        entries: list[FileEntry] = []
        async with self._connection() as connection:
            await self._send(connection, {"op": "list", "path": path, "limit": limit})
            while not (frame := await self._receive(connection)).last:
                entries += entries_of(frame.header.get("entries"))
                if len(entries) > limit:
                    raise SupervisorGone("the supervisor listed more files than it was asked for")
        return entries

    async def close(self) -> None:
        """Drop all idle connections; the sandbox goes on."""
        self._closed = True
        while self._idle:
            connection = self._idle.pop()
            connection.close()
            await connection.wait_closed()

    async def _ask(self, header: dict[str, Any]) -> dict[str, Any]:
        async with self._connection() as connection:
            await self._send(connection, header)
            async with self._patience():
                return (await _only(connection)).header

    async def _send(self, connection: Connection, header: dict[str, Any], payload: bytes = b"") -> None:
        async with self._patience():
            await connection.send(header, payload)

    async def _receive(self, connection: Connection) -> Frame:
        async with self._patience():
            return await connection.receive()

    @asynccontextmanager
    async def _patience(self) -> AsyncGenerator[None]:
        try:
            async with asyncio.timeout(self._reply_timeout_s):
                yield
        except TimeoutError as error:
            raise SupervisorGone(f"the supervisor did not answer within {self._reply_timeout_s:g} s") from error

    @asynccontextmanager
    async def _connection(self) -> AsyncGenerator[Connection]:
        connection = await self._take()
        try:
            yield connection
        finally:
            if connection.reusable and not self._closed and len(self._idle) < _IDLE:
                self._idle.append(connection)
            else:
                connection.close()

    async def _take(self) -> Connection:
        while self._idle:
            connection = self._idle.pop()
            if connection.reusable:
                return connection
            connection.close()
        async with self._patience():
            return await Connection.open(self._path)


async def _only(connection: Connection) -> Frame:
    frame = await connection.receive()
    if not frame.last:
        raise SupervisorGone("the supervisor answered with more frames than the protocol's")
    return frame


async def _blocks(data: bytes | AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Cut *data* into pieces that fit into a frame."""
    if isinstance(data, bytes):
        for start in range(0, len(data), _PUT_BLOCK):
            yield data[start : start + _PUT_BLOCK]
        return
    async for piece in data:
        for start in range(0, len(piece), _PUT_BLOCK):
            yield piece[start : start + _PUT_BLOCK]
