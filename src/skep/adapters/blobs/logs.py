"""Append-only logs: one file each, one writer, any number of readers while it is written."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from skep.adapters.blobs import frames
from skep.adapters.blobs.files import disk_errors, fsync_folder, make_folder, place, stored, write_all
from skep.adapters.blobs.frames import END, HEADER, MAX_DATA, NAMES, STREAMS
from skep.kernel.errors import ConflictError, TooLargeError
from skep.kernel.events import Hub
from skep.kernel.ids import is_id
from skep.product.blobs.model import LogFrame, LogId, LogPosition

T = TypeVar("T")

#: An append up to this size goes to the page cache at once; a thread would cost more than the write.
_SMALL = 1 << 16
_SUFFIX = ".log"


class FolderLogs:
    """A `LogStore` in a folder; followers are woken by the hub's topic `log:<id>`."""

    def __init__(self, root: Path, hub: Hub) -> None:
        self._root = root
        self._hub = hub
        self._writers: dict[LogId, _Writer] = {}
        self._opening = threading.Lock()
        root.mkdir(mode=0o700, parents=True, exist_ok=True)

    async def append(self, log_id: LogId, stream: str, at_ms: int, data: bytes, source_offset: int) -> LogPosition:
        """Add a frame, which readers see when this returns; `ConflictError(code="log_closed")` after `close`."""
        if len(data) > MAX_DATA:
            raise TooLargeError(f"A frame of a log holds at most {MAX_DATA} bytes.")
        frame = frames.pack(STREAMS[stream], max(0, at_ms), source_offset, data)
        writer = self._writers.get(log_id)
        with disk_errors():
            if writer is not None and len(frame) <= _SMALL:
                position = writer.append(frame, source_offset)
            else:
                position = await _whole(lambda: self._open(log_id).append(frame, source_offset))
        self._hub.notify(f"log:{log_id}")
        return position

    async def position(self, log_id: LogId) -> LogPosition:
        """Say where the log ends; an absent one is empty."""
        if (writer := self._writers.get(log_id)) is not None:
            return writer.position
        with disk_errors():
            return await asyncio.to_thread(_position, self._path(log_id))

    async def close(self, log_id: LogId) -> None:
        """Say that nothing more will come, and fsync file and folder; again is no error."""
        with disk_errors():
            await _whole(lambda: self._close(log_id))
        self._hub.notify(f"log:{log_id}")

    async def read(self, log_id: LogId, offset: int = 0, *, max_bytes: int = 1 << 20) -> list[LogFrame]:
        """Return whole frames from *offset* on; at least one, if there is one."""
        return (await self._read(log_id, offset, max_bytes)).frames

    async def follow(self, log_id: LogId, offset: int = 0) -> AsyncIterator[LogFrame]:
        """Yield frames from *offset* on as they come, until the log is closed or removed."""
        seen = offset > 0
        with self._hub.subscribe(f"log:{log_id}") as woken:
            while True:
                woken.clear()
                part = await self._read(log_id, offset, MAX_DATA)
                for frame in part.frames:
                    yield frame
                    offset = frame.next_offset
                if part.closed or (part.absent and seen):
                    return
                seen = not part.absent
                if not part.frames:
                    await woken.wait()

    async def delete(self, log_id: LogId) -> None:
        """Remove it; an absent one is no error."""
        with disk_errors():
            await _whole(lambda: self._delete(log_id))
        self._hub.notify(f"log:{log_id}")

    async def ids(self, *, before_ms: int | None = None) -> list[LogId]:
        """List all logs, or those last written before *before_ms*."""
        with disk_errors():
            names = await asyncio.to_thread(lambda: list(stored(self._root, before_ms)))
        found = (name.removesuffix(_SUFFIX) for name in names)
        return sorted(LogId(name) for name in found if is_id(name))

    async def _read(self, log_id: LogId, offset: int, max_bytes: int) -> "_Part":
        with disk_errors():
            return await asyncio.to_thread(_read, self._path(log_id), offset, max_bytes)

    def _path(self, log_id: LogId) -> Path:
        return place(self._root, log_id, _SUFFIX)

    def _open(self, log_id: LogId) -> "_Writer":
        with self._opening:
            if (writer := self._writers.get(log_id)) is None:
                writer = self._writers[log_id] = _Writer(self._path(log_id))
            return writer

    def _close(self, log_id: LogId) -> None:
        self._open(log_id).close()
        self._writers.pop(log_id, None)

    def _delete(self, log_id: LogId) -> None:
        if (writer := self._writers.pop(log_id, None)) is not None:
            writer.drop()
        self._path(log_id).unlink(missing_ok=True)


