"""Carries out a `View` in a mount namespace of its own. Runs between fork and exec, as root; thin on purpose."""

import ctypes
import os
import stat
import struct
from pathlib import Path

from skep.edge.cli.launch.view import Entry, Kind, View, below

_CLONE_NEWNS = 0x00020000
_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_NOEXEC, _MS_REMOUNT, _MS_BIND = 1, 2, 4, 8, 32, 4096
_MS_REC, _MS_SLAVE = 16384, 1 << 19
_MNT_DETACH = 2
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _mount(source: str | None, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    encode = [value.encode() if value is not None else None for value in (source, target, kind, data)]
    _check(_libc.mount(encode[0], encode[1], encode[2], ctypes.c_ulong(flags), encode[3]), f"mount {target}")


def prctl(option: int, value: int) -> None:
    """Change one property of this process."""
    _check(_libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0), f"prctl {option}")


def die_with_parent(number: int) -> None:
    """Have the kernel send signal *number* to this process when the launcher dies."""
    prctl(_PR_SET_PDEATHSIG, number)


def drop_capabilities() -> None:
    """Give up every capability, the inheritable ones too, which a change of user leaves as they are.

    Source: capset(2), version 3 of its header: two words each of effective, permitted, inheritable.
    """
    header = struct.pack("=Ii", 0x20080522, 0)
    _check(_libc.capset(header, bytes(24)), "capset")


def no_new_privileges() -> None:
    """Give up gaining privileges by any exec from now on."""
    prctl(_PR_SET_NO_NEW_PRIVS, 1)


def look_as(uid: int, gid: int) -> "Looker":
    """Return the eyes of a user: what is open to it, by owner, group and mode."""
    return Looker(uid, gid)


class Looker:
    """Answers `view.Look` from the file system, by mode bits; an unclear case counts as closed."""

    def __init__(self, uid: int, gid: int) -> None:
        self._uid, self._gid = uid, gid

    def __call__(self, path: str) -> Entry:
        """Say what *path* is to the user."""
        try:
            info = os.lstat(path)
        except OSError:
            return Entry(kind=Kind.MISSING)
        if stat.S_ISLNK(info.st_mode):
            return Entry(kind=Kind.LINK, target=str(Path(path).readlink()))
        bits = info.st_mode
        shift = 6 if info.st_uid == self._uid else 3 if info.st_gid == self._gid else 0
        if stat.S_ISDIR(bits):
            return Entry(kind=Kind.FOLDER, open=bool(bits >> shift & 1))
        return Entry(kind=Kind.FILE, open=bool(bits >> shift & 4))


def enter(view: View, *, drop: str) -> None:
    """Make *view* real for this process and its children, and let go of the mounts below *drop*.

    Mounts of sandboxes that were copied into the new namespace would keep their disks busy for ever.
    """
    _check(_libc.unshare(_CLONE_NEWNS), "unshare")
    _mount(None, "/", None, _MS_REC | _MS_SLAVE)
    _detach_below(drop)
    held = {bind.path: os.open(bind.path, os.O_PATH | os.O_CLOEXEC) for bind in view.binds}
    for cover in view.covers:
        _mount("tmpfs", cover, "tmpfs", _MS_NOSUID | _MS_NODEV, "mode=0755,size=1m,nr_inodes=4096")
    for folder in view.folders:
        Path(folder).mkdir(mode=0o755, exist_ok=True)
    for path, target in view.links:
        Path(path).symlink_to(target)
    for bind in view.binds:
        point = Path(bind.path)
        if not point.exists():
            point.mkdir(mode=0o755) if bind.kind is Kind.FOLDER else point.touch(mode=0o644)
        _mount(f"/proc/self/fd/{held[bind.path]}", bind.path, None, _MS_BIND | _MS_REC)
        flags = _MS_NOSUID | _MS_NODEV | (0 if bind.writable else _MS_RDONLY)
        _mount(None, bind.path, None, _MS_REMOUNT | _MS_BIND | flags)
    for cover in view.covers:
        _mount(None, cover, None, _MS_REMOUNT | _MS_BIND | _MS_RDONLY | _MS_NOSUID | _MS_NODEV)
    for descriptor in held.values():
        os.close(descriptor)


def _detach_below(folder: str) -> None:
    points = [line.split(" ")[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    # mountinfo writes a space as \040; the launcher's own folders hold none.
    for point in sorted((p for p in points if p != folder and below(p, folder)), reverse=True):
        _libc.umount2(point.encode(), _MNT_DETACH)
