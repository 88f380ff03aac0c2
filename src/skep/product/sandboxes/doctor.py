"""Looks the installation over and says, for each finding, what to do."""

import resource
import shutil
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from skep.kernel.errors import SkepError
from skep.product.access.model import Principal, Scope
from skep.product.access.service import require, require_everywhere
from skep.product.sandboxes.model import Capabilities
from skep.product.sandboxes.ports import Driver
from skep.product.sandboxes.service import SandboxService

_GIB = 1 << 30
_ENOUGH_FILES = 4096


class Level(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    level: Level
    #: "database", "isolation", "leftovers", "disk", ...
    area: str
    message: str
    hint: str = ""
    #: True if `repair` mends it.
    repairable: bool = False


class Doctor:
    """Examines this machine's part of the installation."""

    def __init__(
        self,
        *,
        driver: Driver,
        sandboxes: SandboxService,
        state_dir: Path,
        min_free_bytes: int,
        check_database: Callable[[], Awaitable[str]],
    ) -> None:
        self._driver = driver
        self._sandboxes = sandboxes
        self._state_dir = state_dir
        self._min_free_bytes = min_free_bytes
        self._check_database = check_database

    async def report(self, principal: Principal) -> Sequence[Finding]:
        """Examine everything; changes nothing."""
        require(principal, Scope.ADMIN)
        require_everywhere(principal)
        findings = [await self._database()]
        findings += await self._isolation()
        findings += await self._leftovers()
        findings += [self._disk(), self._open_files()]
        return findings

    async def repair(self, principal: Principal) -> Sequence[str]:
        """Remove what belongs to nobody; return what was removed."""
        require(principal, Scope.ADMIN)
        require_everywhere(principal)
        done = await self._sandboxes.reconcile(sweep=True)
        return [*done.sandboxes, *done.rows, *done.leftovers]

    async def ready(self) -> Sequence[Finding]:
        """Examine only what a server cannot work without."""
        return [await self._database(), *[f for f in await self._isolation() if f.level is Level.ERROR]]

    async def _database(self) -> Finding:
        try:
            return Finding(level=Level.OK, area="database", message=await self._check_database())
        except SkepError as error:
            return Finding(level=Level.ERROR, area="database", message=error.message, hint=error.hint or "")

    async def _isolation(self) -> list[Finding]:
        try:
            able = await self._driver.capabilities()
        except SkepError as error:
            hint = error.hint or "Is the keeper running? `skep up` starts it."
            return [Finding(level=Level.ERROR, area="isolation", message=error.message, hint=hint)]
        return isolation_findings(able)

    async def _leftovers(self) -> list[Finding]:
        try:
            found = await self._sandboxes.leftovers()
        except SkepError as error:
            return [Finding(level=Level.ERROR, area="leftovers", message=error.message, hint=error.hint or "")]
        if not found:
            return [Finding(level=Level.OK, area="leftovers", message="nothing is left over")]
        return [
            Finding(level=Level.WARNING, area="leftovers", message=what, hint="skep doctor --repair", repairable=True)
            for what in found
        ]

    def _disk(self) -> Finding:
        free = shutil.disk_usage(self._state_dir).free
        message = f"{free / _GIB:.1f} GiB free in {self._state_dir}"
        if free < self._min_free_bytes:
            hint = "Free some space, or lower SKEP_MIN_FREE_DISK_MB: new work is refused until then."
            return Finding(level=Level.ERROR, area="disk", message=message, hint=hint)
        return Finding(level=Level.OK, area="disk", message=message)

    def _open_files(self) -> Finding:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        message = f"{soft} open files allowed (at most {hard})"
        if soft < _ENOUGH_FILES:
            hint = f"Raise the limit to {_ENOUGH_FILES} or more (LimitNOFILE= or ulimit -n)."
            return Finding(level=Level.WARNING, area="open files", message=message, hint=hint)
        return Finding(level=Level.OK, area="open files", message=message)


def isolation_findings(able: Capabilities) -> list[Finding]:
    """Put a driver's capabilities into words: what is active, what is not enforced, what it does not protect from."""
    versions = ", ".join(f"{name} {version}" for name, version in able.versions.items())
    findings = [
        Finding(level=Level.OK, area="isolation", message=f"level {able.isolation} is active ({versions})"),
        Finding(level=Level.OK, area="disk limit", message=f"held by {able.disk_limit}"),
    ]
    for name, enforced in able.limits_enforced.items():
        if not enforced:
            hint = "Give the keeper the control group that is missing, or run Skep on a machine that has it."
            message = f"the limit on {name} is not enforced on this machine"
            findings.append(Finding(level=Level.WARNING, area="limits", message=message, hint=hint))
    findings += [
        Finding(level=Level.OK, area="not protected", message=words, hint="A stronger isolation level closes this.")
        for words in able.not_protected
    ]
    return findings
