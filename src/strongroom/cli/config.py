"""`strongroom config`: the settings of a server."""

from pathlib import Path

import click

from strongroom.cli import printing
from strongroom.cli.lazy import Noun
from strongroom.cli.options import config_option, json_option


@click.group(cls=Noun)
def config() -> None:
    """The settings of a server, and where each comes from."""


@config.command("show", examples=["strongroom config show --origin", "strongroom config show --json"])
@click.option("--origin", is_flag=True, help="Say where each value comes from.")
@config_option
@json_option
def show(*, origin: bool, config_file: Path | None, as_json: bool) -> None:
    """Show every setting: the environment wins over strongroom.toml, and that over the default."""
    from strongroom.cli.db import load_settings

    found = load_settings(config_file).origins()
    if as_json:
        printing.document({name: {"value": one.value, "origin": one.origin} for name, one in found.items()})
        return
    if origin:
        rows = [(name, one.value or None, one.origin) for name, one in found.items()]
        printing.table(("SETTING", "VALUE", "FROM"), rows)
    else:
        printing.fields([(name, one.value or None) for name, one in found.items()])
