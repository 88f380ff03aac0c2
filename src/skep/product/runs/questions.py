"""What an agent may ask and a person answer: read strictly, bounded, judged. Pure."""

import json
from collections.abc import Iterable, Mapping
from typing import Any, cast

from skep.kernel.errors import ConflictError, InvalidError
from skep.product.agents.schema import check_schema, misfits
from skep.product.runs.model import Asked, Question, QuestionId, Run

#: The largest body of a question: its text may be written as six bytes a character.
MAX_BODY = 256 * 1024
MAX_TEXT_BYTES = 16 * 1024
MAX_SCHEMA_BYTES = 16 * 1024
MAX_ANSWER_BYTES = 32 * 1024
#: Questions of one run.
MAX_QUESTIONS = 100
_MAX_KEY = 200
_MAX_CHOICES = 50
_MAX_CHOICE = 200
#: Of a schema: what is nested deeper cannot be part of an answer of the API.
_MAX_DEPTH = 50
_MAX_WAIT_S = 10 * 365 * 86400.0
_MEMBERS = ("key", "text", "choices", "schema", "timeout_s")


def read_question(body: bytes) -> Asked:
    """Return what an agent asks with *body*, which is untrusted.

    Raises:
        InvalidError: it is no good question; `fields` says why.
    """
    try:
        asked = json.loads(body, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise _wrong("question", "is no JSON") from error
    if not isinstance(asked, dict):
        raise _wrong("question", "must be a JSON object")
    members = cast("dict[str, Any]", asked)
    for name in members:
        if name not in _MEMBERS:
            raise _wrong(ascii(name[:_MAX_KEY])[1:-1], "is not known; there are " + ", ".join(_MEMBERS))
    return Asked(
        key=_text("key", members.get("key"), _MAX_KEY),
        text=_text("text", members.get("text"), MAX_TEXT_BYTES),
        choices=_choices(members.get("choices")),
        answer_schema=_schema(members.get("schema")),
        timeout_s=_seconds(members.get("timeout_s")),
    )


def new_question(asked: Asked, question_id: QuestionId, run: Run, now_ms: int, most_s: float) -> Question:
    """Return the row of a question that *run* asks; it can be answered for *most_s* seconds at the longest."""
    wait_s = most_s if asked.timeout_s is None else min(most_s, asked.timeout_s)
    return Question(
        id=question_id,
        run_id=run.id,
        project_id=run.project_id,
        key=asked.key,
        text=asked.text,
        choices=asked.choices,
        answer_schema=asked.answer_schema,
        asked_ms=now_ms,
        expires_ms=now_ms + round(wait_s * 1000),
    )


def check_answer(question: Question, answer: Any) -> None:
    """Raise `InvalidError`, with each wrong field named, unless *answer* fits; may take a second or two."""
    try:
        size = len(json.dumps(answer, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise _misfit("answer", "is no JSON") from error
    if size > MAX_ANSWER_BYTES:
        raise _misfit("answer", f"is larger than {MAX_ANSWER_BYTES} bytes")
    if question.choices and answer not in question.choices:
        raise _misfit("answer", "must be one of: " + ", ".join(question.choices))
    if question.answer_schema is not None and (fields := misfits(answer, question.answer_schema, "answer")):
        raise InvalidError(
            "The answer does not fit the question: " + "; ".join(f"{k}: {v}" for k, v in list(fields.items())[:5]),
            code="answer_invalid",
            fields=fields,
        )


def same(one: Any, other: Any) -> bool:
    """Tell whether two answers are the same JSON: 1, 1.0 and true are three."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def chosen(questions: list[Question], wanted: QuestionId | None, now_ms: int) -> Question:
    """Return which of a run's *questions* an answer is for: the one that is named, else the only open one.

    One that is answered already is returned, too: whether the same answer was given again is to be seen.

    Raises:
        ConflictError: there is none that could be answered.
        InvalidError: it must be said which one, or there is no such question.
    """
    if wanted is not None:
        named = next((question for question in questions if question.id == wanted), None)
        if named is None:
            raise InvalidError("The run has not asked this.", fields={"question": "is no question of this run"})
        return named
    still_open = [question for question in questions if question.is_open(now_ms)]
    if len(still_open) > 1:
        words = f"say which: {', '.join(question.id for question in still_open[:10])}"
        raise InvalidError(f"The run has asked {len(still_open)} things.", fields={"question": words})
    answered = [question for question in questions if question.answered_ms is not None]
    for question in (*still_open, *sorted(answered, key=_when, reverse=True)[:1]):
        return question
    raise not_waiting("The run has asked nothing.")


def not_waiting(why: str) -> ConflictError:
    """Return what is said to who answers a run that waits for nothing."""
    return ConflictError(why, code="not_waiting", hint="skep inbox lists the runs that wait for an answer.")


def _when(question: Question) -> int:
    return question.answered_ms or 0


def _text(name: str, value: object, most: int) -> str:
    if not isinstance(value, str) or not value.strip():
        raise _wrong(name, "must be a text")
    if "\0" in value:
        raise _wrong(name, "must not hold the character NUL")
    try:
        size = len(value.encode())
    except UnicodeEncodeError as error:
        raise _wrong(name, "is no Unicode") from error
    if size > most:
        raise _wrong(name, f"is larger than {most} bytes")
    return value


def _choices(value: object) -> tuple[str, ...]:
    if value is None or value == []:
        return ()
    if not isinstance(value, list) or len(cast("list[Any]", value)) > _MAX_CHOICES:
        raise _wrong("choices", f"must be a list of at most {_MAX_CHOICES} texts")
    found = tuple(_text("choices", item, _MAX_CHOICE) for item in cast("list[Any]", value))
    if len(set(found)) < len(found):
        raise _wrong("choices", "holds the same text twice")
    return found


def _schema(value: object) -> Mapping[str, Any] | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise _wrong("schema", "must be a JSON Schema, an object")
    schema = cast("dict[str, Any]", value)
    if _is_deep(schema):
        raise _wrong("schema", f"is nested more than {_MAX_DEPTH} deep")
    try:
        size = len(json.dumps(schema, ensure_ascii=False, allow_nan=False).encode())
    except ValueError as error:
        # Half a surrogate pair, say: whoever lists the project's runs is to be given it one day.
        raise _wrong("schema", "cannot be written as JSON again") from error
    if size > MAX_SCHEMA_BYTES:
        raise _wrong("schema", f"is larger than {MAX_SCHEMA_BYTES} bytes")
    try:
        check_schema(schema)
    except InvalidError as error:
        raise _wrong("schema", "; ".join(error.fields.values()) or error.message) from error
    return schema


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(_MAX_DEPTH):
        level = [child for parent in level for child in _children(parent)]
    return bool(level)


def _children(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return cast("dict[str, Any]", value).values()
    return cast("list[Any]", value) if isinstance(value, list) else ()


def _seconds(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= _MAX_WAIT_S:
        raise _wrong("timeout_s", "must be a number of seconds above 0")
    return float(value)


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON")


def _wrong(field: str, what: str) -> InvalidError:
    return InvalidError(f"The question is not good: {field} {what}.", code="question_invalid", fields={field: what})


def _misfit(field: str, what: str) -> InvalidError:
    return InvalidError(
        f"The answer does not fit the question: it {what}.", code="answer_invalid", fields={field: what}
    )
