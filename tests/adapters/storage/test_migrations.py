"""Migrations and tables agree, on both databases."""

import asyncio

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

from skep.adapters.storage.database import SqlDatabase
from skep.adapters.storage.engine import make_engine
from skep.adapters.storage.migrate import config
from skep.adapters.storage.tables import SCHEMA, metadata
from skep.kernel.errors import ConflictError


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request, tmp_path):
    """Where an empty database is, or can be."""
    if request.param == "sqlite":
        yield tmp_path / "skep.db"
    else:
        with request.getfixturevalue("pg_databases").empty() as url:
            yield url


@pytest.fixture
def inside(place):
    """Calls a function with a connection to the database, committed afterwards."""

    def call(work):
        engine = make_engine(place, readonly=False)
        try:
            with engine.connect() as connection, connection.begin():
                return work(connection)
        finally:
            engine.dispose()

    return call


async def test_migrations_make_the_tables(place, inside):
    """After all migrations nothing differs from the tables as they are written down, indexes included."""
    async with SqlDatabase.open(place) as db:
        await db.migrate()

    def differences(connection):
        context = MigrationContext.configure(connection, opts={"target_metadata": metadata, "compare_type": True})
        return compare_metadata(context, metadata)

    def partial_indexes(connection):
        kind = "pg_get_expr(indpred, indrelid) is not null" if "postgresql" in str(place) else None
        if kind:
            query = f"SELECT indexrelid::regclass::text FROM pg_index WHERE {kind}"
        else:
            query = "SELECT name FROM sqlite_master WHERE type = 'index' AND sql LIKE '% WHERE %'"
        return {name for (name,) in connection.execute(text(query))}

    assert inside(differences) == []
    wanted = {
        index.name
        for table in metadata.tables.values()
        for index in table.indexes
        if index.dialect_options["sqlite"]["where"] is not None
    }
    assert inside(partial_indexes) == wanted


async def test_migrating_again_changes_nothing(place, inside):
    """It is done at every start."""
    async with SqlDatabase.open(place) as db:
        await db.migrate()
        await db.migrate()
    assert len(inside(lambda connection: inspect(connection).get_table_names())) == len(metadata.tables) + 1


async def test_servers_that_start_together(place, inside):
    """One migrates, the others wait for it and find all done."""
    databases = [SqlDatabase.open(place) for _ in range(4)]
    opened = [await database.__aenter__() for database in databases]
    try:
        await asyncio.gather(*(db.migrate() for db in opened))
    finally:
        for database in databases:
            await database.__aexit__(None, None, None)
    assert inside(lambda c: c.execute(text("SELECT count(*) FROM alembic_version")).scalar_one()) == 1


async def test_tables_of_a_newer_version_are_left_alone(place, inside):
    """An older Skep refuses to start on them, with a code that says why."""
    async with SqlDatabase.open(place) as db:
        await db.migrate()
        inside(lambda connection: connection.execute(text("UPDATE alembic_version SET version_num = '9999'")))
        with pytest.raises(ConflictError) as caught:
            await db.migrate()
    assert caught.value.code == "database_newer"


def test_each_step_from_the_first_on(place, inside):
    """The history is one line, and can be walked step by step, each in its own transaction."""
    if "postgresql" in str(place):
        inside(lambda connection: connection.execute(text(f"CREATE SCHEMA {SCHEMA}")))
    script = ScriptDirectory.from_config(inside(config))
    revisions = [revision.revision for revision in script.walk_revisions()][::-1]
    assert len(script.get_heads()) == 1
    for revision in revisions:
        inside(lambda connection, revision=revision: command.upgrade(config(connection), revision))
