"""Small files, written whole or not at all, and folders that are removed without following links."""

import errno
import json
import os
import re
import shutil
import stat
from collections.abc import Iterator
from typing import Any

from skep_keeper.errors import StartError

_PLAIN = re.compile(r"/[A-Za-z0-9._/+@=-]*")


def write_whole(path: str, data: bytes, mode: int = 0o600) -> None:
    """Put *data* at *path* by a rename, so that a reader sees the old file or the new one."""
    temporary = f"{path}.new"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
    os.rename(temporary, path)


def write_json(path: str, value: Any) -> None:
    """Put *value* at *path* as JSON, by a rename."""
    write_whole(path, json.dumps(value, separators=(",", ":")).encode())


def read_json(path: str) -> Any:
    """Return the JSON value at *path*, or None when there is no (whole) one."""
    try:
        with open(path, "rb") as file:
            return json.loads(file.read())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None


def read_text(path: str) -> str:
    """Return a small file's text without the line's end, "" when it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return ""


def read_number(path: str) -> int:
    """Return the whole number that a file holds, 0 when it holds none."""
    text = read_text(path)
    return int(text) if text.isdecimal() else 0


def names(folder: str) -> list[str]:
    """List a folder, sorted; one that is not there is empty."""
    try:
        return sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []


def data_ranges(descriptor: int, size: int) -> Iterator[tuple[int, int]]:
    """Yield (start, end) of the parts of a file that hold data, up to *size*; the rest are holes."""
    position = 0
    while position < size:
        try:
            start = os.lseek(descriptor, position, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # only a hole is left
                return
            raise
        position = os.lseek(descriptor, start, os.SEEK_HOLE)
        yield start, min(position, size)


def remove_tree(path: str) -> None:
    """Remove a file, or a folder and all below it; links are removed, not followed; an absent one is no error."""
    try:
        if stat.S_ISDIR(os.lstat(path).st_mode):
            shutil.rmtree(path)
        else:
            os.unlink(path)
    except FileNotFoundError:
        if os.path.lexists(path):
            # Something below it vanished meanwhile: whoever removed that may have stopped there.
            shutil.rmtree(path, ignore_errors=True)


def make_folder(path: str, mode: int) -> None:
    """Make a folder with exactly *mode*, whatever the umask is, or put the mode of an existing one right."""
    os.makedirs(path, exist_ok=True)
    os.chmod(path, mode)


def require_trusted(path: str, what: str) -> None:
    """Refuse a folder that somebody but root could exchange for another one.

    Raises:
        StartError: a part of the path is a link, is not root's, or is writable for others without a sticky bit.
    """
    if not os.path.isabs(path) or os.path.normpath(path) != path or _PLAIN.fullmatch(path) is None:
        raise StartError(f"{what} {path!r} must be absolute and made of letters, digits and . _ / + @ = - only")
    current = ""
    for part in ("", *path.strip("/").split("/")):
        current = f"{current.rstrip('/')}/{part}"
        try:
            found = os.lstat(current)
        except FileNotFoundError:
            return
        if not stat.S_ISDIR(found.st_mode):
            raise StartError(f"{what} {path}: {current} is not a folder (links are not followed)")
        if found.st_uid != 0:
            raise StartError(f"{what} {path}: {current} belongs to user {found.st_uid}, it must belong to root")
        if found.st_mode & 0o022 and not found.st_mode & stat.S_ISVTX:
            raise StartError(f"{what} {path}: {current} is writable for others than root")
