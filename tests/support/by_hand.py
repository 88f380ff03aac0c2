"""Does to builds and runs what their workers do, as rows and files: a test decides what becomes of them."""

from dataclasses import replace

from skep.product.blobs.model import LogId
from skep.product.images.model import BuildStatus, Failure, Image, ImageId, Install, Recognised
from skep.product.runs.model import Attempt, AttemptId, AttemptPhase, RunStatus


class Worker:
    """Moves runs by hand: attempts, events, the end."""

    def __init__(self, db, stores, logs, blobs, hub):
        self.db, self.stores, self.logs, self.blobs, self.hub = db, stores, logs, blobs, hub

    async def attempt(self, run_id, number):
        """Begin an attempt."""
        attempt = Attempt(
            id=AttemptId(f"att_{number}"),
            run_id=run_id,
            number=number,
            phase=AttemptPhase.STARTED,
            sandbox_id=f"sbx_{number}",
            log_id=LogId(f"log_0000000000000000000000000{number}"),
            node_id="nod",
            created_ms=0,
        )

        def work(tx):
            self.stores.runs.insert_attempt(tx, attempt)
            run = self.stores.runs.get(tx, run_id)
            self.stores.runs.save(tx, replace(run, status=RunStatus.RUNNING, attempts=number))
            self.stores.runs.append_event(tx, run_id, 0, "attempt.started", {"attempt": number})

        await self.db.write(work)
        self.hub.notify(f"run:{run_id}")
        return attempt.log_id

    async def end(self, run_id, status=RunStatus.SUCCEEDED, **changes):
        """Bring the run to its end."""

        def work(tx):
            run = self.stores.runs.get(tx, run_id)
            self.stores.runs.save(tx, replace(run, status=status, **changes))
            self.stores.runs.append_event(tx, run_id, 0, f"run.{status}", {})

        await self.db.write(work)
        self.hub.notify(f"run:{run_id}")


class Builds:
    """Moves builds by hand."""

    def __init__(self, db, stores, logs, hub, agents):
        self.db, self.stores, self.logs, self.hub, self.agents = db, stores, logs, hub, agents

    async def go_on(self, build_id, step):
        """Have a build be at *step*."""
        await self._change(build_id, lambda _, build: replace(build, status=BuildStatus.RUNNING, step=step))

    async def succeed(self, build_id, inputs_schema=None):
        """Make an image of nothing, and the agent's next version of it."""
        recognised = Recognised(
            framework="python",
            evidence=("main.py",),
            command=("python", "main.py"),
            install=Install.NOTHING,
            inputs_schema=inputs_schema,
        )

        def end(tx, build):
            image = Image(
                id=ImageId(build.id.replace("bld", "img")),
                project_id=build.project_id,
                node_id="nod",
                layers=(),
                base_fingerprint="",
                recognised=recognised,
                source_digest="",
                commit="",
                size=0,
                created_ms=0,
            )
            self.stores.images.insert_image(tx, image)
            ended = replace(build, status=BuildStatus.SUCCEEDED, image_id=image.id, step="", ended_ms=1)
            self.stores.images.save_build(tx, ended)
            self.agents.build_ended(tx, ended, image)
            return ended

        await self._end(build_id, end)

    async def fail(self, build_id, message="It has no entry.", hint="Add a main.py."):
        """End a build without an image."""

        def end(tx, build):
            failure = Failure(code="nothing_recognised", message=message, hint=hint)
            ended = replace(build, status=BuildStatus.FAILED, failure=failure, ended_ms=1)
            self.stores.images.save_build(tx, ended)
            self.agents.build_ended(tx, ended, None)
            return ended

        await self._end(build_id, end)

    async def _change(self, build_id, change):
        def work(tx):
            self.stores.images.save_build(tx, change(tx, self.stores.images.build(tx, build_id)))

        await self.db.write(work)
        self.hub.notify(f"build:{build_id}")

    async def _end(self, build_id, end):
        build = await self.db.read(lambda tx: self.stores.images.build(tx, build_id))
        await self.logs.close(build.log_id)
        await self._change(build_id, end)
