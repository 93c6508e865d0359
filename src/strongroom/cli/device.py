"""`strongroom device`: enrolled installations, what they hold, and wiping it."""

import re
from typing import Any

import click

from strongroom.cli import printing
from strongroom.cli.lazy import Noun
from strongroom.cli.options import OfficeAt, confirmed, json_option, office_options, yes_option
from strongroom.errors import Code, InputError

ORDER_HEAD = ("ORDER", "MODEL", "VERSION", "ORDERED", "FIRST FETCHED", "REPORTED")


@click.group(cls=Noun)
def device() -> None:
    """Enrolled installations, what they hold, and wiping it."""


@device.command("list", examples=["strongroom device list --json"])
@office_options
@json_option
def list_devices(*, at: OfficeAt, as_json: bool) -> None:
    """List the enrolled devices."""
    from strongroom.cli.places import office

    found = office(at).every("devices")
    if as_json:
        printing.document({"devices": found})
        return
    shown = [
        (row.get("id"), row.get("account"), row.get("user"), row.get("state"), printing.moment(row.get("seen")))
        for row in found
    ]
    printing.table(("ID", "ACCOUNT", "USER", "STATE", "SEEN"), shown)


@device.command("show", examples=["strongroom device show dev_2sNe1pYd5g0iWJZ6u8H4xw"])
@click.argument("device_id", metavar="DEVICE")
@office_options
@json_option
def show(device_id: str, *, at: OfficeAt, as_json: bool) -> None:
    """Show what DEVICE holds, what it was ordered to wipe, and what it reported.

    It holds what it was given and did not report wiped. "Reported wiped" is the device's word: a copy of the device
    says the same. What ends for certain is the lease.
    """
    from strongroom.cli.places import office
    from strongroom.operator.office import rows

    found = office(at).get("devices", _identifier(device_id))
    if as_json:
        printing.document(found)
        return
    printing.fields(
        [
            ("device", found.get("id")),
            ("account", found.get("account")),
            ("user", found.get("user")),
            ("state", found.get("state")),
            ("seen", printing.moment(found.get("seen"))),
        ]
    )
    printing.table(("HOLDS", "VERSION", "LEASE ENDS"), [_holding(row) for row in rows(found, "holds")])
    printing.table(ORDER_HEAD, [_order(row) for row in rows(found, "orders")])


@device.command(
    "wipe",
    examples=[
        "strongroom device wipe dev_2sNe1pYd5g0iWJZ6u8H4xw --yes",
        "strongroom device wipe dev_2sNe1pYd5g0iWJZ6u8H4xw --model digits --version 1.0 --yes",
    ],
)
@click.argument("device_id", metavar="DEVICE")
@click.option("--model", help="Only this model. [default: every model the device holds]")
@click.option("--version", help="Only this version of the model. [default: every version it may hold]")
@yes_option
@office_options
@json_option
def wipe(device_id: str, model: str | None, version: str | None, *, yes: bool, at: OfficeAt, as_json: bool) -> None:
    """Order DEVICE to destroy what it holds; it hears of it when it next renews a lease or asks for a model.

    Until it has reported, nothing of that model is released to it. What a device has fetched cannot be taken back for
    certain. A device that never connects, or whose client was altered, does not obey: its lease ends by itself.
    """
    from strongroom import names
    from strongroom.cli.places import office
    from strongroom.operator.office import rows

    asked: dict[str, Any] = {"device": _identifier(device_id)}
    if version is not None and model is None:
        raise click.UsageError("a version is one of a model: say --model as well")
    if model is not None:
        asked["model"] = names.check("model", model)
    if version is not None:
        asked["version"] = names.check("version", version)
    client = office(at)
    what = "everything" if model is None else model if version is None else f"{model} {version}"
    confirmed(f"Order {device_id} to wipe {what}?", yes=yes, declined="nothing ordered")
    orders = rows(client.post("orders", value=asked), "orders")
    if as_json:
        printing.document({"orders": orders})
        return
    printing.table(ORDER_HEAD, [_order(row) for row in orders])


@device.command("orders", examples=["strongroom device orders", "strongroom device orders --json"])
@office_options
@json_option
def list_orders(*, at: OfficeAt, as_json: bool) -> None:
    """List the wipe orders of all devices: who was told, and who reported."""
    from strongroom.cli.places import office

    found = office(at).every("orders")
    if as_json:
        printing.document({"orders": found})
        return
    printing.table(("DEVICE", *ORDER_HEAD), [(row.get("device"), *_order(row)) for row in found])


@device.command("withdraw", examples=["strongroom device withdraw ord_2sNe1pYd5g0iWJZ6u8H4xw"])
@click.argument("order_id", metavar="ORDER")
@office_options
@json_option
def withdraw(order_id: str, *, at: OfficeAt, as_json: bool) -> None:
    """Take the wipe ORDER back, and let the model be released to its device again.

    Also the way on for a device that removed its copy by itself: with no lease left it cannot fetch the order. A device
    that has fetched the order may carry it out all the same.
    """
    from strongroom.cli.places import office

    found = office(at).post("orders", _identifier(order_id, "ord", "an order"), "withdraw")
    if as_json:
        printing.document(found)
        return
    printing.table(ORDER_HEAD, [_order(found)])


@device.command("block", examples=["strongroom device block dev_2sNe1pYd5g0iWJZ6u8H4xw"])
@click.argument("device_id", metavar="DEVICE")
@office_options
@json_option
def block(device_id: str, *, at: OfficeAt, as_json: bool) -> None:
    """Give DEVICE nothing more: no release and no renewal; what it holds opens until its leases end.

    It can still fetch wipe orders and report on them.
    """
    _set(device_id, "block", at=at, as_json=as_json)


@device.command("unblock", examples=["strongroom device unblock dev_2sNe1pYd5g0iWJZ6u8H4xw"])
@click.argument("device_id", metavar="DEVICE")
@office_options
@json_option
def unblock(device_id: str, *, at: OfficeAt, as_json: bool) -> None:
    """Let a blocked DEVICE in again."""
    _set(device_id, "unblock", at=at, as_json=as_json)


def _set(device_id: str, verb: str, *, at: OfficeAt, as_json: bool) -> None:
    from strongroom.cli.places import office

    found = office(at).post("devices", _identifier(device_id), verb)
    if as_json:
        printing.document(found)
        return
    printing.line(f"{found.get('id')}  {found.get('state')}")


def _identifier(word: str, prefix: str = "dev", what: str = "a device") -> str:
    if not re.fullmatch(rf"{prefix}_[A-Za-z0-9_-]{{22}}", word):
        next_step = "see what there is: strongroom device list, strongroom device show DEVICE"
        raise InputError(Code.ARGUMENT, f"not the identifier of {what}", where=ascii(word[:64]), next_step=next_step)
    return word


def _holding(row: dict[str, Any]) -> tuple[object, ...]:
    ends = printing.moment(row.get("lease_expires"))
    return row.get("model"), row.get("version"), f"{ends} (over)" if row.get("lease_over") else ends


def _order(row: dict[str, Any]) -> tuple[object, ...]:
    told = {"wiped": "reported wiped", "absent": "reported not there"}.get(str(row.get("outcome")))
    reported = f"{told} {printing.moment(row.get('reported'))}" if told else str(row.get("state"))
    times = (printing.moment(row.get("issued")), printing.moment(row.get("fetched")))
    return row.get("id"), row.get("model"), row.get("version"), *times, reported
