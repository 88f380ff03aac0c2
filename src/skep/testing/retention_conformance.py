"""What every implementation of the stores must delete when it is told to, and what it must leave.

Part of `StoreConformance`.
"""

from dataclasses import replace
from functools import partial
from typing import Any

from skep.adapters.storage.stores import Stores
from skep.kernel.database import Database
from skep.kernel.paging import PageQuery
from skep.product.agents.model import AgentId, VersionId
from skep.product.blobs.model import BlobId, LogId, Released
from skep.product.images.model import BuildId, BuildStatus, ImageId, UploadId, UploadSource
from skep.product.runs.model import AttemptId, QuestionId, RunId, RunStatus
from skep.testing import samples

_OLD, _CUTOFF, _NEW = 100, 1_000, 2_000


class RetentionConformance:
    """Old rows go, a few at a time, unless something refers to them."""

    async def test_old_runs_go_with_all_that_is_theirs(self, db: Database, stores: Stores) -> None:
        """Oldest first; what goes on, and what ended lately, stays whole; the files of what went are told."""
        runs = stores.runs
        for n, (status, ended_ms) in enumerate(
            ((RunStatus.FAILED, 3), (RunStatus.RUNNING, None), (RunStatus.LOST, 2), (RunStatus.FAILED, _NEW))
        ):
            run = replace(samples.RUN, id=RunId(f"run_{n}"), status=status, ended_ms=ended_ms)
            attempt = replace(samples.ATTEMPT, id=AttemptId(f"att_{n}"), run_id=run.id, log_id=LogId(f"log_{n}"))
            artifact = replace(samples.ARTIFACT, run_id=run.id, blob_id=BlobId(f"blb_{n}"))
            await db.write(lambda tx, run=run: runs.insert(tx, run))
            await db.write(lambda tx, attempt=attempt: runs.insert_attempt(tx, attempt))
            await db.write(lambda tx, run=run, made=artifact: runs.put_artifacts(tx, run.id, [made]))
            await db.write(lambda tx, run=run: runs.append_event(tx, run.id, 1, "run.queued", {}))
            question = replace(samples.QUESTION, id=QuestionId(f"qst_{n}"), run_id=run.id)
            await db.write(lambda tx, asked=question: stores.questions.insert(tx, asked))

        async def prune() -> Released:
            return await db.write(lambda tx: runs.prune(tx, before_ms=_CUTOFF, limit=1))

        first = Released(count=1, logs=(LogId("log_2"),), blobs=(BlobId("blb_2"),))
        second = Released(count=1, logs=(LogId("log_0"),), blobs=(BlobId("blb_0"),))
        assert [await prune(), await prune(), await prune()] == [first, second, Released(count=0)]
        assert await db.read(lambda tx: runs.get(tx, RunId("run_0"))) is None
        assert await db.read(lambda tx: runs.events(tx, RunId("run_0"))) == []
        for n in (1, 3):
            run_id = RunId(f"run_{n}")
            assert len(await db.read(lambda tx, id_=run_id: runs.attempts(tx, id_))) == 1
            assert len(await db.read(lambda tx, id_=run_id: runs.artifacts(tx, id_))) == 1
            assert len(await db.read(lambda tx, id_=run_id: runs.events(tx, id_))) == 1
            assert len(await db.read(lambda tx, id_=run_id: stores.questions.of_run(tx, id_))) == 1
        asked = ["log_0", "log_1", "log_3", "blb_0", "blb_1", "log_x"]
        assert await db.read(lambda tx: runs.named(tx, asked)) == {"log_1", "log_3", "blb_1"}
        assert await db.read(lambda tx: runs.named(tx, [])) == set()

    async def test_versions_that_nothing_refers_to_go(self, db: Database, stores: Stores) -> None:
        """Not what a living agent runs, not what a run ran, not what is young."""
        current = replace(samples.AGENT, version_id=VersionId("ver_1"))
        removed = replace(samples.AGENT, id=AgentId("agt_2"), version_id=VersionId("ver_4"), removed_ms=5)
        for agent in (current, removed):
            await db.write(lambda tx, agent=agent: stores.agents.insert(tx, agent))
        for n, (agent_id, at_ms) in enumerate(
            (("agt_1", _OLD), ("agt_1", _OLD), ("agt_1", _OLD), ("agt_1", _NEW), ("agt_2", _OLD))
        ):
            version = replace(
                samples.VERSION, id=VersionId(f"ver_{n}"), agent_id=AgentId(agent_id), number=n, created_ms=at_ms
            )
            await db.write(lambda tx, version=version: stores.agents.insert_version(tx, version))
        await db.write(lambda tx: stores.runs.insert(tx, replace(samples.RUN, version_id=VersionId("ver_0"))))

        async def prune() -> int:
            return await db.write(lambda tx: stores.agents.prune_versions(tx, before_ms=_CUTOFF, limit=1))

        assert [await prune(), await prune(), await prune()] == [1, 1, 0]
        left = [n for n in range(5) if await db.read(lambda tx, n=n: stores.agents.version(tx, VersionId(f"ver_{n}")))]
        assert left == [0, 1, 3]

    async def test_images_without_a_version_go(self, db: Database, stores: Stores) -> None:
        """The layers of one that went are not in use any more."""
        used = replace(samples.IMAGE, id=ImageId("img_1"), created_ms=_OLD)
        unused = replace(samples.IMAGE, id=ImageId("img_2"), layers=samples.IMAGE.layers[:1], created_ms=_OLD)
        young = replace(samples.IMAGE, id=ImageId("img_3"), layers=(), created_ms=_NEW)
        await db.write(lambda tx: stores.agents.insert(tx, samples.AGENT))
        await db.write(lambda tx: stores.agents.insert_version(tx, replace(samples.VERSION, image_id=used.id)))
        for image in (used, unused, young):
            await db.write(lambda tx, image=image: stores.images.insert_image(tx, image))
        for expected in (1, 0):
            prune = partial(stores.images.prune_images, before_ms=_CUTOFF, keep_versions=1, limit=5)
            count = await db.write(prune)
            assert count == expected
        assert await db.read(lambda tx: stores.images.image(tx, unused.id)) is None
        assert await db.read(lambda tx: stores.images.image(tx, used.id)) == used
        assert await db.read(lambda tx: stores.images.image(tx, young.id)) == young

    async def test_images_of_old_versions_go(self, db: Database, stores: Stores) -> None:
        """What runs now stays, the newest versions', and those of runs that go on; a removed agent keeps none."""
        agent = replace(samples.AGENT, version_id=VersionId("ver_1"))
        gone = replace(samples.AGENT, id=AgentId("agt_2"), name="gone", version_id=VersionId("ver_9"), removed_ms=5)
        goes_on = replace(samples.RUN, status=RunStatus.RUNNING, version_id=VersionId("ver_2"))
        ended = replace(
            samples.RUN, id=RunId("run_2"), status=RunStatus.FAILED, version_id=VersionId("ver_3"), ended_ms=_NEW
        )

        def fill(tx: Any) -> None:
            stores.agents.insert(tx, agent)
            stores.agents.insert(tx, gone)
            for n in range(1, 7):
                image = replace(samples.IMAGE, id=ImageId(f"img_{n}"), created_ms=_OLD)
                stores.images.insert_image(tx, image)
                version = replace(samples.VERSION, id=VersionId(f"ver_{n}"), number=n, image_id=image.id)
                stores.agents.insert_version(tx, version)
            stores.images.insert_image(tx, replace(samples.IMAGE, id=ImageId("img_9"), created_ms=_OLD))
            theirs = replace(samples.VERSION, id=VersionId("ver_9"), agent_id=gone.id, image_id=ImageId("img_9"))
            stores.agents.insert_version(tx, theirs)
            for run in (goes_on, ended):
                stores.runs.insert(tx, run)

        await db.write(fill)
        node, project = samples.IMAGE.node_id, samples.IMAGE.project_id
        may_go = {"img_3", "img_4", "img_9"}
        for asked in (None, project):
            found = await db.read(
                lambda tx, asked=asked: stores.catalogue.unneeded(tx, node, asked, before_ms=_CUTOFF, keep_versions=2)
            )
            assert {image.id for image in found} == may_go
        for on, of, before in (("other", None, _CUTOFF), (node, "other", _CUTOFF), (node, None, _OLD - 1)):
            unneeded = partial(stores.catalogue.unneeded, node_id=on, project_id=of, before_ms=before, keep_versions=2)
            assert await db.read(unneeded) == []

        asked_for = [ImageId(f"img_{n}") for n in (1, 2, 9)]
        uses = await db.read(lambda tx: stores.catalogue.uses(tx, asked_for))
        assert [(use.image_id, use.agent_name, use.number, use.current) for use in uses] == [
            ("img_1", agent.name, 1, True),
            ("img_2", agent.name, 2, False),
            ("img_9", "gone", samples.VERSION.number, False),
        ]
        prune = partial(stores.images.prune_images, before_ms=_CUTOFF, keep_versions=2, limit=5)
        assert await db.write(prune) == 3
        left = await db.read(lambda tx: stores.catalogue.images(tx, node, project, PageQuery()))
        assert {image.id for image in left.items} == {"img_1", "img_2", "img_5", "img_6"}

    async def test_old_builds_go(self, db: Database, stores: Stores) -> None:
        """Not an agent's newest ones, nor one with its image, nor one that goes on; a removed agent keeps none."""
        gone = replace(samples.AGENT, id=AgentId("agt_2"), removed_ms=5)
        for agent in (replace(samples.AGENT, build_id=BuildId("bld_5")), gone):
            await db.write(lambda tx, agent=agent: stores.agents.insert(tx, agent))
        await db.write(lambda tx: stores.images.insert_image(tx, samples.IMAGE))
        rows: tuple[tuple[str, int | None, str | None], ...] = (
            ("agt_1", _OLD, None),
            ("agt_1", None, None),
            ("agt_1", _OLD, samples.IMAGE.id),
            ("agt_1", _OLD, "img_9"),
            ("agt_1", _OLD, None),
            ("agt_1", _OLD, None),
            ("agt_2", _OLD, None),
            ("agt_2", _NEW, None),
        )
        for n, (agent_id, ended_ms, image_id) in enumerate(rows):
            build = replace(
                samples.BUILD,
                id=BuildId(f"bld_{n}"),
                log_id=LogId(f"log_{n}"),
                agent_id=agent_id,
                image_id=None if image_id is None else ImageId(image_id),
                ended_ms=ended_ms,
            )
            await db.write(lambda tx, build=build: stores.images.insert_build(tx, build))

        async def prune() -> Released:
            return await db.write(lambda tx: stores.images.prune_builds(tx, before_ms=_CUTOFF, keep=2, limit=5))

        released = await prune()
        assert (released.count, set(released.logs)) == (3, {"log_0", "log_3", "log_6"})
        assert await prune() == Released(count=0)
        page = await db.read(lambda tx: stores.images.builds(tx, "prj_1", None, PageQuery()))
        assert [build.id for build in page.items] == ["bld_7", "bld_5", "bld_4", "bld_2", "bld_1"]

    async def test_uploads_that_no_build_needs_go(self, db: Database, stores: Stores) -> None:
        """Not what an unfinished build is made from, nor what a living agent's next one would be, nor what is young."""
        for n in range(6):
            upload = replace(
                samples.UPLOAD,
                id=UploadId(f"upl_{n}"),
                blob_id=BlobId(f"blb_{n}"),
                created_ms=_NEW if n == 5 else _OLD + n,
            )
            await db.write(lambda tx, upload=upload: stores.images.insert_upload(tx, upload))

        def source(n: int) -> UploadSource:
            return UploadSource(upload_id=UploadId(f"upl_{n}"))

        running = replace(samples.BUILD, status=BuildStatus.RUNNING, source=source(0), ended_ms=None)
        ended = replace(samples.BUILD, id=BuildId("bld_2"), source=source(1))
        for build in (running, ended):
            await db.write(lambda tx, build=build: stores.images.insert_build(tx, build))
        removed = replace(samples.AGENT, id=AgentId("agt_2"), source=source(3), removed_ms=5)
        for agent in (replace(samples.AGENT, source=source(2)), removed):
            await db.write(lambda tx, agent=agent: stores.agents.insert(tx, agent))

        async def prune() -> Released:
            return await db.write(lambda tx: stores.images.prune_uploads(tx, before_ms=_CUTOFF, limit=2))

        assert await prune() == Released(count=2, blobs=(BlobId("blb_1"), BlobId("blb_3")))
        assert [await prune(), await prune()] == [Released(count=1, blobs=(BlobId("blb_4"),)), Released(count=0)]
        asked = [*(f"blb_{n}" for n in range(6)), samples.BUILD.log_id, "log_x"]
        named = await db.read(lambda tx: stores.images.named(tx, asked))
        assert named == {"blb_0", "blb_2", "blb_5", samples.BUILD.log_id}

    async def test_old_lines_of_the_audit_log_go(self, db: Database, stores: Stores) -> None:
        """The oldest first, a few at a time; newer ones stay."""
        for n in range(5):
            line: Any = replace(samples.AUDIT_ENTRY, id=f"aud_{n}", at_ms=n)
            await db.write(lambda tx, line=line: stores.audit.append(tx, line))

        async def prune() -> int:
            return await db.write(lambda tx: stores.audit.prune(tx, before_ms=3, limit=2))

        assert [await prune(), await prune(), await prune()] == [2, 1, 0]
        page = await db.read(lambda tx: stores.audit.entries(tx, None, PageQuery()))
        assert [entry.id for entry in page.items] == ["aud_4", "aud_3"]
