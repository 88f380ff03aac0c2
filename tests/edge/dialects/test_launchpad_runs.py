"""Runs and the inbox on Launchpad's routes."""

from dataclasses import replace

import pytest
from launchpad import URL, crew, is_fault

from skep.product.images.model import Failure
from skep.product.runs.model import Question, QuestionId, RunId, RunStatus

# ---- runs


async def test_a_run_is_one_object_for_status_and_output(admin, agent, worker, logs):
    """Both paths answer the same; output is what was printed so far, and is there at every time."""
    started = await admin("POST", f"/api/agent/{agent}/run/start", json={"inputs": {"topic": "bees", "year": 2026}})
    run = RunId(started.json["runId"])
    assert started.json == {"status": "RUNNING", "runId": run}

    async def state(what="status"):
        answer = await admin("GET", f"/api/agent/{agent}/run/{run}/{what}")
        assert answer.status == 200, answer.text
        return answer.json

    waiting = await state()
    assert (waiting["status"], waiting["output"]) == ("PENDING", {"stdout": "", "stderr": ""})
    log_id = await worker.attempt(run, 1)
    await logs.append(log_id, "stdout", 0, b"bees\n", 0)
    await logs.append(log_id, "stderr", 0, b"oh\n", 0)
    going_on = await state("output")
    assert (going_on["status"], going_on["stdout"]) == ("RUNNING", "bees\n")
    await worker.end(run, exit_code=0, result={"n": 3})
    done = await state()
    assert done == await state("output")
    assert (done["status"], done["exit_code"], done["result"]) == ("DONE", 0, {"n": 3})
    assert done["output"] == {"stdout": done["stdout"], "stderr": "oh\n"}
    assert (done["runId"], done["agentId"], done["inputs"]["topic"]) == (run, agent, "bees")


@pytest.mark.parametrize(
    ("status", "word"),
    [
        (RunStatus.QUEUED, "PENDING"),
        (RunStatus.RUNNING, "RUNNING"),
        (RunStatus.WAITING, "WAITING_FOR_FEEDBACK"),
        (RunStatus.SUCCEEDED, "DONE"),
        (RunStatus.FAILED, "ERROR"),
        (RunStatus.CANCELLED, "ERROR"),
        (RunStatus.TIMED_OUT, "ERROR"),
        (RunStatus.LOST, "ERROR"),
    ],
)
async def test_each_status_has_its_word(admin, agent, worker, status, word):
    """A crashed agent is ERROR and says why: it was DONE."""
    run = RunId((await admin("POST", f"/api/agent/{agent}/run/start", json={"inputs": {}})).json["runId"])
    failure = Failure(code="exit_code", message="It ended with 3.") if status is RunStatus.FAILED else None
    await worker.end(run, status, failure=failure, exit_code=3 if failure else None)

    found = (await admin("GET", f"/api/agent/{agent}/run/{run}/status")).json
    assert found["status"] == word
    if failure:
        assert (found["error"], found["exit_code"]) == ("It ended with 3.", 3)


async def test_a_run_is_found_under_its_own_agent_only(admin, agent):
    """By the agent's id or name; under another agent there is none."""
    run = (await admin("POST", f"/api/agent/{agent}/run/start", json={"inputs": {}})).json["runId"]
    other = (await admin("PUT", "/api/agent/create", json=crew(name="Other"))).json["agentId"]

    assert (await admin("GET", f"/api/agent/crew/run/{run}/status")).json["runId"] == run
    assert is_fault(await admin("GET", f"/api/agent/{other}/run/{run}/status"), 404)


async def test_what_cannot_be_started_says_why(admin, agent, builds):
    """Inputs that do not fit the schema are named; an agent that is not built is a conflict."""
    wrong = await admin("POST", f"/api/agent/{agent}/run/start", json={"inputs": {"year": "x"}})
    assert is_fault(wrong, 422)
    assert "year" in wrong.json["error"]
    broken = (await admin("PUT", "/api/agent/create", json=crew(name="Broken"))).json
    await builds.fail(broken["image"]["buildId"])
    assert is_fault(await admin("POST", f"/api/agent/{broken['agentId']}/run/start", json={"inputs": {}}), 409)


async def test_a_run_sent_twice_under_one_key_is_one(admin, agent):
    """The Idempotency-Key of the native API holds here too."""
    headers = {"Idempotency-Key": "r-1"}
    path, body = f"/api/agent/{agent}/run/start", {"inputs": {}}
    first, again = [await admin("POST", path, json=body, headers=headers) for _ in range(2)]

    assert first.json == again.json
    assert again.headers["Idempotent-Replayed"] == "true"


