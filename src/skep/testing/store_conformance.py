"""What every implementation of the stores must do, whatever the database.

A test module derives a class from `StoreConformance`; the fixtures `db` (a `Database`) and `stores` (with a store
per noun) say over what it runs.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import pytest

from skep.adapters.storage.stores import Stores
from skep.kernel.database import Database, Tx
from skep.kernel.errors import ConflictError, FencedError, NotFoundError
from skep.kernel.paging import Page, PageQuery
from skep.product.access.model import ProjectId, TokenId
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
from skep.product.nodes.model import NodeId
from skep.product.runs.model import AttemptId, AttemptPhase, QuestionId, RunId, RunStatus
from skep.product.sandboxes.model import Phase, SandboxId
from skep.testing import samples
from skep.testing.layer_rows_conformance import LayerRowsConformance
from skep.testing.retention_conformance import RetentionConformance

T = TypeVar("T")

EVERYTHING = PageQuery()


async def refused(db: Database, code: str, work: Callable[[Tx], Any]) -> None:
    """Check that *work* is a conflict of this *code*, and leaves nothing behind."""
    with pytest.raises(ConflictError) as caught:
        await db.write(work)
    assert caught.value.code == code


async def walk(db: Database, list_: Callable[[Tx, PageQuery], Page[T]], query: PageQuery) -> list[T]:
    """Return all items of a listing, page by page."""
    found: list[T] = []
    while True:
        page = await db.read(lambda tx, query=query: list_(tx, query))
        assert len(page.items) <= query.limit
        found += page.items
        if page.next is None:
            return found
        query = replace(query, cursor=page.next)


class AccessConformance:
    """Projects, tokens, the audit log, kept answers."""

    async def test_a_project_is_found_by_id_and_by_name(self, db: Database, stores: Stores) -> None:
        """A project comes back as it was, by both of its keys."""
        await db.write(lambda tx: stores.access.insert_project(tx, samples.PROJECT))
        assert await db.read(lambda tx: stores.access.project(tx, samples.PROJECT.id)) == samples.PROJECT
        assert await db.read(lambda tx: stores.access.project_by_name(tx, "default")) == samples.PROJECT
        assert await db.read(lambda tx: stores.access.project_by_name(tx, "other")) is None

    async def test_a_projects_name_is_taken_once(self, db: Database, stores: Stores) -> None:
        """A second project of the same name is refused by name."""
        await db.write(lambda tx: stores.access.insert_project(tx, samples.PROJECT))
        twin = replace(samples.PROJECT, id=ProjectId("prj_2"))
        await refused(db, "name_taken", lambda tx: stores.access.insert_project(tx, twin))

    async def test_projects_are_listed_oldest_first(self, db: Database, stores: Stores) -> None:
        """Pages follow each other without gap or repeat."""
        projects = [replace(samples.PROJECT, id=ProjectId(f"prj_{n}"), name=f"p{n}") for n in range(5)]
        for project in reversed(projects):
            await db.write(lambda tx, project=project: stores.access.insert_project(tx, project))
        assert await walk(db, stores.access.projects, PageQuery(limit=2)) == projects
        assert await walk(db, stores.access.projects, PageQuery(q="P3")) == projects[3:4]

    async def test_a_token_is_found_by_its_digest(self, db: Database, stores: Stores) -> None:
        """A token comes back whole; its revocation keeps the first time."""
        await db.write(lambda tx: stores.access.insert_project(tx, samples.PROJECT))
        await db.write(lambda tx: stores.access.insert_token(tx, samples.TOKEN))
        assert await db.read(lambda tx: stores.access.token_by_digest(tx, samples.TOKEN.digest)) == samples.TOKEN
        assert await db.read(lambda tx: stores.access.token_by_digest(tx, "x")) is None
        for at_ms in (50, 60):
            await db.write(lambda tx, at_ms=at_ms: stores.access.revoke_token(tx, samples.TOKEN.id, at_ms))
        revoked = replace(samples.TOKEN, revoked_ms=50)
        assert await db.read(lambda tx: stores.access.token(tx, samples.TOKEN.id)) == revoked

    async def test_the_last_use_of_a_token_is_its_latest(self, db: Database, stores: Stores) -> None:
        """Uses of several tokens are kept at once; a later one stays, and a token that is not there is no error."""
        other = replace(samples.TOKEN, id=TokenId("tok_2"), digest="e")
        await db.write(lambda tx: stores.access.insert_project(tx, samples.PROJECT))
        for token in (samples.TOKEN, other):
            await db.write(lambda tx, token=token: stores.access.insert_token(tx, token))
        for uses in ({samples.TOKEN.id: 20, other.id: 30, TokenId("tok_9"): 1}, {samples.TOKEN.id: 10, other.id: 40}):
            await db.write(lambda tx, uses=uses: stores.access.note_uses(tx, uses))
        kept = (await db.read(lambda tx: stores.access.tokens(tx, None, EVERYTHING))).items
        assert [token.last_used_ms for token in kept] == [20, 40]

    async def test_tokens_of_a_project_or_of_all(self, db: Database, stores: Stores) -> None:
        """A token for every project shows only in the list of all."""
        everywhere = replace(samples.TOKEN, id=TokenId("tok_2"), project_id=None, digest="e")
        await db.write(lambda tx: stores.access.insert_project(tx, samples.PROJECT))
        await db.write(lambda tx: stores.access.insert_token(tx, samples.TOKEN))
        await db.write(lambda tx: stores.access.insert_token(tx, everywhere))
        of_project = await db.read(lambda tx: stores.access.tokens(tx, samples.PROJECT.id, EVERYTHING))
        of_all = await db.read(lambda tx: stores.access.tokens(tx, None, EVERYTHING))
        assert of_project.items == [samples.TOKEN]
        assert of_all.items == [samples.TOKEN, everywhere]

    async def test_a_token_needs_its_project(self, db: Database, stores: Stores) -> None:
        """A row never points at nothing."""
        await refused(db, "reference_missing", lambda tx: stores.access.insert_token(tx, samples.TOKEN))

    async def test_the_audit_log_is_searched(self, db: Database, stores: Stores) -> None:
        """Lines come newest first; text, time and project choose among them; `%` is a letter like others."""
        lines = [
            replace(
                samples.AUDIT_ENTRY,
                id=f"aud_{n}",
                at_ms=n,
                action=action,
                details={"name": f'bee-"{n}"\\u0000', "n": [n]},
            )
            for n, action in enumerate(("agent.create", "run.start", "100%_sure"))
        ]
        other = replace(samples.AUDIT_ENTRY, id="aud_9", project_id=None, at_ms=9)
        for line in (*lines, other):
            await db.write(lambda tx, line=line: stores.audit.append(tx, line))

        async def found(project_id: ProjectId | None = samples.PROJECT.id, **choice: Any) -> list[str]:
            page = await db.read(lambda tx: stores.audit.entries(tx, project_id, PageQuery(**choice)))
            return [entry.id for entry in page.items]

        assert await found() == ["aud_2", "aud_1", "aud_0"]
        assert await found(None) == ["aud_9", "aud_2", "aud_1", "aud_0"]
        assert await found(q="RUN.") == ["aud_1"]
        assert await found(q="%") == ["aud_2"]
        assert await found(q="t_s") == []
        assert await found(q='BEE-"1"') == ["aud_1"]
        assert await found(q="name") == []
        assert await found(None, q="git") == ["aud_9"]
        assert await found(since_ms=1, until_ms=2) == ["aud_1"]
        assert await found(status=("denied",)) == []
        page = await db.read(lambda tx: stores.audit.entries(tx, None, PageQuery(limit=1)))
        assert page.items == [other]

    async def test_an_answer_is_kept_once(self, db: Database, stores: Stores) -> None:
        """The second answer under a key is refused, the first stays."""
        kept = samples.KEPT_ANSWER
        await db.write(lambda tx: stores.idempotency.put(tx, kept))
        await refused(db, "idempotency_in_flight", lambda tx: stores.idempotency.put(tx, replace(kept, status=500)))
        assert await db.read(lambda tx: stores.idempotency.get(tx, kept.token_id, kept.path, kept.key)) == kept
        assert await db.read(lambda tx: stores.idempotency.get(tx, kept.token_id, "/other", kept.key)) is None

    async def test_old_answers_are_pruned_a_few_at_a_time(self, db: Database, stores: Stores) -> None:
        """The oldest go first, at most *limit*; newer ones stay."""
        for n in range(4):
            answer = replace(samples.KEPT_ANSWER, key=f"k{n}", created_ms=n)
            await db.write(lambda tx, answer=answer: stores.idempotency.put(tx, answer))

        async def prune() -> int:
            return await db.write(lambda tx: stores.idempotency.prune(tx, before_ms=3, limit=2))

        assert [await prune(), await prune(), await prune()] == [2, 1, 0]
        last = samples.KEPT_ANSWER
        assert await db.read(lambda tx: stores.idempotency.get(tx, last.token_id, last.path, "k3")) is not None


class PlaceConformance:
    """Secrets, machines, sandboxes."""

    async def test_a_secret_is_replaced_under_its_name(self, db: Database, stores: Stores) -> None:
        """A new value keeps id and time of making."""
        await db.write(lambda tx: stores.secrets.put(tx, samples.SECRET))
        info = replace(samples.SECRET.info, id="sec_2", created_ms=90, updated_ms=91)
        await db.write(
            lambda tx: stores.secrets.put(tx, replace(samples.SECRET, info=info, nonce=b"n", ciphertext=b""))
        )
        stored = await db.read(lambda tx: stores.secrets.get(tx, info.project_id, info.name))
        kept = replace(samples.SECRET.info, updated_ms=91)
        assert stored == replace(samples.SECRET, info=kept, nonce=b"n", ciphertext=b"")

    async def test_secrets_belong_to_their_project(self, db: Database, stores: Stores) -> None:
        """The same name in two projects is two secrets; removing one leaves the other."""
        other = replace(samples.SECRET, info=replace(samples.SECRET.info, id="sec_2", project_id="prj_2"))
        await db.write(lambda tx: stores.secrets.put(tx, samples.SECRET))
        await db.write(lambda tx: stores.secrets.put(tx, other))
        assert await db.write(lambda tx: stores.secrets.delete(tx, "prj_1", "API_KEY"))
        assert not await db.write(lambda tx: stores.secrets.delete(tx, "prj_1", "API_KEY"))
        assert (await db.read(lambda tx: stores.secrets.entries(tx, "prj_1", EVERYTHING))).items == []
        assert (await db.read(lambda tx: stores.secrets.entries(tx, "prj_2", EVERYTHING))).items == [other.info]

    async def test_a_machine_has_one_life_at_a_time(self, db: Database, stores: Stores) -> None:
        """A life that was replaced cannot beat any more."""
        await db.write(lambda tx: stores.nodes.put(tx, samples.NODE))
        await db.write(lambda tx: stores.nodes.heartbeat(tx, samples.NODE.id, "inc_1", 70))
        assert await db.read(stores.nodes.all) == [replace(samples.NODE, heartbeat_ms=70)]
        next_life = replace(samples.NODE, incarnation="inc_2", boot_id="boot-2")
        await db.write(lambda tx: stores.nodes.put(tx, next_life))
        with pytest.raises(FencedError):
            await db.write(lambda tx: stores.nodes.heartbeat(tx, samples.NODE.id, "inc_1", 80))
        assert await db.read(lambda tx: stores.nodes.get(tx, samples.NODE.id)) == next_life
        assert await db.read(lambda tx: stores.nodes.get(tx, NodeId("nod_2"))) is None

    async def test_a_sandbox_is_intended_then_made(self, db: Database, stores: Stores) -> None:
        """The handle is kept when only the phase changes."""
        await db.write(lambda tx: stores.sandboxes.insert(tx, samples.SANDBOX))
        sandbox_id = samples.SANDBOX.id
        await db.write(lambda tx: stores.sandboxes.set_phase(tx, sandbox_id, Phase.READY, samples.HANDLE))
        await db.write(lambda tx: stores.sandboxes.set_phase(tx, sandbox_id, Phase.DESTROYING))
        stored = await db.read(lambda tx: stores.sandboxes.get(tx, sandbox_id))
        assert stored == replace(samples.SANDBOX, phase=Phase.DESTROYING, handle=samples.HANDLE)
        with pytest.raises(NotFoundError):
            await db.write(lambda tx: stores.sandboxes.set_phase(tx, SandboxId("sbx_9"), Phase.READY))

    async def test_a_machines_sandboxes_are_listed_and_removed(self, db: Database, stores: Stores) -> None:
        """Removing is idempotent, and takes any number."""
        mine = [replace(samples.SANDBOX, id=SandboxId(f"sbx_{n}")) for n in range(3)]
        other = replace(samples.SANDBOX, id=SandboxId("sbx_9"), node_id="nod_2")
        for sandbox in (*mine, other):
            await db.write(lambda tx, sandbox=sandbox: stores.sandboxes.insert(tx, sandbox))
        assert await db.read(lambda tx: stores.sandboxes.of_node(tx, samples.NODE.id)) == mine
        for _ in range(2):
            await db.write(lambda tx: stores.sandboxes.delete(tx, [mine[0].id, mine[2].id]))
        await db.write(lambda tx: stores.sandboxes.delete(tx, []))
        assert await db.read(lambda tx: stores.sandboxes.of_node(tx, samples.NODE.id)) == [mine[1]]


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


class RunConformance:
    """Runs, attempts, events, artifacts."""

    async def test_a_run_comes_back_and_is_replaced(self, db: Database, stores: Stores) -> None:
        """Every field, and every field None."""
        await db.write(lambda tx: stores.runs.insert(tx, samples.RUN))
        assert await db.read(lambda tx: stores.runs.get(tx, samples.RUN.id)) == samples.RUN
        bare = replace(
            samples.RUN, version_id=None, timeout_s=None, result=None, exit_code=None, failure=None, started_ms=None
        )
        await db.write(lambda tx: stores.runs.save(tx, bare))
        assert await db.read(lambda tx: stores.runs.get(tx, samples.RUN.id)) == bare

    async def test_a_result_is_any_json(self, db: Database, stores: Stores) -> None:
        """Also text, numbers, falsehood, and what is nested."""
        await db.write(lambda tx: stores.runs.insert(tx, samples.RUN))
        results: tuple[Any, ...] = ("text", 0, False, [], {}, 1e300, {"a": [None, {"b": "é\n"}]})
        for result in results:
            run = replace(samples.RUN, result=result)
            await db.write(lambda tx, run=run: stores.runs.save(tx, run))
            stored = await db.read(lambda tx: stores.runs.get(tx, samples.RUN.id))
            assert stored is not None
            assert stored.result == result
            assert type(stored.result) is type(result)

    async def test_runs_are_listed_newest_first(self, db: Database, stores: Stores) -> None:
        """By agent, status, time and text; cursors hold while new runs come."""
        for n in range(5):
            status = RunStatus.QUEUED if n % 2 else RunStatus.SUCCEEDED
            run = replace(
                samples.RUN, id=RunId(f"run_{n}"), agent_id=AgentId(f"agt_{n % 2}"), status=status, created_ms=n
            )
            await db.write(lambda tx, run=run: stores.runs.insert(tx, run))

        async def found(agent_id: str | None = None, **choice: Any) -> list[str]:
            page = await db.read(lambda tx: stores.runs.all(tx, "prj_1", agent_id, PageQuery(**choice)))
            return [run.id for run in page.items]

        assert await found() == ["run_4", "run_3", "run_2", "run_1", "run_0"]
        assert await found("agt_1") == ["run_3", "run_1"]
        assert await found(status=("succeeded",)) == ["run_4", "run_2", "run_0"]
        assert await found(since_ms=1, until_ms=3) == ["run_2", "run_1"]
        assert await found(cursor="run_2", limit=1) == ["run_1"]
        assert await found(q="run_3") == ["run_3"]
        assert (await db.read(lambda tx: stores.runs.all(tx, "prj_2", None, EVERYTHING))).items == []

    async def test_runs_that_wait_for_a_version(self, db: Database, stores: Stores) -> None:
        """Only queued ones without a version count; and only unfinished ones are unfinished."""
        waiting = replace(samples.RUN, id=RunId("run_2"), version_id=None, status=RunStatus.QUEUED)
        cancelled = replace(waiting, id=RunId("run_3"), status=RunStatus.CANCELLED)
        going = replace(samples.RUN, id=RunId("run_4"), status=RunStatus.RUNNING)
        for run in (samples.RUN, waiting, cancelled, going):
            await db.write(lambda tx, run=run: stores.runs.insert(tx, run))
        assert await db.read(lambda tx: stores.runs.awaiting_version(tx, samples.AGENT.id)) == [waiting]
        assert await db.read(lambda tx: stores.runs.count_unfinished(tx, "prj_1")) == 2
        assert await db.read(lambda tx: stores.runs.count_unfinished(tx, "prj_2")) == 0

    async def test_attempts_are_in_order(self, db: Database, stores: Stores) -> None:
        """An attempt's row is replaced as it goes on; a number is given once."""
        await db.write(lambda tx: stores.runs.insert(tx, samples.RUN))
        second = replace(samples.ATTEMPT, id=AttemptId("att_2"), number=2, exit=None, phase=AttemptPhase.INTENDED)
        for attempt in (second, samples.ATTEMPT):
            await db.write(lambda tx, attempt=attempt: stores.runs.insert_attempt(tx, attempt))
        begun = replace(second, phase=AttemptPhase.STARTED)
        await db.write(lambda tx: stores.runs.save_attempt(tx, begun))
        assert await db.read(lambda tx: stores.runs.attempts(tx, samples.RUN.id)) == [samples.ATTEMPT, begun]
        assert await db.read(lambda tx: stores.runs.attempt(tx, begun.id)) == begun
        third = replace(second, id=AttemptId("att_3"))
        await refused(db, "conflict", lambda tx: stores.runs.insert_attempt(tx, third))

    async def test_events_are_numbered_within_their_run(self, db: Database, stores: Stores) -> None:
        """1, 2, 3 for each run, read on from any of them."""
        other = replace(samples.RUN, id=RunId("run_2"))
        for run in (samples.RUN, other):
            await db.write(lambda tx, run=run: stores.runs.insert(tx, run))
        events = [
            await db.write(lambda tx, n=n: stores.runs.append_event(tx, samples.RUN.id, n, "run.queued", {"n": n}))
            for n in range(3)
        ]
        first = await db.write(lambda tx: stores.runs.append_event(tx, other.id, 0, "run.queued", {}))
        assert [event.seq for event in events] == [1, 2, 3]
        assert first.seq == 1
        assert await db.read(lambda tx: stores.runs.events(tx, samples.RUN.id)) == events
        assert await db.read(lambda tx: stores.runs.events(tx, samples.RUN.id, after=1, limit=1)) == events[1:2]

    async def test_artifacts_are_set_as_a_whole(self, db: Database, stores: Stores) -> None:
        """A second time replaces the first; they come by path, byte by byte."""
        await db.write(lambda tx: stores.runs.insert(tx, samples.RUN))
        artifacts = [replace(samples.ARTIFACT, path=path) for path in ("Z", "a/b", "a_b", "é")]
        for some in ([samples.ARTIFACT], artifacts[::-1]):
            await db.write(lambda tx, some=some: stores.runs.put_artifacts(tx, samples.RUN.id, some))
        assert await db.read(lambda tx: stores.runs.artifacts(tx, samples.RUN.id)) == artifacts

    async def test_questions_are_found_by_run_and_key(self, db: Database, stores: Stores) -> None:
        """A key is given once within a run; those without an answer are found for several runs at once."""
        other = replace(samples.RUN, id=RunId("run_2"))
        for run in (samples.RUN, other):
            await db.write(lambda tx, run=run: stores.runs.insert(tx, run))
        bare = replace(samples.QUESTION, id=QuestionId("qst_2"), key="b", answer_schema=None, answer=None)
        bare = replace(bare, answered_ms=None, answered_by="", choices=())
        theirs = replace(bare, id=QuestionId("qst_3"), run_id=other.id)
        for question in (theirs, bare, samples.QUESTION):
            await db.write(lambda tx, question=question: stores.questions.insert(tx, question))

        assert await db.read(lambda tx: stores.questions.of_run(tx, samples.RUN.id)) == [samples.QUESTION, bare]
        assert await db.read(lambda tx: stores.questions.by_key(tx, samples.RUN.id, "b")) == bare
        assert await db.read(lambda tx: stores.questions.by_key(tx, other.id, "a key")) is None
        runs = [samples.RUN.id, other.id]
        assert await db.read(lambda tx: stores.questions.unanswered(tx, runs)) == [bare, theirs]
        assert await db.read(lambda tx: stores.questions.unanswered(tx, [])) == []
        twin = replace(bare, id=QuestionId("qst_4"))
        await refused(db, "conflict", lambda tx: stores.questions.insert(tx, twin))
        answered = replace(bare, answer=False, answered_ms=31)
        await db.write(lambda tx: stores.questions.save(tx, answered))
        assert await db.read(lambda tx: stores.questions.get(tx, bare.id)) == answered
        assert await db.read(lambda tx: stores.questions.unanswered(tx, runs)) == [theirs]

    async def test_an_event_needs_its_run(self, db: Database, stores: Stores) -> None:
        """A row never points at nothing."""
        await refused(
            db, "reference_missing", lambda tx: stores.runs.append_event(tx, RunId("run_9"), 0, "run.queued", {})
        )


class StoreConformance(
    AccessConformance, PlaceConformance, AgentConformance, RunConformance, LayerRowsConformance, RetentionConformance
):
    """All of it."""
