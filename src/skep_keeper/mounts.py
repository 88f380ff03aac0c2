"""What is mounted, as the kernel tells it."""

import contextlib
import errno
import os
import re
from dataclasses import dataclass

from skep_keeper import syscalls

_OCTAL = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class Mount:
    """One line of mountinfo."""

    target: str
    kind: str
    source: str
    #: Options of the file system itself.
    options: str


def parse(text: str) -> list[Mount]:
    """Read mountinfo (proc(5)), in the order of mounting."""
    found: list[Mount] = []
    for line in text.splitlines():
        head, _, tail = line.partition(" - ")
        fields, rest = head.split(" "), tail.split(" ")
        found.append(Mount(_plain(fields[4]), rest[0], _plain(rest[1]), _plain(rest[2])))
    return found


def current() -> list[Mount]:
    """List the mounts that this process sees."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        return parse(file.read())


def below(folder: str, mounts: list[Mount]) -> list[Mount]:
    """Choose the mounts at or below *folder*, deepest and latest first."""
    inside = [mount for mount in mounts if mount.target == folder or mount.target.startswith(f"{folder}/")]
    inside.reverse()
    return sorted(inside, key=lambda mount: -mount.target.count("/"))


def unmount_below(folder: str) -> list[str]:
    """Unmount everything at or below *folder*; return what was unmounted."""
    done: list[str] = []
    for mount in below(folder, current()):
        unmount(mount.target)
        done.append(mount.target)
    return done


def unmount(target: str) -> None:
    """Unmount *target*; one that is not mounted is no error. A busy one vanishes when its last user goes."""
    try:
        syscalls.umount(target)
    except OSError as error:
        if error.errno == errno.EBUSY:
            with contextlib.suppress(FileNotFoundError):
                syscalls.umount(target, syscalls.MNT_DETACH)
        elif error.errno not in (errno.EINVAL, errno.ENOENT):
            raise


def lower_folders(mounts: list[Mount], folder: str) -> set[str]:
    """Name the folders below *folder* that overlays are made of."""
    found: set[str] = set()
    for mount in mounts:
        if mount.kind == "overlay":
            for option in mount.options.split(","):
                if option.startswith("lowerdir="):
                    found.update(option.removeprefix("lowerdir=").split(":"))
    return {path for path in found if os.path.dirname(path) == folder}


def _plain(text: str) -> str:
    return _OCTAL.sub(lambda match: chr(int(match.group(1), 8)), text)
