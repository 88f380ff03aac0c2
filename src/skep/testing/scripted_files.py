"""The files of a `ScriptedDriver` sandbox: a dictionary with just enough of a file system's rules."""

import posixpath
from dataclasses import dataclass
from typing import Self

from skep.kernel.errors import ForbiddenError, InvalidError, NotFoundError, TooLargeError
from skep.product.sandboxes.model import FileEntry

#: Where the agent's user may write.
_OWN = ("/app", "/home/agent", "/opt/env", "/run/secrets", "/run/skep", "/tmp")  # noqa: S108  inside the sandbox


@dataclass(frozen=True, slots=True)
class _Node:
    """A file's content, or a link's target."""

    content: bytes
    mode: int
    target: str | None = None


class ScriptedFiles:
    """Absolute paths and what is there; folders are what paths have in common."""

    def __init__(self, *, limit: int) -> None:
        self._limit = limit
        self._nodes: dict[str, _Node] = {}
        #: Of a layer that holds changes: what of the layers below is not there any more.
        self._gone: frozenset[str] = frozenset()

    @property
    def size(self) -> int:
        """Bytes in all files."""
        return sum(len(node.content) for node in self._nodes.values())

    def overlay(self, layer: Self) -> None:
        """Lay a layer's files over these."""
        for path in layer._gone:
            self._nodes.pop(path, None)
        self._nodes.update(layer._nodes)

    def below(self, paths: tuple[str, ...], *, writable: bool) -> "ScriptedFiles":
        """Return a copy of the folders *paths*, as a layer has it."""
        layer = ScriptedFiles(limit=self._limit)
        for path, node in self._nodes.items():
            if any(path.startswith(folder + "/") for folder in paths):
                layer._nodes[path] = _Node(node.content, node.mode | (0o666 if writable else 0), node.target)
        layer._gone = self._gone
        return layer

    def changes(self, before: Self) -> "ScriptedFiles":
        """Return what differs from what was there *before*."""
        changed = ScriptedFiles(limit=self._limit)
        changed._nodes = {path: node for path, node in self._nodes.items() if before._nodes.get(path) != node}
        changed._gone = frozenset(before._nodes.keys() - self._nodes.keys())
        return changed

    def write(self, path: str, content: bytes, mode: int) -> None:
        """Write as a command would."""
        self._nodes[self._resolve(path)] = _Node(content, mode)

    def link(self, path: str, target: str) -> None:
        """Make a symbolic link."""
        self._nodes[path] = _Node(b"", 0o777, target)

    def remove(self, path: str) -> None:
        """Remove a file, or a folder and all below it."""
        for found in [name for name in self._nodes if name == path or name.startswith(f"{path}/")]:
            del self._nodes[found]

    def rename(self, path: str, to: str) -> None:
        """Give a folder another path."""
        for found in [name for name in self._nodes if name.startswith(f"{path}/")]:
            self._nodes[to + found.removeprefix(path)] = self._nodes.pop(found)

    def put(self, path: str, content: bytes, mode: int) -> None:
        """Write as the driver does for the agent's user: in place of what is there, its own folders only."""
        folder, name = posixpath.split(path)
        if not path.startswith("/") or not name:
            raise InvalidError(f"{path} is no absolute path of a file")
        real = posixpath.join(self._resolve(folder), name)
        if not real.startswith(tuple(f"{own}/" for own in _OWN)):
            raise ForbiddenError(f"the agent's user may not write {path}", code="sandbox_denied")
        if self.size + len(content) > self._limit:
            raise TooLargeError("no space left on the sandbox's disk", code="sandbox_no_space")
        self._nodes[real] = _Node(content, mode)

    def read(self, path: str) -> bytes:
        """Return a regular file's content; the last part of its path may be no link."""
        folder, name = posixpath.split(path)
        node = self._nodes.get(posixpath.join(self._resolve(folder), name))
        if node is None or node.target is not None:
            raise NotFoundError(f"there is no file {path}", code="sandbox_not_found")
        return node.content

    def read_or_nothing(self, path: str) -> bytes:
        """Return a file's content, following links, or nothing if there is none."""
        node = self._nodes.get(self._resolve(path))
        return b"" if node is None else node.content

    def entries(self, folder: str) -> list[FileEntry]:
        """List what is below *folder*, depth first by name; links are not followed."""
        root = folder.rstrip("/") + "/"
        found: dict[tuple[str, ...], FileEntry] = {}
        for path, node in self._nodes.items():
            if not path.startswith(root):
                continue
            parts = tuple(path[len(root) :].split("/"))
            for depth in range(1, len(parts)):
                found[parts[:depth]] = FileEntry(path="/".join(parts[:depth]), size=0, is_dir=True, mode=0o755)
            found[parts] = FileEntry(
                path="/".join(parts), size=len(node.content), is_link=node.target is not None, mode=node.mode
            )
        return [found[parts] for parts in sorted(found)]

    def _resolve(self, path: str) -> str:
        """Follow the links in *path*, within the sandbox."""
        for _ in range(40):
            followed = self._follow_one(posixpath.normpath(path))
            if followed == path:
                return path
            path = followed
        raise NotFoundError(f"{path} leads in a circle", code="sandbox_not_found")

    def _follow_one(self, path: str) -> str:
        parts = path.split("/")
        for depth in range(2, len(parts) + 1):
            node = self._nodes.get("/".join(parts[:depth]))
            if node is not None and node.target is not None:
                above = "/".join(parts[: depth - 1])
                return posixpath.normpath(posixpath.join(above or "/", node.target, *parts[depth:]))
        return path
