"""What every store of secrets, machines and sandboxes must do."""

from dataclasses import replace

import pytest

from skep.adapters.storage.stores import Stores
from skep.kernel.database import Database
from skep.kernel.errors import FencedError, NotFoundError
from skep.product.nodes.model import NodeId
from skep.product.sandboxes.model import Phase, SandboxId
from skep.testing import samples
from skep.testing.store_walks import EVERYTHING


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
