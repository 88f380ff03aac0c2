"""The entry of the `skep` command: Ctrl-C is quiet from the first moment on, while the rest is still being loaded."""

import gc
import os
import signal
from types import FrameType

#: What a shell says of a command that Ctrl-C ended; `exits` is not loaded yet.
_INTERRUPTED = 130


def _leave(number: int, frame: FrameType | None) -> None:  # noqa: ARG001  the signature is Python's
    os._exit(_INTERRUPTED)


def main() -> None:
    """Run the command and exit with its code."""
    # Whoever starts us in the background may have chosen that we ignore it.
    listens = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if listens:
        # No exception: whatever is being imported could swallow it.
        signal.signal(signal.SIGINT, _leave)
    # What is loaded stays to the end: looking through it again and again, and once more on leaving, takes longer than
    # many a verb itself.
    gc.disable()
    from skep.edge.cli import command  # noqa: PLC0415  half a second; see above

    gc.freeze()
    gc.enable()
    if listens:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    command.main()


if __name__ == "__main__":
    main()
