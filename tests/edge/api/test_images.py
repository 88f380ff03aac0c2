"""Images and layers over HTTP: what is built, what it takes, and how exactly that is freed."""

from dataclasses import replace

import pytest
from by_hand import Builds

from skep.product.images.model import Layer, LayerKind
from skep.product.sandboxes.model import LayerId
from skep.testing import samples
from skep.testing.scripted_files import ScriptedFiles

SHARED, OWN, FREE, OTHERS = (LayerId(letter * 64) for letter in "abcd")
FILES = {"files": {"main.py": "print('bees')"}}


@pytest.fixture
def builds(db, stores, logs, hub, services):
    """Moves builds by hand."""
    return Builds(db, stores, logs, hub, services.agents)


@pytest.fixture
async def built(admin, builds, db, stores, driver, clock):
    """Four layers on the machine, and an agent whose image lies on two of them."""
    agent = (await admin("POST", "agents", json={"name": "bee", "source": FILES})).json
    build = (await admin("POST", "agents/bee/build")).json["id"]
    await builds.succeed(build)
    image = (await admin("GET", f"builds/{build}")).json["image_id"]
    rows = (
        *((SHARED, "", 100, 400), (OWN, agent["project_id"], 10, 300)),
        *((FREE, "", 1000, 200), (OTHERS, "prj_x", 5, 100)),
    )

    def fill(tx):
        for layer, project, size, ago_s in rows:
            kind = LayerKind.PRIVATE if project else LayerKind.SHARED
            stores.images.save_layer(
                tx,
                Layer(
                    id=layer,
                    node_id="nod",
                    kind=kind,
                    project_id=project,
                    about="3 packages",
                    size=size,
                    created_ms=0,
                    used_ms=clock.now_ms() - ago_s * 1000,
                ),
            )
        stores.catalogue.drop(tx, [image])
        made = replace(samples.IMAGE, id=image, project_id=agent["project_id"], node_id="nod", layers=(SHARED, OWN))
        stores.images.insert_image(tx, made)

    await db.write(fill)
    driver.sealed |= {row[0]: ScriptedFiles(limit=1) for row in rows}
    return image


async def test_an_image_is_shown_with_who_names_it_and_its_layers(admin, built):
    """Shared layers and its own, lowest first; what is on disk is counted once, for all that may be seen."""
    listed = (await admin("GET", "images")).json

    (image,) = listed["items"]
    assert image["id"] == built
    assert [(use["agent_name"], use["version"], use["current"]) for use in image["used_by"]] == [("bee", 1, True)]
    assert [(layer["id"], layer["shared"], layer["size_bytes"]) for layer in image["layers"]] == [
        (SHARED, True, 100),
        (OWN, False, 10),
    ]
    assert image["size_bytes"] == 110
    assert listed["disk_bytes"] == 1115
    assert listed["next"] is None


async def test_layers_say_who_they_belong_to_and_whether_they_are_needed(admin, caller_with, built):
    """The installation's admin sees all; a project's token its own and those that all share."""
    layers = {layer["id"]: layer for layer in (await admin("GET", "layers")).json["items"]}
    assert {id_: layer["in_use"] for id_, layer in layers.items()} == {
        SHARED: True,
        OWN: True,
        FREE: False,
        OTHERS: False,
    }
    assert layers[SHARED]["project_id"] is None
    assert layers[OTHERS]["project_id"] == "prj_x"

    mine = await caller_with("read")
    assert {layer["id"] for layer in (await mine("GET", "layers")).json["items"]} == {SHARED, OWN, FREE}
    assert (await mine("GET", "images")).json["disk_bytes"] == 1110


async def test_pruning_is_tried_first(admin, built, driver):
    """A dry run says what would go; then exactly that goes, and the rest is still there."""
    tried = (await admin("POST", "images/prune", json={"dry_run": True})).json
    assert {layer["id"] for layer in tried["layers"]} == {FREE, OTHERS}
    assert (tried["freed_bytes"], tried["images"], tried["dry_run"]) == (1005, [], True)
    assert len(await driver.layers()) == 4

    done = (await admin("POST", "images/prune")).json
    assert (done["layers"], done["freed_bytes"], done["dry_run"]) == (tried["layers"], 1005, False)
    assert set(await driver.layers()) == {SHARED, OWN}
    assert (await admin("POST", "images/prune")).json["freed_bytes"] == 0
    lines = (await admin("GET", "audit?q=images.prune")).json["items"]
    assert lines[-1]["details"]["freed_bytes"] == 1005


async def test_what_was_used_lately_can_be_spared(admin, built):
    """`older_than_s` counts from when a build last counted on a layer."""
    done = (await admin("POST", "images/prune", json={"older_than_s": 150})).json

    assert {layer["id"] for layer in done["layers"]} == {FREE}


async def test_a_removed_agents_image_goes_with_its_layers(admin, built, driver):
    """A dry run says so although the image is still there: the layers would be nobody's."""
    await admin("DELETE", "agents/bee")
    tried = (await admin("POST", "images/prune", json={"dry_run": True})).json
    assert tried["images"] == [built]
    assert tried["freed_bytes"] == 1115

    done = (await admin("POST", "images/prune")).json
    assert (done["images"], done["freed_bytes"]) == ([built], 1115)
    assert await driver.layers() == []
    assert (await admin("GET", "images")).json["items"] == []


async def test_a_projects_admin_frees_what_is_the_projects_or_shared(admin, caller_with, built, driver):
    """Nothing of another project goes, and nothing that any image names."""
    mine = await caller_with("admin")
    assert {layer["id"] for layer in (await mine("POST", "images/prune")).json["layers"]} == {FREE}
    assert set(await driver.layers()) == {SHARED, OWN, OTHERS}


async def test_a_project_sees_its_own_images(admin, built):
    """The installation's admin sees all, unless it names a project."""
    await admin("POST", "projects", json={"name": "other"})
    other = admin.holding(admin.token, **{"X-Skep-Project": "other"})

    assert (await other("GET", "images")).json["items"] == []
    assert len((await admin("GET", "images")).json["items"]) == 1


@pytest.mark.parametrize("body", [{"older_than_s": -1}, {"dry": True}, {"dry_run": "perhaps"}])
async def test_a_wrong_wish_is_refused(admin, built, driver, body):
    """Nothing goes because of a typing mistake."""
    assert (await admin("POST", "images/prune", json=body)).status == 422
    assert len(await driver.layers()) == 4
