"""What can run agents, over HTTP and as the command shows it."""

from skep.edge.cli.runtimes import newest
from skep.edge.wire.runtimes import RuntimeView
from skep.product.images.model import Layer, LayerKind
from skep.product.images.planning import layer_plans
from skep.product.images.planning.base import Base, Runtime


async def test_runtimes_say_where_they_are_from_and_whether_they_are_there(admin, db, stores, driver):
    """The machine's own is always there; another is when its layer is, under the key that a build would make."""
    listed = (await admin("GET", "runtimes")).json["items"]
    assert [(one["name"], one["origin"], one["there"]) for one in listed] == [
        ("python-3.11.2", "the machine's", True),
        ("node-24.19.0", "the index", False),
        ("python-3.12.7", "uv's copy", False),
        ("python-3.12.3", "uv's copy", False),
    ]
    assert len({one["fingerprint"] for one in listed}) == 4

    node = Runtime(name="node", version="24.19.0", origin="the index", facts="n", folder="/opt/node")
    plan = layer_plans.node(node, Base(fingerprint=await driver.base_fingerprint(), python="3.11.2", uv="0"))
    layer = Layer(id=plan.id, node_id="nod", kind=LayerKind.RUNTIME, size=9, created_ms=0, used_ms=0)
    await db.write(lambda tx: stores.images.save_layer(tx, layer))
    there = [one for one in (await admin("GET", "runtimes")).json["items"] if one["there"]]
    assert [(one["name"], one["size_bytes"]) for one in there] == [("python-3.11.2", 0), ("node-24.19.0", 9)]


def test_the_newest_of_each_line_are_shown():
    """And what is there; a hundred releases that nobody asked for are not."""

    def known(language, version, *, there=False):
        return RuntimeView(
            name=f"{language}-{version}",
            language=language,
            version=version,
            origin="",
            fingerprint="",
            there=there,
            size_bytes=0,
        )

    found = [
        known("python", "3.11.2", there=True),
        *(known("node", version) for version in ("24.19.0", "22.20.0")),
        *(known("python", version) for version in ("3.13.1", "3.13.0", "3.12.9", "3.12.8")),
        known("python", "3.12.7", there=True),
    ]
    assert [one.name for one in newest(found)] == [
        *("python-3.11.2", "node-24.19.0", "node-22.20.0"),
        *("python-3.13.1", "python-3.12.9", "python-3.12.7"),
    ]
