"""The keeper's log: one JSON object a line on standard error."""

import json
import sys
import threading
import time
from typing import Any

_lock = threading.Lock()


def write(level: str, message: str, **details: Any) -> None:
    """Write one line; *details* must hold nothing secret."""
    now = time.time()  # noqa: TID251  the keeper imports nothing of skep, its clock neither
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now * 1000) % 1000:03d}+00:00"
    line = json.dumps({"time": stamp, "level": level, "logger": "skep_keeper", "message": message, **details})
    with _lock:
        sys.stderr.write(line + "\n")
        sys.stderr.flush()


def info(message: str, **details: Any) -> None:
    """Say what happened."""
    write("info", message, **details)


def warning(message: str, **details: Any) -> None:
    """Say what an operator should know."""
    write("warning", message, **details)


def error(message: str, **details: Any) -> None:
    """Say what went wrong."""
    write("error", message, **details)
