"""Who a process is: what the supervisor gives up at its start, and what its children become.

The supervisor's user holds CAP_SETUID and CAP_SETGID and nothing else; no child of it keeps them.
"""

import _ctypes
import os

_PR_SET_DUMPABLE = 4
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_CLEAR_ALL = 4
_CAPABILITY_VERSION_3 = 0x20080522

#: Nobody's id. A child that only kills holds it as real and saved id, so that the agent cannot stop that child.
NOBODY = 65534


class _Int(_ctypes._SimpleCData):  # pyright: ignore  # noqa: PGH003, SLF001  what `ctypes.c_int` is
    _type_ = "i"


class _Function(_ctypes.CFuncPtr):  # what `ctypes.CDLL` makes; `ctypes` itself takes 3 ms to import
    _flags_ = _ctypes.FUNCFLAG_CDECL | _ctypes.FUNCFLAG_USE_ERRNO
    _restype_ = _Int


class Identity:
    """A user to become; `uid` None means: stay who you are (a supervisor without privileges)."""

    __slots__ = ("gid", "uid")

    def __init__(self, uid: int | None, gid: int | None) -> None:
        self.uid = uid
        self.gid = gid


def _call(name: str, *arguments: object) -> None:
    program = _ctypes.dlopen(None, 0)  # pyright: ignore[reportArgumentType]  None is the program itself
    function = _Function(_ctypes.dlsym(program, name))
    if function(*arguments) != 0:
        number = _ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def harden() -> None:
    """Give up what children would inherit; the very first act."""
    _call("prctl", _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    _call("prctl", _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if os.getpid() != 1:
        _call("prctl", _PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def hide() -> None:
    """Let nobody trace this process or read its memory and files in /proc."""
    _call("prctl", _PR_SET_DUMPABLE, 0, 0, 0, 0)


def become(identity: Identity) -> None:
    """Become *identity* for good, without any capability: for a child that is about to execute a program."""
    if identity.uid is None or identity.gid is None:
        return
    os.setgroups([])
    os.setresgid(identity.gid, identity.gid, identity.gid)
    os.setresuid(identity.uid, identity.uid, identity.uid)
    drop_capabilities()


def act_as(identity: Identity) -> None:
    """Take on *identity*'s rights over files, while the agent gets none over this process."""
    if identity.uid is None or identity.gid is None:
        return
    os.setgroups([])
    os.setresgid(identity.gid, identity.gid, identity.gid)
    own = os.getuid()
    os.setresuid(own, identity.uid, own)
    drop_capabilities()


def drop_capabilities() -> None:
    """Give up every capability: a root without capabilities would get them back at the next exec otherwise."""
    header = _CAPABILITY_VERSION_3.to_bytes(4, "little") + bytes(4)
    _call("capset", header, bytes(24))


def send_signal(identity: Identity, target: int, number: int) -> bool:
    """Send a signal as *identity* to a process group (-pgid) or to everything it may (-1); False: try again.

    The supervisor may not signal the agent (it has no CAP_KILL), so a child with the agent's effective id does;
    its other ids are nobody's, so that the agent cannot stop it, and it does not hit the supervisor's own.
    """
    if target == -1 and os.getpid() != 1:
        raise RuntimeError("only process 1 of a sandbox may signal everything")
    if identity.uid is None:
        _kill(target, number)
        return True
    try:
        child = os.fork()
    except OSError:
        return False
    if child == 0:
        try:
            os.setresuid(NOBODY, identity.uid, NOBODY)
            _kill(target, number)
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    return True


def exists(target: int) -> bool:
    """Tell whether there is any process in the group (-pgid), or any at all beside this one (-1)."""
    try:
        os.kill(target, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _kill(target: int, number: int) -> None:
    try:  # noqa: SIM105  `contextlib` is not loaded
        os.kill(target, number)
    except (ProcessLookupError, PermissionError):
        pass
