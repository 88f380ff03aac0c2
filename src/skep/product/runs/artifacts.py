"""What a run leaves in its sandbox, kept: its result, and its artifacts as blobs."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from skep.kernel.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError, TooLargeError
from skep.product.blobs.ports import BlobStore
from skep.product.images.model import Failure
from skep.product.runs.model import Artifact, Attempt, RunLimits
from skep.product.runs.plan import ARTIFACTS, MAX_PATH, RESULT, artifact_blob, is_artifact_path, parse_result
from skep.product.sandboxes.model import Handle
from skep.product.sandboxes.ports import Files

#: What a sandbox says of a file that is not there, is none, or may not be read: it is as good as absent.
_ABSENT = (NotFoundError, InvalidError, ForbiddenError, ConflictError)

#: The rights that its owner needs in a folder to see what is in it.
_OPEN = 0o500


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What was kept, and what was too much."""

    result: object = None
    artifacts: Sequence[Artifact] = ()
    #: Why something could not be kept; the run then did not succeed.
    failure: Failure | None = None
    #: Names of artifacts that were left out, and words for those without one.
    left_out: Sequence[str] = field(default_factory=list[str])


async def keep(files: Files, blobs: BlobStore, handle: Handle, attempt: Attempt, limits: RunLimits) -> Kept:
    """Read result and artifacts from the sandbox; blobs are on disk when this returns."""
    result, failure = await _result(files, handle, limits)
    artifacts, left_out = await _artifacts(files, blobs, handle, attempt, limits)
    if left_out and failure is None:
        failure = Failure(
            code="artifacts_too_large",
            message=_said(left_out),
            hint=f"At most {limits.artifact_count} files and {limits.artifact_bytes} bytes are kept; "
            f"their names are plain relative paths of at most {MAX_PATH} characters.",
        )
    return Kept(result=result, artifacts=artifacts, failure=failure, left_out=left_out)


async def _result(files: Files, handle: Handle, limits: RunLimits) -> tuple[object, Failure | None]:
    raw = bytearray()
    try:
        async with _closed(files.get(handle, RESULT, limit=limits.result_bytes)) as chunks:
            async for chunk in chunks:
                raw += chunk
    except TooLargeError:
        said = f"The result is larger than {limits.result_bytes} bytes."
        return None, Failure(code="result_too_large", message=said, hint="Leave large results in $SKEP_ARTIFACTS.")
    except _ABSENT:
        return None, None
    return parse_result(bytes(raw)), None


async def _artifacts(
    files: Files, blobs: BlobStore, handle: Handle, attempt: Attempt, limits: RunLimits
) -> tuple[list[Artifact], list[str]]:
    kept: dict[str, Artifact] = {}
    left_out: list[str] = []
    room = limits.artifact_bytes
    most = limits.artifact_count * 4
    try:
        # One more than is looked at: it says whether there are more.
        entries = await files.list(handle, ARTIFACTS, limit=most + 1)
    except (TooLargeError, InvalidError, ForbiddenError):
        return [], ["all, for the folder cannot be listed"]
    for entry in entries[:most]:
        if entry.is_dir and entry.mode & _OPEN != _OPEN:
            left_out.append(f"what is in {entry.path[:200]!a}")
        if entry.is_dir or entry.is_link or entry.path in kept:
            continue
        if len(kept) >= limits.artifact_count or not is_artifact_path(entry.path) or entry.size > room:
            left_out.append(ascii(entry.path[:200]))
            continue
        try:
            async with _closed(files.get(handle, f"{ARTIFACTS}/{entry.path}", limit=room)) as data:
                blob = await blobs.put(artifact_blob(attempt, entry.path), data, limit=room)
        except (TooLargeError, *_ABSENT):
            left_out.append(ascii(entry.path[:200]))
            continue
        room -= blob.size
        kept[entry.path] = Artifact(
            run_id=attempt.run_id, path=entry.path, blob_id=blob.id, size=blob.size, sha256=blob.sha256
        )
    if len(entries) > most:
        left_out.append(f"what comes after the first {most} names")
    return [kept[path] for path in sorted(kept)], left_out


def _said(left_out: Sequence[str]) -> str:
    if len(left_out) == 1:
        return f"An artifact was not kept: {left_out[0]}."
    return f"{len(left_out)} artifacts were not kept, {left_out[0]} among them."


@asynccontextmanager
async def _closed(data: AsyncIterator[bytes]) -> AsyncGenerator[AsyncIterator[bytes]]:
    """Give back what a stream holds, also when it is not read to its end."""
    try:
        yield data
    finally:
        if isinstance(data, AsyncGenerator):
            await data.aclose()
