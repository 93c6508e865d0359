"""`strongroom pull`: fetch a model for this device."""

import dataclasses
from pathlib import Path

import click

from strongroom.cli import printing
from strongroom.cli.lazy import Command
from strongroom.cli.options import home_option, json_option


@click.command(cls=Command, examples=["strongroom pull digits@stable", "strongroom pull digits@1.0 --json"])
@click.argument("model", metavar="MODEL[@CHANNEL|@VERSION]")
@home_option
@json_option
def pull(model: str, *, home: Path | None, as_json: bool) -> None:
    """Request a model's key, fetch its ciphertext and seal it again for this device.

    The old version stays active until the whole new one is here.
    """
    from strongroom import names
    from strongroom.cli.places import room

    reference = names.parse_reference(model)
    with room(home) as here, printing.steps(f"fetching {reference}") as reached:
        done = here.pull(str(reference), progress=reached)
    if as_json:
        printing.document(dataclasses.asdict(done))
        return
    printing.line(f"{done.model}@{done.version}")
    what = f"{printing.size(done.size)}, sealed for this device" if done.fetched else "here already, and the newest"
    printing.note(f"{what}; opens without asking again until {printing.moment(done.offline_until)}")
