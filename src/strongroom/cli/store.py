"""`strongroom store`: what this device holds."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from strongroom.cli import printing
from strongroom.cli.lazy import Noun
from strongroom.cli.options import confirmed, home_option, json_option, yes_option

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
    """List the installed models, and the downloads that were begun; needs no network.

    A partial one goes on when it is pulled again; its size is what of the disk it takes.
    """
    from strongroom.cli.places import room

    with room(home) as here:
        installed = here.store.need().installs
        begun = here.store.partials()
    found: list[dict[str, str | int | list[str]]] = [
        {
            "model": one.model,
            "version": one.version,
            "selectors": list(one.selectors),
            "size": sum(part.size for part in one.files),
            "state": "damaged" if one.damaged else "ready",
        }
        for one in installed
    ]
    found += [
        {"model": one.model, "version": one.version, "selectors": [], "size": taken, "state": "partial"}
        for one, taken in begun
    ]
    if as_json:
        printing.document({"models": found})
        return
    selectors = [*(" ".join(one.selectors) for one in installed), *("" for _ in begun)]
    printing.table(
        ("MODEL", "VERSION", "AS", "BYTES", "STATE"),
        [
            (row["model"], row["version"], asked, row["size"], row["state"])
            for row, asked in zip(found, selectors, strict=True)
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


@store.command("wipe", examples=["strongroom store wipe digits --yes", "strongroom store wipe --all"])
@click.argument("models", metavar="[MODEL[@CHANNEL|@VERSION]]...", nargs=-1)
@click.option("--all", "every", is_flag=True, help="Wipe every installed model, and every download that was begun.")
@yes_option
@home_option
@json_option
def wipe(models: tuple[str, ...], *, every: bool, yes: bool, home: Path | None, as_json: bool) -> None:
    """Destroy local keys and files of models; needs no network, and the server is not told.

    The device stays enrolled. Pulling again is a new release, if this device still may have the model.
    """
    from strongroom import names
    from strongroom.cli.places import room
    from strongroom.edge.wiping import remove

    if every == bool(models):
        raise click.UsageError("Name the models to wipe, or say --all.")
    wanted = [names.parse_reference(one) for one in models]
    with room(home) as here:
        if every:
            state = here.store.need()
            wanted = [names.Reference(one.model, one.version, None) for one in state.installs]
            wanted += [names.Reference(one.model, one.version, None) for one in state.partials]
        what = ", ".join(map(str, wanted)) or "nothing"
        confirmed(f"Wipe {what} from this device?", yes=yes, declined="nothing wiped")
        gone = dict.fromkeys((one.model, one.version) for one in remove(here.store, wanted))
    if as_json:
        printing.document({"wiped": [{"model": model, "version": version} for model, version in gone]})
        return
    for model, version in gone:
        printing.line(f"{model}@{version}")


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
