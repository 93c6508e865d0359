"""`strongroom appeal`: ask to be let in again."""

from pathlib import Path

import click

from strongroom.cli import printing
from strongroom.cli.lazy import Command
from strongroom.cli.options import home_option, json_option


@click.command(cls=Command, examples=["strongroom appeal ref_2sNe1pYd5g0iWJZ6u8H4xw a new phone, restored yesterday"])
@click.argument("reference", metavar="REFERENCE")
@click.argument("words", metavar="TEXT...", nargs=-1, required=True)
@home_option
@json_option
def appeal(reference: str, words: tuple[str, ...], *, home: Path | None, as_json: bool) -> None:
    """Say why this device, which the server has stopped, should be let in again.

    REFERENCE is what the refusal came with. A person reads TEXT and decides; nothing changes before. Three a day are
    taken.
    """
    from strongroom.cli.places import room

    with room(home) as here:
        made = here.appeal(reference, " ".join(words))
    if as_json:
        printing.document({"appeal": made})
        return
    printing.line(made)
    printing.note("a person decides; try again later")
