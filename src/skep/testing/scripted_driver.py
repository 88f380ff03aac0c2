"""A driver whose sandboxes are values in memory and whose commands do what their argv says, by a manual clock.

It keeps the whole contract of `sandboxes.ports` (the conformance suite runs over it), so that services can be tested
with lost sandboxes, time limits and crashes that take no time.
"""

import asyncio
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from skep.kernel.errors import ConflictError, InvalidError, NotFoundError, TooLargeError, UnavailableError
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
from skep.testing.behaviour import read_script
from skep.testing.clock import ManualClock
from skep.testing.scripted_command import ScriptedCommand
from skep.testing.scripted_files import ScriptedFiles

_BLOCK = 1 << 16


@dataclass(slots=True, kw_only=True)
class ScriptedSandbox:
    """One sandbox: open to tests, which may look at everything."""

    spec: SandboxSpec
    files: ScriptedFiles
    #: What its layers brought.
    stands_on: ScriptedFiles
    commands: dict[CommandId, ScriptedCommand] = field(default_factory=dict[CommandId, ScriptedCommand])
    doors: dict[int, socket.socket] = field(default_factory=dict[int, socket.socket])
    alive: bool = True
    oom_kills: int = 0
    pids_reached: bool = False
    disk_full: bool = False


class ScriptedDriver:
    """Implements Driver, Output, Holding, Files, Doors, Sealing, Leftovers and Based."""

    name = "scripted"

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self.sandboxes: dict[SandboxId, ScriptedSandbox] = {}
        self.sealed: dict[LayerId, ScriptedFiles] = {}
        #: What it stands on.
        self.base = "scripted"
        #: While True, every verb finds the driver away.
        self.down = False
        #: How often each verb was called, for tests of idempotency.
        self.calls: list[tuple[str, str]] = []
        clock.on_advance(self._time_passes)

    # ---- what tests do to it

    def vanish(self, sandbox_id: SandboxId) -> None:
        """End a sandbox as a crash would: its files and output remain until it is destroyed."""
        sandbox = self.sandboxes[sandbox_id]
        sandbox.alive = False
        for command in sandbox.commands.values():
            command.lose()

    def reboot(self) -> None:
        """Lose every sandbox, as a machine that starts again does."""
        for sandbox_id in self.sandboxes:
            self.vanish(sandbox_id)
        self.sandboxes.clear()

    def finish(self, command_id: CommandId, exit_code: int = 0) -> None:
        """End a running command as if by itself."""
        for sandbox in self.sandboxes.values():
            if command_id in sandbox.commands:
                sandbox.commands[command_id].end(Exit(reason=ExitReason.EXITED, code=exit_code))

    # ---- Driver

    async def capabilities(self) -> Capabilities:
        """Say that every limit is kept, though nothing is isolated."""
        return Capabilities(
            isolation=Isolation.CONTAINER,
            limits_enforced=dict.fromkeys(("cpus", "memory", "pids", "disk", "open_files"), True),
            disk_limit="tmpfs",
            not_protected=("anything: nothing is executed",),
        )

    async def create(self, spec: SandboxSpec) -> Handle:
        """Make the sandbox, or find it."""
        self._note("create", spec.id)
        if spec.id not in self.sandboxes:
            files, stands_on = (ScriptedFiles(limit=spec.limits.disk_bytes) for _ in range(2))
            for layer_id in spec.layers:
                if layer_id not in self.sealed:
                    raise NotFoundError(f"there is no layer {layer_id}", code="layer_missing")
                files.overlay(self.sealed[layer_id])
                stands_on.overlay(self.sealed[layer_id])
            self.sandboxes[spec.id] = ScriptedSandbox(spec=spec, files=files, stands_on=stands_on)
        return Handle(version=1, driver=self.name, id=spec.id)

    async def exec(self, handle: Handle, command: Command) -> None:
        """Start the command, or find it started."""
        sandbox = self._living("exec", handle)
        if command.id in sandbox.commands:
            return
        behaviour = read_script(command.argv)
        made = ScriptedCommand(command, behaviour, self._clock, sandbox.spec.limits.output_bytes)
        sandbox.commands[command.id] = made
        if not behaviour.start_error:
            for path in behaviour.remove:
                sandbox.files.remove(path)
            for path, to in behaviour.rename.items():
                sandbox.files.rename(path, to)
            for path, text in behaviour.files.items():
                sandbox.files.write(path, text.encode(), 0o644)
            for path, target in behaviour.links.items():
                sandbox.files.link(path, target)
            shown = b"".join(sandbox.files.read_or_nothing(path) for path in behaviour.show)
            if behaviour.listen_to is not None:
                shown += await self._hear(sandbox, behaviour.listen_to)
            sandbox.oom_kills += behaviour.oom
            sandbox.pids_reached |= behaviour.too_many
            sandbox.disk_full |= behaviour.fill_disk
            made.start(shown)
        if behaviour.lost:
            self.vanish(handle.id)

    async def inspect(self, handle: Handle) -> Inspection:
        """Look at the sandbox; a vanished one is not alive."""
        self._note("inspect", handle.id)
        sandbox = self.sandboxes.get(handle.id)
        if sandbox is None or not sandbox.alive:
            return Inspection(alive=False, oom_kills=sandbox.oom_kills if sandbox else 0)
        running = sum(command.exit is None for command in sandbox.commands.values())
        return Inspection(
            alive=True,
            oom_kills=sandbox.oom_kills,
            memory_bytes=1 << 20,
            pids=1 + running,
            pids_reached=sandbox.pids_reached,
            disk_left_bytes=0 if sandbox.disk_full else sandbox.spec.limits.disk_bytes,
        )

    async def signal(self, handle: Handle, command_id: CommandId, number: int) -> None:
        """Signal a command; one that is over is left alone."""
        self._command("signal", handle, command_id).signal(number)

    async def hold(self, handle: Handle, command_id: CommandId, *, held: bool) -> None:
        """Let a command's time limit stand still, or go on."""
        self._living("hold", handle)
        self._command("hold", handle, command_id).hold(held=held)

    async def destroy(self, handle: Handle) -> None:
        """Remove the sandbox, if it is there."""
        self._note("destroy", handle.id)
        sandbox = self.sandboxes.pop(handle.id, None)
        if sandbox is not None:
            for command in sandbox.commands.values():
                command.lose()

    async def recover(self) -> list[Handle]:
        """List all sandboxes."""
        self._note("recover", "")
        return [Handle(version=1, driver=self.name, id=sandbox_id) for sandbox_id in self.sandboxes]

    # ---- Output

    async def output(self, handle: Handle, command_id: CommandId, offset: int = 0) -> AsyncIterator[OutputChunk]:
        """Yield output from *offset* on until the command is over."""
        command = self._command("output", handle, command_id)
        async for chunk in command.follow(offset):
            yield chunk

    async def wait(self, handle: Handle, command_id: CommandId) -> Exit:
        """Return how the command ended, once it has."""
        return await self._command("wait", handle, command_id).wait()

    # ---- Doors

    async def listen(self, handle: Handle, port: int) -> socket.socket:
        """Return a listening socket, the caller's; scripts with `listen_to` connect to it, whatever port it has."""
        sandbox = self._living("listen", handle)
        if not 0 < port < 1024:
            raise InvalidError("a door is a port below 1024")
        listener = socket.create_server(("127.0.0.1", 0))
        sandbox.doors[port] = listener
        return listener

    # ---- Sealing

    async def seal(
        self, handle: Handle, paths: tuple[str, ...], layer_id: LayerId, *, writable: bool, changes: bool = False
    ) -> int:
        """Copy folders into a layer, unless it is there."""
        sandbox = self._living("seal", handle)
        if any(command.exit is None for command in sandbox.commands.values()):
            raise ConflictError("a command still runs in the sandbox", code="sandbox_busy")
        if layer_id not in self.sealed:
            made = sandbox.files.changes(sandbox.stands_on) if changes else sandbox.files
            self.sealed[layer_id] = made.below(paths, writable=writable)
        return self.sealed[layer_id].size

    async def layers(self) -> list[LayerId]:
        """List the layers."""
        self._note("layers", "")
        return sorted(self.sealed)

    async def drop_layer(self, layer_id: LayerId) -> None:
        """Remove a layer, if it is there and no sandbox stands on it."""
        self._note("drop_layer", layer_id)
        if any(layer_id in sandbox.spec.layers for sandbox in self.sandboxes.values()):
            raise ConflictError("a sandbox uses the layer", code="layer_in_use")
        self.sealed.pop(layer_id, None)

    # ---- Leftovers

    async def leftovers(self) -> list[str]:
        """Name nothing: a dictionary leaves nothing behind."""
        return []

    async def sweep(self) -> list[str]:
        """Remove nothing."""
        return []

    async def base_fingerprint(self) -> str:
        """Return the name that a test gave it."""
        return self.base

    # ---- Files (last: `list` means the method from here on)

    async def put(self, handle: Handle, path: str, data: bytes | AsyncIterator[bytes], *, mode: int = 0o600) -> None:
        """Write a file."""
        sandbox = self._living("put", handle)
        content = data if isinstance(data, bytes) else b"".join([block async for block in data])
        sandbox.files.put(path, content, mode)

    async def get(self, handle: Handle, path: str, *, limit: int) -> AsyncIterator[bytes]:
        """Yield a file's bytes."""
        content = self._living("get", handle).files.read(path)
        if len(content) > limit:
            raise TooLargeError(f"{path} is larger than {limit} bytes")
        for start in range(0, len(content), _BLOCK):
            yield content[start : start + _BLOCK]

    async def list(self, handle: Handle, path: str, *, limit: int = 10_000) -> list[FileEntry]:
        """List what is below a folder."""
        return self._living("list", handle).files.entries(path)[:limit]

    # ---- inside

    def _note(self, verb: str, sandbox_id: str) -> None:
        self.calls.append((verb, sandbox_id))
        if self.down:
            raise UnavailableError("the driver is away", code="driver_unavailable")

    def _find(self, verb: str, handle: Handle) -> ScriptedSandbox:
        self._note(verb, handle.id)
        if handle.id not in self.sandboxes:
            raise NotFoundError(f"there is no sandbox {handle.id}", code="sandbox_gone")
        return self.sandboxes[handle.id]

    def _living(self, verb: str, handle: Handle) -> ScriptedSandbox:
        sandbox = self._find(verb, handle)
        if not sandbox.alive:
            raise NotFoundError(f"the sandbox {handle.id} is gone", code="sandbox_gone")
        return sandbox

    def _command(self, verb: str, handle: Handle, command_id: CommandId) -> ScriptedCommand:
        commands = self._find(verb, handle).commands
        if command_id not in commands:
            raise NotFoundError(f"there is no command {command_id}", code="command_unknown")
        return commands[command_id]

    def _time_passes(self) -> None:
        for sandbox in self.sandboxes.values():
            for command in sandbox.commands.values():
                command.time_passes()

    async def _hear(self, sandbox: ScriptedSandbox, port: int) -> bytes:
        reader, writer = await asyncio.open_connection(*sandbox.doors[port].getsockname())
        try:
            return await reader.readline()
        finally:
            writer.close()
