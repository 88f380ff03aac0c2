"""Entry of the root process: `python -I -m skep.edge.cli.launch up|down`, its orders as one line on stdin."""

import asyncio
import contextlib
import fcntl
import json
import os
import signal
import sys
from pathlib import Path

from skep.edge.cli.launch import folders, pids
from skep.edge.cli.launch.config import LaunchConfig
from skep.edge.cli.launch.folders import PrepareError
from skep.edge.cli.launch.supervise import Supervisor

_STOP_S = 30.0
_LOG_LIMIT = 50 * 1024 * 1024


_LOGGED = frozenset({"died", "killed", "failed", "not_started"})


def say(event: str, **details: object) -> None:
    """Tell whoever started us, who may be gone by now; what went wrong is logged as well."""
    line = json.dumps({"event": event, **details}).encode() + b"\n"
    with contextlib.suppress(OSError):
        os.write(1, line)
    if event in _LOGGED:
        os.write(2, line)


def up(config: LaunchConfig) -> int:
    """Prepare the folders, take the lock, and supervise until the end."""
    user = folders.server_user(config)
    folders.prepare(folders.places(config, user))
    lock = os.open(config.lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say("running")
        return 0
    Path(config.server_json).unlink(missing_ok=True)
    if config.detach:
        _log_to(config.log_file)
    pids.write(config.pid_file("launcher"), os.getpid())
    try:
        asyncio.run(_supervise(config, user))
    finally:
        pids.forget(config.pid_file("launcher"))
    say("stopped")
    return 0


async def _supervise(config: LaunchConfig, user: folders.User) -> None:
    loop = asyncio.get_running_loop()

    def tell(event: str, **details: object) -> None:
        if event == "ready" and config.detach:
            loop.remove_reader(0)
        say(event, **details)

    supervisor = Supervisor(config, user, tell)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, supervisor.stop)
    # Whoever started us holds the other end; when it is gone, so are we. A detached start is its own once it is ready.
    loop.add_reader(0, lambda: os.read(0, 4096) or (loop.remove_reader(0), supervisor.stop()))
    await supervisor.run()


def _log_to(path: str) -> None:
    file = Path(path)
    if file.stat().st_size > _LOG_LIMIT:
        info = file.stat()
        file.replace(path + ".1")
        file.touch(mode=0o640)
        os.chown(file, info.st_uid, info.st_gid)
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW)
    os.dup2(descriptor, 2)
    os.close(descriptor)


def down(config: LaunchConfig) -> int:
    """End the launcher of this data folder, and with it keeper and server; sandboxes live on."""
    process = pids.read(config.pid_file("launcher"))
    if process is None or not process.alive:
        say("not_running")
        return 0
    if not process.end(signal.SIGTERM, _STOP_S):
        process.end(signal.SIGKILL, _STOP_S)
    say("stopped")
    return 0


def _first_line() -> str:
    """Read one line and not a byte more: what comes after it is the sign to end."""
    line = bytearray()
    while (byte := os.read(0, 1)) not in (b"", b"\n"):
        line += byte
    return line.decode()


def main() -> int:
    """Read the orders and carry them out."""
    config = LaunchConfig.from_json(_first_line())
    try:
        return {"up": up, "down": down}[sys.argv[1]](config)
    except PrepareError as error:
        say("failed", message=error.message, hint=error.hint)
    except OSError as error:
        say("failed", message=str(error), hint="")
    return 1


if __name__ == "__main__":
    sys.exit(main())
