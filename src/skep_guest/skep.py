"""What an agent may say to Skep: `import skep` in a sandbox. Standard library only.

answer = skep.ask("Delete the old index?", choices=["yes", "no"])
skep.output({"deleted": answer == "yes"})
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import threading
import time
from typing import Any

__all__ = ["AskError", "AskTimeoutError", "ask", "inputs", "output"]

_DOOR = ("127.0.0.1", 80)
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 2.0
_MAX_ANSWER = 1 << 20
#: The server is busy or on its way out: the same request may do better a little later.
_LATER = (429, 503)
_GONE = 410

_lock = threading.Lock()
#: Text -> how often this process has asked it.
_asked: dict[str, int] = {}


class AskError(Exception):
    """The question was refused; `code` is the reason in one word."""

    code = ""


class AskTimeoutError(AskError, TimeoutError):
    """Nobody answered in time."""


def ask(
    text: str,
    *,
    key: str | None = None,
    choices: list[str] | None = None,
    schema: dict[str, Any] | None = None,
    timeout_s: float | None = None,
) -> Any:
    """Ask a person and return the answer, however long that takes; the run's time limit stands still meanwhile.

    The answer is kept: a repeated attempt at this run that asks with the same *key* has it at once. Without one the key
    is made of the text and of how often this process has asked it. *choices* are the texts to choose from, *schema* is
    the JSON Schema that an answer must fit. Servers that are restarted meanwhile are waited for.

    Raises:
        AskTimeoutError: nobody answered within *timeout_s*, or within the time that the server gives.
        AskError: the question is not good, or this is no run.
    """
    question: dict[str, Any] = {"key": key if key is not None else _key(text), "text": text}
    if choices is not None:
        question["choices"] = list(choices)
    if schema is not None:
        question["schema"] = schema
    if not os.environ.get("SKEP_URL"):
        raise AskError("Nobody can be asked here: this is no run of Skep (SKEP_URL is not set).")
    until = None if timeout_s is None else time.monotonic() + timeout_s
    pause_s = _FIRST_PAUSE_S
    while True:
        left_s = None if until is None else until - time.monotonic()
        if left_s is not None:
            if left_s <= 0:
                raise AskTimeoutError("Nobody answered in time.")
            question["timeout_s"] = left_s
        began = time.monotonic()
        try:
            status, said = _post(json.dumps(question).encode("ascii"), left_s)
        except (OSError, ValueError):
            # The server is being restarted, or the network of a frozen sandbox is: the question has its row.
            status, said = 503, {}
        if status == 200:
            return said.get("answer")
        if status not in _LATER:
            raise _refused(status, said)
        # A connection that held for long broke with a server; what is refused at once is tried ever more slowly.
        pause_s = _FIRST_PAUSE_S if time.monotonic() - began > 1 else min(pause_s * 2, _LONGEST_PAUSE_S)
        time.sleep(pause_s if until is None else max(0.0, min(pause_s, until - time.monotonic())))


def inputs() -> dict[str, Any]:
    """Return the inputs of this run."""
    with open(os.environ["SKEP_INPUT"], encoding="utf-8") as file:
        found: dict[str, Any] = json.load(file)
    return found


def output(value: Any) -> None:
    """Make *value*, anything that JSON can hold, the result of this run; the last one counts."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    path = os.environ["SKEP_OUTPUT"]
    with open(path + ".new", "w", encoding="utf-8", errors="replace") as file:
        file.write(text)
    os.replace(path + ".new", path)


def _key(text: str) -> str:
    with _lock:
        ordinal = _asked[text] = _asked.get(text, 0) + 1
    return hashlib.sha256(f"{text}\0{ordinal}".encode("utf-8", "replace")).hexdigest()


def _post(body: bytes, timeout_s: float | None) -> tuple[int, dict[str, Any]]:
    """Send a question and wait for its answer; `OSError` or `ValueError` when the connection broke."""
    with socket.create_connection(_DOOR, timeout_s) as door:
        head = f"POST /ask HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        door.sendall(head.encode("ascii") + b"\r\n\r\n" + body)
        data = b""
        while len(data) < _MAX_ANSWER and (piece := door.recv(65536)):
            data += piece
    first, _, rest = data.partition(b"\r\n")
    _, _, content = rest.partition(b"\r\n\r\n")
    status = int(first.split(b" ")[1]) if first.startswith(b"HTTP/1.1 ") else 0
    if not status:
        raise ValueError("no answer")
    said: dict[str, Any] = json.loads(content)
    return status, said


def _refused(status: int, said: dict[str, Any]) -> AskError:
    kind = AskTimeoutError if status == _GONE else AskError
    error = kind(" ".join(str(said[name]) for name in ("message", "hint") if said.get(name)))
    error.code = str(said.get("code", ""))
    return error
