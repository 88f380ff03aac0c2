"""The `oci` driver: the keeper makes and removes sandboxes, the supervisor inside runs commands and keeps their output.

What only the host can know (a supervisor's death, memory that ran out) is asked of the keeper.
"""

import asyncio
import os
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from skep.adapters.drivers.oci.keeper import KEEPER_FAILED, KeeperClient
from skep.adapters.supervisor.answers import SupervisorGone
from skep.adapters.supervisor.client import SupervisorClient
from skep.adapters.supervisor.spool import read_exit, read_records
from skep.kernel.errors import NotFoundError, UnavailableError
from skep.product.sandboxes.model import (
    Capabilities,
    Command,
    CommandId,
    Exit,
    ExitReason,
    FileEntry,
    Handle,
    Inspection,
    Isolation,
    LayerId,
    OutputChunk,
    SandboxId,
    SandboxSpec,
)

_HANDLE_VERSION = 1
#: How often a supervisor that lives and does not answer is asked again, and the time between.
_TRIES = 5
_PAUSE_S = 0.1
_CHUNKS_AT_ONCE = 64


class OciDriver:
    """Sandboxes on this machine, by an OCI runtime."""

    name = "oci"

    def __init__(self, keeper: KeeperClient) -> None:
        self._keeper = keeper
        self._clients: dict[SandboxId, SupervisorClient] = {}
        #: Out-of-memory kills that earlier commands of a sandbox account for.
        self._accounted: dict[SandboxId, int] = {}

    async def capabilities(self) -> Capabilities:
        """Say what the keeper found this machine able to enforce."""
        told = await self._keeper.hello()
        return Capabilities(
            isolation=Isolation(told["isolation"]),
            limits_enforced=dict(told["limits_enforced"]),
            disk_limit=str(told["disk_limit"]),
            not_protected=tuple(told["not_protected"]),
            versions=dict(told["versions"]),
        )

    async def create(self, spec: SandboxSpec) -> Handle:
        """Have the sandbox made, and wait until its supervisor answers."""
        try:
            handle = _handle(await self._keeper.create(spec))
        except UnavailableError as error:
            if error.code != KEEPER_FAILED:
                raise
            raise UnavailableError(error.message, code="sandbox_not_made") from error
        try:
            await self._client(handle).hello()
        except SupervisorGone as error:
            raise UnavailableError(
                f"the supervisor of {spec.id} does not answer: {error}", code="sandbox_not_started"
            ) from error
        return handle

    async def exec(self, handle: Handle, command: Command) -> None:
        """Have the supervisor start a command."""
        async with self._reaching(handle):
            await self._client(handle).exec(command)

    async def inspect(self, handle: Handle) -> Inspection:
        """Read what the kernel has counted for the sandbox."""
        try:
            told = await self._keeper.inspect(handle.id)
        except NotFoundError:
            return Inspection(alive=False)
        return Inspection(
            alive=bool(told["alive"]),
            oom_kills=int(told["oom_kills"]),
            memory_bytes=int(told["memory_bytes"]),
            memory_peak_bytes=int(told["memory_peak_bytes"]),
            cpu_seconds=float(told["cpu_seconds"]),
            pids=int(told["pids"]),
            pids_reached=bool(told["pids_reached"]),
            disk_left_bytes=_known(told["disk_left_bytes"]),
            disk_left_files=_known(told["disk_left_files"]),
        )

    async def signal(self, handle: Handle, command_id: CommandId, number: int) -> None:
        """Have the supervisor signal a command; in a dead sandbox there is nothing to signal."""
        with suppress(NotFoundError):
            async with self._reaching(handle):
                await self._client(handle).signal(command_id, number)

    async def hold(self, handle: Handle, command_id: CommandId, *, held: bool) -> None:
        """Have the supervisor let a command's time limit stand still, or go on."""
        async with self._reaching(handle):
            await self._client(handle).hold(command_id, held=held)

    async def destroy(self, handle: Handle) -> None:
        """Have the keeper remove the sandbox."""
        await self._keeper.destroy(handle.id)
        self._accounted.pop(handle.id, None)
        if client := self._clients.pop(handle.id, None):
            await client.close()

    async def recover(self) -> list[Handle]:
        """List what the keeper finds, whole or half made."""
        return [_handle(told) for told in await self._keeper.sandboxes()]

    async def output(self, handle: Handle, command_id: CommandId, offset: int = 0) -> AsyncGenerator[OutputChunk]:
        """Follow a command's output; after the supervisor's death, read what it had kept."""
        for attempt in range(_TRIES):
            try:
                async with aclosing(self._client(handle).output(command_id, offset)) as chunks:
                    async for chunk in chunks:
                        offset = chunk.next_offset
                        yield chunk
            except SupervisorGone:
                if not (await self.inspect(handle)).alive:
                    break
                if attempt == _TRIES - 1:
                    raise
                await asyncio.sleep(_PAUSE_S)
            else:
                return
        async with aclosing(self._kept_output(handle, command_id, offset)) as kept:
            async for chunk in kept:
                yield chunk

    async def wait(self, handle: Handle, command_id: CommandId) -> Exit:
        """Return how a command ended, as the supervisor tells it, or as it left it behind."""
        for attempt in range(_TRIES):
            try:
                ended = await self._client(handle).wait(command_id)
            except SupervisorGone:
                seen = await self.inspect(handle)
                if not seen.alive:
                    return self._judged(handle, await self._kept_exit(handle, command_id), seen)
                if attempt == _TRIES - 1:
                    raise
                await asyncio.sleep(_PAUSE_S)
            else:
                return self._judged(handle, ended, await self.inspect(handle))
        raise AssertionError("the last try returns or raises")

    async def put(self, handle: Handle, path: str, data: bytes | AsyncIterator[bytes], *, mode: int = 0o600) -> None:
        """Have the supervisor write a file as the agent."""
        async with self._reaching(handle):
            await self._client(handle).put(path, data, mode)

    async def get(self, handle: Handle, path: str, *, limit: int) -> AsyncGenerator[bytes]:
        """Have the supervisor read a file as the agent."""
        async with self._reaching(handle), aclosing(self._client(handle).get(path, limit)) as blocks:
            async for block in blocks:
                yield block

    async def listen(self, handle: Handle, port: int) -> socket.socket:
        """Have the keeper open a socket inside the sandbox's network."""
        return await self._keeper.listen(handle.id, port)

    async def seal(
        self, handle: Handle, paths: tuple[str, ...], layer_id: LayerId, *, writable: bool, changes: bool = False
    ) -> int:
        """End the agent's processes, then have the keeper copy folders out."""
        with suppress(SupervisorGone):
            await self._client(handle).kill_all()
        return await self._keeper.seal(handle.id, paths, layer_id, writable=writable, changes=changes)

    async def layers(self) -> list[LayerId]:
        """List the sealed layers."""
        return await self._keeper.layers()

    async def drop_layer(self, layer_id: LayerId) -> None:
        """Remove a layer that no sandbox uses."""
        await self._keeper.drop_layer(layer_id)

    async def leftovers(self) -> list[str]:
        """Name what belongs to no sandbox."""
        return await self._keeper.leftovers()

    async def sweep(self) -> list[str]:
        """Remove what belongs to no sandbox."""
        return await self._keeper.sweep()

    async def base_fingerprint(self) -> str:
        """Return what identifies the base."""
        return await self._keeper.fingerprint()

    async def close(self) -> None:
        """Drop all connections; the sandboxes go on."""
        for client in self._clients.values():
            await client.close()
        self._clients.clear()
        await self._keeper.close()

    def _client(self, handle: Handle) -> SupervisorClient:
        if handle.id not in self._clients:
            self._clients[handle.id] = SupervisorClient(Path(handle.data["socket"]))
        return self._clients[handle.id]

    @asynccontextmanager
    async def _reaching(self, handle: Handle) -> AsyncGenerator[None]:
        """Tell a dead sandbox from a supervisor that only does not answer."""
        try:
            yield
        except SupervisorGone as error:
            if not (await self.inspect(handle)).alive:
                raise NotFoundError(f"the sandbox {handle.id} is not running", code="sandbox_gone") from error
            raise

    def _judged(self, handle: Handle, ended: Exit | None, seen: Inspection) -> Exit:
        """Say that memory ran out, where the kernel has counted that since the last command."""
        ran_out = seen.oom_kills > self._accounted.get(handle.id, 0)
        self._accounted[handle.id] = max(seen.oom_kills, self._accounted.get(handle.id, 0))
        if ended is None:
            reason = ExitReason.OUT_OF_MEMORY if ran_out else ExitReason.LOST
            return Exit(reason=reason, message="the sandbox ended before its command")
        failed = ended.reason is ExitReason.SIGNALED or (ended.reason is ExitReason.EXITED and ended.code != 0)
        return replace(ended, reason=ExitReason.OUT_OF_MEMORY) if ran_out and failed else ended

    async def _kept_exit(self, handle: Handle, command_id: CommandId) -> Exit | None:
        try:
            descriptor = await self._keeper.spool(handle.id, command_id, "exit")
        except NotFoundError:
            return None
        with os.fdopen(descriptor, "rb") as file:
            return read_exit(file)

    async def _kept_output(self, handle: Handle, command_id: CommandId, offset: int) -> AsyncGenerator[OutputChunk]:
        try:
            descriptor = await self._keeper.spool(handle.id, command_id, "out")
        except NotFoundError:
            return
        with os.fdopen(descriptor, "rb") as file:
            records = read_records(file, offset)
            while chunks := await asyncio.to_thread(_some, records):
                for chunk in chunks:
                    yield chunk

    # Last, because the name hides the type from all that follows.
    async def list(self, handle: Handle, path: str, *, limit: int = 10_000) -> list[FileEntry]:
        """Have the supervisor list a folder as the agent."""
        async with self._reaching(handle):
            return await self._client(handle).list(path, limit)


def _some(records: Iterator[OutputChunk]) -> list[OutputChunk]:
    return list(islice(records, _CHUNKS_AT_ONCE))


def _known(told: Any) -> int | None:
    return None if told is None else int(told)


def _handle(told: dict[str, Any]) -> Handle:
    return Handle(
        version=_HANDLE_VERSION, driver=OciDriver.name, id=SandboxId(told["id"]), data={"socket": str(told["socket"])}
    )
