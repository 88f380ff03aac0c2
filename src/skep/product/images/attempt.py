"""One attempt at a build: fetch, look, plan, then layer upon layer. What it returns is not yet recorded.

Before the plan there is one sandbox, which holds the source and, while it is found out what that depends on, may run
code of the user's. The source is sealed before that; each layer above it is made in a sandbox of its own.
"""

import asyncio
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from skep.kernel.errors import InvalidError, NotFoundError, SkepError, TooLargeError
from skep.product.blobs.model import BlobId
from skep.product.blobs.ports import BlobStore
from skep.product.images.failures import BuildFailedError
from skep.product.images.fetch import left_out
from skep.product.images.fetch.credentials import Credential
from skep.product.images.fetch.fetcher import Fetcher
from skep.product.images.fetch.keyring import Keyring
from skep.product.images.included import with_included
from skep.product.images.layering import Layering, Means, Step
from skep.product.images.model import (
    Build,
    ExplainedLayer,
    Explanation,
    Failure,
    FilesSource,
    GitSource,
    ImageSource,
    LayerKind,
    Recognised,
    SourceListing,
    UploadSource,
)
from skep.product.images.outcome import Made, Planned
from skep.product.images.planning import layer_plans, locks
from skep.product.images.planning import planner as plan
from skep.product.images.planning.base import Base, Runtimes
from skep.product.images.planning.recognising import recognise
from skep.product.images.planning.steps import BuildPlan, LockStep
from skep.product.images.ports import Framework
from skep.product.images.stages import Stages
from skep.product.images.workshop import BuildLog, Workshop


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What is fetched, and with what."""

    blobs: BlobStore
    #: That of the build's upload, if it has one.
    blob_id: BlobId | None
    keyring: Keyring
    credential: Credential | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a source turned out to be."""

    commit: str
    listing: SourceListing
    base: Base
    recognised: Recognised


