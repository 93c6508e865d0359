"""`strongroom device`: enrolled installations."""

import click

from strongroom.cli import printing
from strongroom.cli.lazy import Noun
from strongroom.cli.options import OfficeAt, json_option, office_options


@click.group(cls=Noun)
def device() -> None:
    """Enrolled installations."""


@device.command("list", examples=["strongroom device list --json"])
@office_options
@json_option
def list_devices(*, at: OfficeAt, as_json: bool) -> None:
    """List the enrolled devices."""
    from strongroom.cli.places import office

    found = office(at).every("devices")
    if as_json:
        printing.document({"devices": found})
        return
    shown = [
        (row.get("id"), row.get("account"), row.get("user"), row.get("state"), printing.moment(row.get("seen")))
        for row in found
    ]
    printing.table(("ID", "ACCOUNT", "USER", "STATE", "SEEN"), shown)
