"""The writable disk of a sandbox: a sparse ext4 image on a loop device, or memory where the machine has no loop.

The image is a copy of a template that is made once per size. Some blocks are kept back for the supervisor, so that a
sandbox that fills its disk cannot silence its own log.
"""

import contextlib
import errno
import fcntl
import os
import shutil
import stat
import struct
import subprocess
import threading
import time
from dataclasses import dataclass
from typing import Final

from skep_keeper import bundle, files, log, mounts, syscalls
from skep_keeper.errors import KeeperError, StartError
from skep_keeper.places import Nest, Places
from skep_keeper.vocabulary import Spec

_MIB: Final = 1 << 20
_BLOCK: Final = 4096
_BYTES_PER_INODE: Final = 16384
#: More than one command's output is kept at a time, in a sandbox that builds.
_KEPT_OUTPUTS: Final = 4
#: Below this much free space no disk is made: an image that cannot grow is a broken disk for those who run.
MIN_FREE: Final = 64 * _MIB
_TEMPLATES: Final = 32

_LOOP_CTL_GET_FREE: Final = 0x4C82
_LOOP_CONFIGURE: Final = 0x4C0A
_LO_FLAGS_AUTOCLEAR: Final = 4
_SYSTEM_PATH: Final = "/usr/sbin:/sbin:/usr/bin:/bin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """A mounted disk: where a sandbox's overlay and spool lie."""

    upper: str
    work: str
    spool: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """What a disk has left for the agent: what is kept back for the supervisor does not count."""

    bytes: int
    #: Files and folders that can still be made.
    files: int


def reserve(spec: Spec) -> int:
    """Return how many bytes are kept back for the supervisor: never more than half, which the file system refuses."""
    return _whole_blocks(min(spec.output_bytes * _KEPT_OUTPUTS + _MIB, 257 * _MIB, spec.disk_bytes))


def image_bytes(spec: Spec) -> int:
    """Return the size of a sandbox's image: what the agent may use, and what is kept back."""
    return _whole_blocks(spec.disk_bytes) + reserve(spec)


