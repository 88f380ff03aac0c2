"""The root file system of a sandbox: layers over the base, and the folders that somebody inside owns."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from skep_keeper import files, syscalls
from skep_keeper.bundle import AGENT_ID
from skep_keeper.disk import Disk
from skep_keeper.vocabulary import SEALABLE

_ROOT_ID = 0


@dataclass(frozen=True, slots=True)
class Owned:
    """A folder in the upper part of the overlay, by its owner's id inside."""

    path: str
    owner: int
    mode: int


def owned(provided: Callable[[str], bool]) -> Iterator[Owned]:
    """List the folders that a sandbox needs of its own, parents first; *provided* tells what its layers bring."""
    yield Owned("", _ROOT_ID, 0o755)
    yield Owned("/home", _ROOT_ID, 0o755)
    yield Owned("/home/agent", AGENT_ID, 0o700)
    yield Owned("/opt", _ROOT_ID, 0o755)
    yield Owned("/run", _ROOT_ID, 0o755)
    # Memory is mounted over it later, with the mode that is found here.
    yield Owned("/run/secrets", AGENT_ID, 0o700)
    yield Owned("/run/skep", AGENT_ID, 0o700)
    yield Owned("/run/skep/artifacts", AGENT_ID, 0o700)
    yield Owned("/tmp", _ROOT_ID, 0o1777)  # noqa: S108  a path inside the sandbox
    yield Owned("/var", _ROOT_ID, 0o755)
    yield Owned("/var/tmp", _ROOT_ID, 0o1777)  # noqa: S108
    # Where sources and environments are made when nobody has brought them.
    for path in SEALABLE:
        if not provided(path):
            yield Owned(path, AGENT_ID, 0o755)


def prepare(upper: str, folders: Iterator[Owned], first_id: int) -> None:
    """Make *folders* in the upper part of an overlay that is not mounted yet."""
    for folder in folders:
        path = upper + folder.path
        files.make_folder(path, folder.mode)
        os.chown(path, first_id + folder.owner, first_id + folder.owner)


def overlay_options(base: str, layers: list[str], disk: Disk) -> str:
    """Return overlay's mount options; *layers* are the lowest first, the kernel wants the highest first.

    A folder may be renamed, also one of a layer; a file that is changed is there whole, so that it can be sealed.
    """
    lower = ":".join([*reversed(layers), base])
    return f"lowerdir={lower},upperdir={disk.upper},workdir={disk.work},redirect_dir=on,metacopy=off"


def mount(target: str, base: str, layers: list[str], disk: Disk) -> None:
    """Mount the overlay at *target*."""
    files.make_folder(target, 0o711)
    options = overlay_options(base, layers, disk)
    syscalls.mount("overlay", target, "overlay", syscalls.MS_NOSUID | syscalls.MS_NODEV, options)
