"""Which question an answer is for, and what is meant by one."""

import socket

import pytest

from skep.edge.cli import asking
from skep.edge.client import SkepClient
from skep.edge.client.transport import Patience
from skep.edge.wire.runs import QuestionView, RunView
from skep.kernel.errors import InvalidError, UnavailableError

NOW = "2026-01-01T00:00:00Z"


def question(name: str, text: str = "Go on?", **more: object) -> QuestionView:
    """A question as the server renders it."""
    return QuestionView.model_validate(
        {"id": f"qst_{name}", "key": name, "text": text, "asked_at": NOW, "expires_at": NOW, **more}
    )


def asks(*questions: QuestionView) -> RunView:
    """A run that asks these."""
    ids = {name: f"{name}_1" for name in ("id", "run_id", "agent_id", "project_id")}
    whole: dict[str, object] = {
        "agent_name": "bee",
        "kind": "job",
        "status": "waiting",
        "inputs": {},
        "usage": {},
        "created_at": NOW,
    }
    return RunView.model_validate(ids | whole | {"questions": questions})


def test_the_only_question_is_meant() -> None:
    """Without its id, and with it; one that is not open is none."""
    one = question("a")
    assert asking.which(asks(one), None) == one
    assert asking.which(asks(one), "qst_a") == one
    assert asking.which(asks(one), "qst_b") is None
    assert asking.which(asks(), None) is None


def test_one_of_several_must_be_named() -> None:
    """Each is listed with its id, its text and its choices, and how to choose."""
    several = asks(question("a", "Delete\nit?", choices=["yes", "no"]), question("b", "x" * 1000))
    with pytest.raises(InvalidError) as caught:
        asking.which(several, None)
    assert caught.value.fields == {"qst_a": "Delete it? (yes, no)", "qst_b": "x" * 200 + " ..."}
    assert caught.value.hint == "skep answer id_1 TEXT --question ID"
    assert asking.which(several, "qst_b") == several.questions[1]


async def test_an_answer_that_may_have_come_through_is_sent_again_to_its_question() -> None:
    """What to type names the question: by then the run may ask something else."""
    with socket.create_server(("127.0.0.1", 0)) as gone:
        url = f"http://127.0.0.1:{gone.getsockname()[1]}"
    async with SkepClient(url, "skep_t", patience=Patience(first_s=0)) as client:
        with pytest.raises(UnavailableError) as caught:
            await asking.give(client, "run_1", question("a"), "yes")
    assert str(caught.value.hint).endswith("skep answer run_1 TEXT --question qst_a")