class Attempt:
    """Makes the layers of one build; every failure that is the user's is a `BuildFailedError`."""

    def __init__(
        self,
        *,
        means: Means,
        stages: Stages,
        layering: Layering,
        frameworks: Sequence[Framework],
        runtimes: Runtimes,
        step: Step,
        log: BuildLog,
        build: Build,
        source: Source,
    ) -> None:
        self._means = means
        self._stages = stages
        self._layering = layering
        self._frameworks = frameworks
        self._runtimes = runtimes
        self._step = step
        self._log = log
        self._build = build
        self._source = source
        #: Under which the lock is kept that an earlier build found out.
        self._reused = ""

    async def plan(self) -> tuple[Planned, BuildPlan]:
        """Fetch the source and find out what is to be built; the source's own layer is there after that.

        Of a build that only explains, no layer is made.
        """
        with told():
            async with self._stages.stage() as workshop:
                found = await self._find(workshop)
                lock = await self._lock(workshop, found)
            since = await self._since(found)
            made = await asyncio.to_thread(
                plan.plan_build,
                found.listing,
                found.recognised,
                lock,
                found.base,
                self._build.project_id,
                since=since,
            )
            before = await self._layering.look(made.layers) - self._layering.made
        layers = tuple(
            ExplainedLayer(id=layer.id, kind=layer.kind, about=layer.about, there=layer.id in before, steps=layer.steps)
            for layer in made.layers
        )
        planned = Planned(
            recognised=made.recognised,
            commit=found.commit,
            base_fingerprint=found.base.fingerprint,
            source_digest=found.listing.digest,
            explanation=Explanation(runtimes=made.runtimes, shared=made.shared, private=made.private, layers=layers),
        )
        return planned, made

    async def make(self, planned: Planned, made: BuildPlan) -> Made:
        """Make the layers that are not there yet."""
        with told():
            if all(layer.there for layer in planned.explanation.layers if layer.kind is not LayerKind.SOURCE):
                await self._log.say("Nothing to install: the layers of an earlier build are used again.")
            try:
                await self._layering.make(made.layers)
            except BuildFailedError:
                # An index may have taken back what was found out then: the next build is to find out anew.
                if self._reused:
                    await self._means.ledger.forget_lock(self._build.project_id, self._reused)
                raise
        return Made(
            planned=planned, layers=tuple(layer.id for layer in made.layers), size=self._layering.size(made.layers)
        )

    # ---- parts

    async def _find(self, workshop: Workshop) -> Found:
        await self._step("fetching")
        fetcher = Fetcher(workshop, self._means.options)
        commit = await self._fetch(fetcher)
        await self._step("planning")
        wanted = tuple(pattern for framework in self._frameworks for pattern in framework.reads) + plan.READS
        listing, python = await fetcher.list(wanted)
        base = Base(
            fingerprint=await self._means.driver.base_fingerprint(),
            python=python,
            uv=self._means.options.uv_version,
            runtimes=self._runtimes,
            indexes=self._means.options.indexes.python,
        )
        # What strangers wrote is parsed beside the event loop, however short the limits keep it.
        recognised = await asyncio.to_thread(recognise, listing, self._frameworks, self._build.command)
        listing = await with_included(fetcher, listing, recognised)
        source = self._build.source
        folder = source.path if isinstance(source, GitSource | UploadSource) else ""
        absent = left_out.notices(listing, folder=folder, install=recognised.install)
        recognised = replace(recognised, notices=(*recognised.notices, *absent))
        for notice in absent:
            await self._log.say(f"Note: {notice}.")
        evidence = ", ".join(recognised.evidence)
        await self._log.say(f"{_files(len(listing.files))}. Recognised: {recognised.framework} ({evidence}).")
        await self._log.say(f"Command: {' '.join(recognised.command)}")
        if self._build.upgrade and (note := locks.holds_still(recognised)):
            await self._log.say(f"Note: {note}.")
        return Found(commit=commit, listing=listing, base=base, recognised=recognised)

    async def _fetch(self, fetcher: Fetcher) -> str:
        match self._build.source:
            case GitSource() as source:
                at = f" at {source.ref}" if source.ref else ""
                await self._log.say(f"Fetching {source.url}{at}.")
                return await fetcher.git(
                    source,
                    project_id=self._build.project_id,
                    keyring=self._source.keyring,
                    credential=self._source.credential,
                )
            case UploadSource() as source:
                assert self._source.blob_id is not None, "the upload was looked up before the attempt"
                await self._log.say(f"Unpacking the upload {source.label or source.upload_id}.")
                await fetcher.upload(source, self._source.blobs, self._source.blob_id)
            case FilesSource() as source:
                await fetcher.files(source)
            case ImageSource():
                raise InvalidError("Container images cannot be run by this driver.", code="images_need_docker")
        return ""

    async def _lock(self, workshop: Workshop, found: Found) -> locks.Lock | None:
        """Seal the source, then find out which files exactly it depends on, unless that was found out before."""
        project_id = self._build.project_id
        step = await asyncio.to_thread(locks.lock_step, found.listing, found.recognised, found.base, project_id)
        if not self._build.explain:
            source = layer_plans.source(found.listing, project_id)
            if not await self._layering.look((source,)):
                await self._layering.seal(workshop, source)
        if step is None:
            return None
        text = None if self._build.upgrade else await self._means.ledger.lock(project_id, step.key)
        if text is None:
            text = await self._resolve(workshop, step)
            lock = await asyncio.to_thread(locks.parse, text, found.base, step.python)
            await self._means.ledger.keep_lock(project_id, step.key, text)
            return lock
        self._reused = step.key
        await self._log.say("The requirements are those of an earlier build: what it resolved is used again.")
        return await asyncio.to_thread(locks.parse, text, found.base, step.python)

    async def _since(self, found: Found) -> str:
        """Return the build since which npm's packages are those of then, where no lock says which they are."""
        project_id, ledger = self._build.project_id, self._means.ledger
        kept = locks.unlocked(found.listing, found.recognised)
        if not kept:
            return ""
        if self._build.upgrade:
            await ledger.keep_lock(project_id, kept, self._build.id)
        return await ledger.lock(project_id, kept) or ""

    async def _resolve(self, workshop: Workshop, step: LockStep) -> str:
        """Run *step*, and return what it wrote: untrusted, bounded."""
        await self._step("locking")
        await self._layering.run(
            workshop,
            step.steps,
            env=step.env,
            files=step.files,
            reach=step.reach,
            failed=locks.failure,
        )
        answer = bytearray()
        driver = self._means.driver
        try:
            async for data in driver.get(workshop.handle, step.answer, limit=locks.MAX_ANSWER):
                answer += data
        except NotFoundError as error:
            if error.code == "sandbox_gone":
                raise
            failure = Failure(code="lock_invalid", message="The list of what it depends on vanished.")
            raise BuildFailedError(failure) from error
        return answer.decode("utf-8", "replace")


@contextmanager
def told() -> Generator[None]:
    """Turn what is wrong with a source into a failure of its build."""
    try:
        yield
    except (InvalidError, TooLargeError) as error:
        raise BuildFailedError(_failure(error)) from error


def _failure(error: SkepError) -> Failure:
    return Failure(code=error.code, message=error.message, hint=error.hint or "")


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count} files"
