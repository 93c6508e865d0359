"""`strongroom entitle` and `strongroom revoke`: who may have which model."""

import re
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from strongroom.cli import printing
from strongroom.cli.lazy import Command
from strongroom.cli.options import OfficeAt, confirmed, json_option, office_options, yes_option
from strongroom.errors import Code, InputError, StrongroomError

if TYPE_CHECKING:
    from strongroom.operator.office import OfficeClient

_UNITS = {"h": 3600, "d": 86_400, "w": 7 * 86_400}
_FAR = 253_402_300_799  # 9999-12-31T23:59:59Z


@click.command(
    cls=Command,
    examples=["strongroom entitle ada digits@stable", "strongroom entitle ada digits --user ada --until 2027-01-31"],
)
@click.argument("account")
@click.argument("model", metavar="MODEL[@CHANNEL]")
@click.option("--user", help="Only this user of the account. [default: every user]")
@click.option(
    "--until", metavar="TIME", help="The end: 30d, 12h, 2w, 2027-01-31 or 2027-01-31T12:00:00Z (UTC). [default: none]"
)
@office_options
@json_option
def entitle(account: str, model: str, user: str | None, until: str | None, *, at: OfficeAt, as_json: bool) -> None:
    """Let ACCOUNT have MODEL, on one channel or on every."""
    from strongroom.cli.places import office

    asked = _what(account, model, user)
    if until is not None:
        asked["until"] = read_time(until, now=int(time.time()))  # noqa: TID251 - the rim: "30d" counts from now
    client = office(at)
    made = client.post("entitlements", value=asked)
    if missing := _not_there_yet(client, str(asked["model"]), asked.get("channel")):
        printing.note(f"note: {missing}; the entitlement counts from then on")
    if as_json:
        printing.document(made)
        return
    printing.line(str(made.get("id")))


@click.command(
    cls=Command,
    examples=["strongroom revoke ada digits@stable --yes"],
)
@click.argument("account")
@click.argument("model", metavar="MODEL[@CHANNEL]")
@click.option("--user", help="Only the entitlement of this user.")
@yes_option
@office_options
@json_option
def revoke(account: str, model: str, user: str | None, *, yes: bool, at: OfficeAt, as_json: bool) -> None:
    """Take back what `entitle` gave; devices that hold the model run on until their lease ends."""
    from strongroom.cli.places import office
    from strongroom.operator.office import rows, text

    asked = _what(account, model, user)
    client = office(at)
    answer = client.get("accounts", account, "entitlements", model=str(asked["model"]))
    matching = [
        row
        for row in rows(answer, "entitlements")
        if row.get("channel") == asked.get("channel")
        and (user is None or user in {row.get("user"), row.get("user_name")})
    ]
    if not matching:
        next_step = "an entitlement without a channel is revoked without one, and one of a user with --user"
        raise InputError(Code.NOT_FOUND, f"{account} has no such entitlement", where=model, next_step=next_step)
    confirmed(f"Revoke {len(matching)} entitlement(s) of {account} to {model}?", yes=yes, declined="not revoked")
    for row in matching:
        client.delete("entitlements", text(row, "id"))
    revoked = [text(row, "id") for row in matching]
    if as_json:
        printing.document({"revoked": revoked})
        return
    for one in revoked:
        printing.line(one)


def read_time(word: str, *, now: int) -> int:
    """Read an end as people write it; without an offset it is UTC, without a time of day it is that day's last second.

    Raises:
        InputError: ARGUMENT if it is no time or lies in the past.
    """
    end = _seconds(word, now)
    if end is None or end > _FAR:
        next_step = "write 30d, 12h, 2w, 2027-01-31 or 2027-01-31T12:00:00Z"
        raise InputError(Code.ARGUMENT, f"not a time: {word[:40]!a}", where="--until", next_step=next_step)
    if end <= now:
        what, next_step = f"this time is over already: {word[:40]!a}", "write a later one, such as 30d"
        raise InputError(Code.ARGUMENT, what, where="--until", next_step=next_step)
    return end


def _seconds(word: str, now: int) -> int | None:
    if span := re.fullmatch(r"([0-9]{1,6})([hdw])", word):
        return now + int(span[1]) * _UNITS[span[2]]
    try:
        read = datetime.fromisoformat(word)
        if re.fullmatch(r"[0-9]{4}-?[0-9]{2}-?[0-9]{2}", word):
            read = read.replace(hour=23, minute=59, second=59)
        return int((read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp())
    except (ValueError, OverflowError):
        return None


def _not_there_yet(client: "OfficeClient", model: str, channel: object) -> str:
    """Say what the entitlement names and nobody has published yet: it may come, or the name is misspelled."""
    from strongroom.operator.office import rows

    try:
        found = client.get("models", model)
        if not rows(found, "versions"):
            return f"there is no model {model} yet"
        if channel is not None and channel not in {one.get("channel") for one in rows(found, "channels")}:
            return f"{model} has no channel {channel} yet"
    except StrongroomError:
        return ""  # an operator who may not look, or an office that went away: the entitlement is made
    return ""


def _what(account: str, model: str, user: str | None) -> dict[str, str | int | None]:
    from strongroom import names

    names.check("account", account)
    name, at, channel = model.partition("@")
    asked: dict[str, str | int | None] = {"account": account, "model": names.check("model", name)}
    if at:
        asked["channel"] = names.check("channel", channel)
    if user is not None:
        asked["user"] = names.check("user", user)
    return asked
