"""The hidden verb `serve`: the server's process, as the launcher starts it."""

import socket

import skep.assembly
from skep.kernel.settings import Settings


def serve(fd: int | None = None) -> None:
    """Serve until SIGTERM, on the listening socket *fd* that the launcher holds, else on the settings' address."""
    listening = socket.socket(fileno=fd) if fd is not None else None
    skep.assembly.serve(Settings(), listening)
