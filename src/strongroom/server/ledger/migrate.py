"""Bring a database to the tables of this version. Only upwards: a downgrade would drop what was written since."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, NullPool, create_engine
from sqlalchemy.exc import SQLAlchemyError

from strongroom.errors import Code, SetupError
from strongroom.server.ledger.engine import alone, make_private, place, read_url, set_up_sqlite, translate

_SCRIPTS = Path(__file__).parent / "migrations"
_SYNC_DRIVERS = {"sqlite": "sqlite", "postgresql": "postgresql+psycopg"}


def head() -> str:
    """Return the newest revision this version of strongroom knows."""
    revision = ScriptDirectory.from_config(_config()).get_current_head()
    if revision is None:
        raise SetupError(Code.DATABASE, "no migrations are installed", next_step="reinstall strongroom[server]")
    return revision


def current(url: str) -> str | None:
    """Return the revision a database is at, or None if it is empty.

    Raises:
        SetupError: DATABASE, if it is not there or cannot be opened.
        StoreError: DATABASE.
    """
    engine = sync_engine(url, create=False)
    try:
        with engine.connect() as connection:
            return MigrationContext.configure(connection).get_current_revision()
    except SQLAlchemyError as error:
        raise translate(error, place(engine.url)) from None
    finally:
        engine.dispose()


def upgrade(url: str) -> str:
    """Bring a database to `head()`, in one transaction, and return the revision it is at.

    Raises:
        SetupError: DATABASE, if it cannot be opened or was written by a newer strongroom.
        StoreError: DATABASE.
    """
    engine = sync_engine(url, create=True)
    try:
        with alone(engine.url), engine.begin() as connection:
            command.upgrade(_config(connection), "head")
    except CommandError:
        raise SetupError(
            Code.DATABASE, "the database is of a newer strongroom than this one", next_step="upgrade strongroom"
        ) from None
    except SQLAlchemyError as error:
        raise translate(error, place(engine.url)) from None
    finally:
        engine.dispose()
    return head()


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def sync_engine(url: str, *, create: bool) -> Engine:
    """Make an engine for work outside an event loop; `create`: make a missing SQLite file.

    Raises:
        SetupError: DATABASE.
    """
    parsed = read_url(url)
    backend = parsed.get_backend_name()
    if backend not in _SYNC_DRIVERS:
        raise SetupError(Code.DATABASE, f"no migrations for a {backend} database", next_step="use SQLite or PostgreSQL")
    if backend == "sqlite":
        make_private(parsed, create=create)
    try:
        engine = create_engine(parsed.set(drivername=_SYNC_DRIVERS[backend]), poolclass=NullPool, hide_parameters=True)
    except ModuleNotFoundError:
        raise SetupError(Code.DATABASE, f"no driver for a {backend} database", next_step="install its driver") from None
    if backend == "sqlite":
        set_up_sqlite(engine)
    return engine
