"""The verbs of `strongroom risk` that ask the office: who is watched and why, and what was told."""

import time
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import Any

import click

from strongroom.cli import printing
from strongroom.cli.lazy import Command
from strongroom.cli.options import OfficeAt, json_option, office_options
from strongroom.cli.risk_events import read_past

STATUS_HEAD = ("BAND", "WHO", "STATE", "SINCE", "WHY", "HOLDS", "WIPES PENDING")
_URGENT = ("high", "stop")


@click.command("status", cls=Command, examples=["strongroom risk status", "strongroom risk status --least high --json"])
@click.option("--least", type=click.Choice(("medium", "high", "stop")), default="medium", help="The lowest band shown.")
@office_options
@json_option
def status(least: str, *, at: OfficeAt, as_json: bool) -> None:
    """Show who is at medium, high or stop, why, and what their devices still hold.

    HOLDS counts models that a device was given, whose lease is not over, and that it did not report wiped; at high and
    stop a user's line counts all devices of the user. A wipe is pending until the device reports on it: only a device
    that connects can. At most the last 100 are shown.
    """
    from strongroom.cli.places import office
    from strongroom.operator.office import rows

    client = office(at)
    found = client.get("risk", "standing", least=least)
    if as_json:
        printing.document(found)
        return
    standing, waiting = rows(found, "standing"), rows(client.get("risk", "appeals"), "appeals")
    printing.table(STATUS_HEAD, [_watched(row) for row in standing])
    holding = [row for row in standing if row.get("band") in _URGENT and row.get("holds")]
    if holding:
        printing.note(f"{len(holding)} of these may still hold a model: strongroom device orders")
    if waiting:
        printing.note(f"{_count(waiting, 'appeal')} waiting: strongroom risk appeals")
    if standing:
        printing.note(f"next: strongroom risk explain {_name(standing[0])}")


@click.command(
    "explain",
    cls=Command,
    examples=[
        "strongroom risk explain ada",
        "strongroom risk explain dev_2sNe1pYd5g0iWJZ6u8H4xw --at 2026-11-23T03:00:00Z",
    ],
)
@click.argument("name", metavar="USER|DEVICE|REFERENCE")
@click.option(
    "--at", "then", metavar="TIME", help="As decided last by then: 20m, 2h, 3d (ago), or 2026-11-23T03:00:00Z."
)
@office_options
@json_option
def explain(name: str, then: str | None, *, at: OfficeAt, as_json: bool) -> None:
    """Explain what is held against a user or a device: the points of each rule add up to the score.

    REFERENCE is that of a request that was judged, as alerts and the audit log name it, or the id of an event; then it
    is told what was decided at that time. Refusals that follow a stop are not judged any more and lead nowhere: ask for
    the user's name. Below the points stand the last events and what can be done.
    """
    from strongroom.cli.places import office
    from strongroom.operator.office import rows

    asked = None if then is None else str(read_past(then, now=int(time.time())))  # noqa: TID251 - the rim: "2h" is ago
    found = office(at).get("risk", "explain", name, at=asked)
    if as_json:
        printing.document(found)
        return
    user, device, decision = (_object(found.get(field)) for field in ("user", "device", "decision"))
    printing.fields(
        [
            ("user", _words(user, "name", "id", "state")),
            ("device", _words(device, "id", "state")),
            ("at", printing.moment(found.get("at"))),
            ("band", f"{decision.get('band', 'none')}, {_points(decision.get('score', 0))} points"),
            ("reaction", _reaction(_object(decision.get("reaction")))),
            ("rules", str(decision.get("policy", "-"))[:16]),
        ]
    )
    scored = _objects(decision.get("rules"))
    printing.table(("POINTS", "RULE", "FOR", "WHAT"), [_scored(row) for row in scored])
    if scored:
        printing.line(f"{_points(sum(_decimal(row.get('points')) for row in scored))}  sum")
    for row in _objects(decision.get("stops")):
        printing.line(f"stop: {row.get('word')} ({row.get('entity')}): {row.get('why')}")
    for row in rows(found, "snoozes"):
        printing.line(f"snoozed: {row.get('rule')} until {printing.moment(row.get('until'))}: {row.get('why')}")
    printing.table(
        ("LAST EVENTS", "TYPE", "BAND", "MODEL", "ADDRESS", "ID"), [_event(r) for r in rows(found, "events")]
    )
    for line in _advice(user, device, decision):
        printing.note(line)


