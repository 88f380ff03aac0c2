"""Whoever can connect to the database can call out anything: it wakes somebody at the most."""

import asyncio

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from skep.adapters.storage.callouts import Callouts
from skep.testing.postgres import with_database

CRAFTED = ("''", "' '", "'a'", "'a ' || chr(9)", "repeat('x', 7999)", "'a b c'")
#: Only a database that leaves its bytes uninterpreted takes it.
NO_TEXT = r"convert_from('\xff', 'SQL_ASCII')"


@pytest.fixture
def bytes_url(pg_url):
    """The URL of an empty database without an encoding."""
    name = f"{conninfo_to_dict(pg_url)['dbname']}_bytes"
    place = sql.Identifier(name)
    with psycopg.connect(with_database(pg_url, "postgres"), autocommit=True) as connection:
        made = sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'")
        connection.execute(made.format(place))
        yield with_database(pg_url, name)
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(place))


async def test_what_others_call_out_ends_nothing(bytes_url, hub):
    """Empty, long, or no text at all: what comes after it is heard."""
    async with asyncio.timeout(20), await psycopg.AsyncConnection.connect(bytes_url, autocommit=True) as other:
        with hub.subscribe("again") as again:
            hearing = asyncio.create_task(Callouts(bytes_url).hear(hub))
            await again.wait()
            for payload in CRAFTED:
                await other.execute(f"SELECT pg_notify('skep', {payload})")
            again.clear()
            await other.execute("NOTIFY skep, 'another again'")
            await again.wait()
            again.clear()
            await other.execute(f"SELECT pg_notify('skep', {NO_TEXT})")
            done, _ = await asyncio.wait(
                (hearing, waited := asyncio.create_task(again.wait())), return_when="FIRST_COMPLETED"
            )
            assert done == {waited}
            hearing.cancel()
