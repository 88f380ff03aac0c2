"""Files of the sandbox, moved by a child that has only the agent's rights over them.

The child speaks the protocol on the caller's own connection until its answer's end, so that the supervisor
waits for nobody's disk. A link in the agent's folders leads this child nowhere that the agent could not go.
"""

import errno
import os
import stat
import sys
from _collections_abc import Callable, Iterator  # `collections.abc` would import `collections`, which takes longer

from skep_supervisor import privileges, wire
from skep_supervisor.privileges import Identity

_BLOCK = 1 << 16
#: A folder with more names than this is listed in part.
_MAX_NAMES = 50_000
#: A frame of a listing is sent at this many entries, or this many characters (each up to 12 bytes in JSON).
_BATCH = 200
_BATCH_CHARACTERS = 1 << 15
_KINDS = {stat.S_IFREG: "f", stat.S_IFDIR: "d", stat.S_IFLNK: "l"}
_CODES = {
    errno.ENOENT: "not_found",
    errno.ENOTDIR: "not_found",
    errno.ELOOP: "not_found",
    errno.ENXIO: "not_found",
    errno.EACCES: "denied",
    errno.EPERM: "denied",
    errno.EROFS: "denied",
    errno.ENOSPC: "no_space",
    errno.EDQUOT: "no_space",
    errno.EFBIG: "no_space",
    errno.EEXIST: "bad_request",
    errno.EISDIR: "bad_request",
    errno.EINVAL: "bad_request",
    errno.ENAMETOOLONG: "bad_request",
}


class _RefusedError(Exception):
    """The request cannot be done; `code` is the protocol's."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class _Peer:
    """The caller's connection, in blocking mode, while the child holds it."""

    def __init__(self, fd: int, received: wire.FrameBuffer) -> None:
        self._fd = fd
        self._received = received

    def send(self, header: dict[str, object], payload: bytes = b"") -> None:
        """Send one frame."""
        rest = memoryview(wire.encode(header, payload))
        while rest:
            rest = rest[os.write(self._fd, rest) :]

    def receive(self) -> tuple[dict[str, object], bytes]:
        """Return the next frame; never takes a byte of what follows it."""
        while missing := self._received.missing():
            data = os.read(self._fd, min(missing, _BLOCK))
            if not data:
                raise wire.ProtocolError("the caller is gone")
            self._received.feed(data)
        frame = self._received.take()
        assert frame is not None
        return frame


