"""Rows of servers' keys and of webhooks, on both databases."""

import pytest

from skep.kernel.errors import ConflictError
from skep.product.agents.model import Agent, AgentConfig, AgentId, Kind, Looked
from skep.product.agents.webhooks import Webhook
from skep.product.images.fetch.keyring import SeenKey
from skep.product.images.model import Failure, GitSource

AGENT = Agent(
    id=AgentId("agt_1"), project_id="prj_1", name="a", title="", kind=Kind.JOB, config=AgentConfig(),
    source=GitSource(url="https://git.example/a.git", secret="TOKEN"), poll_s=60.0, poll_due_ms=5,
    looked=Looked(at_ms=3, commit="c", failures=1, failure=Failure(code="x", message="y")), created_ms=1, updated_ms=1,
)  # fmt: skip


def seen(host: str, port: int, key: str = "ssh-ed25519 AAAA", project: str = "prj_1") -> SeenKey:
    """Make a row."""
    return SeenKey(project_id=project, host=host, port=port, key=key, created_ms=1)


async def test_keys_are_a_projects_own(db, stores) -> None:
    """Found by host and port, listed by name, forgotten by either; the same one twice is refused."""
    rows = [seen("b", 22), seen("a", 2222), seen("a", 22), seen("a", 22, project="prj_2")]
    for row in rows:
        await db.write(lambda tx, row=row: stores.host_keys.insert(tx, row))
    with pytest.raises(ConflictError):
        await db.write(lambda tx: stores.host_keys.insert(tx, rows[0]))

    assert await db.read(lambda tx: stores.host_keys.of_host(tx, "prj_1", "a", 22)) == [rows[2]]
    assert await db.read(lambda tx: stores.host_keys.all(tx, "prj_1")) == [rows[2], rows[1], rows[0]]
    assert await db.write(lambda tx: stores.host_keys.forget(tx, "prj_1", "a", 22)) == 1
    assert await db.write(lambda tx: stores.host_keys.forget(tx, "prj_1", "a", None)) == 1
    assert await db.write(lambda tx: stores.host_keys.forget(tx, "prj_1", "a", None)) == 0
    assert await db.read(lambda tx: stores.host_keys.all(tx, "prj_2")) == [rows[3]]


async def test_an_agent_has_one_webhook(db, stores) -> None:
    """Put twice it is replaced; what was delivered is kept with it; looks and their trouble are the agent's."""
    hook = Webhook(agent_id=AGENT.id, nonce=b"\0n", ciphertext=b"\xff", key_id="k", seen=("a", "b"), created_ms=1)
    other = Webhook(agent_id=AGENT.id, nonce=b"m", ciphertext=b"d", key_id="k", created_ms=2)

    def put(tx) -> None:
        stores.agents.insert(tx, AGENT)
        stores.webhooks.put(tx, hook)

    await db.write(put)
    assert await db.read(lambda tx: stores.webhooks.get(tx, AGENT.id)) == hook
    assert await db.read(lambda tx: stores.agents.get(tx, AGENT.id)) == AGENT
    await db.write(lambda tx: stores.webhooks.put(tx, other))
    assert await db.read(lambda tx: stores.webhooks.get(tx, AGENT.id)) == other
    assert await db.write(lambda tx: stores.webhooks.delete(tx, AGENT.id))
    assert not await db.write(lambda tx: stores.webhooks.delete(tx, AGENT.id))


async def test_agents_that_are_due(db, stores) -> None:
    """By now, and no earlier; the longest due first."""
    await db.write(lambda tx: stores.agents.insert(tx, AGENT))
    assert await db.read(lambda tx: stores.agents.due(tx, 4, 10)) == []
    assert await db.read(lambda tx: stores.agents.due(tx, 5, 10)) == [AGENT]
    assert await db.read(lambda tx: stores.agents.due(tx, 5, 0)) == []
