"""A program that is to be started, and how a new process becomes it."""

import os

from skep_supervisor import privileges, signals
from skep_supervisor.privileges import Identity


class Program:
    """What is to be started, checked already."""

    __slots__ = ("argv", "cwd", "env", "grace_s", "id", "identity", "timeout_s")

    def __init__(
        self,
        command_id: str,
        argv: list[bytes],
        env: dict[bytes, bytes],
        cwd: bytes,
        identity: Identity,
        timeout_s: float | None,
        grace_s: float,
    ) -> None:
        self.id = command_id
        self.argv = argv
        self.env = env
        self.cwd = cwd
        self.identity = identity
        self.timeout_s = timeout_s
        self.grace_s = grace_s


def execute(program: Program, null: int, out: int, err: int, news: int) -> None:
    """Become the program, in the new process; never returns."""
    try:
        os.setsid()
        os.umask(0o022)
        for number in signals.IGNORED:
            signals.reset(number)
        os.dup2(null, 0)
        os.dup2(out, 1)
        os.dup2(err, 2)
        privileges.become(program.identity)
        os.chdir(program.cwd)
        _execute_by_path(program)
    except OSError as error:
        name = program.cwd if error.filename == program.cwd else program.argv[0]
        os.write(news, f"{name.decode('ascii', 'replace')[:100]}: {error.strerror}".encode("ascii", "replace"))
    finally:
        os._exit(127)


def _execute_by_path(program: Program) -> None:
    """Look for the program as execvp does, in the PATH of its own environment."""
    name = program.argv[0]
    if b"/" in name:
        os.execve(name, program.argv, program.env)  # noqa: S606  no shell is the point
    failure = FileNotFoundError(2, os.strerror(2), name)
    for folder in program.env.get(b"PATH", b"/usr/bin:/bin").split(b":"):
        try:
            os.execve(folder + b"/" + name, program.argv, program.env)  # noqa: S606
        except (FileNotFoundError, NotADirectoryError):
            continue
        except PermissionError as error:
            failure = error
    raise failure
