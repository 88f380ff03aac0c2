"""Doctor, usage, version of the installation."""

import platform
from collections.abc import Sequence

from fastapi import Request

from skep import __version__
from skep.edge.api import render
from skep.edge.api.auth import Admin, Reader
from skep.edge.api.routing import Uses, native
from skep.edge.api.services import UploadLimits
from skep.edge.wire.common import Listing
from skep.edge.wire.runs import AgentUsage
from skep.edge.wire.system import DoctorReport, VersionInfo
from skep.product.sandboxes.doctor import Finding, Level

router = native("system")


@router.get("/version")
async def version(request: Request, _caller: Reader) -> VersionInfo:
    """Tell the version of the server, and how much it takes."""
    limits: UploadLimits = request.app.state.limits
    return VersionInfo(
        version=__version__,
        python=platform.python_version(),
        upload_limit_mb=limits.packed_mb,
        source_limit_mb=limits.unpacked_mb,
    )


@router.get("/doctor")
async def doctor(caller: Admin, uses: Uses) -> DoctorReport:
    """Look the installation over; changes nothing."""
    return _report(await uses.doctor.report(caller), [])


@router.post("/doctor/repair")
async def repair(caller: Admin, uses: Uses) -> DoctorReport:
    """Remove what belongs to nobody, then look again."""
    removed = await uses.doctor.repair(caller)
    return _report(await uses.doctor.report(caller), removed)


@router.get("/usage")
async def usage(caller: Reader, uses: Uses) -> Listing[AgentUsage]:
    """Tell, per agent, how many runs there were and what they used."""
    found = await uses.runs.usage(caller)
    return Listing(items=[AgentUsage.model_validate(item, from_attributes=True) for item in found])


def _report(findings: Sequence[Finding], removed: Sequence[str]) -> DoctorReport:
    return DoctorReport(
        ok=not any(found.level is Level.ERROR for found in findings),
        findings=[render.finding(found) for found in findings],
        repaired=list(removed),
    )
