"""The server's own log: one JSON object a line, with the request's id, and no secret in it."""

import json
import logging
import sys
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, TextIO

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_MIN_REDACTED = 6


class Redactor:
    """Knows the values that must not appear in any line, and takes them out."""

    def __init__(self) -> None:
        self._values: set[str] = set()

    def add(self, value: str) -> None:
        """Keep *value* out of every later line; very short values are left, they would garble everything."""
        if len(value) >= _MIN_REDACTED:
            self._values.add(value)

    def clean(self, text: str) -> str:
        """Return *text* with each known value replaced by asterisks."""
        for value in tuple(self._values):
            if value in text:
                text = text.replace(value, "********")
        return text


class JsonFormatter(logging.Formatter):
    """Writes a record as JSON: time, level, logger, message, request id, and whatever `extra` held."""

    def __init__(self, redactor: Redactor) -> None:
        super().__init__()
        self._redactor = redactor

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line of JSON."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if (rid := request_id.get()) is not None:
            line["request_id"] = rid
        line.update({key: value for key, value in vars(record).items() if key not in _STANDARD})
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return self._redactor.clean(json.dumps(line, default=str, ensure_ascii=False))


def configure(level: str, redactor: Redactor, stream: TextIO = sys.stderr) -> None:
    """Send every logger's records, as JSON lines, to *stream*."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter(redactor))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())


@contextmanager
def with_request_id(value: str) -> Generator[None]:
    """Name the request that everything logged inside belongs to."""
    token = request_id.set(value)
    try:
        yield
    finally:
        request_id.reset(token)