async def _whole(action: Callable[[], T]) -> T:
    """Run *action* in a thread; when cancelled, still wait for its end, so that the next one finds order."""
    future = asyncio.ensure_future(asyncio.to_thread(action))
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        await asyncio.wait({future})
        raise


class _Writer:
    """The only one who writes a log's file; it knows where the last whole frame ends."""

    def __init__(self, path: Path) -> None:
        make_folder(path.parent)
        self._folder = path.parent
        self._lock = threading.Lock()
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        self.position = frames.scan(self._descriptor)
        os.ftruncate(self._descriptor, self.position.end)

    def append(self, frame: bytes, source_offset: int) -> LogPosition:
        """Write a whole frame or nothing."""
        with self._lock:
            return self._append(frame, source_offset)

    def close(self) -> None:
        """Put the end frame unless it is there, and have everything on disk."""
        with self._lock:
            if self._descriptor < 0:
                return  # somebody else has closed it just now
            if not self.position.closed:
                self._append(frames.pack(END, 0, self.position.source_offset, b""), self.position.source_offset, END)
            os.fsync(self._descriptor)
            fsync_folder(self._folder)
            self._release()

    def drop(self) -> None:
        """Let the file go."""
        with self._lock:
            self._release()

    def _append(self, frame: bytes, source_offset: int, stream: int = 0) -> LogPosition:
        if self.position.closed or self._descriptor < 0:
            raise ConflictError("The log is closed.", code="log_closed")
        end = self.position.end
        try:
            os.lseek(self._descriptor, end, os.SEEK_SET)
            write_all(self._descriptor, frame)
        except OSError:
            os.ftruncate(self._descriptor, end)
            raise
        self.position = LogPosition(end=end + len(frame), source_offset=source_offset, closed=stream == END)
        return self.position

    def _release(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1


@dataclass(slots=True)
class _Part:
    """What one look into a log's file found."""

    frames: list[LogFrame] = field(default_factory=list[LogFrame])
    #: The end frame comes next.
    closed: bool = False
    absent: bool = False


def _position(path: Path) -> LogPosition:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return LogPosition(end=0, source_offset=0, closed=False)
    try:
        return frames.scan(descriptor)
    finally:
        os.close(descriptor)


def _read(path: Path, offset: int, max_bytes: int) -> _Part:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return _Part(absent=True)
    try:
        part = _frames(descriptor, offset, max_bytes)
        # Behind the end only whether more may come is left to be said.
        part.closed = part.closed or (offset > 0 and not part.frames and frames.ends_closed(descriptor, offset))
        return part
    finally:
        os.close(descriptor)


def _frames(descriptor: int, offset: int, max_bytes: int) -> _Part:
    part = _Part()
    raw = os.pread(descriptor, min(max_bytes, MAX_DATA) + HEADER.size, offset)
    at = 0
    while (header := frames.unpack(raw[at : at + HEADER.size], offset + at)) is not None:
        if header.stream == END:
            part.closed = True
            break
        stop = at + HEADER.size + header.length
        if stop > len(raw):
            if part.frames:
                break
            raw = os.pread(descriptor, HEADER.size + header.length, offset)
            if stop > len(raw):
                break
        part.frames.append(
            LogFrame(
                stream=NAMES[header.stream],
                at_ms=header.at_ms,
                data=raw[at + HEADER.size : stop],
                offset=header.offset,
                next_offset=header.next_offset,
            )
        )
        at = stop
    return part
