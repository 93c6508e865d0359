"""`strongroom db`: the server's database."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from strongroom.cli import printing
from strongroom.cli.lazy import Noun
from strongroom.cli.options import config_option, json_option

if TYPE_CHECKING:
    from strongroom.server.settings import Settings


@click.group(cls=Noun)
def db() -> None:
    """The server's database."""


@db.command("upgrade", examples=["strongroom db upgrade --config strongroom/strongroom.toml"])
@config_option
@json_option
def upgrade(*, config_file: Path | None, as_json: bool) -> None:
    """Bring the database to the tables of this version. Only upwards, in one transaction."""
    from strongroom.cli.extras import needs

    with needs("server"):
        from strongroom.server.ledger import migrate
        from strongroom.server.wiring import database_url
    url = database_url(load_settings(config_file))
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
    now, head = migrate.current(database_url(load_settings(config_file))), migrate.head()
    if as_json:
        printing.document({"current": now, "head": head})
        return
    printing.fields([("current", now), ("head", head)])
    if now != head:
        printing.note("next: strongroom db upgrade")


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
