"""Whether the disk of the data folder has room for new work."""

import sys
from collections.abc import Callable
from dataclasses import dataclass

from skep.kernel.errors import UnavailableError


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """The free space of the data folder, and how much of it is kept for what goes on already."""

    free_bytes: Callable[[], int] = lambda: sys.maxsize
    least_bytes: int = 0

    def require(self, refused: str) -> None:
        """Refuse new work ("no new runs are taken") while there is too little space.

        Raises:
            UnavailableError: `disk_full`; nothing was accepted.
        """
        if self.free_bytes() < self.least_bytes:
            raise UnavailableError(
                f"The disk of the data folder is nearly full: {refused}.",
                code="disk_full",
                hint="Free some space, or lower SKEP_MIN_FREE_DISK_MB.",
            )
