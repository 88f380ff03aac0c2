"""The OCI runtime: its command lines as values, and a thin way to run them."""

import contextlib
import os
import select
import shutil
import signal
import socket
import subprocess
from dataclasses import dataclass
from typing import Any

from skep_keeper import files, log, processes
from skep_keeper.errors import KeeperError, StartError
from skep_keeper.places import Nest

_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
_TIMEOUT_S = 60.0
#: Where the runtime hands its extra descriptor to process 1.
_HANDED_ON = 3


def run_argv(program: str, state: str, nest: Nest) -> tuple[str, ...]:
    """Return the command that starts a sandbox and leaves it alone; descriptor 3 goes to process 1."""
    return (
        *(program, "--root", state, "run", "-d", "--preserve-fds", "1"),
        *("--pid-file", nest.pid_file, "-b", nest.dir, nest.id),
    )


def delete_argv(program: str, state: str, sandbox_id: str) -> tuple[str, ...]:
    """Return the command that removes what the runtime keeps of a sandbox."""
    return (program, "--root", state, "delete", "-f", sandbox_id)


@dataclass(frozen=True, slots=True)
class Started:
    """Process 1 of a sandbox, as the host sees it."""

    pid: int
    start: int


class Runc:
    """Runs the runtime on one state folder."""

    def __init__(self, state: str) -> None:
        found = shutil.which("runc", path=_SYSTEM_PATH)
        if found is None:
            raise StartError("runc is not installed; on Debian and Ubuntu: apt-get install runc")
        self._program = found
        self._state = state
        files.make_folder(state, 0o711)

    def version(self) -> str:
        """Return the runtime's version."""
        done = subprocess.run([self._program, "--version"], capture_output=True, text=True, check=False)
        return done.stdout.split("\n", 1)[0].removeprefix("runc version ").strip()

    def start(self, nest: Nest, listener: socket.socket) -> Started:
        """Start the bundle in *nest*; process 1 gets *listener*.

        Raises:
            KeeperError: it did not start; the message is the runtime's own.
        """
        with contextlib.ExitStack() as stack:
            null = os.open(os.devnull, os.O_RDONLY)
            stack.callback(os.close, null)
            errors = os.open(nest.stderr, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_NOFOLLOW, 0o600)
            stack.callback(os.close, errors)
            actions = [
                (os.POSIX_SPAWN_DUP2, null, 0),
                (os.POSIX_SPAWN_DUP2, errors, 1),
                (os.POSIX_SPAWN_DUP2, errors, 2),
                (os.POSIX_SPAWN_DUP2, listener.fileno(), _HANDED_ON),
            ]
            code = self._spawn(run_argv(self._program, self._state, nest), actions)
        if code != 0:
            raise KeeperError(
                "not_started", f"the sandbox could not be started: {files.read_text(nest.stderr)[-2000:]}"
            )
        started = self.started(nest.id)
        if started is None:
            raise KeeperError("not_started", "the runtime keeps no state of the sandbox that it started")
        return started

    def started(self, sandbox_id: str) -> Started | None:
        """Return process 1 as the runtime knows it; whether it still lives is for the caller to compare."""
        state: dict[str, Any] = files.read_json(f"{self._state}/{sandbox_id}/state.json") or {}
        pid, start = state.get("init_process_pid"), state.get("init_process_start")
        return Started(pid, start) if isinstance(pid, int) and isinstance(start, int) else None

    def delete(self, sandbox_id: str, *, rebooted: bool) -> None:
        """Forget a sandbox whose processes are dead; one that the runtime does not know is no error."""
        folder = f"{self._state}/{sandbox_id}"
        if not rebooted and os.path.exists(f"{folder}/state.json"):
            argv = delete_argv(self._program, self._state, sandbox_id)
            done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=_TIMEOUT_S)
            if done.returncode != 0:
                log.warning("runc delete failed", sandbox=sandbox_id, reason=done.stderr.strip()[-500:])
        files.remove_tree(folder)

    def names(self) -> set[str]:
        """List the sandboxes that the runtime keeps a state of."""
        return set(files.names(self._state))

    def end_strays(self) -> None:
        """End runtime processes that a keeper left behind when it was killed."""
        strays = [pid for pid, words in processes.command_lines().items() if words[1:3] == ["--root", self._state]]
        for pid in strays:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        processes.wait_until_gone(strays)

    def _spawn(self, argv: tuple[str, ...], actions: list[tuple[Any, ...]]) -> int:
        pid = os.posix_spawn(
            argv[0],
            argv,
            _ENVIRONMENT,
            file_actions=actions,
            setpgroup=0,
            setsigmask=[],
            setsigdef=[signal.SIGPIPE, signal.SIGINT, signal.SIGTERM, signal.SIGXFSZ],
        )
        descriptor = os.pidfd_open(pid)
        try:
            ready, _, _ = select.select([descriptor], [], [], _TIMEOUT_S)
            if not ready:
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        finally:
            os.close(descriptor)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
