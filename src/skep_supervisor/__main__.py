"""Process 1 of a sandbox: `python3 -I -S -E <folder or __main__.py> '<json>'`, with a listening socket as descriptor 3.

The JSON: `{"sandbox": id, "spool": folder, "uid": 1000, "gid": 1000, "output_bytes": n}`. The ids are the agent's;
null means that commands run as the supervisor's own user, which only serves tests outside a sandbox.
"""

import os
import sys
from _collections_abc import Callable  # `collections.abc` would import `collections`, which takes longer

from skep_supervisor import privileges, signals, wire
from skep_supervisor.commands import Commands
from skep_supervisor.loop import READ, Loop
from skep_supervisor.privileges import Identity
from skep_supervisor.server import Server

_LISTENER = 3


def main() -> None:
    """Serve until the sandbox is destroyed."""
    privileges.harden()
    # Whatever else the runtime let through (CVE-2024-21626) ends here.
    os.closerange(_LISTENER + 1, os.sysconf("SC_OPEN_MAX"))
    oom = _open_oom_score()
    privileges.hide()
    os.set_inheritable(_LISTENER, False)
    config = wire.loads(sys.argv[1])
    assert isinstance(config, dict)
    serve(config, oom)  # pyright: ignore[reportUnknownArgumentType]


def serve(config: dict[str, object], oom: int | None) -> None:
    """Set everything up and loop for ever."""
    sandbox, folder, limit = config["sandbox"], config["spool"], config["output_bytes"]
    assert isinstance(sandbox, str)
    assert isinstance(folder, str)
    assert isinstance(limit, int)
    loop = Loop()
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    commands = Commands(loop, folder, limit, null, oom)
    server = Server(loop, _LISTENER, commands, _identities(config), sandbox, folder)
    signals.ignore(signals.SIGINT)
    _on_child_death(loop, server.reap)
    while True:
        loop.step()


def _identities(config: dict[str, object]) -> dict[str, Identity]:
    uid, gid = config["uid"], config["gid"]
    if uid is None:
        own = Identity(None, None)
        return {"agent": own, "root": own}
    assert isinstance(uid, int)
    assert isinstance(gid, int)
    if os.getuid() in (uid, 0):
        raise SystemExit("the supervisor must be another user than the agent, and not root")
    return {"agent": Identity(uid, gid), "root": Identity(0, 0)}


def _open_oom_score() -> int | None:
    """Open it while it is still allowed: once hidden, a process's files in /proc are root's."""
    try:
        return os.open("/proc/self/oom_score_adj", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None


def _on_child_death(loop: Loop, reap: Callable[[], None]) -> None:
    wake, awake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def woken(_events: int) -> None:
        os.read(wake, 4096)
        reap()

    loop.watch(wake, READ, woken)
    signals.on_child_death(awake)


if __name__ == "__main__":
    main()
