"""The parts of `signal` that are needed; the module itself loads `enum`, which takes 4 ms."""

_signal = __import__("_signal")

SIGINT: int = _signal.SIGINT
SIGKILL: int = _signal.SIGKILL
SIGTERM: int = _signal.SIGTERM
SIGCHLD: int = _signal.SIGCHLD
#: Python ignores these, or is made to; and what is ignored stays so in a program that is executed.
IGNORED: tuple[int, ...] = (_signal.SIGPIPE, _signal.SIGXFSZ, _signal.SIGINT)


def ignore(number: int) -> None:
    """Let a signal have no effect."""
    _signal.signal(number, _signal.SIG_IGN)


def reset(number: int) -> None:
    """Give a signal its effect back."""
    _signal.signal(number, _signal.SIG_DFL)


def on_child_death(fd: int) -> None:
    """Have a byte written to *fd* whenever a child dies."""
    _signal.set_wakeup_fd(fd, warn_on_full_buffer=False)
    _signal.signal(SIGCHLD, _nothing)


def _nothing(_number: int, _frame: object) -> None:
    """Exist: a signal without a handler of Python's is not told to the descriptor."""