def serve(identity: Identity, request: dict[str, object], fd: int, received: wire.FrameBuffer) -> int:
    """Fork a child that answers a put, get or list on the connection *fd*; return its pid."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        os.closerange(3, fd)
        os.closerange(fd + 1, os.sysconf("SC_OPEN_MAX"))
        os.set_blocking(fd, True)
        os.umask(0o022)
        privileges.act_as(identity)
        _answer(_Peer(fd, received), request)
        status = 0
    except Exception as error:  # noqa: BLE001  the exit status tells the supervisor to close the connection
        if not isinstance(error, wire.ProtocolError | BrokenPipeError | ConnectionResetError):
            sys.excepthook(type(error), error, error.__traceback__)
    finally:
        os._exit(status)


def _answer(peer: _Peer, request: dict[str, object]) -> None:
    handlers: dict[str, Callable[[_Peer, dict[str, object]], dict[str, object]]] = {
        "put": _put,
        "get": _get,
        "list": _list,
    }
    try:
        answer = handlers[str(request["op"])](peer, request)
    except _RefusedError as refused:
        answer = {"error": refused.code, "message": str(refused)}
    peer.send({"end": True, **answer})


def _refuse(error: OSError) -> _RefusedError:
    return _RefusedError(_CODES.get(error.errno or 0, "internal"), error.strerror or "input/output error")


def _put(peer: _Peer, request: dict[str, object]) -> dict[str, object]:
    path, mode = str(request["path"]), request["mode"]
    assert isinstance(mode, int)
    blocks = _blocks(peer)
    try:
        return {"size": _write(path, mode, blocks)}
    except OSError as error:
        for _ in blocks:
            pass  # the caller listens only when it has said everything
        raise _refuse(error) from error


def _blocks(peer: _Peer) -> Iterator[bytes]:
    while True:
        header, payload = peer.receive()
        if payload:
            yield payload
        if header.get("more") is not True:
            return


def _write(path: str, mode: int, blocks: Iterator[bytes]) -> int:
    """Write beside the file and rename, so that nobody sees a half and a link is replaced, not followed."""
    folder = os.path.dirname(path)
    os.makedirs(folder, exist_ok=True)
    temporary = f"{folder}/.{os.getpid()}.{os.urandom(6).hex()}"
    size = 0
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        for block in blocks:
            rest = memoryview(block)
            while rest:
                rest = rest[os.write(fd, rest) :]
            size += len(block)
        os.fchmod(fd, mode)
        os.rename(temporary, path)
    except OSError:
        os.unlink(temporary)
        raise
    finally:
        os.close(fd)
    return size


def _get(peer: _Peer, request: dict[str, object]) -> dict[str, object]:
    path, limit = str(request["path"]), request["limit"]
    assert isinstance(limit, int)
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError as error:
        raise _refuse(error) from error
    facts = os.fstat(fd)
    if not stat.S_ISREG(facts.st_mode):
        raise _RefusedError("not_found", "this is no regular file")
    size = 0
    while facts.st_size <= limit:
        try:
            data = os.read(fd, _BLOCK)
        except OSError as error:
            raise _refuse(error) from error
        size += len(data)
        if size > limit:
            break
        if not data:
            return {"size": size}
        peer.send({}, data)
    raise _RefusedError("too_large", f"it is larger than {limit} bytes")


def _list(peer: _Peer, request: dict[str, object]) -> dict[str, object]:
    path, limit = str(request["path"]), request["limit"]
    assert isinstance(limit, int)
    batch: list[object] = []
    characters = 0
    for entry in _walk(path, limit):
        batch.append(entry)
        characters += len(str(entry[0]))
        if characters > _BATCH_CHARACTERS or len(batch) >= _BATCH:
            peer.send({"entries": batch})
            batch, characters = [], 0
    peer.send({"entries": batch})
    return {}


def _walk(root: str, limit: int) -> Iterator[list[object]]:
    """Yield [path, size, mode, kind] of at most *limit* below *root*, depth first by name.

    What cannot be read is left out; what lies deeper than paths go is named, and nothing more is said of it. No more
    paths are held than may still be yielded: the agent decides how many there are and how long, and a listing must
    fit into what memory the agent has left.
    """
    pending = _below("", _names(root), limit)
    while pending and limit:
        path = pending.pop()
        try:
            facts = os.lstat(f"{root}/{path}")
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                limit -= 1
                yield [path, 0, 0, "o"]
            continue
        limit -= 1
        kind = _KINDS.get(stat.S_IFMT(facts.st_mode), "o")
        yield [path, facts.st_size, stat.S_IMODE(facts.st_mode), kind]
        if kind == "d":
            pending += _below(f"{path}/", _names(f"{root}/{path}"), limit)
            del pending[: max(0, len(pending) - limit)]


def _below(prefix: str, names: list[str], most: int) -> list[str]:
    """Return the paths of the first *most* of *names*, which are sorted, last first."""
    names.sort(reverse=True)
    return [prefix + name for name in names[max(0, len(names) - most) :]]


def _names(folder: str) -> list[str]:
    """Return a folder's names; none if it is no folder or may not be read."""
    names: list[str] = []
    try:
        if not stat.S_ISDIR(os.lstat(folder).st_mode):
            return names
        with os.scandir(folder) as entries:
            for entry in entries:
                names.append(entry.name)
                if len(names) >= _MAX_NAMES:
                    break
    except OSError:
        return []
    return names
