"""`strongroom doctor`: what is here, what is weak, how to mend it."""

import dataclasses
import time
from pathlib import Path

import click

from strongroom.cli import printing
from strongroom.cli.lazy import Command
from strongroom.cli.options import config_option, home_option, json_option

_COLOURS = {"ok": "green", "warn": "yellow", "bad": "red"}


@click.command(cls=Command, examples=["strongroom doctor", "strongroom doctor --config /srv/strongroom --json"])
@config_option
@home_option
@json_option
def doctor(*, config_file: Path | None, home: Path | None, as_json: bool) -> int:
    """Look at this machine, at the strongroom found here and at the device directory.

    Each line says ok, warn or bad, and how to mend it. The exit code is 1 if anything is bad.
    """
    from strongroom.cli.findings import device, examined, machine
    from strongroom.cli.office_findings import office
    from strongroom.cli.places import device_home, find_config

    now = int(time.time())  # noqa: TID251 - the rim: how far away each end is
    config = find_config(config_file)
    found = list(machine())
    if config is not None:
        found += examined("strongroom", lambda: office(config, now))
    found += examined("device", lambda: device(device_home(home), now))
    bad = any(one.state == "bad" for one in found)
    if as_json:
        printing.document({"findings": [dataclasses.asdict(one) for one in found], "bad": bad})
        return int(bad)
    width = max(len(one.subject) for one in found)
    for one in found:
        state = printing.styled(one.state.ljust(4), _COLOURS[one.state])
        click.echo(f"{state}  {one.subject.ljust(width)}  {printing.printable(one.what)}")
        if one.mend and one.state != "ok":
            click.echo(f"{' ' * (width + 8)}{printing.printable(one.mend)}")
    return int(bad)
