"""What of a run is told in the inbox. Pure."""

import json
from collections.abc import Mapping

from skep.product.runs.model import News, NewsStatus, Question, Run, RunStatus

#: Which runs an item of the inbox is made of; what somebody cancelled is no news to them, and what goes on none yet.
TOLD: Mapping[RunStatus, NewsStatus] = {
    RunStatus.WAITING: NewsStatus.WAITING,
    RunStatus.SUCCEEDED: NewsStatus.FINISHED,
    RunStatus.FAILED: NewsStatus.FAILED,
    RunStatus.TIMED_OUT: NewsStatus.FAILED,
    RunStatus.LOST: NewsStatus.FAILED,
}
_MAX_TEXT = 500


def statuses(wanted: tuple[str, ...]) -> tuple[str, ...]:
    """Return the statuses of the runs that items with the statuses *wanted* (none: all) are made of."""
    return tuple(run.value for run, news in TOLD.items() if not wanted or news.value in wanted)


def news_of(run: Run, questions: tuple[Question, ...]) -> News:
    """Return what is told of *run*, whose open *questions* are given oldest first; its text is the oldest one's."""
    question = questions[0] if questions else None
    at_ms = run.created_ms if run.ended_ms is None else run.ended_ms
    return News(
        run_id=run.id,
        agent_name=run.agent_name,
        status=TOLD[run.status],
        text=_text(run, question),
        questions=questions,
        at_ms=at_ms if question is None else question.asked_ms,
    )


def _text(run: Run, question: Question | None) -> str:
    if question is not None:
        text = question.text
    elif run.failure is not None:
        text = run.failure.message
    elif isinstance(run.result, str):
        text = run.result
    else:
        text = "" if run.result is None else json.dumps(run.result, ensure_ascii=False)
    return text if len(text) <= _MAX_TEXT else text[: _MAX_TEXT - 3] + "..."
