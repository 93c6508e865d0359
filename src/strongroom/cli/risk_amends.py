"""The verbs of `strongroom risk` that change what the office thinks: letting in again, silencing a rule, appeals."""

import time
from typing import Any

import click

from strongroom.cli import printing
from strongroom.cli.entitlement import read_time
from strongroom.cli.lazy import Command
from strongroom.cli.options import OfficeAt, json_option, office_options

SNOOZE_HEAD = ("ID", "RULE", "FOR", "UNTIL", "BY", "WHY")
WHY = click.option("--why", required=True, metavar="TEXT", help="The reason; it goes into the audit log.")
_KINDS = ("user:", "device:", "key:")


@click.command(
    "restore",
    cls=Command,
    examples=[
        "strongroom risk restore dev_2sNe1pYd5g0iWJZ6u8H4xw --why pen-test",
        "strongroom risk restore ada --why ticket-411",
    ],
)
@click.argument("name", metavar="USER|DEVICE")
@WHY
@office_options
@json_option
def restore(name: str, why: str, *, at: OfficeAt, as_json: bool) -> None:
    """Let a stopped USER or DEVICE in again, and forget what is held against it.

    A user comes back with every device of it that was stopped. Wipe orders that no device has fetched are withdrawn; a
    device that has fetched one may carry it out all the same, and pulls the model again. A device that an operator
    blocked stays blocked: strongroom device unblock.
    """
    from strongroom.cli.places import office

    kind, client = "device" if name.startswith("dev_") else "user", office(at)
    done = client.post("risk", "restore", value={"kind": kind, "name": name, "why": why})
    if as_json:
        printing.document(done)
        return
    printing.line(f"{done.get('id')}  {done.get('state')}")
    withdrawn, appeals = done.get("withdrawn"), done.get("appeals")
    if isinstance(withdrawn, list) and withdrawn:
        printing.note(f"withdrawn: {' '.join(map(str, withdrawn))}")
    if isinstance(appeals, list) and appeals:
        printing.note(f"appeals closed: {' '.join(map(str, appeals))}")
    user = client.get("risk", "explain", name).get("user") if kind == "device" else None
    if isinstance(user, dict) and user.get("state") != "active":
        printing.note(f"its user is stopped as well, and so is this device: strongroom risk restore {user.get('name')}")


@click.command(
    "snooze",
    cls=Command,
    examples=["strongroom risk snooze device_switch ada --until 30d --why ticket-411"],
)
@click.argument("rule")
@click.argument("who", metavar="USER|DEVICE")
@click.option(
    "--until", required=True, metavar="TIME", help="The end: 7d, 12h, 2w, 2027-01-31 or 2027-01-31T12:00:00Z (UTC)."
)
@WHY
@office_options
@json_option
def snooze(rule: str, who: str, until: str, why: str, *, at: OfficeAt, as_json: bool) -> None:
    """Let RULE not count for one USER or DEVICE, until an end, at most a year ahead, and for a reason.

    What the rule added before stays: strongroom risk restore. All other rules and every stop count as always.
    """
    from strongroom.cli.places import office

    end = read_time(until, now=int(time.time()))  # noqa: TID251 - the rim: "7d" counts from now
    asked: dict[str, Any] = {"rule": rule, "entity": _entity(who), "until": end, "why": why}
    made = office(at).post("risk", "snoozes", value=asked)
    if as_json:
        printing.document(made)
        return
    printing.table(SNOOZE_HEAD, [_snooze(made)])


@click.command("snoozes", cls=Command, examples=["strongroom risk snoozes", "strongroom risk snoozes --all --json"])
@click.option("--all", "every", is_flag=True, help="Those that are over too.")
@office_options
@json_option
def snoozes(*, every: bool, at: OfficeAt, as_json: bool) -> None:
    """List the snoozes in force: which rule does not count for whom, until when, and who said so."""
    from strongroom.cli.places import office
    from strongroom.operator.office import rows

    found = rows(office(at).get("risk", "snoozes", every="1" if every else None), "snoozes")
    if as_json:
        printing.document({"snoozes": found})
        return
    printing.table(SNOOZE_HEAD, [_snooze(row) for row in found])


@click.command("unsnooze", cls=Command, examples=["strongroom risk unsnooze snz_2sNe1pYd5g0iWJZ6u8H4xw"])
@click.argument("snooze_id", metavar="SNOOZE")
@office_options
@json_option
def unsnooze(snooze_id: str, *, at: OfficeAt, as_json: bool) -> None:
    """Let a snoozed rule count again before the snooze's end."""
    from strongroom.cli.places import office

    done = office(at).post("risk", "snoozes", snooze_id, "end")
    if as_json:
        printing.document(done)
        return
    printing.table(SNOOZE_HEAD, [_snooze(done)])


@click.command("appeals", cls=Command, examples=["strongroom risk appeals", "strongroom risk appeals --all --json"])
@click.option("--all", "every", is_flag=True, help="Those that were decided too.")
@office_options
@json_option
def appeals(*, every: bool, at: OfficeAt, as_json: bool) -> None:
    """List the appeals of stopped devices that wait for a decision, the oldest first."""
    from strongroom.cli.places import office
    from strongroom.operator.office import rows

    found = rows(office(at).get("risk", "appeals", every="1" if every else None), "appeals")
    if as_json:
        printing.document({"appeals": found})
        return
    printing.table(("ID", "DEVICE", "USER", "MADE", "OUTCOME", "TEXT"), [_appeal(row) for row in found])
    waiting = [row for row in found if row.get("outcome") is None]
    if waiting:
        first = waiting[0]
        printing.note(f"next: strongroom risk explain {first.get('device')}")
        printing.note(f"then: strongroom risk decide {first.get('id')} --restore --why TEXT, or --uphold")


@click.command(
    "decide",
    cls=Command,
    examples=[
        "strongroom risk decide apl_2sNe1pYd5g0iWJZ6u8H4xw --restore --why new-phone",
        "strongroom risk decide apl_2sNe1pYd5g0iWJZ6u8H4xw --uphold --why decoy-touched",
    ],
)
@click.argument("appeal_id", metavar="APPEAL")
@click.option("--restore", is_flag=True, help="Let the device in again.")
@click.option("--uphold", is_flag=True, help="Leave it stopped.")
@WHY
@office_options
@json_option
def decide(appeal_id: str, why: str, *, restore: bool, uphold: bool, at: OfficeAt, as_json: bool) -> None:
    """Decide an APPEAL: let its device in again, and its user if that was stopped, or leave it as it is."""
    from strongroom.cli.places import office

    if restore == uphold:
        raise click.UsageError("say --restore or --uphold, one of them")
    done = office(at).post("risk", "appeals", appeal_id, value={"restored": restore, "why": why})
    if as_json:
        printing.document(done)
        return
    printing.line(f"{done.get('id')}  {done.get('outcome')}")


def _entity(who: str) -> str:
    if who.startswith(_KINDS):
        return who
    return f"device:{who}" if who.startswith("dev_") else f"user:{who}"


def _snooze(row: dict[str, Any]) -> tuple[object, ...]:
    ended = row.get("ended")
    until = printing.moment(row.get("until") if ended is None else ended) + ("" if ended is None else " (ended)")
    return row.get("id"), row.get("rule"), row.get("entity"), until, row.get("by"), row.get("why")


def _appeal(row: dict[str, Any]) -> tuple[object, ...]:
    made = printing.moment(row.get("created"))
    return row.get("id"), row.get("device"), row.get("user"), made, row.get("outcome") or "waiting", row.get("text")
