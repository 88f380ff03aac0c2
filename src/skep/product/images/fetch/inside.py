"""Runs inside a build's sandbox, as a program of its own: unpacks an upload, or lists what the source holds.

Only the standard library, and nothing of Skep: its text is put into the sandbox. What it writes is untrusted.

    python3 -I -S inside.py unpack ARCHIVE FOLDER TARGET LIMIT_BYTES
    python3 -I -S inside.py list TARGET ANSWER LIMIT_BYTES PATTERN...
"""
# It starts fast: os only, as in the supervisor.
# ruff: noqa: PTH101, PTH103, PTH108, PTH114, PTH115, PTH118, PTH120, PTH123, PTH211

import fnmatch
import hashlib
import json
import os
import stat
import sys
import tarfile
from collections.abc import Iterator

MAX_FILES = 50_000
MAX_TEXT = 256 * 1024
#: Files whose text is let be larger: what was meant to be installed stands in them.
LOCKS = ("uv.lock", "requirements.txt", "package-lock.json", "npm-shrinkwrap.json")
MAX_LOCK_TEXT = 2 * 1024 * 1024
MAX_TEXTS = 64
#: Texts that one pattern with a `*` may take, so that a folder of many projects leaves room for the others.
MAX_TEXTS_OF_PATTERN = 12
#: How a file begins that only stands for one of Git LFS, and the most that it has.
POINTER = b"version https://git-lfs.github.com/spec/v1\n"
MAX_POINTER = 1024
#: The exit code that says: larger than allowed.
TOO_LARGE = 3
#: The exit code that says: no archive, or one with entries that lead out of it.
BAD_ARCHIVE = 4
#: The exit code that says: the folder asked for is not there, or empty.
NO_FOLDER = 5


