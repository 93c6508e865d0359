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
