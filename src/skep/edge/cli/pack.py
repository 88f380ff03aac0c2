"""Packs a folder for the upload: which files, decided by pure functions, and a tar of them."""

import gzip
import os
import stat
import subprocess
import tarfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, cast

from skep.kernel.errors import InvalidError, TooLargeError, UnavailableError
from skep.kernel.settings import MIB

#: Left out of a folder that is no checkout, whatever its `.gitignore` says.
IGNORED_FOLDERS = frozenset(
    {
        *(".git", ".hg", ".svn", ".venv", "venv", "node_modules", "__pycache__", ".tox", ".nox"),
        *(".mypy_cache", ".pytest_cache", ".ruff_cache", ".hypothesis", ".idea", ".vscode"),
    }
)
IGNORED_FILES = frozenset({".DS_Store", ".coverage"})
_MOST_FILES = 50_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much the server takes, MiB."""

    packed_mb: int
    unpacked_mb: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """What was packed."""

    files: int
    #: Bytes before packing.
    size: int
    #: Pipes, sockets and devices: there is nothing in them to pack.
    left_out: tuple[str, ...] = ()


def file_list(folder: Path) -> list[str]:
    """List the files to pack, relative to *folder*: what `.gitignore` leaves; without a checkout no usual rubbish.

    Raises:
        InvalidError: git cannot tell.
        UnavailableError: there is a `.gitignore`, and no git to read it.
    """
    if _is_checkout(folder):
        names = _by_git(folder)
        # A repository that ignores a folder inside it has nothing to say about what is in there.
        if names or not _is_ignored(folder):
            return sorted(names)
    return sorted(_not_ignored(folder, _by_walking(folder)))


def _git(folder: Path, *argv: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(("git", "-C", str(folder), *argv), input=given, capture_output=True, check=False)


def _is_checkout(folder: Path) -> bool:
    try:
        return _git(folder, "rev-parse", "--is-inside-work-tree").stdout.strip() == b"true"
    except FileNotFoundError:
        return False


def _is_ignored(folder: Path) -> bool:
    return _git(folder, "check-ignore", "--quiet", ".").returncode == 0


def _by_git(folder: Path) -> list[str]:
    listed = _done(_git(folder, "ls-files", "-z", "--cached", "--others", "--exclude-standard"))
    names = {os.fsdecode(name) for name in listed.split(b"\0") if name}
    # The index may name files that were deleted, and folders (submodules).
    return [name for name in names if (folder / name).is_symlink() or _is_no_folder(folder / name)]


def _is_no_folder(path: Path) -> bool:
    return path.exists() and not path.is_dir()


def _by_walking(folder: Path) -> list[str]:
    found: list[str] = []
    for here, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name not in IGNORED_FOLDERS]
        inner = Path(here).relative_to(folder)
        linked = [name for name in folders if (Path(here) / name).is_symlink()]
        found += [str(inner / name) for name in (*files, *linked) if _wanted(name)]
    return found


def _not_ignored(folder: Path, names: list[str]) -> list[str]:
    """Leave out what the `.gitignore` files of a folder that is no checkout name.

    git is asked about names that were walked, since its own listing stops at each checkout further in.
    """
    try:
        ignored = _ignored(folder, names)
    except FileNotFoundError:
        if not any(Path(name).name == ".gitignore" for name in names):
            return names
        raise UnavailableError(
            "git, which reads .gitignore, is missing", code="git_missing", hint="apt-get install -y git"
        ) from None
    return [name for name in names if name not in ignored]


def _ignored(folder: Path, names: list[str]) -> set[str]:
    # No name that begins with "./" is taken for a pattern of git's.
    asked = b"".join(b"./" + os.fsencode(name) + b"\0" for name in names)
    # An empty repository elsewhere stands in for the one that is missing: nothing in the folder configures git.
    with TemporaryDirectory(prefix="skep-ignore-") as empty:
        _done(_git(folder, "init", "--quiet", "--bare", "--template=", empty))
        where = (f"--git-dir={empty}", f"--work-tree={folder}")
        done = _git(folder, *where, "check-ignore", "--no-index", "-z", "--stdin", given=asked)
    # 1 says that none of them is ignored.
    found = done.stdout if done.returncode == 1 else _done(done)
    return {os.fsdecode(name[2:]) for name in found.split(b"\0")}


def _done(git: subprocess.CompletedProcess[bytes]) -> bytes:
    if git.returncode != 0:
        words = git.stderr.decode(errors="replace").strip()
        raise InvalidError(f"git cannot list the files: {words}", code="git_failed")
    return git.stdout


def _wanted(name: str) -> bool:
    return name not in IGNORED_FILES and not name.endswith((".pyc", ".pyo"))


def link_stays_inside(name: str, target: str) -> bool:
    """Tell whether a link *name* that points to *target* leads nowhere but inside the packed folder."""
    if target.startswith("/"):
        return False
    path = os.path.normpath(os.path.join(os.path.dirname(name), target))  # noqa: PTH118, PTH120  no file is looked at
    return path != ".." and not path.startswith("../")


def pack(
    folder: Path,
    names: Iterable[str],
    out: IO[bytes],
    *,
    limits: Limits,
    progress: Callable[[int], None] = lambda _size: None,
) -> Packed:
    """Write a gzipped tar of the files *names* of *folder*; modes keep only their execute bit.

    Raises:
        TooLargeError: more than *limits* allow; nothing is packed if that can be told before.
        InvalidError: a link that leads out of the folder, or a file that is none.
    """
    found = {name: _member(folder, name) for name in names}
    members = [info for info in found.values() if info is not None]
    if len(members) > _MOST_FILES:
        raise _too_large(f"{folder} holds more than {_MOST_FILES} files")
    if sum(info.size for info in members) > limits.unpacked_mb * MIB:
        raise _too_large(f"{folder} holds more than {limits.unpacked_mb} MiB, the server's SKEP_SOURCE_LIMIT_MB")
    size = 0
    bounded = cast("IO[bytes]", _Bounded(out, limits.packed_mb, str(folder)))
    with (
        gzip.GzipFile(fileobj=bounded, mode="wb", compresslevel=6, mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for info in members:
            size += info.size
            if info.isreg():
                with (folder / info.name).open("rb") as file:
                    tar.addfile(info, file)
            else:
                tar.addfile(info)
            progress(size)
    return Packed(files=len(members), size=size, left_out=tuple(name for name in found if found[name] is None))


class _Bounded:
    """Takes as much of an archive as the server does."""

    def __init__(self, out: IO[bytes], limit_mb: int, folder: str) -> None:
        self._out = out
        self._limit_mb = limit_mb
        self._folder = folder
        self._size = 0

    def write(self, data: bytes) -> int:
        """Write a piece of it."""
        self._size += len(data)
        if self._size > self._limit_mb * MIB:
            raise _too_large(
                f"{self._folder} is larger than {self._limit_mb} MiB packed, the server's SKEP_UPLOAD_LIMIT_MB"
            )
        return self._out.write(data)

    def flush(self) -> None:
        """Write what is held back."""
        self._out.flush()


def _too_large(words: str) -> TooLargeError:
    return TooLargeError(words, code="source_too_large", hint="list what is not needed in .gitignore")


def _member(folder: Path, name: str) -> tarfile.TarInfo | None:
    path = folder / name
    status = path.lstat()
    info = tarfile.TarInfo(name)
    if stat.S_ISLNK(status.st_mode):
        info.type, info.linkname, info.mode = tarfile.SYMTYPE, str(path.readlink()), 0o777
        if not link_stays_inside(name, info.linkname):
            raise InvalidError(
                f"{name} is a link that leads out of the folder, to {info.linkname}",
                code="link_leads_out",
                hint="replace it by the file, or list it in .gitignore",
            )
        return info
    if not stat.S_ISREG(status.st_mode):
        return None
    info.size = status.st_size
    info.mode = 0o755 if status.st_mode & stat.S_IXUSR else 0o644
    return info
