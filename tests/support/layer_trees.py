"""What lies in the folders of sealed layers, so exactly that one changed byte shows."""

import hashlib
import os
import stat
from pathlib import Path

Tree = dict[str, tuple[str, str]]


def trees(keeper_dir: Path) -> dict[str, Tree]:
    """Return all sealed layers: id -> what lies in it."""
    layers = sorted((keeper_dir / "layers").iterdir())
    return {layer.name: tree(layer) for layer in layers if not layer.name.startswith(".")}


def tree(folder: Path) -> Tree:
    """Return path -> (mode and owner, content or target) of all below *folder*; times are left out."""
    found: Tree = {}
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(parent, name)
            found[str(path.relative_to(folder))] = _described(path)
    return found


def disk_bytes(folder: Path) -> int:
    """Return what `du` counts: blocks of all below *folder*, each file once."""
    seen: dict[tuple[int, int], int] = {}
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            try:
                status = Path(parent, name).lstat()
            except FileNotFoundError:
                continue
            seen[status.st_dev, status.st_ino] = status.st_blocks * 512
    return sum(seen.values())


def content_bytes(folder: Path) -> int:
    """Return what the files below *folder* hold, each file once."""
    files = (path.lstat() for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return sum({(status.st_dev, status.st_ino): status.st_size for status in files}.values())


def _described(path: Path) -> tuple[str, str]:
    status = path.lstat()
    mode = f"{stat.filemode(status.st_mode)} {status.st_uid}:{status.st_gid}"
    if stat.S_ISREG(status.st_mode):
        return mode, hashlib.sha256(path.read_bytes()).hexdigest()
    if stat.S_ISLNK(status.st_mode):
        return mode, str(path.readlink())
    return mode, str(status.st_rdev)
