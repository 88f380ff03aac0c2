"""This machine and its data folder: who works on it, under which name, since which boot."""

import fcntl
import os
import platform
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from skep.kernel.clock import SystemClock, to_ms
from skep.kernel.errors import ConflictError, InvalidError
from skep.kernel.ids import IdSource


def boot_id() -> str:
    """Return what is another after each boot of the machine."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def node_name(state_dir: Path) -> str:
    """Return the name under which this data folder's machine is known, whatever its host name becomes."""
    place = state_dir / "node"
    if not place.exists():
        keep_file(place, f"{platform.node()}-{IdSource().new('nod', to_ms(SystemClock().now()))[-8:]}\n")
    return place.read_text().strip()


def keep_file(place: Path, text: str) -> None:
    """Write a small file of the owner's alone, in place (its folder may not be ours), and sync it."""
    descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.truncate()
        file.flush()
        os.fsync(file.fileno())


def read_file(place: Path) -> str:
    """Read a file that a setting names.

    Raises:
        InvalidError: it cannot be read.
    """
    try:
        return place.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidError(
            f"{place} cannot be read: {error}.", code="setting_invalid", hint="The server's own user has to read it."
        ) from error


@contextmanager
def held(state_dir: Path) -> Generator[None]:
    """Hold the lock that says: one server for this data folder.

    Raises:
        ConflictError: another server has it.
    """
    descriptor = os.open(state_dir / "server.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConflictError(
                f"Another server works on {state_dir}.",
                code="already_running",
                hint="Stop it first (skep down), or give this one a --data-dir of its own.",
            ) from error
        yield
    finally:
        os.close(descriptor)
