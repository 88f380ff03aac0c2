"""Run by Alembic, inside the transaction that `migrate` holds open."""

from alembic import context

from skep.adapters.storage.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=False,
    render_as_batch=True,
)
context.run_migrations()
