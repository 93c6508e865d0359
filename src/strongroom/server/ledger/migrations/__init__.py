"""Alembic scripts: one file a step, applied in order by `migrate.upgrade`."""
