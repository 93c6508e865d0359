"""`strongroom operator`: people and jobs of the office."""

from pathlib import Path

import click

from strongroom.cli import printing
from strongroom.cli.lazy import Noun
from strongroom.cli.options import PATH, OfficeAt, json_option, office_options

ROLES = ("admin", "publisher", "operator", "auditor", "security")


@click.group(cls=Noun)
def operator() -> None:
    """People and jobs of the office, by role."""


@operator.command(
    "add",
    examples=["strongroom operator add ci --role publisher --out publisher.token"],
)
@click.argument("name")
@click.option("--role", type=click.Choice(ROLES), required=True, help="What the operator may do.")
@click.option("--out", type=PATH, metavar="FILE", help="Write the token to a new file of mode 0600 instead of stdout.")
@office_options
@json_option
def add(name: str, role: str, out: Path | None, *, at: OfficeAt, as_json: bool) -> None:
    """Add the operator NAME; the token is shown this one time.

    A publisher may publish and look at models; an operator looks after accounts, entitlements, devices and tokens;
    an auditor may read; security may also forgive what the risk engine did, and keep decoys; an admin may do all.
    """
    from strongroom import names
    from strongroom.cli.handover import Made, hand_over
    from strongroom.cli.places import office
    from strongroom.operator.office import text

    names.check("operator", name)
    client = office(at)

    def show(made: Made) -> None:
        if as_json:
            printing.document(made)
        elif out is None:
            printing.line(text(made, "token"))

    hand_over(
        out,
        lambda: client.post("operators", value={"name": name, "role": role}),
        show,
        lost=f"the operator {name} was made, but its token is lost",
        again="add another one, under another name; the token that is lost is in nobody's hands",
    )
