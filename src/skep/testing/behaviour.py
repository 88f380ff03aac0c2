"""What a test wants a command to do, and how that is written for a real sandbox or for `ScriptedDriver`."""

import dataclasses
import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

SCRIPT = "script"
#: A `run_for_s` that only a signal ends.
FOREVER = 1e6

_TOO_MANY = """
import os, signal
made = []
try:
    while True:
        pid = os.fork()
        if not pid:
            signal.pause()
        made.append(pid)
except OSError:
    for pid in made:
        os.kill(pid, signal.SIGKILL)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """What a command does, in the order of the fields; a new one does nothing and exits with 0."""

    #: Files and folders that it removes, with all below them.
    remove: tuple[str, ...] = ()
    #: Folders that it gives another path.
    rename: Mapping[str, str] = field(default_factory=dict[str, str])
    #: Files that it writes: absolute path -> text.
    files: Mapping[str, str] = field(default_factory=dict[str, str])
    #: Symbolic links that it makes: absolute path -> target.
    links: Mapping[str, str] = field(default_factory=dict[str, str])
    ignore_term: bool = False
    stdout: str = ""
    #: How many times `stdout` is printed.
    repeat: int = 1
    stderr: str = ""
    #: Files whose content it prints; one that is not there is passed over.
    show: tuple[str, ...] = ()
    #: Names of environment variables that it prints as NAME=value.
    show_env: tuple[str, ...] = ()
    #: Port of a door whose first line it prints.
    listen_to: int | None = None
    #: Seconds that it goes on.
    run_for_s: float = 0.0
    #: It takes memory until it is killed for it.
    oom: bool = False
    #: It starts processes until it may start no more, and ends them.
    too_many: bool = False
    #: It fills its disk.
    fill_disk: bool = False
    #: It cannot be started at all, for this reason.
    start_error: str = ""
    #: Its sandbox vanishes under it.
    lost: bool = False
    exit_signal: int | None = None
    exit_code: int = 0


def scripted(behaviour: Behaviour) -> tuple[str, ...]:
    """Return the argv with which `ScriptedDriver` behaves like this."""
    plain = Behaviour()
    values = {
        f.name: value
        for f in dataclasses.fields(Behaviour)
        if (value := getattr(behaviour, f.name)) != getattr(plain, f.name)
    }
    return (SCRIPT, json.dumps(values, default=dict))


def read_script(argv: tuple[str, ...]) -> Behaviour:
    """Return the behaviour that *argv* asks for; anything that is no script does nothing."""
    if len(argv) != 2 or argv[0] != SCRIPT:
        return Behaviour()
    values: dict[str, Any] = json.loads(argv[1])
    for name in ("remove", "show", "show_env"):
        if name in values:
            values[name] = tuple(values[name])
    return Behaviour(**values)


def shell(behaviour: Behaviour) -> tuple[str, ...]:
    """Return an argv that behaves like this in a real sandbox; it cannot make the sandbox vanish."""
    if behaviour.start_error:
        return ("/no/such/program",)
    lines = [f"rm -r {shlex.quote(path)}" for path in behaviour.remove]
    # A shell's mv would copy where a folder cannot be renamed.
    rename = "/usr/bin/python3 -c 'import os, sys; os.rename(*sys.argv[1:])'"
    lines += [f"{rename} {shlex.quote(path)} {shlex.quote(to)}" for path, to in behaviour.rename.items()]
    for path, text in behaviour.files.items():
        quoted = shlex.quote(path)
        lines += [f'mkdir -p "$(dirname {quoted})"', f"printf %s {shlex.quote(text)} > {quoted}"]
    lines += [f"ln -s {shlex.quote(target)} {shlex.quote(path)}" for path, target in behaviour.links.items()]
    if behaviour.ignore_term:
        lines.append("trap '' TERM")
    if behaviour.repeat > 1:
        size = len(behaviour.stdout.encode()) * behaviour.repeat
        lines.append(f"yes {shlex.quote(behaviour.stdout.removesuffix(chr(10)))} | head -c {size}")
    elif behaviour.stdout:
        lines.append(f"printf %s {shlex.quote(behaviour.stdout)}")
    if behaviour.stderr:
        lines.append(f"printf %s {shlex.quote(behaviour.stderr)} >&2")
    lines += [f"cat {shlex.quote(path)} 2>/dev/null" for path in behaviour.show]
    lines += [f'printf "%s=%s\\n" {name} "${name}"' for name in behaviour.show_env]
    if behaviour.listen_to is not None:
        program = "import socket, sys; door = socket.create_connection(('127.0.0.1', int(sys.argv[1])), 9); "
        program += "print(door.makefile().readline(), end='')"
        lines.append(f"/usr/bin/python3 -c {shlex.quote(program)} {behaviour.listen_to}")
    if behaviour.run_for_s:
        lines.append(f"sleep {behaviour.run_for_s:g}")
    lines += _excesses(behaviour)
    if behaviour.exit_signal is not None:
        lines.append(f"kill -{behaviour.exit_signal} $$")
    return ("/bin/sh", "-c", "\n".join([*lines, f"exit {behaviour.exit_code}"]))


def _excesses(behaviour: Behaviour) -> list[str]:
    lines: list[str] = []
    if behaviour.oom:
        lines.append("exec /usr/bin/python3 -c 'x = []\nwhile True: x.append(bytearray(b\"x\") * (1 << 24))'")
    if behaviour.too_many:
        lines.append(f"/usr/bin/python3 -c {shlex.quote(_TOO_MANY)}")
    if behaviour.fill_disk:
        lines.append("cat /dev/zero > /tmp/filler")
    return lines
