"""`strongroom token`: tokens of the embedded identity."""

from pathlib import Path

import click

from strongroom.cli import printing
from strongroom.cli.lazy import Noun
from strongroom.cli.options import PATH, OfficeAt, json_option, office_options


@click.group(cls=Noun)
def token() -> None:
    """Tokens that let a user enrol devices (embedded identity)."""


@token.command(
    "issue",
    examples=[
        "strongroom token issue --user ada --out ada.token",
        "strongroom token issue --user ada --seconds 600 > ada.token",
    ],
)
@click.option("--user", required=True, help="Whom the token is for.")
@click.option("--seconds", type=click.IntRange(min=1), help="How long it is good. [default: the server's policy]")
@click.option("--out", type=PATH, metavar="FILE", help="Write the token to a new file of mode 0600 instead of stdout.")
@office_options
@json_option
def issue(user: str, seconds: int | None, out: Path | None, *, at: OfficeAt, as_json: bool) -> None:
    """Issue a token with which a user enrols a device."""
    from strongroom import names
    from strongroom.cli.handover import Made, hand_over
    from strongroom.cli.places import office
    from strongroom.operator.office import number, text

    names.check("user", user)
    asked: dict[str, str | int] = {"user": user}
    if seconds is not None:
        asked["seconds"] = seconds
    client = office(at)

    def show(made: Made) -> None:
        if as_json:
            printing.document(made)
        elif out is None:
            printing.line(text(made, "token"))
        printing.note(f"good until {printing.moment(number(made, 'expires'))}")

    hand_over(
        out,
        lambda: client.post("tokens", value=dict(asked)),
        show,
        lost=f"a token for {user} was issued, but it is lost",
        again="issue another one; the one that is lost is in nobody's hands, and it ends by itself",
    )
