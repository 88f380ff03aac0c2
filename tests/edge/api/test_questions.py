"""Questions over HTTP: shown with their run and in the inbox, answered once."""

from dataclasses import replace

import pytest
from by_hand import Worker

from skep.product.runs.model import Question, QuestionId, RunId, RunStatus

FILES = {"files": {"main.py": "print('bees')"}}


@pytest.fixture
async def run(admin):
    """The id of a run."""
    await admin("POST", "agents", json={"name": "bee", "source": FILES})
    await admin("POST", "agents/bee/build")
    started = await admin("POST", "runs", json={"agent_id": "bee"})
    assert started.status == 202, started.text
    return RunId(started.json["id"])


@pytest.fixture
async def asked(admin, db, stores, logs, blobs, hub, clock, run):
    """What the run asks."""
    now = clock.now_ms()
    worker = Worker(db, stores, logs, blobs, hub)
    await worker.end(run, RunStatus.WAITING)
    question = Question(
        id=QuestionId("qst_" + "0" * 26),
        run_id=run,
        project_id=(await admin("GET", f"runs/{run}")).json["project_id"],
        key="k",
        text="Go on?",
        choices=("yes", "no"),
        asked_ms=now,
        expires_ms=now + 3_600_000,
    )
    await db.write(lambda tx: stores.questions.insert(tx, question))
    return question


async def test_a_question_is_shown_with_its_run(admin, run, asked):
    """In the run, in listings by status, and in the inbox."""
    shown = (await admin("GET", f"runs/{run}")).json
    assert shown["status"] == "waiting"
    assert shown["question"] == {
        "id": asked.id,
        "key": "k",
        "text": "Go on?",
        "choices": ["yes", "no"],
        "answer_schema": None,
        "asked_at": shown["question"]["asked_at"],
        "expires_at": shown["question"]["expires_at"],
    }
    listed = (await admin("GET", "runs?status=waiting")).json["items"]
    assert [item["question"] for item in listed] == [shown["question"]]
    inbox = (await admin("GET", "inbox?status=waiting")).json["items"]
    assert [(item["run_id"], item["type"], item["status"], item["text"]) for item in inbox] == [
        (run, "run", "waiting", "Go on?")
    ]
    assert inbox[0]["question"] == shown["question"]
    assert (await admin("GET", "inbox?status=failed,finished")).json["items"] == []
    assert (await admin("GET", "inbox?status=going")).status == 422


async def test_each_question_is_shown(admin, run, db, stores, asked):
    """Several that are open stand beside the oldest one, with their run, in listings and in the inbox."""
    other = replace(asked, id=QuestionId("qst_" + "1" * 26), key="l", text="Sure?")
    await db.write(lambda tx: stores.questions.insert(tx, other))
    found = [
        (await admin("GET", f"runs/{run}")).json,
        *(await admin("GET", "runs")).json["items"],
        *(await admin("GET", "inbox")).json["items"],
    ]
    assert [[one["id"] for one in item["questions"]] for item in found] == [[asked.id, other.id]] * 3
    assert [item["question"] == item["questions"][0] for item in found] == [True] * 3
    wrong = await admin("POST", f"runs/{run}/answer", json={"answer": "yes"})
    assert wrong.json["fields"] == {"question": f"say which: {asked.id}, {other.id}"}

    await admin("POST", f"runs/{run}/answer", json={"answer": "yes", "question": asked.id})

    assert [one["id"] for one in (await admin("GET", f"runs/{run}")).json["questions"]] == [other.id]


async def test_an_answer_is_taken_once(admin, run, asked):
    """The same again is the same; another one is told so; a repeated request is replayed."""
    key = {"Idempotency-Key": "a"}
    first = await admin("POST", f"runs/{run}/answer", json={"answer": "yes"}, headers=key)
    assert (first.status, first.json["status"], first.json["question"]) == (200, "running", None)
    again = await admin("POST", f"runs/{run}/answer", json={"answer": "yes"}, headers=key)
    assert (again.status, again.text) == (200, first.text)
    assert (await admin("POST", f"runs/{run}/answer", json={"answer": "yes", "question": asked.id})).status == 200
    other = await admin("POST", f"runs/{run}/answer", json={"answer": "no"})
    assert (other.status, other.json["code"]) == (409, "already_answered")
    assert (await admin("GET", f"runs/{run}")).json["question"] is None
    events = (await admin("GET", f"runs/{run}/events")).json["items"]
    assert [event["type"] for event in events].count("run.answered") == 1


async def test_a_wrong_answer_names_its_field(admin, run, asked):
    """422, and the run goes on waiting."""
    wrong = await admin("POST", f"runs/{run}/answer", json={"answer": "perhaps"})
    assert (wrong.status, wrong.json["code"], list(wrong.json["fields"])) == (422, "answer_invalid", ["answer"])
    assert (await admin("POST", f"runs/{run}/answer", json={})).status == 422
    unknown = await admin("POST", f"runs/{run}/answer", json={"answer": "yes", "question": "qst_none"})
    assert list(unknown.json["fields"]) == ["question"]
    assert (await admin("GET", f"runs/{run}")).json["status"] == "waiting"


async def test_a_run_that_waits_for_nothing(admin, run, db, stores, asked):
    """409 with words; an unknown run is 404."""
    old = replace(asked, expires_ms=asked.asked_ms)
    await db.write(lambda tx: stores.questions.save(tx, old))
    late = await admin("POST", f"runs/{run}/answer", json={"answer": "yes"})
    assert (late.status, late.json["code"]) == (409, "not_waiting")
    assert late.json["hint"]
    late = await admin("POST", f"runs/{run}/answer", json={"answer": "yes", "question": old.id})
    assert (late.status, late.json["code"]) == (409, "question_expired")
    assert (await admin("POST", "runs/run_none/answer", json={"answer": "yes"})).status == 404
