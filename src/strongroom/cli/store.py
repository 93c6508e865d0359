"""`strongroom store`: what this device holds."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from strongroom.cli import printing
from strongroom.cli.lazy import Noun
from strongroom.cli.options import home_option, json_option

if TYPE_CHECKING:
    from collections.abc import Mapping

    from strongroom.errors import StrongroomError


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
def verify(*, home: Path | None, as_json: bool) -> int:
    """Open every installed model and check every byte; nothing is run or written.

    The exit code is 5 for damage, 1 if this machine is in trouble, 6 if a lease is over, in this order.
    """
    from strongroom.cli.places import room

    with room(home) as here:
        found = {f"{one.install.model}@{one.install.version}": one.error for one in here.verify()}
    rows = [
        (name, *(("whole", "") if error is None else (error.what, str(error.code)))) for name, error in found.items()
    ]
    failed = verdict(found)
    if as_json:
        models = [{"model": name, "state": state, "code": code} for name, state, code in rows]
        printing.document({"models": models} | ({} if failed is None else {"error": failed.to_value()}))
        return 0 if failed is None else failed.exit_code
    printing.table(("MODEL", "STATE", "CODE"), rows)
    if failed is not None:
        raise failed
    return 0


def verdict(found: "Mapping[str, StrongroomError | None]") -> "StrongroomError | None":
    """Say what the failures mean together: damage before a machine in trouble, and that before what policy refuses.

    Args:
        found: by model, why it did not open, or None.

    Returns:
        None if every model opened. Otherwise an error whose family, and so the exit code, is that of the worst.
    """
    from strongroom.errors import Code, IntegrityError, RefusedError

    bad = {name: error for name, error in found.items() if error is not None}
    leases = {Code.SIGNATURE, Code.LEASE_MISMATCH}  # a lease by a key that is no longer trusted: pulling renews it
    refused = [n for n, e in bad.items() if isinstance(e, RefusedError) or e.code in leases]
    broken = {n: e for n, e in bad.items() if n not in refused}
    damaged = [n for n, e in broken.items() if isinstance(e, IntegrityError) or e.code == Code.STORE_DAMAGED]
    troubled = [name for name in bad if name not in {*damaged, *refused}]
    worst = next((group for group in (damaged, troubled, refused) if group), None)
    if worst is None:
        return None
    what = f"{len(bad)} of {len(found)} installed models did not open"
    where = ", ".join(worst)
    if worst is damaged:
        next_step = f"fetch it anew: strongroom pull {worst[0]}"
        return IntegrityError(Code.STORE_DAMAGED, what, where=where, next_step=next_step)
    first = bad[worst[0]]
    family = RefusedError if worst is refused else type(first)
    return family(first.code, f"{what}: {first.what}", where=where, next_step=first.next_step)