def inodes(size: int) -> int:
    """Return how many files and folders a disk of *size* bytes can hold."""
    return max(size // _BYTES_PER_INODE, 1024)


def mkfs_argv(program: str, path: str, size: int) -> tuple[str, ...]:
    """Return the command that makes a template: no journal, since what is on it is never recovered."""
    return (
        program,
        *("-q", "-F", "-b", str(_BLOCK)),
        *("-O", "^has_journal,^resize_inode"),
        *("-E", "nodiscard,lazy_itable_init=1,root_owner=0:0"),
        *("-N", str(inodes(size)), "-m", "0"),
        *(path, str(size // _BLOCK)),
    )


def tune_argv(program: str, path: str, kept_back: int) -> tuple[str, ...]:
    """Return the command that keeps blocks back."""
    return (program, "-r", str(kept_back // _BLOCK), path)


class Disks:
    """Makes and removes disks, in the best way that the machine has."""

    def __init__(self, places: Places, kind: str = "auto") -> None:
        self._places = places
        self._lock = threading.Lock()
        self._mkfs = shutil.which("mkfs.ext4", path=_SYSTEM_PATH)
        self._tune = shutil.which("tune2fs", path=_SYSTEM_PATH)
        self.kind = kind
        if kind in ("auto", "loop"):
            self.kind = self._probe(must=kind == "loop")

    def make(self, spec: Spec, nest: Nest, first_id: int) -> Disk:
        """Make and mount the disk of one sandbox.

        Raises:
            KeeperError: the host's disk is too full.
        """
        self._require_space()
        files.make_folder(nest.disk, 0o700)
        supervisor = first_id + bundle.SUPERVISOR_ID
        if self.kind == "loop":
            image = self._places.image(spec.id)
            _copy_sparse(self._template(image_bytes(spec), reserve(spec)), image)
            _mount_image(image, nest.disk, f"resuid={supervisor},noinit_itable")
            spool = f"{nest.disk}/spool"
        else:
            size = min(spec.disk_bytes, spec.memory_bytes // 2)
            _mount_memory(nest.disk, size)
            files.make_folder(nest.spool, 0o700)
            _mount_memory(nest.spool, min(reserve(spec), spec.memory_bytes // 8))
            spool = nest.spool
        made = Disk(upper=self.upper(nest), work=f"{nest.disk}/wk", spool=spool)
        for path, mode in ((made.upper, 0o755), (made.work, 0o700), (made.spool, 0o700)):
            files.make_folder(path, mode)
        os.chown(made.spool, supervisor, supervisor)
        return made

    def upper(self, nest: Nest) -> str:
        """Return where the overlay of a mounted disk keeps what was changed."""
        return f"{nest.disk}/up"

    def spool(self, nest: Nest) -> str:
        """Return where a mounted disk's spool lies."""
        inside = f"{nest.disk}/spool"
        return inside if os.path.isdir(inside) else nest.spool

    def left(self, nest: Nest) -> Left | None:
        """Return what a disk has left; None where it is not mounted, as after a reboot."""
        try:
            if not os.path.ismount(nest.disk):
                return None
            found = os.statvfs(nest.disk)
        except OSError:
            # It is being removed at this moment.
            return None
        return Left(bytes=found.f_bavail * found.f_frsize, files=found.f_favail)

    def remove(self, sandbox_id: str) -> None:
        """Remove the image of a sandbox whose disk is no longer mounted."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._places.image(sandbox_id))

    def images(self) -> set[str]:
        """List the sandboxes that have an image."""
        return {name.removesuffix(".img") for name in files.names(self._places.disks) if name.endswith(".img")}

    def _require_space(self) -> None:
        free = os.statvfs(self._places.disks)
        if free.f_bavail * free.f_frsize < MIN_FREE:
            raise KeeperError("disk_full", f"less than {MIN_FREE // _MIB} MiB are free in {self._places.disks}")

    def _template(self, size: int, kept_back: int) -> str:
        path = f"{self._places.disks}/ext4-{size}-{kept_back}.template"
        with self._lock:
            if not os.path.exists(path):
                self._drop_old_templates()
                self._make_template(path, size, kept_back)
        return path

    def _make_template(self, path: str, size: int, kept_back: int) -> None:
        temporary = f"{path}.new"
        with open(temporary, "wb") as file:
            file.truncate(size)
        if self._mkfs is None or self._tune is None:
            raise KeeperError("internal", "mkfs.ext4 and tune2fs are missing (package e2fsprogs)")
        for argv in (mkfs_argv(self._mkfs, temporary, size), tune_argv(self._tune, temporary, kept_back)):
            done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
            if done.returncode != 0:
                raise KeeperError("internal", f"{argv[0]}: {done.stderr.strip()[-500:]}")
        os.rename(temporary, path)

    def _drop_old_templates(self) -> None:
        folder = self._places.disks
        found = [f"{folder}/{name}" for name in files.names(folder) if name.endswith((".template", ".new"))]
        for path in sorted(found, key=os.path.getmtime)[: -_TEMPLATES or None]:
            os.unlink(path)

    def _probe(self, *, must: bool) -> str:
        """Make one small disk and unmount it, to learn whether this machine can."""
        nest = Nest(dir=f"{self._places.run_dir}/.probe")
        image = f"{self._places.disks}/.probe"
        try:
            files.make_folder(nest.disk, 0o700)
            _copy_sparse(self._template(8 * _MIB, _MIB), image)
            _mount_image(image, nest.disk, "noinit_itable")
        except (OSError, KeeperError) as error:
            if must:
                raise StartError(f"disk images cannot be mounted: {error}") from error
            log.warning("disks are held in memory: images cannot be mounted", reason=str(error))
            return "tmpfs"
        finally:
            mounts.unmount_below(nest.dir)
            files.remove_tree(nest.dir)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(image)
        return "loop"


def _whole_blocks(size: int) -> int:
    return -(-size // _BLOCK) * _BLOCK


def _copy_sparse(source: str, target: str) -> None:
    """Copy only the parts of a file that hold data."""
    with open(source, "rb") as reader, open(target, "wb") as writer:
        size = os.fstat(reader.fileno()).st_size
        os.fchmod(writer.fileno(), 0o600)
        for position, end in files.data_ranges(reader.fileno(), size):
            start = os.lseek(writer.fileno(), position, os.SEEK_SET)
            while start < end:
                start += os.sendfile(writer.fileno(), reader.fileno(), start, end - start)
        os.ftruncate(writer.fileno(), size)


def _mount_memory(target: str, size: int) -> None:
    options = f"size={size},nr_inodes={inodes(size)},mode=700"
    syscalls.mount("tmpfs", target, "tmpfs", syscalls.MS_NOSUID | syscalls.MS_NODEV, options)


def _mount_image(image: str, target: str, options: str) -> None:
    """Mount an image; its loop device frees itself when the mount goes."""
    descriptor = os.open(image, os.O_RDWR | os.O_NOFOLLOW)
    try:
        device, path = _attach(descriptor)
    finally:
        os.close(descriptor)
    try:
        flags = syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOATIME
        syscalls.mount(path, target, "ext4", flags, options)
    finally:
        os.close(device)
    files.make_folder(target, 0o700)


def _attach(image: int, tries: int = 64) -> tuple[int, str]:
    """Bind an image to a free loop device; return the device's descriptor and path."""
    # struct loop_config: fd, block size, struct loop_info64 (its flags are at offset 52), reserved.
    info = bytearray(232)
    struct.pack_into("=I", info, 52, _LO_FLAGS_AUTOCLEAR)
    request = struct.pack("=II", image, 0) + bytes(info) + bytes(64)
    control = os.open("/dev/loop-control", os.O_RDWR)
    try:
        for attempt in range(tries):
            number = fcntl.ioctl(control, _LOOP_CTL_GET_FREE)
            path = f"/dev/loop{number}"
            device = _open_device(path, number)
            try:
                fcntl.ioctl(device, _LOOP_CONFIGURE, request)
            except OSError as error:
                os.close(device)
                # Somebody else was given the same number and was quicker.
                if error.errno != errno.EBUSY or attempt == tries - 1:
                    raise
                time.sleep(0.001 * attempt)
            else:
                return device, path
    finally:
        os.close(control)
    raise KeeperError("internal", "no loop device is free")


def _open_device(path: str, number: int) -> int:
    if not os.path.exists(path):
        # A container's own /dev does not follow the kernel's.
        with contextlib.suppress(FileExistsError):
            os.mknod(path, stat.S_IFBLK | 0o600, os.makedev(7, number))
    return os.open(path, os.O_RDWR)
