"""Health, version, doctor."""

from typing import Any

from pydantic import Field

from skep.edge.wire.common import Answer


class Health(Answer):
    """`GET /health` and `/healthz`: the server answers; in the shapes of two dialects at once."""

    success: bool = True
    message: str = "ok"
    data: dict[str, Any]
    status: str = "ok"


class Root(Answer):
    """`GET /`: where to go on; the same for everybody."""

    name: str = "skep"
    #: What -> its path.
    links: dict[str, str]


class Ready(Answer):
    """`GET /readyz`: 200 when every part answers, else 503."""

    #: "ok" or "unavailable".
    status: str
    #: Part -> "ok", or what is the matter.
    checks: dict[str, str]


class VersionInfo(Answer):
    """`GET /api/v1/version`."""

    name: str = "skep"
    version: str
    api: str = "v1"
    python: str
    #: Largest upload, MiB, packed; null from a server that does not tell.
    upload_limit_mb: int | None = None
    #: Largest upload, MiB, unpacked.
    source_limit_mb: int | None = None


class FindingView(Answer):
    """One thing that the doctor looked at."""

    #: "ok", "warning" or "error".
    level: str
    #: "database", "isolation", "leftovers", "disk", ...
    area: str
    message: str
    hint: str = ""
    #: True if `POST /doctor/repair` mends it.
    repairable: bool = False


class DoctorReport(Answer):
    """`GET /doctor` and `POST /doctor/repair`."""

    #: False when any finding is an error.
    ok: bool
    findings: list[FindingView]
    #: What a repair removed, in words.
    repaired: list[str] = Field(default_factory=list[str])