# ---- the inbox


async def test_the_inbox_holds_what_is_over_and_what_waits(admin, agent, worker):
    """Newest first, with a text for people; what goes on and what is other users' is not in it."""
    await admin("POST", "agents", json={"name": "bobs", "owner": "bob", "source": {"git": {"url": URL}}})
    ends = [
        (RunStatus.SUCCEEDED, {"result": "Bees hum."}, "DONE", "Bees hum."),
        (RunStatus.SUCCEEDED, {"result": {"n": 1}}, "DONE", "The run is done."),
        (RunStatus.FAILED, {"failure": Failure(code="x", message="It broke.")}, "ERROR", "It broke."),
        (RunStatus.CANCELLED, {}, "ERROR", "The run was cancelled."),
        (RunStatus.WAITING, {}, "WAITING_FOR_FEEDBACK", "The run waits for an answer."),
        (RunStatus.RUNNING, {}, None, None),
    ]
    for status, changes, _, _ in ends:
        run = (await admin("POST", f"/api/agent/{agent}/run/start", json={"inputs": {}})).json["runId"]
        await worker.end(RunId(run), status, **changes)

    items = (await admin("GET", "/api/inbox/ann")).json
    assert [(one["status"], one["text"]) for one in reversed(items)] == [(w, t) for _, _, w, t in ends if w]
    for one in items:
        assert (one["type"], one["agentName"], one["content"]) == ("JOB_RUN", "crew", one["text"])
    assert (await admin("GET", "/api/inbox/bob")).json == []


@pytest.fixture
async def question(admin, agent, db, stores, worker, clock):
    """What a run of ann's agent asks."""
    run = RunId((await admin("POST", f"/api/agent/{agent}/run/start", json={"inputs": {}})).json["runId"])
    await worker.end(run, RunStatus.WAITING)
    asked = Question(
        id=QuestionId("qst_" + "0" * 26),
        run_id=run,
        project_id=(await admin("GET", f"runs/{run}")).json["project_id"],
        key="k",
        text="Go on?",
        choices=("yes", "no"),
        asked_ms=clock.now_ms(),
        expires_ms=clock.now_ms() + 3_600_000,
    )
    await db.write(lambda tx: stores.questions.insert(tx, asked))
    return asked


async def test_each_question_is_shown_and_can_be_chosen(admin, agent, question, db, stores):
    """The run lists them; an answer to none in particular is refused with the ids among which to choose."""
    other = replace(question, id=QuestionId("qst_" + "1" * 26), key="l", text="Sure?", choices=())
    await db.write(lambda tx: stores.questions.insert(tx, other))
    path = f"/api/agent/{agent}/run/{question.run_id}"
    waiting = (await admin("GET", f"{path}/status")).json
    assert [one["id"] for one in waiting["questions"]] == [question.id, other.id]
    assert waiting["question"] == waiting["questions"][0]

    refused = await admin("POST", f"{path}/answer", json={"answer": "yes"})

    assert is_fault(refused, 422)
    assert refused.json["error"] == f"The run has asked 2 things. question: say which: {question.id}, {other.id}."


async def test_what_waits_for_feedback_is_answered(admin, agent, question):
    """The run and the inbox say what it asks; an answer that does not fit is refused, one that fits is taken once."""
    path = f"/api/agent/{agent}/run/{question.run_id}"
    waiting = (await admin("GET", f"{path}/status")).json
    assert waiting["status"] == "WAITING_FOR_FEEDBACK"
    assert waiting["question"] == {"id": question.id, "text": "Go on?", "choices": ["yes", "no"]}
    (item,) = (await admin("GET", "/api/inbox/ann")).json
    assert (item["status"], item["text"], item["id"]) == ("WAITING_FOR_FEEDBACK", "Go on?", question.run_id)

    assert is_fault(await admin("POST", f"{path}/answer", json={"answer": "perhaps"}), 422)
    answered = await admin("POST", f"{path}/answer", json={"answer": "yes", "question": question.id})
    assert (answered.status, answered.json["status"], answered.json["question"]) == (200, "RUNNING", None)
    assert is_fault(await admin("POST", f"{path}/answer", json={"answer": "no"}), 409)
    other = (await admin("PUT", "/api/agent/create", json=crew(name="Other"))).json["agentId"]
    assert is_fault(await admin("POST", f"/api/agent/{other}/run/{question.run_id}/answer", json={"answer": 1}), 404)
