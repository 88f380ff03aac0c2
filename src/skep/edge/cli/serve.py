"""The hidden verb `serve`: the server's process, as the launcher starts it."""

import argparse
import socket
from collections.abc import Sequence

from skep.assembly import server
from skep.kernel.settings import Settings


def main(argv: Sequence[str]) -> None:
    """Read the launcher's arguments and serve; the command's own parser would cost memory for nothing."""
    parser = argparse.ArgumentParser(prog="skep serve", description="Be the server's process; `skep up` starts it.")
    parser.add_argument("--fd", type=int, help="an open listening socket")
    serve(parser.parse_args(argv).fd)


def serve(fd: int | None = None) -> None:
    """Serve until SIGTERM, on the listening socket *fd* that the launcher holds, else on the settings' address."""
    listening = socket.socket(fileno=fd) if fd is not None else None
    server.serve(Settings(), listening)