class Stop(Exception):  # noqa: N818  not an error of the program: its answer
    """Ends the program with an exit code and a sentence."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


def unpack(archive: str, folder: str, target: str, limit: int) -> None:
    """Unpack what lies below *folder* in *archive* into *target*."""
    prefix = folder.split("/") if folder else []
    total = count = 0
    try:
        with tarfile.open(archive, "r:*") as tar:
            for member in tar:
                parts = [part for part in member.name.split("/") if part not in ("", ".")]
                if member.name.startswith("/") or ".." in parts:
                    raise Stop(BAD_ARCHIVE, f"the entry {member.name[:200]!r} leads out of the archive")
                if parts[: len(prefix)] != prefix or len(parts) == len(prefix) or ".git" in parts:
                    continue
                total += member.size if member.isreg() else 0
                count += 1
                if total > limit or count > MAX_FILES:
                    raise Stop(TOO_LARGE, f"more than {limit} bytes or {MAX_FILES} files")
                place(tar, member, os.path.join(target, *parts[len(prefix) :]), target)
    except (tarfile.TarError, EOFError, OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise Stop(BAD_ARCHIVE, f"this is no archive that can be read: {error}") from error
    if not count:
        raise Stop(NO_FOLDER, "there is nothing in it" if not folder else f"there is no folder {folder!r} in it")


def place(tar: tarfile.TarFile, member: tarfile.TarInfo, path: str, target: str) -> None:
    """Make the file, folder or link that *member* stands for; anything else is left out."""
    parent = os.path.dirname(path)
    if member.isdir():
        within(path, target)
        os.makedirs(path, exist_ok=True)
        return
    within(parent, target)
    os.makedirs(parent, exist_ok=True)
    if os.path.lexists(path):
        os.unlink(path)
    if member.issym():
        os.symlink(member.linkname, path)
    elif member.isreg() and (source := tar.extractfile(member)) is not None:
        with source, open(path, "xb") as file:
            while data := source.read(1 << 20):
                file.write(data)
        os.chmod(path, 0o755 if member.mode & 0o100 else 0o644)


def within(path: str, target: str) -> None:
    """Refuse a *path* that leaves *target* through a link which the archive made before."""
    real, root = os.path.realpath(path), os.path.realpath(target)
    if real != root and not real.startswith(root + "/"):
        raise Stop(BAD_ARCHIVE, "an entry leads out of the archive through a link")


def walk(root: str) -> Iterator[tuple[str, str, os.stat_result]]:
    """Yield (relative path, path, status) of everything but folders below *root*, sorted, without .git."""
    for folder, folders, files in os.walk(root):
        folders.sort()
        if ".git" in folders:
            folders.remove(".git")
        links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
        for name in sorted(files + links):
            path = os.path.join(folder, name)
            yield os.path.relpath(path, root), path, os.lstat(path)


def content(path: str, status: os.stat_result) -> tuple[str, str, bool]:
    """Return the kind of the file, the SHA-256 of what it holds, and whether it only stands for a file of Git LFS."""
    if stat.S_ISLNK(status.st_mode):
        return "l", hashlib.sha256(os.fsencode(os.readlink(path))).hexdigest(), False
    if not stat.S_ISREG(status.st_mode):
        return "o", "", False
    digest, start = hashlib.sha256(), b""
    with open(path, "rb") as file:
        while data := file.read(1 << 20):
            start = start or data[: len(POINTER)]
            digest.update(data)
    pointer = start == POINTER and status.st_size <= MAX_POINTER
    return ("x" if status.st_mode & 0o100 else "f"), digest.hexdigest(), pointer


def wanted(path: str, patterns: list[str]) -> str | None:
    """Return the pattern that *path* matches, part by part: `*` does not cross a slash."""
    depth = path.count("/")
    parts = path.split("/")
    for pattern in patterns:
        if pattern.count("/") == depth and all(map(fnmatch.fnmatchcase, parts, pattern.split("/"))):
            return pattern
    return None


def has_room(pattern: str, taken: dict[str, int]) -> bool:
    """Tell whether one more text of *pattern* is taken, and count it in *taken*."""
    taken[pattern] = taken.get(pattern, 0) + 1
    return "*" not in pattern or taken[pattern] <= MAX_TEXTS_OF_PATTERN


def listing(root: str, limit: int, patterns: list[str]) -> dict[str, object]:
    """Return paths with sizes, the texts and hashes of the wanted ones, and a digest over everything."""
    files: dict[str, int] = {}
    texts: dict[str, str] = {}
    hashes: dict[str, str] = {}
    pointers: list[str] = []
    taken: dict[str, int] = {}
    whole = hashlib.sha256()
    total = 0
    for name, path, status in walk(root):
        total += status.st_size
        if total > limit or len(files) >= MAX_FILES:
            raise Stop(TOO_LARGE, f"more than {limit} bytes or {MAX_FILES} files")
        kind, digest, is_pointer = content(path, status)
        whole.update(b"\0".join((os.fsencode(name), kind.encode(), digest.encode(), b"\n")))
        shown = os.fsencode(name).decode("utf-8", "replace")
        files[shown] = status.st_size
        if is_pointer and len(pointers) < MAX_TEXTS:
            pointers.append(shown)
        pattern = wanted(name, patterns) if kind in "fx" and len(texts) < MAX_TEXTS else None
        if pattern is not None and has_room(pattern, taken):
            hashes[shown] = digest
            most = MAX_LOCK_TEXT if shown in LOCKS else MAX_TEXT
            if status.st_size <= most:
                with open(path, "rb") as file:
                    texts[shown] = file.read(most).decode("utf-8", "replace")
    python = ".".join(str(part) for part in sys.version_info[:3])
    return {
        "files": files,
        "texts": texts,
        "hashes": hashes,
        "pointers": pointers,
        "digest": whole.hexdigest(),
        "python": python,
    }


def main(arguments: list[str]) -> int:
    """Do what the first of *arguments* says."""
    try:
        if arguments[0] == "unpack":
            unpack(arguments[1], arguments[2], arguments[3], int(arguments[4]))
            os.unlink(arguments[1])
        else:
            answer = json.dumps(listing(arguments[1], int(arguments[3]), arguments[4:]))
            with open(arguments[2], "w", encoding="utf-8") as file:
                file.write(answer)
    except Stop as stop:
        print(stop, file=sys.stderr)  # noqa: T201  the log of the build
        return stop.code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