@click.command("alerts", cls=Command, examples=["strongroom risk alerts", "strongroom risk alerts --test"])
@click.option("--test", is_flag=True, help="Send an alert that says nothing but that alerts arrive.")
@office_options
@json_option
def alerts(*, test: bool, at: OfficeAt, as_json: bool) -> None:
    """List the newest alerts and what became of each: waiting, delivered, logged (there is no webhook) or given up."""
    from strongroom.cli.places import office
    from strongroom.operator.office import rows

    client = office(at)
    made = client.post("alerts", "test") if test else None
    found = [made] if made is not None else rows(client.get("alerts"), "alerts")
    if as_json:
        printing.document({"alerts": found})
        return
    head = ("AT", "TYPE", "STATE", "ATTEMPTS", "ENDED OR NEXT", "ABOUT")
    printing.table(head, [_alert(row) for row in found])
    if test:
        printing.note("next: strongroom risk alerts, to see whether it was delivered")
    elif any(row.get("state") in {"waiting", "given up"} for row in found):
        printing.note("alerts that are not delivered: see the server's log, and docs/how-to/webhook.md")


def _watched(row: dict[str, Any]) -> tuple[object, ...]:
    what = "device" if row.get("kind") == "key" else row.get("kind")
    since = printing.moment(row.get("moved"))
    counts = (row.get("holds"), row.get("pending"))
    return row.get("band"), f"{what} {_name(row)}", row.get("state") or "gone", since, row.get("why") or "-", *counts


def _name(row: dict[str, Any]) -> object:
    return row.get("label") or row.get("name")


def _count(several: list[dict[str, Any]], what: str) -> str:
    return f"{len(several)} {what}{'' if len(several) == 1 else 's'}"


def _scored(row: dict[str, Any]) -> tuple[object, ...]:
    return _points(row.get("points")), row.get("rule"), row.get("entity"), row.get("text")


def _event(row: dict[str, Any]) -> tuple[object, ...]:
    event = _object(row.get("event"))
    told = (event.get("type"), row.get("band"), event.get("model"), event.get("ip"))
    return printing.moment(row.get("at")), *told, row.get("id")


def _alert(row: dict[str, Any]) -> tuple[object, ...]:
    data = _object(row.get("data"))
    ended = printing.moment(row.get("ended", row.get("next_attempt")))
    about = next((data[name] for name in ("device", "name", "decoy", "user") if isinstance(data.get(name), str)), None)
    return printing.moment(row.get("at")), row.get("type"), row.get("state"), row.get("attempts"), ended, about


def _advice(user: dict[str, Any], device: dict[str, Any], decision: dict[str, Any]) -> Iterator[str]:
    """Say what can be done about it."""
    if decision.get("band") not in ("medium", *_URGENT):
        return
    who = device.get("id") or user.get("name") or "USER"
    if decision.get("user_band") in _URGENT:
        who = user.get("name")  # to let its device in again alone would change nothing
    yield f"a false alarm: strongroom risk restore {who} --why TEXT"
    for row in _objects(decision.get("rules"))[:1]:
        rule = row.get("rule")
        yield f"  so that it does not come again: strongroom risk snooze {rule} {who} --until 7d --why TEXT"
    if device:
        yield f"a real one: strongroom device show {device.get('id')} says what it still holds"
    else:
        yield "a real one: strongroom risk status says which devices still hold what"


def _reaction(value: dict[str, Any]) -> str:
    """Name what a reaction does, field by field; what it leaves as usual is left out."""
    told = []
    for name, one in sorted(value.items()):
        if one is True:
            told.append(name)
        elif one and one != 1:
            told.append(f"{name} {' to '.join(map(str, one)) if isinstance(one, list) else one}")
    return ", ".join(told) or "as usual"


def _words(value: dict[str, Any], *names: str) -> str:
    return "  ".join(str(value[name]) for name in names if value.get(name)) or "-"


def _decimal(value: object) -> Decimal:
    try:
        found = Decimal(str(value))
    except InvalidOperation:
        return Decimal(0)
    return found if found.is_finite() else Decimal(0)


def _points(value: object) -> str:
    return f"{_decimal(value):.2f}"


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _objects(value: object) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
