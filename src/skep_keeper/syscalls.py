"""System calls that Python does not offer: thin, checked, nothing decided here."""

import ctypes
import os

MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_NOATIME = 1024
MNT_DETACH = 2
CLONE_NEWNET = 0x40000000
_PR_SET_CHILD_SUBREAPER = 36

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)


def mount(source: str, target: str, kind: str, flags: int, data: str = "") -> None:
    """Attach *source* at *target* (mount(2))."""
    _check(
        _libc.mount(source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), data.encode() or None),
        target,
    )


def umount(target: str, flags: int = 0) -> None:
    """Detach what is at *target*, which is not followed when it is a link (umount2(2))."""
    umount_nofollow = 8
    _check(_libc.umount2(target.encode(), ctypes.c_int(flags | umount_nofollow)), target)


def setns(descriptor: int, kind: int) -> None:
    """Move the calling thread into another namespace; the thread must end soon after."""
    _check(_libc.setns(ctypes.c_int(descriptor), ctypes.c_int(kind)), "setns")


def syncfs(descriptor: int) -> None:
    """Write the whole file system of *descriptor* to its disk."""
    _check(_libc.syncfs(ctypes.c_int(descriptor)), "syncfs")


def become_subreaper() -> None:
    """Adopt sandboxes whose runtime process has ended, so that the dead ones can be reaped."""
    _check(_libc.prctl(ctypes.c_int(_PR_SET_CHILD_SUBREAPER), ctypes.c_ulong(1), 0, 0, 0), "prctl")
