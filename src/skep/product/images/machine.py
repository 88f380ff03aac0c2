"""How a build goes from state to state. Pure."""

from collections.abc import Mapping
from dataclasses import replace

from skep.kernel.errors import ConflictError
from skep.product.blobs.model import LogId
from skep.product.images.model import Build, BuildStatus, Failure, Image
from skep.product.sandboxes.model import SandboxId

#: From each state to those that may follow it; a build that is over stays as it is.
NEXT: Mapping[BuildStatus, frozenset[BuildStatus]] = {
    BuildStatus.QUEUED: frozenset({BuildStatus.RUNNING, BuildStatus.FAILED, BuildStatus.CANCELLED}),
    # Running again is the next attempt, after a crash.
    BuildStatus.RUNNING: frozenset(
        {BuildStatus.RUNNING, BuildStatus.SUCCEEDED, BuildStatus.FAILED, BuildStatus.CANCELLED}
    ),
    BuildStatus.SUCCEEDED: frozenset(),
    BuildStatus.FAILED: frozenset(),
    BuildStatus.CANCELLED: frozenset(),
}


def is_over(build: Build) -> bool:
    """Tell whether nothing will change any more."""
    return not NEXT[build.status]


def begin_attempt(build: Build, *, now_ms: int, node_id: str, sandbox_id: SandboxId, log_id: LogId) -> Build:
    """Return the build with its next attempt intended: the sandbox is named before it is made."""
    return replace(
        _to(build, BuildStatus.RUNNING),
        attempt=build.attempt + 1,
        node_id=node_id,
        sandbox_id=sandbox_id,
        log_id=log_id,
        step="starting",
        started_ms=build.started_ms or now_ms,
    )


def succeed(build: Build, image: Image, *, now_ms: int) -> Build:
    """Return the build with its image."""
    return replace(
        _to(build, BuildStatus.SUCCEEDED),
        image_id=image.id,
        commit=image.commit,
        recognised=image.recognised,
        step="",
        ended_ms=now_ms,
    )


def explained(build: Build, *, now_ms: int) -> Build:
    """Return a build that only explains, over: what it says is in it."""
    return replace(_to(build, BuildStatus.SUCCEEDED), step="", ended_ms=now_ms)


def fail(build: Build, failure: Failure, *, now_ms: int) -> Build:
    """Return the build with the reason why there is no image; `step` still says where it stopped."""
    return replace(_to(build, BuildStatus.FAILED), failure=failure, ended_ms=now_ms)


def cancel(build: Build, *, now_ms: int) -> Build:
    """Return the build, ended because somebody asked for it."""
    failure = Failure(code="cancelled", message="The build was cancelled.", hint="Build again when you want it.")
    return replace(_to(build, BuildStatus.CANCELLED), failure=failure, cancel_requested=True, step="", ended_ms=now_ms)


def _to(build: Build, status: BuildStatus) -> Build:
    if status not in NEXT[build.status]:
        raise ConflictError(f"The build is {build.status.value} and cannot become {status.value}.", code="build_over")
    return replace(build, status=status)
