"""Puts a whole server together, without serving or working yet."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from skep.adapters.storage.database import SqlDatabase
from skep.assembly.base import Base, make_base
from skep.assembly.care import make_runtime_list
from skep.assembly.loops import Loops, make_end, make_loops
from skep.assembly.machine import keep_file
from skep.assembly.nouns import Nouns, make_nouns
from skep.edge.api.app import make_api
from skep.edge.api.services import Figures, Services
from skep.edge.dialects.spoken import speak
from skep.kernel.events import Hub
from skep.kernel.log import Redactor
from skep.kernel.secret import Secret
from skep.kernel.settings import Settings
from skep.library.frameworks.skep_yaml.keys import json_schema


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """Everything that one server process is made of."""

    settings: Settings
    api: Any
    loops: Loops
    #: To be called when nothing is served and no loop goes on any more.
    end: Callable[[], Awaitable[None]]


async def make_application(settings: Settings, db: SqlDatabase, hub: Hub, redactor: Redactor) -> Application:
    """Make a server of *settings* on *db*, whose tables are those of this version; the first token is made, too.

    Raises:
        UnavailableError: the database is away.
    """
    base = await make_base(settings, db, hub, redactor)
    nouns = make_nouns(base)
    await nouns.access.first_token(partial(_write_token, settings.admin_token_file))
    api = make_api(_services(base, nouns), settings, base.clock)
    speak(api)
    return Application(
        settings=settings,
        api=api,
        loops=make_loops(base, nouns),
        end=partial(make_end, base, nouns),
    )


def _services(base: Base, nouns: Nouns) -> Services:
    async def figures() -> Figures:
        return {"skep_work_items": await base.db.read(base.stores.work.counts)}

    return Services(
        db=base.db,
        clock=base.clock,
        access=nouns.access,
        secrets=nouns.secrets,
        agents=nouns.agents,
        webhooks=nouns.watching.webhooks,
        keyring=nouns.keyring,
        images=nouns.images,
        catalogue=nouns.catalogue,
        runtimes=make_runtime_list(base),
        runs=nouns.runs,
        questions=nouns.answers,
        doctor=nouns.doctor,
        answers=base.stores.idempotency,
        sealer=base.sealer,
        figures=figures,
        schemas={"skep-yaml.json": json_schema()},
    )


def _write_token(place: Path, token: Secret[str]) -> None:
    """Keep the first token for the command line of the user who started Skep; the launcher made the file."""
    keep_file(place, token.reveal() + "\n")
