"""The folders of an installation and their owners: a list as a value, and what makes it true."""

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
    """Make every place, and put owner and mode right where they differ."""
    for place in wanted:
        path = Path(place.path)
        if place.is_file:
            path.touch(mode=place.mode)
        else:
            path.mkdir(mode=place.mode, parents=True, exist_ok=True)
        info = path.lstat()
        if stat.S_ISLNK(info.st_mode):
            raise PrepareError(f"{path} is a link", f"rm {path}")
        if (info.st_uid, info.st_gid) != (place.uid, place.gid):
            _give(path, place)
        if stat.S_IMODE(info.st_mode) != place.mode:
            path.chmod(place.mode)


def _give(path: Path, place: Place) -> None:
    os.chown(path, place.uid, place.gid)
    if place.is_file or place.uid == _ROOT:
        return
    # The state of an installation whose server ran as somebody else, for example before a backup was restored.
    for folder, names, files in os.walk(path):
        for name in (*names, *files):
            os.chown(os.path.join(folder, name), place.uid, place.gid, follow_symlinks=False)  # noqa: PTH118


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
