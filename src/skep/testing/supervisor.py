"""A real supervisor for a test, without a sandbox: as the test's own user, or as process 1 with two users."""

import importlib.util
import json
import os
import shutil
import signal
import socket
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from skep.testing.wait import until_sync

SUPERVISOR_ID = 900
AGENT_ID = 1000
_PYTHON = "/usr/bin/python3"
#: Process 1 of a namespace of its own, with exactly the privileges that a sandbox's supervisor has.
_AS_PROCESS_1 = (
    *("/usr/bin/unshare", "--pid", "--fork", "--mount", "--mount-proc"),
    *("/usr/bin/setpriv", f"--reuid={SUPERVISOR_ID}", f"--regid={SUPERVISOR_ID}", "--clear-groups"),
    *("--inh-caps=-all,+setuid,+setgid", "--ambient-caps=-all,+setuid,+setgid"),
    *("--bounding-set=-all,+setuid,+setgid", "--no-new-privs"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningSupervisor:
    """A supervisor's process and places."""

    #: The supervisor's, as the host sees it.
    pid: int
    #: The child of this process to be waited for: the same, or what made its namespace.
    child: int
    folder: Path

    @property
    def socket(self) -> Path:
        """Where it listens."""
        return self.folder / "c.sock"

    @property
    def spool(self) -> Path:
        """Where it keeps output and final states."""
        return self.folder / "spool"

    @property
    def home(self) -> Path:
        """A folder of the agent's."""
        return self.folder / "home"

    @property
    def complaints(self) -> str:
        """What it wrote to its standard error."""
        return (self.folder / "stderr").read_text()

    def kill(self) -> None:
        """End it as a crash would."""
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.child, 0)


@contextmanager
def start_supervisor(
    *, output_bytes: int = 1 << 20, two_users: bool = False, spool: Path | None = None
) -> Generator[RunningSupervisor]:
    """Start a supervisor; at the end kill it and remove its folder.

    Args:
        output_bytes: its output limit.
        two_users: as process 1 of a new namespace, with the agent as another user; needs root.
        spool: keep the spool in this folder.
    """
    folder = Path(tempfile.mkdtemp(prefix="skep-"))
    folder.chmod(0o711)
    entry = _install(folder)
    for name, owner, mode in (("spool", SUPERVISOR_ID, 0o700), ("home", AGENT_ID, 0o700)):
        (folder / name).mkdir(mode=mode)
        if two_users:
            os.chown(folder / name, owner, owner)
    uid = AGENT_ID if two_users else None
    task = {
        "sandbox": "sbx_test",
        "spool": str(spool or folder / "spool"),
        "uid": uid,
        "gid": uid,
        "output_bytes": output_bytes,
    }
    argv = (*(_AS_PROCESS_1 if two_users else ()), _PYTHON, "-I", "-S", "-E", str(entry), json.dumps(task))
    child = _spawn(folder, argv)
    running = RunningSupervisor(pid=_inner(child) if two_users else child, child=child, folder=folder)
    try:
        yield running
    finally:
        if Path(f"/proc/{running.pid}").exists():  # a test may have killed it
            running.kill()
        shutil.rmtree(folder)


def _install(folder: Path) -> Path:
    """Copy the program where every user may read it, as the keeper does; return the script that starts it."""
    spec = importlib.util.find_spec("skep_supervisor")
    assert spec is not None
    assert spec.origin is not None
    shutil.copytree(Path(spec.origin).parent, folder / "lib/skep_supervisor", copy_function=shutil.copyfile)
    entry = folder / "lib/__main__.py"
    entry.write_text(
        f"import sys\nsys.path.insert(0, {str(folder / 'lib')!r})\nfrom skep_supervisor.__main__ import main\nmain()\n"
    )
    return entry


def _spawn(folder: Path, argv: tuple[str, ...]) -> int:
    """Start it with the listening socket as descriptor 3."""
    errors = os.open(folder / "stderr", os.O_WRONLY | os.O_CREAT)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "c.sock"))
        listener.listen(64)
        actions = [(os.POSIX_SPAWN_DUP2, errors, 2), (os.POSIX_SPAWN_DUP2, listener.fileno(), 3)]
        pid = os.posix_spawn(argv[0], argv, {"SECRET": "of the supervisor"}, file_actions=actions)
    os.close(errors)
    return pid


def _inner(child: int) -> int:
    """Return the pid of the process that `unshare` forks."""
    children = Path(f"/proc/{child}/task/{child}/children")
    until_sync(children.read_text, what="the supervisor's namespace")
    return int(children.read_text())
