"""The client of the keeper: it survives the keeper's deaths, and says when nobody answers."""

import asyncio

import pytest

from skep.adapters.drivers.oci.keeper import KeeperClient, create_request, error_from
from skep.kernel.errors import ConflictError, InvalidError, NotFoundError, UnavailableError
from skep.product.sandboxes.model import SandboxId


async def test_a_keeper_that_is_away_is_told_apart(tmp_path):
    """Nobody there: an error that can be tried again, with what to do."""
    client = KeeperClient(tmp_path / "keeper.sock", patience_s=0)
    with pytest.raises(UnavailableError) as caught:
        await client.hello()

    assert caught.value.code == "keeper_unavailable"
    assert "skep up" in caught.value.hint


@pytest.mark.root
async def test_a_restart_is_not_noticed(keeper):
    """Requests go on over the keeper's death, as long as another one comes soon."""
    client = KeeperClient(keeper.socket, patience_s=30)
    before = await client.hello()
    keeper.kill()
    waiting = asyncio.create_task(client.hello())
    await asyncio.to_thread(keeper.restart)

    assert (await waiting)["pid"] != before["pid"]
    await client.close()


@pytest.mark.root
async def test_a_refusal_leaves_the_connection_in_order(keeper):
    """An error is an answer: the same connection serves the next request."""
    client = KeeperClient(keeper.socket)
    with pytest.raises(NotFoundError):
        await client.inspect(SandboxId("sbx_" + "9" * 26))
    with pytest.raises(InvalidError):
        await client.inspect(SandboxId("../.."))

    assert await client.sandboxes() == []
    await client.close()


@pytest.mark.root
async def test_a_request_that_is_given_up_does_not_answer_the_next(keeper):
    """A cancelled request's answer never reaches another one."""
    client = KeeperClient(keeper.socket)
    for _ in range(20):
        task = asyncio.create_task(client.fingerprint())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await client.sandboxes() == []
    await client.close()


@pytest.mark.root
async def test_a_long_listing_comes_in_pieces(keeper):
    """More names than a packet holds arrive all."""
    names = [f"{number:064x}" for number in range(2000)]
    for name in names:
        (keeper.store_dir / "layers" / name).mkdir()
    client = KeeperClient(keeper.socket)

    assert await client.layers() == names
    await client.close()
    for name in names:
        (keeper.store_dir / "layers" / name).rmdir()


def test_a_specification_becomes_a_request(new_spec):
    """What the keeper is asked is compared whole."""
    spec = new_spec(doors=(80,), layers=("a" * 64,))

    assert create_request(spec) == {
        "op": "create",
        "id": spec.id,
        "isolation": "container",
        "cpus": 1,
        "memory_bytes": 128 << 20,
        "disk_bytes": 64 << 20,
        "pids": 64,
        "open_files": 1024,
        "output_bytes": 1 << 20,
        "layers": ["a" * 64],
        "doors": [80],
    }


@pytest.mark.parametrize(
    ("code", "kind", "ours"),
    [
        ("bad_request", InvalidError, "sandbox_invalid"),
        ("isolation_unavailable", InvalidError, "isolation_unavailable"),
        ("layer_in_use", ConflictError, "layer_in_use"),
        ("disk_full", UnavailableError, "disk_full"),
        ("anything else", UnavailableError, "keeper_failed"),
    ],
)
def test_the_keepers_errors_are_the_products(code, kind, ours):
    """Each refusal has its kind and its stable code."""
    error = error_from(code, "why")

    assert (type(error), error.code, error.message) == (kind, ours, "why")
