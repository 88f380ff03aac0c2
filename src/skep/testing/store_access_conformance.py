"""What every store of projects, tokens, the audit log and kept answers must do."""

from dataclasses import replace
from typing import Any

from skep.adapters.storage.stores import Stores
from skep.kernel.database import Database
from skep.kernel.paging import PageQuery
from skep.product.access.model import ProjectId, TokenId
from skep.testing import samples
from skep.testing.store_walks import EVERYTHING, refused, walk


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
