"""What a command prints, kept on disk within a limit: the first half as it came, the last half at the end.

Nothing here may fail for want of space: what cannot be written is counted, and said so.
"""

import errno
import os
import time

from skep_supervisor import protocol, wire

#: What a piece of output counts at the least, so that single bytes cannot fill the disk with record heads.
_LEAST_COST = 16
#: The last half is kept in this many files; the oldest goes when a new one is begun.
_SEGMENTS = 8
#: Bytes held for the final state from the start, so that a full disk cannot swallow it.
_STATE_BYTES = 4096
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW


def output_path(folder: str, command_id: str) -> str:
    """Return where a command's records are."""
    return f"{folder}/{command_id}.out"


def state_path(folder: str, command_id: str) -> str:
    """Return where a command's final state is."""
    return f"{folder}/{command_id}.exit"


def read_state(folder: str, command_id: str) -> dict[str, object] | None:
    """Return a command's final state, if it is kept."""
    try:
        fd = os.open(state_path(folder, command_id), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        state = wire.loads(os.read(fd, _STATE_BYTES).decode().rstrip())
    finally:
        os.close(fd)
    return state if isinstance(state, dict) else None  # pyright: ignore[reportUnknownVariableType]


def _no_space() -> OSError:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class _File:
    """An append-only file of whole records."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.fd = os.open(path, _FLAGS, 0o600)
        #: Bytes on disk.
        self.size = 0
        #: Bytes of output in them.
        self.held = 0
        #: What they count against the limit.
        self.cost = 0

    def append(self, stream: int, data: bytes) -> None:
        """Append one record, or nothing (OSError)."""
        head = wire.record(stream, time.time_ns() // 1_000_000, len(data))
        try:
            written = os.writev(self.fd, (head, data))
            if written < len(head) + len(data):
                raise _no_space()
        except OSError:
            os.ftruncate(self.fd, self.size)
            os.lseek(self.fd, self.size, os.SEEK_SET)
            raise
        self.size += written
        self.held += len(data)
        self.cost += max(len(data), _LEAST_COST)

    def take(self, other: "_File") -> None:
        """Append all records of *other*, or nothing (OSError)."""
        copied = 0
        try:
            while copied < other.size:
                sent = os.sendfile(self.fd, other.fd, copied, other.size - copied)
                if sent == 0:
                    raise _no_space()
                copied += sent
        except OSError:
            os.ftruncate(self.fd, self.size)
            os.lseek(self.fd, self.size, os.SEEK_SET)
            raise
        self.size += copied

    def remove(self) -> None:
        """Close and delete it."""
        os.close(self.fd)
        os.unlink(self.path)


class Spool:
    """One command's output and final state."""

    def __init__(self, folder: str, command_id: str, limit: int) -> None:
        self._state_path = state_path(folder, command_id)
        self._path = output_path(folder, command_id)
        self._head_limit = limit // 2
        self._tail_limit = limit - self._head_limit
        self._tail: list[_File] = []
        self._numbers = 0
        self._in_tail = False
        self._dropped = 0
        self._state_fd = os.open(self._state_path + ".tmp", _FLAGS, 0o600)
        try:
            if os.write(self._state_fd, b" " * _STATE_BYTES) < _STATE_BYTES:
                raise _no_space()
            self._head = _File(self._path)
        except OSError:
            os.close(self._state_fd)
            raise

    @property
    def size(self) -> int:
        """Bytes of whole records that may be read now."""
        return self._head.size

    @property
    def truncated(self) -> bool:
        """Tell whether some output was left out."""
        return self._dropped > 0

    def append(self, stream: int, data: bytes) -> None:
        """Keep a piece of output, as far as the limit and the disk allow."""
        if not self._in_tail:
            room = self._head_limit - self._head.cost
            if len(data) <= room:
                self._append(self._head, stream, data)
                return
            self._in_tail = True
            if room > 0:
                self._append(self._head, stream, data[:room])
                data = data[room:]
            self._note("output from here on is shown when the command ends, and of too much only the last part")
        self._append_tail(stream, data)

    def finish(self) -> None:
        """Bring the last half behind the first, with a note between them if something was left out."""
        tail, self._tail = self._tail, []
        if self._dropped:
            self._note(f"{self._dropped} bytes of output were left out here")
        for segment in tail:
            try:
                self._head.take(segment)
            except OSError:
                self._dropped += segment.held
            segment.remove()
        os.close(self._head.fd)

    def keep_state(self, state: dict[str, object]) -> None:
        """Write the final state; after it the command's files do not change any more.

        It is not synced: a sandbox and its disk do not outlive the machine, and a sync would hold up every command.
        """
        text = wire.dumps(state).encode("ascii")
        try:
            os.pwrite(self._state_fd, text.ljust(_STATE_BYTES), 0)
            os.rename(self._state_path + ".tmp", self._state_path)
        finally:
            os.close(self._state_fd)

    def _append(self, file: _File, stream: int, data: bytes) -> None:
        for start in range(0, len(data), protocol.MAX_RECORD):
            piece = data[start : start + protocol.MAX_RECORD]
            try:
                file.append(stream, piece)
            except OSError:
                self._dropped += len(piece)

    def _append_tail(self, stream: int, data: bytes) -> None:
        share = max(self._tail_limit // _SEGMENTS, _LEAST_COST)
        while data:
            if not self._tail or self._tail[-1].cost >= share:
                self._begin_segment()
            room = share - self._tail[-1].cost if self._tail else 0
            if room <= 0:
                self._dropped += len(data)
                return
            self._append(self._tail[-1], stream, data[:room])
            data = data[room:]

    def _begin_segment(self) -> None:
        if len(self._tail) >= _SEGMENTS:
            self._drop_oldest()
        self._numbers += 1
        try:
            self._tail.append(_File(f"{self._path}.{self._numbers}"))
        except OSError:
            return

    def _drop_oldest(self) -> None:
        oldest = self._tail.pop(0)
        self._dropped += oldest.held
        oldest.remove()

    def _note(self, text: str) -> None:
        try:  # noqa: SIM105  `contextlib` is not loaded
            self._head.append(protocol.NOTE, f"[skep: {text}]\n".encode())
        except OSError:
            pass
