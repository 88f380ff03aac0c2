"""What every store of builds, images, uploads, agents and versions must do."""

from dataclasses import replace
from typing import Any

import pytest

from skep.adapters.storage.stores import Stores
from skep.kernel.database import Database, Tx
from skep.kernel.errors import NotFoundError
from skep.kernel.paging import Page, PageQuery
from skep.product.agents.model import AgentId, VersionId
from skep.product.images.model import (
    BuildId,
    BuildStatus,
    FilesSource,
    ImageId,
    ImageSource,
    UploadId,
    UploadSource,
)
from skep.product.runs.model import RunId
from skep.testing import samples
from skep.testing.store_walks import EVERYTHING, refused, walk


class AgentConformance:
    """Builds, images, uploads; agents and versions."""

    async def test_a_build_from_any_source_comes_back(self, db: Database, stores: Stores) -> None:
        """Each kind of source is kept as what it is."""
        sources = (
            samples.BUILD.source,
            FilesSource(files={"main.py": "print('\x00')\n"}),
            UploadSource(upload_id=UploadId("upl_1"), path="x", label="folder"),
            ImageSource(name="docker.io/library/python:3.12"),
        )
        builds = [replace(samples.BUILD, id=BuildId(f"bld_{n}"), source=s) for n, s in enumerate(sources)]
        for build in builds:
            await db.write(lambda tx, build=build: stores.images.insert_build(tx, build))
            assert await db.read(lambda tx, build=build: stores.images.build(tx, build.id)) == build

    async def test_a_builds_row_is_replaced(self, db: Database, stores: Stores) -> None:
        """What is None is kept as None; a row that is not there is no silent success."""
        await db.write(lambda tx: stores.images.insert_build(tx, samples.BUILD))
        queued = replace(
            samples.BUILD,
            status=BuildStatus.QUEUED,
            sandbox_id=None,
            recognised=None,
            failure=None,
            cancel_requested=False,
            ended_ms=None,
        )
        await db.write(lambda tx: stores.images.save_build(tx, queued))
        assert await db.read(lambda tx: stores.images.build(tx, queued.id)) == queued
        with pytest.raises(NotFoundError):
            await db.write(lambda tx: stores.images.save_build(tx, replace(queued, id=BuildId("bld_9"))))

    async def test_builds_are_listed_by_agent_and_status(self, db: Database, stores: Stores) -> None:
        """Newest first; another project's never."""
        rows = [
            ("bld_1", "prj_1", "agt_1", BuildStatus.FAILED),
            ("bld_2", "prj_1", "agt_2", BuildStatus.FAILED),
            ("bld_3", "prj_1", "agt_1", BuildStatus.QUEUED),
            ("bld_4", "prj_2", "agt_1", BuildStatus.QUEUED),
        ]
        for id_, project, agent, status in rows:
            build = replace(samples.BUILD, id=BuildId(id_), project_id=project, agent_id=agent, status=status)
            await db.write(lambda tx, build=build: stores.images.insert_build(tx, build))

        async def found(agent_id: str | None, **choice: Any) -> list[str]:
            page = await db.read(lambda tx: stores.images.builds(tx, "prj_1", agent_id, PageQuery(**choice)))
            return [build.id for build in page.items]

        assert await found(None) == ["bld_3", "bld_2", "bld_1"]
        assert await found("agt_1") == ["bld_3", "bld_1"]
        assert await found("agt_1", status=("failed", "cancelled")) == ["bld_1"]
        assert await found(None, q="agt_2") == ["bld_2"]

    async def test_images_say_which_layers_are_in_use(self, db: Database, stores: Stores) -> None:
        """Only those of the machine that is asked about."""
        elsewhere = replace(samples.IMAGE, id=ImageId("img_2"), node_id="nod_2", layers=())
        await db.write(lambda tx: stores.images.insert_image(tx, samples.IMAGE))
        await db.write(lambda tx: stores.images.insert_image(tx, elsewhere))
        assert await db.read(lambda tx: stores.images.image(tx, samples.IMAGE.id)) == samples.IMAGE
        assert await db.read(lambda tx: stores.images.layers_in_use(tx, "nod_1")) == set(samples.IMAGE.layers)
        assert await db.read(lambda tx: stores.images.layers_in_use(tx, "nod_2")) == set()

    async def test_an_upload_comes_back(self, db: Database, stores: Stores) -> None:
        """Also one that is larger than 32 bits count."""
        await db.write(lambda tx: stores.images.insert_upload(tx, samples.UPLOAD))
        assert await db.read(lambda tx: stores.images.upload(tx, samples.UPLOAD.id)) == samples.UPLOAD
        assert await db.read(lambda tx: stores.images.upload(tx, UploadId("upl_9"))) is None

    async def test_a_living_agents_name_is_taken(self, db: Database, stores: Stores) -> None:
        """In its project only, and only until it is removed; a rename clashes as a new one does."""
        twin = replace(samples.AGENT, id=AgentId("agt_2"))
        await db.write(lambda tx: stores.agents.insert(tx, samples.AGENT))
        await refused(db, "name_taken", lambda tx: stores.agents.insert(tx, twin))
        await db.write(lambda tx: stores.agents.insert(tx, replace(twin, name="wasps")))
        await refused(db, "name_taken", lambda tx: stores.agents.save(tx, twin))
        await db.write(lambda tx: stores.agents.insert(tx, replace(twin, id=AgentId("agt_3"), project_id="prj_2")))
        removed = replace(samples.AGENT, removed_ms=99)
        await db.write(lambda tx: stores.agents.save(tx, removed))
        await db.write(lambda tx: stores.agents.save(tx, twin))
        assert await db.read(lambda tx: stores.agents.by_name(tx, "prj_1", "bees")) == twin
        assert await db.read(lambda tx: stores.agents.get(tx, samples.AGENT.id)) == removed

    async def test_an_owners_agents_and_their_runs(self, db: Database, stores: Stores) -> None:
        """A title is taken among an owner's living agents; runs of removed ones are still the owner's."""
        anns, bobs = (replace(samples.AGENT, id=AgentId(f"agt_{who}"), name=who, owner=who) for who in ("ann", "bob"))
        for agent in (anns, bobs):
            await db.write(lambda tx, agent=agent: stores.agents.insert(tx, agent))
            run = replace(samples.RUN, id=RunId(f"run_{agent.name}"), agent_id=agent.id)
            await db.write(lambda tx, run=run: stores.runs.insert(tx, run))
        twin = replace(anns, id=AgentId("agt_twin"), name="twin")
        await refused(db, "title_taken", lambda tx: stores.agents.insert(tx, twin))
        await db.write(lambda tx: stores.agents.insert(tx, replace(twin, title="another")))

        assert await db.read(lambda tx: stores.agents.owned(tx, "prj_1", "ann", anns.title)) == anns
        assert await db.read(lambda tx: stores.agents.owned(tx, "prj_2", "ann", anns.title)) is None
        listed = await db.read(lambda tx: stores.agents.all(tx, "prj_1", EVERYTHING, owner="ann"))
        assert [agent.name for agent in listed.items] == ["twin", "ann"]
        await db.write(lambda tx: stores.agents.save(tx, replace(anns, removed_ms=99)))
        runs = await db.read(lambda tx: stores.runs.all(tx, "prj_1", None, EVERYTHING, owner="ann"))
        assert [run.id for run in runs.items] == ["run_ann"]
        assert (await db.read(lambda tx: stores.runs.all(tx, "prj_2", None, EVERYTHING, owner="ann"))).items == []

    async def test_living_agents_are_listed_newest_first(self, db: Database, stores: Stores) -> None:
        """A removed agent is in no list; text is looked for in name, title and id."""
        for n, (name, removed_ms) in enumerate((("ants", None), ("bees", None), ("wasps", 99))):
            agent = replace(samples.AGENT, id=AgentId(f"agt_{n}"), name=name, title=name.title(), removed_ms=removed_ms)
            await db.write(lambda tx, agent=agent: stores.agents.insert(tx, agent))

        async def found(**choice: Any) -> list[str]:
            return [agent.name for agent in await walk(db, every, PageQuery(limit=1, **choice))]

        def every(tx: Tx, query: PageQuery) -> Page[Any]:
            return stores.agents.all(tx, "prj_1", query)

        assert await found() == ["bees", "ants"]
        assert await found(q="ANT") == ["ants"]
        assert await found(q="wasps") == []

    async def test_versions_are_numbered(self, db: Database, stores: Stores) -> None:
        """The next number follows the last; two versions of one number are refused."""
        await db.write(lambda tx: stores.agents.insert(tx, samples.AGENT))
        assert await db.read(lambda tx: stores.agents.next_number(tx, samples.AGENT.id)) == 1
        versions = [replace(samples.VERSION, id=VersionId(f"ver_{n}"), number=n) for n in (1, 2)]
        for version in versions:
            await db.write(lambda tx, version=version: stores.agents.insert_version(tx, version))
        assert await db.read(lambda tx: stores.agents.next_number(tx, samples.AGENT.id)) == 3
        assert await db.read(lambda tx: stores.agents.version(tx, versions[0].id)) == versions[0]
        listed = await db.read(lambda tx: stores.agents.versions(tx, samples.AGENT.id, EVERYTHING))
        assert listed.items == versions[::-1]
        again = replace(samples.VERSION, id=VersionId("ver_9"), number=2)
        await refused(db, "conflict", lambda tx: stores.agents.insert_version(tx, again))
