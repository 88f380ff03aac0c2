"""One attempt at a build, in one sandbox: fetch, look, plan, install, seal. What it returns is not yet recorded."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from skep.kernel.clock import Clock
from skep.kernel.errors import InvalidError, SkepError, TooLargeError
from skep.kernel.settings import MIB
from skep.product.blobs.model import BlobId
from skep.product.blobs.ports import BlobStore
from skep.product.gateway.model import Policy
from skep.product.images import failures, plan, refusals
from skep.product.images.environment import installing
from skep.product.images.failures import BuildFailedError
from skep.product.images.fetching import Fetcher
from skep.product.images.layers import Hold
from skep.product.images.model import (
    Build,
    Failure,
    FilesSource,
    GitSource,
    ImageSource,
    Recognised,
    UploadSource,
)
from skep.product.images.options import BuildOptions
from skep.product.images.ports import Framework
from skep.product.images.workshop import Workshop
from skep.product.sandboxes.model import LayerId


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What an attempt has made."""

    recognised: Recognised
    layers: tuple[LayerId, ...]
    base_fingerprint: str
    source_digest: str
    commit: str
    #: Bytes that this build added; a layer that was there already counts nothing.
    size: int


class Attempt:
    """Makes the layers of one build; every failure that is the user's is a `BuildFailedError`."""

    def __init__(
        self,
        *,
        workshop: Workshop,
        blobs: BlobStore,
        frameworks: Sequence[Framework],
        options: BuildOptions,
        clock: Clock,
        step: Callable[[str], Awaitable[None]],
        hold: Hold,
    ) -> None:
        self._workshop = workshop
        self._blobs = blobs
        self._frameworks = frameworks
        self._options = options
        self._clock = clock
        self._step = step
        self._hold = hold
        self._deadline = clock.monotonic() + options.timeout_s
        self._fetcher = Fetcher(workshop, options)

    async def make(self, build: Build, blob_id: BlobId | None) -> Made:
        """Bring *build* from its source to sealed layers; *blob_id* is that of its upload, if it has one."""
        try:
            return await self._make(build, blob_id)
        except (InvalidError, TooLargeError) as error:
            raise BuildFailedError(_failure(error)) from error

    async def _make(self, build: Build, blob_id: BlobId | None) -> Made:
        driver, log = self._workshop.driver, self._workshop.log
        await self._step("fetching")
        commit = await self._fetch(build, blob_id)
        await self._step("planning")
        wanted = tuple(pattern for framework in self._frameworks for pattern in framework.reads) + plan.READS
        listing, python = await self._fetcher.list(wanted)
        base = plan.Base(fingerprint=await driver.base_fingerprint(), python=python, uv=self._options.uv_version)
        # What strangers wrote is parsed beside the event loop, however short the limits keep it.
        recognised = await asyncio.to_thread(plan.recognise, listing, self._frameworks, build.command)
        await log.say(f"{_files(len(listing.files))}. Recognised: {recognised.framework} ({_evidence(recognised)}).")
        await log.say(f"Command: {' '.join(recognised.command)}")
        made = plan.make_plan(listing, recognised, base, build.project_id, installing(self._options.index_url))
        layers = (made.app_layer,) if made.env_layer is None else (made.env_layer, made.app_layer)
        # From here on it is looked which of them are there: none may go until an image names them.
        await self._hold(layers)
        size = await self._build(made)
        return Made(
            recognised=recognised,
            layers=layers,
            base_fingerprint=base.fingerprint,
            source_digest=listing.digest,
            commit=commit,
            size=size,
        )

    async def _fetch(self, build: Build, blob_id: BlobId | None) -> str:
        match build.source:
            case GitSource() as source:
                at = f" at {source.ref}" if source.ref else ""
                await self._workshop.log.say(f"Fetching {source.url}{at}.")
                return await self._fetcher.git(source)
            case UploadSource() as source:
                assert blob_id is not None, "the upload was looked up before the attempt"
                await self._workshop.log.say(f"Unpacking the upload {source.label or source.upload_id}.")
                await self._fetcher.upload(source, self._blobs, blob_id)
            case FilesSource() as source:
                await self._fetcher.files(source)
            case ImageSource():
                raise InvalidError("Container images cannot be run by this driver.", code="images_need_docker")
        return ""

    async def _build(self, made: plan.BuildPlan) -> int:
        """Make the layers that are not there yet; return their size."""
        there = set(await self._workshop.driver.layers())
        env_there = made.env_layer is None or made.env_layer in there
        if env_there and made.app_layer in there:
            await self._workshop.log.say("Nothing changed: the layers of an earlier build are used again.")
            return 0
        size = 0
        if not made.packaged:
            size += await self._seal("source", ("/app",), made.app_layer, there, writable=True)
        if made.env_layer is not None:
            if not env_there or made.packaged:
                await self._install(made)
            size += await self._seal("environment", (plan.ENVIRONMENT,), made.env_layer, there, writable=False)
        if made.packaged:
            size += await self._seal("source", ("/app",), made.app_layer, there, writable=True)
        return size

    async def _install(self, made: plan.BuildPlan) -> None:
        await self._step("installing")
        workshop = self._workshop
        hosts = self._options.index_hosts
        advice = refusals.while_installing(hosts)
        workshop.open_to(Policy(allow=hosts, internal=hosts, private=self._options.allow_private, advice=advice))
        for step in made.steps:
            await workshop.log.say("$ " + " ".join(step))
            left = self._deadline - self._clock.monotonic()
            ran = await workshop.run(step, env=made.env, timeout_s=left)
            if ran.ok:
                continue
            failure = failures.of_exit(
                ran.exit,
                ran.stderr,
                seen=await workshop.driver.inspect(workshop.handle),
                limits=self._options.limits,
                limit_s=self._options.timeout_s,
            )
            raise BuildFailedError(failure or failures.of_install(ran.stderr, workshop.refusal))

    async def _seal(
        self, what: str, paths: tuple[str, ...], layer: LayerId, there: set[LayerId], *, writable: bool
    ) -> int:
        if layer in there:
            await self._workshop.log.say(f"The {what} is the one of an earlier build: layer {layer[:12]}.")
            return 0
        await self._step("sealing")
        size = await self._workshop.driver.seal(self._workshop.handle, paths, layer, writable=writable)
        await self._workshop.log.say(f"Sealed the {what}: layer {layer[:12]}, {_size(size)}.")
        return size


def _evidence(recognised: Recognised) -> str:
    return ", ".join(recognised.evidence)


def _failure(error: SkepError) -> Failure:
    return Failure(code=error.code, message=error.message, hint=error.hint or "")


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count} files"


def _size(octets: int) -> str:
    return f"{octets / MIB:.1f} MiB" if octets >= MIB // 10 else f"{octets / 1024:.1f} KiB"
