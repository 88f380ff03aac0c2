"""Rows of questions."""

from collections.abc import Collection
from typing import Any

from sqlalchemy import BindParameter, bindparam

from skep.adapters.storage.mapper import Mapper
from skep.adapters.storage.tables import questions
from skep.kernel.database import Tx
from skep.product.runs.model import Question, QuestionId, RunId


class SqlQuestionStore:
    """Implements `runs.ports.QuestionStore`."""

    def __init__(self) -> None:
        self._questions = Mapper(questions, Question)
        these: BindParameter[Any] = bindparam("ids", expanding=True)
        order = questions.c.id
        self._of_run = self._questions.by("run_id").order_by(order)
        self._by_key = self._questions.by("run_id", "key")
        self._unanswered = self._questions.select.where(
            questions.c.run_id.in_(these), questions.c.answered_ms.is_(None)
        ).order_by(order)

    def insert(self, tx: Tx, question: Question) -> None:
        """Add a question."""
        self._questions.insert(tx, question)

    def save(self, tx: Tx, question: Question) -> None:
        """Replace the question's row."""
        self._questions.save(tx, question)

    def get(self, tx: Tx, question_id: QuestionId) -> Question | None:
        """Return the question of this id."""
        return self._questions.get(tx, question_id)

    def by_key(self, tx: Tx, run_id: RunId, key: str) -> Question | None:
        """Return the run's question of this key."""
        return self._questions.first(tx, self._by_key, {"run_id": run_id, "key": key})

    def of_run(self, tx: Tx, run_id: RunId) -> list[Question]:
        """List a run's questions, oldest first."""
        return self._questions.all(tx, self._of_run, {"run_id": run_id})

    def unanswered(self, tx: Tx, run_ids: Collection[RunId]) -> list[Question]:
        """List the questions of some runs that have no answer, oldest first."""
        return self._questions.all(tx, self._unanswered, {"ids": list(run_ids)}) if run_ids else []
