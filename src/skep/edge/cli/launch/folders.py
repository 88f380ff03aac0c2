"""The folders of an installation and their owners: a list as a value, and what makes it true."""

import errno
import os
import pwd
import stat
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from skep.edge.cli.launch.config import LaunchConfig

_ROOT = 0


class PrepareError(Exception):
    """Something on this machine has to be put right by its operator; `hint` is the command to type."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


@dataclass(frozen=True, slots=True)
class User:
    """Whom the server becomes."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A folder or an empty file that has to be there, with this owner and mode."""

    path: str
    mode: int
    uid: int = _ROOT
    gid: int = _ROOT
    is_file: bool = False


def places(config: LaunchConfig, user: User) -> tuple[Place, ...]:
    """List what has to be there, parents first."""
    return (
        Place(path=config.data_dir, mode=0o755),
        Place(path=config.state_dir, mode=0o700, uid=user.uid, gid=user.gid),
        Place(path=config.keeper_dir, mode=0o711),
        Place(path=config.admin_token_file, mode=0o600, uid=user.uid, gid=user.gid, is_file=True),
        Place(path=config.log_file, mode=0o640, gid=user.gid, is_file=True),
        Place(path=os.path.dirname(config.run_dir), mode=0o711),  # noqa: PTH120  plain strings throughout
        Place(path=config.run_dir, mode=0o711),
    )


def useradd_argv(name: str) -> tuple[str, ...]:
    """Return the command that makes the server's system user."""
    return ("useradd", "--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin", name)


def server_user(config: LaunchConfig) -> User:
    """Find whom the server becomes; make the system user when it is missing."""
    if config.uid is not None:
        return User(pwd.getpwuid(config.uid).pw_name, config.uid, config.gid or pwd.getpwuid(config.uid).pw_gid)
    try:
        entry = pwd.getpwnam(config.server_user)
    except KeyError:
        argv = useradd_argv(config.server_user)
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise PrepareError(
                f"the system user {config.server_user} could not be made: {done.stderr.strip()}", " ".join(argv)
            ) from None
        entry = pwd.getpwnam(config.server_user)
    if entry.pw_uid == _ROOT:
        raise PrepareError("the server never runs as root", "set SKEP_SERVER_USER to an ordinary user")
    return User(entry.pw_name, entry.pw_uid, entry.pw_gid)


def prepare(wanted: Iterable[Place]) -> None:
    """Make every place, and put owner and mode right where they differ.

    This is root's work in folders that may be somebody else's, so what was opened is what is changed: no link is
    followed, and no file that has another name as well is given away.
    """
    for place in wanted:
        handle = _open(place)
        try:
            info = os.fstat(handle)
            if (info.st_uid, info.st_gid) != (place.uid, place.gid):
                _give(handle, place)
            if stat.S_IMODE(info.st_mode) != place.mode:
                os.fchmod(handle, place.mode)
        finally:
            os.close(handle)


def _open(place: Place) -> int:
    """Make what is not there; return a descriptor of it."""
    flags = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        if place.is_file:
            handle = os.open(place.path, flags | os.O_WRONLY | os.O_CREAT, place.mode)
        else:
            Path(place.path).mkdir(mode=place.mode, parents=True, exist_ok=True)
            handle = os.open(place.path, flags | os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.ENXIO):
            kind = "file" if place.is_file else "folder"
            raise PrepareError(f"{place.path} is a link, or no {kind}", f"rm {place.path}") from error
        raise
    info = os.fstat(handle)
    if place.is_file and (info.st_nlink > 1 or not stat.S_ISREG(info.st_mode)):
        os.close(handle)
        raise PrepareError(f"{place.path} has another name as well, or is no file", f"rm {place.path}")
    return handle


def _give(handle: int, place: Place) -> None:
    os.fchown(handle, place.uid, place.gid)
    if place.is_file or place.uid == _ROOT:
        return
    # The state of an installation whose server ran as somebody else, for example before a backup was restored.
    for _, names, others, folder in os.fwalk(".", dir_fd=handle):
        for name in (*names, *others):
            os.chown(name, place.uid, place.gid, dir_fd=folder, follow_symlinks=False)


def copy_for(user: User, source: str, target: Path) -> str:
    """Copy a file that only root may read to where the server's user can read it; return the new path."""
    target.parent.mkdir(mode=0o711, exist_ok=True)
    data = Path(source).read_bytes()
    target.unlink(missing_ok=True)
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400)
    with os.fdopen(descriptor, "wb") as file:
        os.fchown(descriptor, user.uid, user.gid)
        file.write(data)
    return str(target)
