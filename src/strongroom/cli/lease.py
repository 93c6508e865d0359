"""`strongroom lease`: how long what is here opens without asking."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from strongroom.cli import printing
from strongroom.cli.lazy import Noun
from strongroom.cli.options import home_option, json_option

if TYPE_CHECKING:
    from strongroom.edge.standing import Standing
    from strongroom.edge.state import Tombstone
    from strongroom.names import Reference

_ENROL = "run: strongroom enrol again, with a user's token"
_TOKEN = {
    "running": "this device's own token ends {}",
    "ending": f"this device's own token ends soon, {{}}; {_ENROL}",
    "over": f"this device's own token is over since {{}}; {_ENROL}",
}


@click.group(cls=Noun)
def lease() -> None:
    """How long what is on this device opens without asking the server."""


@lease.command("show", examples=["strongroom lease show", "strongroom lease show digits --json"])
@click.argument("model", metavar="[MODEL[@CHANNEL|@VERSION]]", required=False)
@home_option
@json_option
def show(model: str | None, *, home: Path | None, as_json: bool) -> None:
    """Show the leases of the installed models, and what was wiped by order; needs no network.

    OFFLINE UNTIL is the first second at which a model does not open any more without the server. LEFT is by this
    device's own clock, which goes back for nobody. MARK is the newest version, as epoch.counter, that was ever here:
    nothing older is taken. Below it stands when this device's own token ends, with which it pulls and renews.
    """
    from strongroom import names
    from strongroom.cli.places import room
    from strongroom.edge.opening import not_installed
    from strongroom.edge.standing import standings, token_state

    wanted = None if model is None else names.parse_reference(model)
    with room(home) as here:
        state, found, now = here.store.need(), standings(here.store), here.store.clocks().wall
    identity, wiped = state.identity, state.tombstones
    token = None if identity is None else (identity.token_expires, token_state(identity, now))
    if wanted is not None:
        install = state.find(wanted)
        named = None if install is None else (install.model, install.version)
        found = tuple(one for one in found if (one.model, one.version) == named)
        wiped = tuple(one for one in wiped if _means(wanted, one))
        if not found and not wiped:
            raise not_installed(wanted)
    if as_json:
        shown = None if token is None else {"expires": token[0], "state": token[1]}
        leases, gone = [_lease(one) for one in found], [_wiped(one) for one in wiped]
        printing.document({"leases": leases, "wiped": gone, "token": shown})
        return
    printing.table(
        ("MODEL", "VERSION", "ISSUED", "EXPIRES", "OFFLINE UNTIL", "LEFT", "MARK", "STATE"),
        [
            (
                *(one.model, one.version),
                *(printing.moment(at) for at in (one.issued, one.expires, one.offline_until)),
                *(_span(one.remains), f"{one.mark[0]}.{one.mark[1]}"),
                "running" if one.error is None else str(one.error.code),
            )
            for one in found
        ],
    )
    for stone in wiped:
        told = "the server knows" if stone.sent else "the server has not been told yet"
        what = f"{stone.model}@{stone.version} {stone.outcome} by order {stone.order_id}"
        printing.note(f"{what}, {printing.moment(stone.at)}; {told}")
    if token is not None:
        printing.note(_TOKEN[token[1]].format(printing.moment(token[0])))


@lease.command("renew", examples=["strongroom lease renew digits@stable", "strongroom lease renew --all"])
@click.argument("models", metavar="[MODEL[@CHANNEL|@VERSION]]...", nargs=-1)
@click.option("--all", "every", is_flag=True, help="Renew the lease of every installed model.")
@home_option
@json_option
def renew(models: tuple[str, ...], *, every: bool, home: Path | None, as_json: bool) -> int:
    """Ask the server to go on with what is here, and carry out what it orders; no key is asked for, nothing is fetched.

    Every model named is tried. The exit code is that of the first that failed: 4 if the right to it is over, 6 if it
    was wiped by order or policy refuses, 7 if the server cannot be reached.
    """
    from strongroom import names
    from strongroom.cli.places import room
    from strongroom.errors import StrongroomError

    if every == bool(models):
        raise click.UsageError("Name the models to renew, or say --all.")
    rows: list[tuple[str, int | None, str]] = []
    failed: list[StrongroomError] = []
    wanted = [names.parse_reference(one) for one in models]
    with room(home) as here:
        if every:
            wanted = [names.Reference(one.model, one.version, None) for one in here.store.need().installs]
        for one in wanted:
            try:
                done = here.renew(str(one))
                rows.append((f"{done.model}@{done.version}", done.offline_until, ""))
            except StrongroomError as error:
                failed.append(error)
                rows.append((str(one), None, str(error.code)))
    if as_json:
        shown = [{"model": name, "offline_until": until, "code": code} for name, until, code in rows]
        printing.document({"leases": shown} | ({"error": failed[0].to_value()} if failed else {}))
        return failed[0].exit_code if failed else 0
    printing.table(("MODEL", "OFFLINE UNTIL", "CODE"), [(name, printing.moment(at), code) for name, at, code in rows])
    if failed:
        raise failed[0]
    return 0


def _means(wanted: "Reference", stone: "Tombstone") -> bool:
    return wanted.model == stone.model and wanted.version in (None, stone.version)


def _lease(one: "Standing") -> dict[str, object]:
    return {
        "model": one.model,
        "version": one.version,
        "issued": one.issued,
        "expires": one.expires,
        "max_offline": one.max_offline,
        "offline_until": one.offline_until,
        "remains": one.remains,
        "mark": {"epoch": one.mark[0], "counter": one.mark[1]},
        "state": "running" if one.error is None else "refused",
        "code": "" if one.error is None else str(one.error.code),
    }


def _wiped(one: "Tombstone") -> dict[str, object]:
    return {
        "model": one.model,
        "version": one.version,
        "order": one.order_id,
        "outcome": one.outcome,
        "at": one.at,
        "reported": one.sent,
    }


def _span(seconds: int) -> str:
    """Write a duration in its two largest units, such as "6d 23h"."""
    parts: list[str] = []
    rest = seconds
    for unit, size in (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)):
        count, rest = divmod(rest, size)
        if count or parts:
            parts.append(f"{count}{unit}")
    return " ".join(parts[:2]) or "0s"
