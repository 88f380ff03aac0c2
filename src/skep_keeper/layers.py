"""Sealed layers: folders copied out of a sandbox, owned by root, never changed again.

What is copied was made by hostile hands: no link is followed, nothing but folders, regular files and links is taken,
no set-id bit comes along, and size, depth and number are bounded. Of a sandbox that stands on layers, it is enough to
copy what it changed over them: then the marks of its overlay come along, which say what is gone.
"""

import contextlib
import os
import stat
import uuid
from dataclasses import dataclass, field
from typing import Final

from skep_keeper import files, overlay, syscalls
from skep_keeper.disk import MIN_FREE
from skep_keeper.errors import KeeperError, NotFoundError

_MAX_DEPTH: Final = 100
#: A large environment has some ten thousand; empty ones take no bytes, and so no limit of bytes bounds them.
_MAX_FILES: Final = 300_000
#: So much of the names that the file system can have stays free: without any nobody can make a file.
_FREE_NAMES: Final = 1 / 20
_READ_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Layers:
    """The layers in one folder."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def names(self) -> list[str]:
        """List the sealed layers."""
        return [name for name in files.names(self._folder) if not name.startswith(".")]

    def has(self, layer_id: str) -> bool:
        """Tell whether a layer is sealed."""
        return os.path.isdir(f"{self._folder}/{layer_id}")

    def provides(self, layer_id: str, path: str) -> bool:
        """Tell whether a layer holds the folder *path* (as seen inside a sandbox)."""
        return os.path.isdir(f"{self._folder}/{layer_id}{path}")

    def seal(
        self, root: str, paths: tuple[str, ...], layer_id: str, *, writable: bool, limit: int, changes: bool = False
    ) -> int:
        """Copy *paths* below *root* into a new layer; return its size in bytes.

        *root* is where a sandbox's root is mounted, or, with *changes*, the upper folder of its overlay. It is on disk,
        whole, before it has its name. One that exists is left as it is.
        """
        target = f"{self._folder}/{layer_id}"
        if os.path.isdir(target):
            return tree_bytes(target)
        temporary = f"{self._folder}/.new-{uuid.uuid4().hex}"
        files.make_folder(temporary, 0o755)
        copy = _Copy(folder=self._folder, writable=writable, changes=changes, left=limit)
        try:
            for path in paths:
                copy.folder_at(root, temporary, path)
            _sync(temporary)
            try:
                os.rename(temporary, target)
            except OSError:
                # Somebody may have sealed the same layer meanwhile: theirs stays.
                if not os.path.isdir(target):
                    raise
            _fsync_folder(self._folder)
        finally:
            files.remove_tree(temporary)
        return copy.bytes

    def drop(self, layer_id: str) -> None:
        """Remove a layer; an absent one is no error."""
        doomed = f"{self._folder}/.drop-{uuid.uuid4().hex}"
        try:
            os.rename(f"{self._folder}/{layer_id}", doomed)
        except FileNotFoundError:
            return
        files.remove_tree(doomed)

    def unfinished(self) -> list[str]:
        """List what a crash left half sealed or half removed."""
        return [name for name in files.names(self._folder) if name.startswith(".")]

    def drop_unfinished(self, name: str) -> None:
        """Remove one of `unfinished`."""
        files.remove_tree(f"{self._folder}/{name}")


@dataclass(slots=True, kw_only=True)
class _Copy:
    """One copying: what it may still take, and what it has seen."""

    #: Where layers lie.
    folder: str
    writable: bool
    #: An overlay's upper folder is copied, with its marks.
    changes: bool
    #: Bytes that files may still have, holes included.
    left: int
    #: Bytes that were copied: a hole stays a hole.
    bytes: int = 0
    count: int = 0
    #: Files with several names: the copy is made once, then linked.
    linked: dict[tuple[int, int], str] = field(default_factory=dict[tuple[int, int], str])

    def folder_at(self, root: str, target: str, path: str) -> None:
        """Copy the folder *path*, walking down from *root* part by part without following a link.

        A sandbox that changed nothing below *path* has no such folder among its changes.
        """
        with contextlib.ExitStack() as stack:
            source = os.open(root, _READ_FLAGS | os.O_DIRECTORY)
            stack.callback(os.close, source)
            for part in path.strip("/").split("/"):
                try:
                    source = os.open(part, _READ_FLAGS | os.O_DIRECTORY, dir_fd=source)
                except OSError as error:
                    if self.changes and isinstance(error, FileNotFoundError):
                        return
                    raise NotFoundError(f"there is no folder {path} in the sandbox") from error
                stack.callback(os.close, source)
                target = f"{target}/{part}"
                files.make_folder(target, 0o755)
            self._folder(source, target, depth=0)

    def _folder(self, source: int, target: str, *, depth: int) -> None:
        if depth > _MAX_DEPTH:
            raise KeeperError("too_large", f"folders are nested more than {_MAX_DEPTH} deep")
        for name in sorted(os.listdir(source)):
            self.count += 1
            self._take_name()
            self._entry(source, name, f"{target}/{name}", depth)
        if self.changes:
            overlay.copy_marks(source, target)
        found = os.fstat(source)
        os.chmod(target, self._mode(found.st_mode | 0o555))
        os.utime(target, ns=(found.st_mtime_ns, found.st_mtime_ns))

    def _entry(self, parent: int, name: str, target: str, depth: int) -> None:
        found = os.stat(name, dir_fd=parent, follow_symlinks=False)
        if stat.S_ISLNK(found.st_mode):
            os.symlink(os.readlink(name, dir_fd=parent), target)
            os.utime(target, ns=(found.st_mtime_ns, found.st_mtime_ns), follow_symlinks=False)
        elif stat.S_ISDIR(found.st_mode):
            os.mkdir(target)
            descriptor = os.open(name, _READ_FLAGS | os.O_DIRECTORY, dir_fd=parent)
            try:
                self._folder(descriptor, target, depth=depth + 1)
            finally:
                os.close(descriptor)
        elif stat.S_ISREG(found.st_mode):
            self._file(parent, name, target)
        elif self.changes and overlay.is_removal(found):
            overlay.mark_removed(target)

    def _file(self, parent: int, name: str, target: str) -> None:
        descriptor = os.open(name, _READ_FLAGS, dir_fd=parent)
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                return
            known = (found.st_dev, found.st_ino)
            if known in self.linked:
                os.link(self.linked[known], target)
                return
            self._content(descriptor, target, found)
            if found.st_nlink > 1:
                self.linked[known] = target
        finally:
            os.close(descriptor)

    def _content(self, source: int, target: str, found: os.stat_result) -> None:
        self._take_space(found)
        writer = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            for start, end in files.data_ranges(source, found.st_size):
                self._range(source, writer, start, end)
            os.ftruncate(writer, found.st_size)
            readable = found.st_mode | 0o444 | (0o111 if found.st_mode & 0o111 else 0)
            os.fchmod(writer, self._mode(readable))
            os.utime(writer, ns=(found.st_mtime_ns, found.st_mtime_ns))
        finally:
            os.close(writer)

    def _range(self, source: int, writer: int, start: int, end: int) -> None:
        os.lseek(writer, start, os.SEEK_SET)
        while start < end and (sent := os.sendfile(writer, source, start, min(1 << 24, end - start))):
            start += sent
            self.bytes += sent

    def _take_name(self) -> None:
        if self.count > _MAX_FILES:
            raise KeeperError("too_large", f"there are more than {_MAX_FILES} files")
        free = os.statvfs(self.folder)
        if free.f_favail < free.f_files * _FREE_NAMES:
            raise KeeperError("disk_full", f"the disk of {self.folder} can take hardly any more files")

    def _take_space(self, found: os.stat_result) -> None:
        """Count a file, holes included, and refuse one that would fill the disk on which everybody's sandboxes lie."""
        self.left -= found.st_size
        if self.left < 0:
            raise KeeperError("too_large", "the folders are larger than the sandbox's disk")
        free = os.statvfs(self.folder)
        if free.f_bavail * free.f_frsize - min(found.st_size, found.st_blocks * 512) < MIN_FREE:
            raise KeeperError("disk_full", f"less than {MIN_FREE >> 20} MiB would be free in {self.folder}")

    def _mode(self, mode: int) -> int:
        """Return what everybody may do with it: the reader is not the owner any more."""
        return (mode | (0o666 if self.writable else 0)) & (0o777 if self.writable else 0o755)


def tree_bytes(folder: str) -> int:
    """Sum up what the regular files below *folder* hold, each once; holes count nothing."""
    seen: dict[tuple[int, int], int] = {}
    for path, _, names in os.walk(folder):
        for name in names:
            found = os.lstat(f"{path}/{name}")
            if stat.S_ISREG(found.st_mode):
                seen[found.st_dev, found.st_ino] = min(found.st_size, found.st_blocks * 512)
    return sum(seen.values())


def _sync(folder: str) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        syscalls.syncfs(descriptor)
    finally:
        os.close(descriptor)


def _fsync_folder(folder: str) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
