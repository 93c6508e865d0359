"""`strongroom account`: customers."""

import click

from strongroom.cli import printing
from strongroom.cli.lazy import Noun
from strongroom.cli.options import OfficeAt, json_option, office_options


@click.group(cls=Noun)
def account() -> None:
    """Customers: who may be entitled to models."""


@account.command("add", examples=["strongroom account add ada"])
@click.argument("name")
@office_options
@json_option
def add(name: str, *, at: OfficeAt, as_json: bool) -> None:
    """Add the account NAME, with a first user of the same name."""
    from strongroom import names
    from strongroom.cli.places import office

    names.check("account", name)
    made = office(at).post("accounts", value={"name": name})
    if as_json:
        printing.document(made)
        return
    printing.line(f"{made.get('name')}  {made.get('id')}")
    printing.note(f"next: strongroom entitle {name} MODEL, then strongroom token issue --user {name}")


@account.command("show", examples=["strongroom account show ada --model digits"])
@click.argument("name")
@click.option("--model", required=True, help="The model whose entitlements are shown.")
@office_options
@json_option
def show(name: str, model: str, *, at: OfficeAt, as_json: bool) -> None:
    """Show what the account NAME may have of a model, and until when."""
    from strongroom import names
    from strongroom.cli.places import office
    from strongroom.operator.office import rows

    names.check("account", name)
    found = office(at).get("accounts", name, "entitlements", model=names.check("model", model))
    if as_json:
        printing.document(found)
        return
    shown = [
        (
            row.get("id"),
            row.get("channel") or "every channel",
            row.get("user_name") or row.get("user") or "every user",
            "no end" if row.get("until") is None else printing.moment(row["until"]),
        )
        for row in rows(found, "entitlements")
    ]
    printing.table(("ID", "CHANNEL", "USER", "UNTIL"), shown)


@account.command("restrict", examples=["strongroom account restrict ada"])
@click.argument("name")
@office_options
@json_option
def restrict(name: str, *, at: OfficeAt, as_json: bool) -> None:
    """Give the account NAME nothing more: no release and no renewal to its devices, no enrolment by its users.

    What its devices hold opens until their leases end. They can still fetch wipe orders: strongroom device wipe.
    """
    _set(name, "restrict", at=at, as_json=as_json)


@account.command("restore", examples=["strongroom account restore ada"])
@click.argument("name")
@office_options
@json_option
def restore(name: str, *, at: OfficeAt, as_json: bool) -> None:
    """Restore the restricted account NAME; its entitlements are as they were."""
    _set(name, "restore", at=at, as_json=as_json)


@account.command("list", examples=["strongroom account list --json"])
@office_options
@json_option
def list_accounts(*, at: OfficeAt, as_json: bool) -> None:
    """List the accounts."""
    from strongroom.cli.places import office

    found = office(at).every("accounts")
    if as_json:
        printing.document({"accounts": found})
        return
    printing.table(("NAME", "STATE", "ID"), [(row.get("name"), row.get("state"), row.get("id")) for row in found])


def _set(name: str, verb: str, *, at: OfficeAt, as_json: bool) -> None:
    from strongroom import names
    from strongroom.cli.places import office

    names.check("account", name)
    found = office(at).post("accounts", name, verb)
    if as_json:
        printing.document(found)
        return
    printing.line(f"{found.get('name')}  {found.get('state')}")
