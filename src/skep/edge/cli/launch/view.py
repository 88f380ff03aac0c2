"""What the server's user must see although a folder above it is closed: a plan of mounts, as a value.

Code and Python may lie below `/root` or a private temporary folder. The server gets a mount namespace of its
own, in which each closed folder is covered by an empty one that is open, with only the needed paths put back.
"""

import posixpath
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

_MAX_LINKS = 40


class Kind(StrEnum):
    """What a path is."""

    FOLDER = "folder"
    FILE = "file"
    LINK = "link"
    MISSING = "missing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What is known of a path, seen with the eyes of the server's user."""

    kind: Kind
    #: For a folder: the user may go through it. For a file: may read it.
    open: bool = True
    #: For a link: where it points.
    target: str = ""


@dataclass(frozen=True, slots=True, order=True)
class Need:
    """A path that the server must reach."""

    path: str
    writable: bool = False


@dataclass(frozen=True, slots=True)
class Bind:
    """A path that is put back into a covered folder."""

    path: str
    kind: Kind
    writable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """The mounts that make all needs reachable, in the order of their making."""

    #: Closed folders that get an empty one over them.
    covers: tuple[str, ...] = ()
    #: Folders to be made in the covers, parents first.
    folders: tuple[str, ...] = ()
    #: Links to be made in the covers: (path, target).
    links: tuple[tuple[str, str], ...] = ()
    binds: tuple[Bind, ...] = ()
    #: Needs that stay out of reach whatever is mounted: the path itself is closed or not there.
    closed: tuple[str, ...] = ()


Look = Callable[[str], Entry]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Walk:
    real: str
    entry: Entry
    #: Every folder gone through, and every link followed, outermost first.
    folders: tuple[str, ...]
    links: tuple[tuple[str, str], ...]


def _walk(path: str, look: Look) -> _Walk:
    """Follow *path* part by part, as the kernel would."""
    todo = [part for part in path.split("/") if part]
    here = "/"
    folders: list[str] = []
    links: list[tuple[str, str]] = []
    while todo:
        part = todo.pop(0)
        if part == "..":
            here = posixpath.dirname(here)
            continue
        if part == ".":
            continue
        if here not in folders:
            folders.append(here)
        inner = posixpath.join(here, part)
        entry = look(inner)
        if entry.kind is Kind.LINK:
            if len(links) >= _MAX_LINKS:
                return _Walk(real=inner, entry=Entry(kind=Kind.MISSING), folders=tuple(folders), links=tuple(links))
            links.append((inner, entry.target))
            todo = [p for p in entry.target.split("/") if p] + todo
            here = "/" if entry.target.startswith("/") else here
            continue
        here = inner
    entry = look(here) if here != "/" else Entry(kind=Kind.FOLDER)
    return _Walk(real=here, entry=entry, folders=tuple(folders), links=tuple(links))


def below(path: str, folder: str) -> bool:
    """Tell whether *path* is *folder* or inside it."""
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _outermost(paths: Iterable[str]) -> list[str]:
    """Keep only those that lie in no other."""
    kept: list[str] = []
    for path in sorted(set(paths)):
        if not any(below(path, other) for other in kept):
            kept.append(path)
    return kept


def _parents(path: str, covers: Iterable[str]) -> list[str]:
    """List the folders between the cover that holds *path* and *path* itself."""
    cover = next(c for c in covers if below(path, c))
    found: list[str] = []
    while (path := posixpath.dirname(path)) != cover and below(path, cover):
        found.append(path)
    return found


def plan(needs: Iterable[Need], look: Look) -> View:
    """Decide which mounts make all *needs* reachable; an empty view means that nothing is in the way."""
    walks = [(need, _walk(need.path, look)) for need in sorted(set(needs))]
    closed = [need.path for need, walk in walks if walk.entry.kind is Kind.MISSING or not walk.entry.open]
    walks = [(need, walk) for need, walk in walks if walk.entry.kind is not Kind.MISSING]
    covers = _outermost(folder for _, walk in walks for folder in walk.folders if not look(folder).open)
    if not covers:
        return View(closed=tuple(closed))

    def covered(path: str) -> bool:
        return any(below(path, cover) for cover in covers)

    wanted: dict[str, Bind] = {}
    for need, walk in walks:
        if covered(walk.real):
            before = wanted.get(walk.real)
            writable = need.writable or (before is not None and before.writable)
            wanted[walk.real] = Bind(walk.real, walk.entry.kind, writable)
    kept = _outermost(wanted)
    # What must be writable gets a mount of its own inside one that is read-only.
    inner = [path for path, bind in wanted.items() if path not in kept and bind.writable]
    inner = [path for path in inner if not any(wanted[outer].writable and below(path, outer) for outer in kept)]
    binds = tuple(wanted[path] for path in sorted((*kept, *inner)))
    links = sorted(
        {
            link
            for _, walk in walks
            for link in walk.links
            if covered(link[0]) and not any(below(link[0], bind.path) for bind in binds)
        }
    )
    folders = {parent for path in (*kept, *(path for path, _ in links)) for parent in _parents(path, covers)}
    return View(
        covers=tuple(covers),
        folders=tuple(sorted(folders)),
        links=tuple(links),
        binds=binds,
        closed=tuple(closed),
    )
