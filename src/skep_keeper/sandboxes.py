"""Makes, finds and removes sandboxes. A crash at any moment leaves what `destroy` can remove.

The order is the safety: the intent is written before anything is made and removed after all else is gone; `made.json`
is written when the sandbox is whole. Without it, a sandbox is half made and is made anew.
"""

import contextlib
import os
import socket
import stat
import threading
from dataclasses import dataclass
from typing import Any

from skep_keeper import bundle, files, log, mounts, netns, processes, rootfs
from skep_keeper.bundle import Ground
from skep_keeper.cgroups import Cgroups, Usage
from skep_keeper.disk import Disks, Left
from skep_keeper.errors import BadRequestError, ConflictError, KeeperError, NotFoundError
from skep_keeper.layers import Layers
from skep_keeper.locks import Locks
from skep_keeper.places import Nest, Places
from skep_keeper.ranges import Ranges
from skep_keeper.runc import Runc, Started
from skep_keeper.vocabulary import Spec, stored_spec

_BACKLOG = 64
_UMASK_SOCKET = 0o600


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """What all sandboxes of this keeper have in common."""

    base: str
    uv: str
    machine: str
    usr_has_mounts: bool
    #: Whose the supervisors' sockets are.
    uid: int
    gid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A sandbox, whole or half made."""

    id: str
    made: bool
    alive: bool
    socket: str
    spec: Spec | None


class Sandboxes:
    """All sandboxes of one installation."""

    def __init__(
        self, places: Places, host: Host, *, disks: Disks, layers: Layers, cgroups: Cgroups, runc: Runc, ranges: Ranges
    ) -> None:
        self._places = places
        self._host = host
        self._disks = disks
        self._layers = layers
        self._cgroups = cgroups
        self._runc = runc
        self._ranges = ranges
        self._boot_id = processes.boot_id()
        self._limits = cgroups.enforceable()
        self._locks = Locks()
        # More at once only makes each of them slower.
        self._gate = threading.BoundedSemaphore(2 * (os.cpu_count() or 1))
        # A layer is dropped only while nobody takes it up.
        self._layer_lock = threading.Lock()

    @property
    def limits(self) -> dict[str, bool]:
        """Tell which limits the machine's control groups hold."""
        return self._limits

    def create(self, spec: Spec) -> Found:
        """Make a sandbox, or find it made; what is half made is removed first.

        Raises:
            KeeperError: it could not be made; nothing of it is left.
        """
        nest = self._places.sandbox(spec.id)
        with self._locks.hold(spec.id):
            found = self._look(nest)
            if found is not None and found.spec is not None and found.spec != spec:
                raise ConflictError(f"{spec.id} exists with another specification")
            if found is not None and found.made:
                return found
            if found is not None:
                self._remove(nest)
            try:
                with self._gate:
                    self._make(spec, nest)
            except BaseException as error:
                log.warning("sandbox not made", sandbox=spec.id, reason=str(error)[:500])
                self._give_up(nest)
                raise
            log.info("sandbox made", sandbox=spec.id)
        return Found(id=spec.id, made=True, alive=True, socket=nest.socket, spec=spec)

    def destroy(self, sandbox_id: str) -> None:
        """Remove a sandbox and all that belongs to it; one that is not there is no error."""
        with self._locks.hold(sandbox_id):
            self._remove(self._places.sandbox(sandbox_id))

    def all(self) -> list[Found]:
        """List what exists, whole or half made."""
        found = [self._look(self._places.sandbox(name)) for name in files.names(self._places.sandboxes)]
        return [item for item in found if item is not None]

    def inspect(self, sandbox_id: str) -> tuple[Found, Usage, Left | None]:
        """Look at one sandbox: what of it lives, what the kernel counted, and what is left of its disk."""
        found = self._require(sandbox_id)
        return found, self._cgroups.usage(sandbox_id), self._disks.left(self._places.sandbox(sandbox_id))

    def kill(self, sandbox_id: str) -> None:
        """End all processes of a sandbox; its files stay until it is destroyed."""
        with self._locks.hold(sandbox_id):
            self._require(sandbox_id)
            self._kill(self._places.sandbox(sandbox_id))

    def listen(self, sandbox_id: str, port: int) -> socket.socket:
        """Return a listening socket on one of the doors of a sandbox."""
        found = self._require(sandbox_id)
        if found.spec is None or port not in found.spec.doors:
            raise BadRequestError(f"{port} is not a door of {sandbox_id}")
        started = self._started(self._places.sandbox(sandbox_id))
        pidfd = processes.open_same(started.pid, started.start) if started else None
        if started is None or pidfd is None:
            raise NotFoundError(f"{sandbox_id} is not running")
        try:
            namespace = os.open(f"/proc/{started.pid}/ns/net", os.O_RDONLY)
            try:
                if not processes.is_alive(started.pid, started.start):
                    raise NotFoundError(f"{sandbox_id} is not running")
                return netns.listen(namespace, port)
            finally:
                os.close(namespace)
        except FileNotFoundError as error:
            raise NotFoundError(f"{sandbox_id} is not running") from error
        finally:
            os.close(pidfd)

    def spool(self, sandbox_id: str, command: str, part: str) -> int:
        """Return a descriptor, for reading, of what the supervisor kept of a command."""
        self._require(sandbox_id)
        folder = os.open(
            self._disks.spool(self._places.sandbox(sandbox_id)), os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
        )
        try:
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
            descriptor = os.open(f"{command}.{part}", flags, dir_fd=folder)
        except OSError as error:
            raise NotFoundError(f"nothing is kept of {command}") from error
        finally:
            os.close(folder)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise NotFoundError(f"nothing is kept of {command}")
        return descriptor

    def seal(
        self, sandbox_id: str, paths: tuple[str, ...], layer_id: str, *, writable: bool, changes: bool = False
    ) -> int:
        """Copy folders out of a sandbox, whose processes but the supervisor are ended, into a layer.

        With *changes* only what it changed over the layers that it stands on.
        """
        nest = self._places.sandbox(sandbox_id)
        with self._locks.hold(f"layer {layer_id}"), self._locks.hold(sandbox_id):
            found = self._require(sandbox_id)
            if found.spec is None or not os.path.ismount(nest.root):
                raise NotFoundError(f"{sandbox_id} has no files")
            started = self._started(nest)
            self._cgroups.kill(sandbox_id, spare=started.pid if started else None)
            root = self._disks.upper(nest) if changes else nest.root
            limit = found.spec.disk_bytes
            return self._layers.seal(root, paths, layer_id, writable=writable, limit=limit, changes=changes)

    def drop_layer(self, layer_id: str) -> None:
        """Remove a layer that no sandbox uses."""
        with self._layer_lock:
            for found in self.all():
                if found.spec is not None and layer_id in found.spec.layers:
                    raise ConflictError(f"{found.id} uses the layer", "layer_in_use")
            self._layers.drop(layer_id)

    def _look(self, nest: Nest) -> Found | None:
        if not os.path.isdir(nest.dir):
            return None
        stored: dict[str, Any] = files.read_json(nest.intent) or {}
        started = self._started(nest)
        return Found(
            id=nest.id,
            made=os.path.exists(nest.made),
            alive=started is not None and processes.is_alive(started.pid, started.start),
            socket=nest.socket,
            spec=stored_spec(stored.get("spec")),
        )

    def _require(self, sandbox_id: str) -> Found:
        found = self._look(self._places.sandbox(sandbox_id))
        if found is None:
            raise NotFoundError(f"there is no sandbox {sandbox_id}")
        return found

    def _started(self, nest: Nest) -> Started | None:
        """Return process 1 as it was when the sandbox was made; None after a reboot."""
        made: dict[str, Any] = files.read_json(nest.made) or {}
        if not made or made.get("boot_id") != self._boot_id:
            return None
        return Started(int(made["pid"]), int(made["start"]))

    def _rebooted(self, nest: Nest) -> bool:
        """Tell whether the machine restarted since the intent was written: no process id means anything then."""
        stored: dict[str, Any] = files.read_json(nest.intent) or {}
        return stored.get("boot_id") not in (None, self._boot_id)

    def _make(self, spec: Spec, nest: Nest) -> None:
        if leftover := self._cgroups.processes(spec.id):
            raise ConflictError(f"processes of an earlier {spec.id} are alive: {sorted(leftover)[:3]}")
        os.makedirs(self._places.sandboxes, exist_ok=True)
        files.make_folder(nest.dir, 0o711)
        with self._layer_lock:
            for layer in spec.layers:
                if not self._layers.has(layer):
                    raise NotFoundError(f"there is no layer {layer}")
            files.write_json(nest.intent, {"spec": spec.to_json(), "boot_id": self._boot_id})
        first_id = self._ranges.claim(nest.dir)
        disk = self._disks.make(spec, nest, first_id)
        rootfs.prepare(disk.upper, rootfs.owned(lambda path: self._provided(spec, path)), first_id)
        files.make_folder(nest.gate, 0o710)
        os.chown(nest.gate, 0, first_id)
        rootfs.mount(nest.root, self._host.base, [self._places.layer(layer) for layer in spec.layers], disk)
        files.write_json(nest.config, bundle.config(spec, self._ground(spec, nest, first_id, disk.spool)))
        with self._listener(nest) as listener:
            started = self._runc.start(nest, listener)
        files.write_json(nest.made, {"pid": started.pid, "start": started.start, "boot_id": self._boot_id})

    def _provided(self, spec: Spec, path: str) -> bool:
        return any(self._layers.provides(layer, path) for layer in spec.layers)

    def _ground(self, spec: Spec, nest: Nest, first_id: int, spool: str) -> Ground:
        return Ground(
            first_id=first_id,
            root=nest.root,
            spool=spool,
            uv=self._host.uv,
            cgroup=f"{self._places.cgroup}/{spec.id}",
            machine=self._host.machine,
            usr_has_mounts=self._host.usr_has_mounts,
            memory=self._limits["memory"],
            swap=self._limits["swap"],
            pids=self._limits["pids"],
            cpus=self._limits["cpu"],
        )

    def _listener(self, nest: Nest) -> socket.socket:
        """Bind the socket that process 1 will accept on; the server's user may connect from now on."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(nest.socket)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listener.bind(nest.socket)
            os.chmod(nest.socket, _UMASK_SOCKET)
            os.chown(nest.socket, self._host.uid, self._host.gid)
            listener.listen(_BACKLOG)
        except OSError:
            listener.close()
            raise
        return listener

    def _kill(self, nest: Nest) -> None:
        started = self._started(nest)
        if started is None and not self._rebooted(nest):
            # Without `made.json` the runtime may have come as far as starting it.
            started = self._runc.started(nest.id)
        if started is not None:
            # The kernel ends all others of the namespace with its process 1.
            processes.kill_and_wait(started.pid, started.start)
        self._cgroups.kill(nest.id)

    def _give_up(self, nest: Nest) -> None:
        """Remove what a failed making left; if that fails too, `destroy` is there for it."""
        try:
            self._remove(nest)
        except (KeeperError, OSError) as error:
            log.error("a half made sandbox stays", sandbox=nest.id, reason=str(error)[:500])

    def _remove(self, nest: Nest) -> None:
        """Remove all of a sandbox, in the reverse order of its making; each step may find its work done."""
        known = os.path.exists(nest.intent)
        self._kill(nest)
        self._runc.delete(nest.id, rebooted=self._rebooted(nest))
        mounts.unmount_below(nest.dir)
        self._cgroups.remove(nest.id)
        self._disks.remove(nest.id)
        if left := mounts.below(nest.dir, mounts.current()):
            raise KeeperError("internal", f"{left[0].target} cannot be unmounted")
        for name in files.names(nest.dir):
            if name != os.path.basename(nest.intent):
                files.remove_tree(f"{nest.dir}/{name}")
        files.remove_tree(nest.dir)
        self._ranges.release(nest.dir)
        if known:
            log.info("sandbox removed", sandbox=nest.id)
