"""`strongroom db`: the server's database."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from strongroom.cli import printing
from strongroom.cli.lazy import Noun
from strongroom.cli.options import PATH, config_option, confirmed, json_option, yes_option
from strongroom.errors import Code, StrongroomError

if TYPE_CHECKING:
    from strongroom.server.settings import Settings


RESTORE = "put it back from a backup; an empty one would entitle nobody"


@click.group(cls=Noun)
def db() -> None:
    """The server's database."""


@db.command("upgrade", examples=["strongroom db upgrade --config strongroom/strongroom.toml"])
@yes_option
@config_option
@json_option
def upgrade(*, yes: bool, config_file: Path | None, as_json: bool) -> None:
    """Bring the database to the tables of this version. Only upwards, in one transaction.

    An empty database, or none, is asked about first: nobody is entitled to anything in it, and no operator is known.
    """
    from strongroom.cli.extras import needs

    with needs("server"):
        from strongroom.server.ledger import migrate
        from strongroom.server.wiring import database_url
    settings = load_settings(config_file)
    url = database_url(settings)
    with explained(settings):
        before = None
        if is_empty(settings):
            what = f"the database is empty ({shown(settings)})"
            question = f"{what}; normally one is put back from a backup. Start with nobody entitled and no operators?"
            unasked = f"{what}: {RESTORE}; say --yes to start with it all the same"
            confirmed(question, yes=yes, declined="not upgraded", unasked=unasked)
        else:
            before = migrate.current(url)
        after = migrate.upgrade(url)
    if as_json:
        printing.document({"before": before, "after": after})
        return
    printing.line(after)
    printing.note("nothing to do" if before == after else f"upgraded from {before or 'an empty database'}")


@db.command("current", examples=["strongroom db current --json"])
@config_option
@json_option
def current(*, config_file: Path | None, as_json: bool) -> None:
    """Show which tables the database has and which this version wants."""
    from strongroom.cli.extras import needs

    with needs("server"):
        from strongroom.server.ledger import migrate
        from strongroom.server.wiring import database_url
    settings = load_settings(config_file)
    with explained(settings):
        now, head = migrate.current(database_url(settings)), migrate.head()
    if as_json:
        printing.document({"current": now, "head": head})
        return
    printing.fields([("current", now), ("head", head)])
    if now != head:
        printing.note(f"next: {RESTORE}" if is_empty(settings) else "next: strongroom db upgrade")


@db.command("backup", examples=["strongroom db backup /backup/strongroom-monday.db"])
@click.argument("path", metavar="FILE", type=PATH)
@config_option
@json_option
def backup(path: Path, *, config_file: Path | None, as_json: bool) -> None:
    """Copy the database to a new FILE while the server runs; whole and checked, or there is no file.

    Objects, keyring and trust files are copied as files: docs/operations.md says in which order, and how to restore.
    """
    from strongroom.cli.extras import needs

    with needs("server"):
        from strongroom.server.ledger import backup as copying
        from strongroom.server.wiring import database_url
    settings = load_settings(config_file)
    with explained(settings), printing.steps("copying") as reached:
        size = copying.backup(database_url(settings), path, reached)
    if as_json:
        printing.document({"path": str(path), "size": size})
        return
    printing.line(str(path))
    printing.note(f"{printing.size(size)}; a backup holds customers' names: keep it as you keep the database")


@contextmanager
def explained(settings: "Settings") -> Iterator[None]:
    """Let what fails because of the database say which one, and that a lost one comes from a backup.

    Raises:
        SetupError, StoreError: DATABASE, as raised inside, with its place and what to do.
    """
    try:
        yield
    except StrongroomError as error:
        if error.code == Code.DATABASE:
            error.where = error.where or shown(settings)
            if "NOTADB" in error.what or "CORRUPT" in error.what:
                error.next_step = "put it back from a backup; move this file away first, and keep it"
            elif _is_lost(settings):
                error.next_step = RESTORE
        raise


def shown(settings: "Settings") -> str:
    """Return where the database is; of a URL only its kind, since it may hold a password."""
    if "://" in settings.database:
        return settings.database.partition("://")[0].partition("+")[0] + " database"
    return str(settings.resolve(settings.database))


def is_empty(settings: "Settings") -> bool:
    """Tell whether there is no database yet, or one without any table; a file of 0 bytes is not touched.

    Raises:
        SetupError, StoreError: DATABASE if it cannot be opened.
    """
    from strongroom.server.ledger import migrate
    from strongroom.server.wiring import database_url

    if "://" not in settings.database:
        path = settings.resolve(settings.database)
        if path.parent.is_dir() and (not path.exists() or (path.is_file() and path.stat().st_size == 0)):
            return True
    url = database_url(settings)
    if migrate.current(url) is not None:
        return False
    engine = migrate.sync_engine(url, create=False)
    try:
        with engine.connect() as connection:
            return not engine.dialect.get_table_names(connection)
    finally:
        engine.dispose()


def _is_lost(settings: "Settings") -> bool:
    try:
        return is_empty(settings)
    except StrongroomError:
        return False  # what was wrong with it has been said already


def load_settings(config_file: Path | None) -> "Settings":
    """Read the settings of the strongroom that is meant.

    Raises:
        SetupError: NOT_INITIALISED, CONFIG, MISSING_EXTRA.
    """
    from strongroom.cli.extras import needs
    from strongroom.cli.places import need_config

    with needs("server"):
        from strongroom.server import settings
    return settings.load(need_config(config_file))
