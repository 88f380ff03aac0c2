"""What makes sandboxes, and where their rows are kept."""

import socket
from collections.abc import AsyncIterator, Iterable
from typing import Protocol, runtime_checkable

from skep.kernel.database import Tx
from skep.product.sandboxes.model import (
    Capabilities,
    Command,
    CommandId,
    Exit,
    FileEntry,
    Handle,
    Inspection,
    LayerId,
    OutputChunk,
    Phase,
    Sandbox,
    SandboxId,
    SandboxSpec,
)


class Driver(Protocol):
    """Makes sandboxes. Every verb is idempotent by the ids in its arguments.

    Errors: `UnavailableError` when the driver itself is away (try again), `NotFoundError` when the
    sandbox is not there (any more), `InvalidError` for what can never work.
    """

    name: str

    async def capabilities(self) -> Capabilities:
        """Say what is really enforced on this machine."""
        ...

    async def create(self, spec: SandboxSpec) -> Handle:
        """Make the sandbox *spec.id*, or find it made; return when its supervisor is reachable."""
        ...

    async def exec(self, handle: Handle, command: Command) -> None:
        """Start *command*, or find it started; its end is told by `Output.output` and `Output.wait`."""
        ...

    async def inspect(self, handle: Handle) -> Inspection:
        """Look at the sandbox from the host; a vanished one is `alive=False`."""
        ...

    async def signal(self, handle: Handle, command_id: CommandId, number: int) -> None:
        """Send a signal to all processes of one command; one that is over is left alone.

        SIGTERM is followed by SIGKILL after the command's `grace_s`.
        """
        ...

    async def destroy(self, handle: Handle) -> None:
        """Remove the sandbox and all that belongs to it; a vanished one is no error."""
        ...

    async def recover(self) -> list[Handle]:
        """List all sandboxes of this installation that exist on this machine, whole or half made."""
        ...


@runtime_checkable
class Output(Protocol):
    """Extra: follow what a command prints and learn how it ended."""

    def output(self, handle: Handle, command_id: CommandId, offset: int = 0) -> AsyncIterator[OutputChunk]:
        """Yield the output from *offset* on; ends when the command is over and all of it was yielded.

        Works also after the supervisor's death, for as long as the sandbox is not destroyed.
        """
        ...

    async def wait(self, handle: Handle, command_id: CommandId) -> Exit:
        """Return how the command ended, once it has; `ExitReason.LOST` if nobody can know."""
        ...


@runtime_checkable
class Holding(Protocol):
    """Extra: a command's time limit stands still while it waits for somebody."""

    async def hold(self, handle: Handle, command_id: CommandId, *, held: bool) -> None:
        """Let the time limit stand still, or go on with what was left; a command that is over is left alone."""
        ...


@runtime_checkable
class Files(Protocol):
    """Extra: files, read and written as the agent's user, so that its links lead it nowhere new."""

    async def put(self, handle: Handle, path: str, data: bytes | AsyncIterator[bytes], *, mode: int = 0o600) -> None:
        """Write a file at the absolute *path*, making its folders; replaces one that is there."""
        ...

    def get(self, handle: Handle, path: str, *, limit: int) -> AsyncIterator[bytes]:
        """Yield a regular file's bytes; `TooLargeError` beyond *limit*, `NotFoundError` if there is none."""
        ...

    async def list(self, handle: Handle, path: str, *, limit: int = 10_000) -> list[FileEntry]:
        """List what is below the folder *path*, depth first by name, at most *limit*; an absent folder is empty."""
        ...


@runtime_checkable
class Doors(Protocol):
    """Extra: sockets inside the sandbox's network, held by the server."""

    async def listen(self, handle: Handle, port: int) -> socket.socket:
        """Return a listening TCP socket on the sandbox's own 127.0.0.1:*port* (below 1024)."""
        ...


@runtime_checkable
class Sealing(Protocol):
    """Extra: what a sandbox made becomes a read-only layer for others."""

    async def seal(
        self, handle: Handle, paths: tuple[str, ...], layer_id: LayerId, *, writable: bool, changes: bool = False
    ) -> int:
        """Copy the folders *paths* out of the sandbox into a new layer; return its size in bytes.

        All processes of the sandbox must be over. Only folders, regular files and links are taken, owned by
        root, without set-id bits. *writable* layers can be changed by the agent, in its own copy. With *changes* the
        layer holds only what the sandbox changed over its own layers, removals included: laid over these it shows what
        the sandbox saw. A layer that exists already is left as it is.
        """
        ...

    async def layers(self) -> list[LayerId]:
        """List the sealed layers on this machine."""
        ...

    async def drop_layer(self, layer_id: LayerId) -> None:
        """Remove a layer; an absent one is no error, one that a sandbox stands on a `ConflictError`."""
        ...


@runtime_checkable
class Leftovers(Protocol):
    """Extra: what a crash may leave on the machine beside the sandboxes themselves."""

    async def leftovers(self) -> list[str]:
        """Name each mount, control group, namespace, folder that belongs to no existing sandbox."""
        ...

    async def sweep(self) -> list[str]:
        """Remove what `leftovers` names; return what was removed."""
        ...


@runtime_checkable
class Based(Protocol):
    """Extra: what sandboxes stand on below all layers."""

    async def base_fingerprint(self) -> str:
        """Return what identifies it (Python's ABI, libc, architecture); layers fit no other."""
        ...


class SandboxStore(Protocol):
    """Rows of sandboxes."""

    def insert(self, tx: Tx, sandbox: Sandbox) -> None:
        """Add a row."""
        ...

    def set_phase(self, tx: Tx, sandbox_id: SandboxId, phase: Phase, handle: Handle | None = None) -> None:
        """Change the phase and, when given, the handle."""
        ...

    def get(self, tx: Tx, sandbox_id: SandboxId) -> Sandbox | None:
        """Return the row, if there is one."""
        ...

    def delete(self, tx: Tx, sandbox_ids: Iterable[SandboxId]) -> None:
        """Remove rows of sandboxes that are known to be gone."""
        ...

    def of_node(self, tx: Tx, node_id: str) -> list[Sandbox]:
        """List all rows of one machine."""
        ...
