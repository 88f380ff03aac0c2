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
from skep.kernel.errors import InvalidError, SkepError

#: Events after which the run may ask something, or something else, or nothing any more.
_TURNS = ("run.asked", "run.answered", "run.resumed", "run.queued")
_BLOCK = 1 << 16


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
    shown = ""
    taking: asyncio.Task[None] | None = None
    try:
        async for event in client.runs.events(run_id):
            if event.type not in _TURNS:
                continue
            asked = (await client.runs.get(run_id)).question
            if asked is not None and asked.id == shown:
                continue
            if taking is not None and not taking.done():
                taking.cancel()
                screen.say("(it is not asked any more)", style="dim")
            shown = "" if asked is None else asked.id
            if asked is None:
                continue
            log.end_line()
            if on_a_terminal():
                taking = asyncio.create_task(_take(client, run_id, asked))
            else:
                _show(asked)
                _say_what_to_type(run_id)
    finally:
        if taking is not None:
            taking.cancel()
            await asyncio.wait({taking})


async def _take(client: SkepClient, run_id: str, asked: QuestionView) -> None:
    try:
        await prompt(client, run_id, asked)
    except SkepError as error:
        screen.say(clean(error.message), style="red")
        _say_what_to_type(run_id)


def _say_what_to_type(run_id: str) -> None:
    screen.say(f"answer with: skep answer {run_id} TEXT", style="bold")


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
            return await client.runs.answer(run_id, value_of(asked, line.rstrip("\r\n")), question=asked.id)
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
