"""Makes the layers of a plan that are not there yet, lowest first, each in a fresh sandbox on those below it."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from skep.kernel.clock import Clock
from skep.kernel.settings import MIB
from skep.product.gateway.model import LockedFile
from skep.product.gateway.ports import Mirrors
from skep.product.images import failures, installers
from skep.product.images.environment import BASE
from skep.product.images.failures import BuildFailedError
from skep.product.images.layers.clearing import Hold
from skep.product.images.layers.ledger import Ledger
from skep.product.images.model import Failure, LayerKind
from skep.product.images.options import BuildOptions
from skep.product.images.planning.steps import LayerPlan, Reach
from skep.product.images.reach import opening
from skep.product.images.stages import Stages
from skep.product.images.workshop import BuildDriver, BuildLog, Workshop
from skep.product.sandboxes.model import LayerId

Step = Callable[[str], Awaitable[None]]

_NAMES: Mapping[LayerKind, str] = {
    LayerKind.RUNTIME: "Runtime layer",
    LayerKind.SHARED: "Shared layer",
    LayerKind.SOURCE: "Source layer",
    LayerKind.PRIVATE: "Private layer",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What all builds make layers with."""

    driver: BuildDriver
    ledger: Ledger
    mirrors: Mirrors
    options: BuildOptions
    clock: Clock


class Layering:
    """The layers of one build; what it makes, and what it found made."""

    def __init__(self, means: Means, stages: Stages, log: BuildLog, step: Step, hold: Hold, project_id: str) -> None:
        self._means = means
        self._stages = stages
        self._log = log
        self._step = step
        self._hold = hold
        self._project_id = project_id
        self._deadline = means.clock.monotonic() + means.options.timeout_s
        #: Of each layer that is there, and accounted for: its bytes.
        self._sizes: dict[LayerId, int] = {}
        #: Those that this attempt made.
        self.made: set[LayerId] = set()

    async def look(self, plans: tuple[LayerPlan, ...]) -> set[LayerId]:
        """Return which of *plans* are there; from now on none of them goes before the build is over."""
        ids = [plan.id for plan in plans]
        await self._hold(ids)
        counted = await self._means.ledger.count_on(ids)
        there = set(await self._means.driver.layers())
        self._sizes |= {layer: size for layer, size in counted.items() if layer in there}
        return {layer for layer in ids if layer in there}

    def size(self, plans: tuple[LayerPlan, ...]) -> int:
        """Return the bytes of all layers of *plans*, which are there."""
        return sum(self._sizes[plan.id] for plan in plans)

    async def make(self, plans: tuple[LayerPlan, ...]) -> None:
        """See to it that all of *plans* are there, whoever made them.

        Raises:
            BuildFailedError: a command failed.
        """
        there = await self.look(plans)
        for number, plan in enumerate(plans):
            if plan.id in self._sizes:
                if plan.id not in self.made:
                    await self._log.say(f"{_NAMES[plan.kind]} {plan.id[:12]}: {plan.about}, used again.")
                continue
            started = self._means.clock.monotonic()
            below = tuple(lower.id for lower in plans[:number])
            async with self._stages.stage(below) as workshop:
                # One that a crash left without its row is only sealed again, which finds it made.
                if plan.id not in there:
                    await self._step("installing")
                    await self.run(
                        workshop,
                        plan.steps,
                        words=plan.words,
                        env=plan.env,
                        files=plan.files,
                        reach=plan.reach,
                        locked=plan.locked,
                    )
                await self._seal(workshop, plan, started)

    async def seal(self, workshop: Workshop, plan: LayerPlan) -> None:
        """Seal what is in *workshop* already."""
        await self._seal(workshop, plan, self._means.clock.monotonic())

    async def _seal(self, workshop: Workshop, plan: LayerPlan, started: float) -> None:
        await self._step("sealing")
        size = await self._means.driver.seal(
            workshop.handle, plan.paths, plan.id, writable=plan.writable, changes=plan.changes
        )
        await self._means.ledger.sealed(plan, self._project_id, size)
        self._sizes[plan.id] = size
        self.made.add(plan.id)
        took = self._means.clock.monotonic() - started
        await self._log.say(f"{_NAMES[plan.kind]} {plan.id[:12]}: {plan.about}, made in {took:.1f} s, {_size(size)}.")

    async def run(
        self,
        workshop: Workshop,
        steps: tuple[tuple[str, ...], ...],
        *,
        env: Mapping[str, str],
        files: Mapping[str, str],
        reach: Reach,
        words: Mapping[tuple[str, ...], str] | None = None,
        locked: tuple[LockedFile, ...] = (),
        failed: Callable[[str, str], Failure] = failures.of_install,
    ) -> None:
        """Put *files* in, open the door as far as *reach* says, and run *steps* one after another.

        The log has each as it is typed, or what *words* say of it.

        Raises:
            BuildFailedError: one failed: by a limit, or as *failed* makes of its last words and the door's refusal.
        """
        means = self._means
        for path, text in files.items():
            await means.driver.put(workshop.handle, path, text.encode(), mode=0o644)
        opened = opening(reach, means.options, means.mirrors, locked=locked)
        workshop.open_to(opened.policy, sites=opened.sites)
        for step in steps:
            await self._log.say((words or {}).get(step) or "$ " + " ".join(step))
            left = self._deadline - means.clock.monotonic()
            ran = await workshop.run(step, env={**BASE, **env}, timeout_s=left)
            if ran.ok:
                continue
            said = failures.last_words(ran.stderr, ran.stdout_end)
            stopped = failures.of_exit(
                ran.exit,
                said,
                seen=await means.driver.inspect(workshop.handle),
                limits=means.options.limits,
                limit_s=means.options.timeout_s,
            )
            if not stopped and installers.is_own(step) and step not in (words or {}):
                stopped = failures.of_own(step, said, workshop.refusal)
            raise BuildFailedError(stopped or failed(said, workshop.refusal))


def _size(octets: int) -> str:
    if octets < 1024:
        return f"{octets} B"
    return f"{octets / MIB:.1f} MiB" if octets >= MIB // 10 else f"{octets / 1024:.1f} KiB"
