"""Run by Alembic inside `migrate.upgrade`, which hands over a connection with an open transaction."""

from alembic import context

from strongroom.server.ledger.tables import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA)
with context.begin_transaction():
    context.run_migrations()
