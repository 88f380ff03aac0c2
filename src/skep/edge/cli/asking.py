"""Questions on the command line: shown, and answered where a person types."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from skep.edge.cli import hints, screen
from skep.edge.cli.clean import clean
from skep.edge.client import ApiError, SkepClient
from skep.edge.wire.runs import QuestionView, RunView
from skep.kernel.errors import InvalidError, SkepError, UnavailableError

#: Events after which the run may ask something, or something else, or nothing any more.
_TURNS = ("run.asked", "run.answered", "run.resumed", "run.queued")
_BLOCK = 1 << 16
#: A question that is longer is named by its beginning.
_LINE = 200


def value_of(question: QuestionView | None, text: str) -> Any:
    """Return what a person means by *text*: a choice or its number; JSON where the question has a schema; the text."""
    if question is None:
        return text
    if question.choices and text not in question.choices and text.isascii() and text.isdigit():
        number = int(text[:4])
        return question.choices[number - 1] if 1 <= number <= len(question.choices) else text
    if question.answer_schema is None:
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def which(run: RunView, wanted: str | None) -> QuestionView | None:
    """Return which open question of *run* is meant: the one with the id *wanted*, or the only one; None if none is.

    Raises:
        InvalidError: it must be said which one.
    """
    if wanted is None and len(run.questions) > 1:
        raise InvalidError(
            f"{run.id} asks {len(run.questions)} things",
            code="which_question",
            fields={asked.id: in_short(asked) for asked in run.questions},
            hint=f"skep answer {run.id} TEXT --question ID",
        )
    return next((asked for asked in run.questions if wanted in (None, asked.id)), None)


def in_short(asked: QuestionView) -> str:
    """Return a question on one line, with what there is to choose from."""
    text = " ".join(asked.text.split())
    choices = f" ({', '.join(asked.choices)})" if asked.choices else ""
    return (text if len(text) <= _LINE else f"{text[:_LINE]} ...") + choices


async def give(client: SkepClient, run_id: str, asked: QuestionView, value: Any) -> RunView:
    """Answer this question and no other.

    Raises:
        UnavailableError: the answer may have been taken; whoever tries again is told to name the question.
    """
    try:
        return await client.runs.answer(run_id, value, question=asked.id)
    except UnavailableError as error:
        error.hint = f"it may have been taken; to try again: skep answer {run_id} TEXT --question {asked.id}"
        raise


@asynccontextmanager
async def attended(client: SkepClient, run_id: str, log: screen.Log, *, quiet: bool) -> AsyncGenerator[None]:
    """Take answers, or say what to type, for as long as the run is followed."""
    if quiet:
        yield
        return
    attending = asyncio.create_task(_attend(client, run_id, log))
    try:
        yield
    finally:
        attending.cancel()
        await asyncio.wait({attending})


async def _attend(client: SkepClient, run_id: str, log: screen.Log) -> None:
    shown: set[str] = set()
    taking: asyncio.Task[None] | None = None
    try:
        async for event in client.runs.events(run_id):
            if event.type not in _TURNS:
                continue
            asked = (await client.runs.get(run_id)).questions
            if not on_a_terminal():
                _list(run_id, [one for one in asked if one.id not in shown], log, several=len(asked) > 1)
                shown |= {one.id for one in asked}
                continue
            # One after the other, as they were asked: the one that is being answered stays on the screen.
            if any(one.id in shown for one in asked):
                continue
            if taking is not None and not taking.done():
                taking.cancel()
                screen.say("(it is not asked any more)", style="dim")
            shown = {one.id for one in asked[:1]}
            if asked:
                log.end_line()
                taking = asyncio.create_task(_take(client, run_id, asked[0]))
    finally:
        if taking is not None:
            taking.cancel()
            await asyncio.wait({taking})


async def _take(client: SkepClient, run_id: str, asked: QuestionView) -> None:
    try:
        await prompt(client, run_id, asked)
    except SkepError as error:
        screen.say(clean(error.message), style="red")
        _say_what_to_type(f"{run_id} TEXT --question {asked.id}")


def _list(run_id: str, asked: list[QuestionView], log: screen.Log, *, several: bool) -> None:
    for one in asked:
        log.end_line()
        _show(one)
        _say_what_to_type(f"{run_id} TEXT --question {one.id}" if several else f"{run_id} TEXT")


def _say_what_to_type(answer: str) -> None:
    screen.say(f"answer with: skep answer {answer}", style="bold")


async def prompt(client: SkepClient, run_id: str, asked: QuestionView) -> RunView:
    """Ask until the server takes the answer.

    Raises:
        InvalidError: the input has ended.
        ApiError: it can be answered no more.
    """
    _show(asked)
    while True:
        sys.stderr.write("> ")
        sys.stderr.flush()
        line = await _line()
        if not line:
            raise InvalidError("there is no answer", fields={"text": "is missing"})
        if not line.strip():
            continue
        try:
            return await give(client, run_id, asked, value_of(asked, line.rstrip("\r\n")))
        except ApiError as error:
            if error.status != 422:
                raise
            screen.say(clean(error.message), style="red")
            if error.hint:
                screen.say(hints.in_verbs(clean(error.hint), run=run_id), style="dim")


def _show(asked: QuestionView) -> None:
    screen.say(f"It asks: {clean(asked.text)}", style="bold yellow")
    for number, choice in enumerate(asked.choices, 1):
        screen.say(f"  {number}  {clean(choice)}")


def on_a_terminal() -> bool:
    """Tell whether somebody can be asked here."""
    return sys.stdin.isatty() and sys.stderr.isatty() and not screen.wants_json()


async def _line() -> str:
    """Return the line that is typed next, "" at the end of input; being cancelled leaves nobody reading."""
    loop = asyncio.get_running_loop()
    ready = loop.create_future()
    descriptor = sys.stdin.fileno()
    loop.add_reader(descriptor, lambda: ready.done() or ready.set_result(None))
    try:
        await ready
    finally:
        loop.remove_reader(descriptor)
    return os.read(descriptor, _BLOCK).decode("utf-8", "replace")
