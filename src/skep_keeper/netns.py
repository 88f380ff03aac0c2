"""Sockets inside a sandbox's network: opened by a thread that steps in and ends there."""

import errno
import os
import socket
import threading

from skep_keeper import syscalls
from skep_keeper.errors import ConflictError, KeeperError

_BACKLOG = 128


def listen(namespace: int, port: int) -> socket.socket:
    """Return a TCP socket that listens on 127.0.0.1:*port* in the network of the descriptor *namespace*.

    Raises:
        ConflictError: somebody listens there already.
    """
    made: list[socket.socket] = []
    failed: list[OSError] = []

    def step_in() -> None:
        try:
            syscalls.setns(namespace, syscalls.CLONE_NEWNET)
            made.append(_listening(port))
        except OSError as error:
            failed.append(error)

    # A thread of its own, which ends: one that stays in a foreign network would poison all that it does later.
    thread = threading.Thread(target=step_in, name="netns")
    thread.start()
    thread.join()
    if made:
        return made[0]
    error = failed[0] if failed else OSError(errno.EIO, "the thread died")
    if error.errno == errno.EADDRINUSE:
        raise ConflictError(f"port {port} is listened on already", "door_taken")
    raise KeeperError("internal", f"cannot listen inside: {os.strerror(error.errno or errno.EIO)}") from error


def _listening(port: int) -> socket.socket:
    found = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(("127.0.0.1", port))
        found.listen(_BACKLOG)
    except OSError:
        found.close()
        raise
    return found
