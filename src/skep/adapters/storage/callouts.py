"""Wake-ups from server to server on one PostgreSQL: NOTIFY in the transaction, LISTEN on a connection of its own.

They may be lost when a connection breaks. Nothing rests on them: whoever waits for a topic looks again by itself.
"""

import asyncio
import logging
import secrets
from collections.abc import Collection

import psycopg
from sqlalchemy import Connection

from skep.kernel.events import Hub

logger = logging.getLogger(__name__)

#: As which the connection that listens shows up in `pg_stat_activity`.
LISTENER = "skep listener"

_CHANNEL = "skep"
_SEND = "SELECT pg_notify(%s, word) FROM unnest(%s::text[]) AS word"
_CONNECT_S = 5
#: A connection that says nothing is asked so often whether it is still there.
_PROBE_S = 30.0
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.1, 5.0
#: What a broken or half-made connection may raise, and one on which somebody else calls out what is no text: a database
#: without an encoding lets anyone do so.
_BROKEN = (psycopg.Error, OSError, UnicodeError)


class Callouts:
    """One server's mouth and ears."""

    def __init__(self, url: str) -> None:
        self._url = url
        # In front of each topic, so that a server does not hear itself.
        self._name = secrets.token_hex(4)

    def send(self, connection: Connection, topics: Collection[str]) -> None:
        """Call out *topics*; the others hear it when the transaction is committed, and never if it is not."""
        words = [f"{self._name} {topic}" for topic in topics]
        connection.exec_driver_sql(_SEND, (_CHANNEL, words))

    async def hear(self, hub: Hub) -> None:
        """Pass on to *hub* what other servers call out, until cancelled; a connection that breaks is made again."""
        wait_s = _FIRST_WAIT_S
        while True:
            try:
                async with await self._connect() as connection:
                    await connection.execute(f"LISTEN {_CHANNEL}")
                    logger.info("listening to other servers")
                    wait_s = _FIRST_WAIT_S
                    # Nobody knows what was called out before.
                    hub.notify_all()
                    while True:
                        await self._pass_on(connection, hub)
            except _BROKEN as exc:
                level = logging.WARNING if wait_s == _FIRST_WAIT_S else logging.DEBUG
                logger.log(level, "other servers cannot be heard; trying again", extra={"why": str(exc).strip()})
            await asyncio.sleep(wait_s)
            wait_s = min(wait_s * 2, _LONGEST_WAIT_S)

    async def _connect(self) -> psycopg.AsyncConnection:
        return await psycopg.AsyncConnection.connect(
            self._url, connect_timeout=_CONNECT_S, application_name=LISTENER, autocommit=True
        )

    async def _pass_on(self, connection: psycopg.AsyncConnection, hub: Hub) -> None:
        async for heard in connection.notifies(timeout=_PROBE_S):
            sender, _, topic = heard.payload.partition(" ")
            if sender != self._name:
                hub.notify(topic)
        async with asyncio.timeout(_PROBE_S):
            await connection.execute("SELECT 1")
