"""Starts keeper and server: fork, give up what the child must not have, exec. No thread lives at that moment."""

import os
import resource
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from skep.edge.cli.launch import mounts
from skep.edge.cli.launch.folders import User
from skep.edge.cli.launch.view import View

_OPEN_FILES = 65_536
#: Where the first descriptor that is handed on appears in the child.
FIRST_FD = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """A process to be started."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str]
    cwd: str = "/"
    umask: int = 0o022
    #: Whom it becomes; None leaves it root.
    user: User | None = None
    view: View = field(default_factory=View)
    #: Mounts below this folder are let go of in the child's own view.
    drop: str = "/run/skep"
    #: Descriptors that appear as 3, 4, ...
    fds: tuple[int, ...] = ()
    #: Where standard output and error go.
    log: int = 2


def spawn(child: Child) -> int:
    """Start *child* and return its process id once its program runs.

    Raises:
        OSError: it could not be started; the message says what failed.
    """
    reader, writer = os.pipe2(os.O_CLOEXEC)
    launcher = os.getpid()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(reader)
            _become(child, writer, launcher)
        except BaseException as error:  # noqa: BLE001  whatever it is, the parent has to hear of it
            os.write(FIRST_FD + len(child.fds), f"{type(error).__name__}: {error}".encode()[:4000])
        finally:
            os._exit(127)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        failure = pipe.read()
    if failure:
        os.waitpid(pid, 0)
        raise OSError(f"{child.name} could not be started: {failure.decode(errors='replace')}")
    return pid


def _become(child: Child, writer: int, launcher: int) -> None:
    """Turn this process into *child*; the error pipe moves to the descriptor after the last that is handed on."""
    _arrange(child, writer)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    os.setsid()
    os.umask(0o022)
    _soft_limit(resource.RLIMIT_NOFILE, _OPEN_FILES)
    if child.view.covers:
        mounts.enter(child.view, drop=child.drop)
    os.umask(child.umask)
    if child.user is not None:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.setgroups([])
        os.setresgid(child.user.gid, child.user.gid, child.user.gid)
        os.setresuid(child.user.uid, child.user.uid, child.user.uid)
        mounts.drop_capabilities()
        mounts.no_new_privileges()
    # After the change of user, which clears it. KILL: both are made to be killed at any moment.
    mounts.die_with_parent(signal.SIGKILL)
    if os.getppid() != launcher:
        os._exit(1)
    os.chdir(child.cwd)
    os.execve(child.argv[0], list(child.argv), dict(child.env))  # noqa: S606  no shell is wanted


def _arrange(child: Child, writer: int) -> None:
    """Put the descriptors in their places and close all others."""
    high = 200
    parked = [os.dup2(fd, high + index, inheritable=False) for index, fd in enumerate((*child.fds, writer, child.log))]
    null = os.open("/dev/null", os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(parked[-1], 1)
    os.dup2(parked[-1], 2)
    for index in range(len(child.fds)):
        os.dup2(parked[index], FIRST_FD + index)
    os.dup2(parked[-2], FIRST_FD + len(child.fds), inheritable=False)
    os.closerange(FIRST_FD + len(child.fds) + 1, _OPEN_FILES)


def _soft_limit(which: int, wanted: int) -> None:
    soft, hard = resource.getrlimit(which)
    limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft == resource.RLIM_INFINITY or soft >= limit:
        return
    resource.setrlimit(which, (limit, hard))
