"""`strongroom store`: what this device holds."""

from pathlib import Path

import click

from strongroom.cli import printing
from strongroom.cli.lazy import Noun
from strongroom.cli.options import home_option, json_option


@click.group(cls=Noun)
def store() -> None:
    """What this device holds, sealed under keys of its own."""


@store.command("list", examples=["strongroom store list --json"])
@home_option
@json_option
def list_installed(*, home: Path | None, as_json: bool) -> None:
    """List the installed models; needs no network."""
    from strongroom.cli.places import room

    with room(home) as here:
        installed = here.store.need().installs
    found = [
        {
            "model": one.model,
            "version": one.version,
            "selectors": list(one.selectors),
            "size": sum(part.size for part in one.files),
            "state": "damaged" if one.damaged else "ready",
        }
        for one in installed
    ]
    if as_json:
        printing.document({"models": found})
        return
    printing.table(
        ("MODEL", "VERSION", "AS", "BYTES", "STATE"),
        [
            (*(row["model"], row["version"]), " ".join(one.selectors), row["size"], row["state"])
            for row, one in zip(found, installed, strict=True)
        ],
    )


@store.command("verify", examples=["strongroom store verify"])
@home_option
@json_option
def verify(*, home: Path | None, as_json: bool) -> None:
    """Open every installed model and check every byte; nothing is run and nothing is written."""
    from strongroom.cli.places import room
    from strongroom.errors import Code, IntegrityError, StrongroomError

    results: list[dict[str, str]] = []
    with room(home) as here:
        for one in here.store.need().installs:
            name = f"{one.model}@{one.version}"
            try:
                with here.load(name, offline="only"):
                    results.append({"model": name, "state": "whole", "code": ""})
            except StrongroomError as error:
                results.append({"model": name, "state": error.what, "code": str(error.code)})
    if as_json:
        printing.document({"models": results})
    else:
        printing.table(("MODEL", "STATE", "CODE"), [(row["model"], row["state"], row["code"]) for row in results])
    bad = [row["model"] for row in results if row["code"]]
    if bad:
        raise IntegrityError(
            Code.STORE_DAMAGED,
            f"{len(bad)} of {len(results)} installed models did not open",
            where=", ".join(bad),
            next_step=f"fetch it anew: strongroom pull {bad[0]}",
        )
