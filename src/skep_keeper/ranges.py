"""Ranges of host user ids, claimed machine-wide: no two living sandboxes share one, of whatever installation.

A claim is a link, made in one step, whose target is the folder of the sandbox that owns it. A claim whose owner's
folder is gone is free for anybody.
"""

import contextlib
import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

from skep_keeper import files
from skep_keeper.bundle import RANGE_SIZE
from skep_keeper.errors import KeeperError

_FIRST_ID: Final = 268435456
_COUNT: Final = 16384


class Ranges:
    """The claims in one folder."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        files.make_folder(folder, 0o755)

    def claim(self, owner: str) -> int:
        """Give *owner* (a sandbox's folder) a range, or find the one that it has; return its first id."""
        with self._locked():
            claims = self._claims()
            for number, holder in claims.items():
                if holder == owner:
                    return _first_id(number)
            for number in range(_COUNT):
                if number not in claims or not os.path.isdir(claims[number]):
                    self._unlink(number)
                    os.symlink(owner, f"{self._folder}/{number}")
                    return _first_id(number)
        raise KeeperError("internal", "all ranges of user ids are taken")

    def release(self, owner: str) -> None:
        """Free what *owner* has claimed; nothing is no error."""
        with self._locked():
            for number, holder in self._claims().items():
                if holder == owner:
                    self._unlink(number)

    def stale(self, folder: str) -> list[str]:
        """List the owners below *folder* that have a claim and are gone."""
        return sorted(
            owner for owner in self._claims().values() if os.path.dirname(owner) == folder and not os.path.isdir(owner)
        )

    def _claims(self) -> dict[int, str]:
        found: dict[int, str] = {}
        for name in os.listdir(self._folder):
            if name.isdecimal():
                with contextlib.suppress(OSError):
                    found[int(name)] = os.readlink(f"{self._folder}/{name}")
        return found

    def _unlink(self, number: int) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{self._folder}/{number}")

    @contextmanager
    def _locked(self) -> Generator[None]:
        descriptor = os.open(f"{self._folder}/.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _first_id(number: int) -> int:
    return _FIRST_ID + number * RANGE_SIZE
