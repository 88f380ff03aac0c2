"""What a source is taken for, over HTTP: asked without an agent, answered without building."""

from dataclasses import replace

from skep.edge.api import render
from skep.product.images.model import (
    Declared,
    ExplainedLayer,
    Explanation,
    Health,
    Install,
    Language,
    LayerKind,
    Recognised,
)
from skep.product.sandboxes.model import LayerId
from skep.testing import samples

WISH = {"source": {"files": {"main.py": "print()"}}, "command": ["python", "x.py"], "explain": True}


async def test_a_source_is_explained_without_an_agent(admin):
    """It is a build of its own, which belongs to no agent and can be followed and cancelled like any other."""
    begun = await admin("POST", "builds", json=WISH)
    assert begun.status == 202, begun.text
    build = begun.json
    assert (build["agent_id"], build["explain"], build["status"]) == ("", True, "queued")
    assert build["source"]["files"] == WISH["source"]["files"]
    assert (await admin("GET", f"builds/{build['id']}")).json == build
    assert [one["id"] for one in (await admin("GET", "builds")).json["items"]] == [build["id"]]
    assert (await admin("POST", f"builds/{build['id']}/cancel")).json["status"] == "cancelled"
    assert (await admin("GET", "agents")).json["items"] == []


async def test_it_is_begun_once_for_a_key(admin):
    """Sent again it is answered again."""
    headers = {"Idempotency-Key": "k"}
    first = await admin("POST", "builds", json=WISH, headers=headers)
    again = await admin("POST", "builds", json=WISH, headers=headers)
    assert again.json == first.json
    assert again.headers["Idempotent-Replayed"] == "true"


async def test_what_cannot_be_asked(admin):
    """Building needs an agent, so `explain` is always true; a source that can never be fetched is told at once."""
    for wrong in ({"explain": False}, {"explain": None}, {"source": {}}, {"command": "x"}, {"more": 1}):
        answer = await admin("POST", "builds", json=WISH | wrong)
        assert (answer.status, answer.json["code"]) == (422, "invalid"), answer.text
    without = {name: value for name, value in WISH.items() if name != "explain"}
    assert (await admin("POST", "builds", json=without)).status == 422
    assert (await admin("POST", "builds", json=WISH | {"source": {"upload": "upl_none"}})).status == 404


def test_all_that_is_known_is_shown():
    """Of the source, of what it says of itself, and of what a build would do."""
    found = Recognised(
        framework="node",
        evidence=("script start of package.json",),
        command=("npm", "start"),
        install=Install.NPM,
        language=Language.NODE,
        requires_node=">=20",
        requirements=("a",),
        prepare=(("npm", "run", "build"),),
        declared=Declared(name="a", kind="job", port=1, health=Health(path="/up"), egress=("h",), schedule="* * * * *"),
        notices=("one",),
    )
    layer = ExplainedLayer(id=LayerId("1" * 64), kind=LayerKind.SHARED, about="2 packages", there=True, steps=(("a",),))
    plan = Explanation(runtimes=("Node 24",), shared=2, private=("b",), layers=(layer,))
    view = render.build(replace(samples.BUILD, recognised=found, explanation=plan, explain=True)).model_dump()
    assert view["explain"] is True
    assert view["recognised"].items() >= {"language": "node", "requires_node": ">=20", "notices": ["one"]}.items()
    assert view["recognised"].items() >= {"requirements": ["a"], "prepare": [["npm", "run", "build"]]}.items()
    assert view["recognised"]["declared"] == {
        "name": "a",
        "kind": "job",
        "port": 1,
        "health": {"path": "/up", "interval_s": 10.0, "timeout_s": 2.0},
        "egress": ["h"],
        "schedule": "* * * * *",
    }
    assert view["explanation"] == {
        "runtimes": ["Node 24"],
        "shared": 2,
        "private": ["b"],
        "layers": [{"id": "1" * 64, "kind": "shared", "about": "2 packages", "there": True, "steps": [["a"]]}],
    }
