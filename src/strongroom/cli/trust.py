"""`strongroom trust`: who may sign what, and which server and pins a device believes."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from strongroom.cli import printing
from strongroom.cli.lazy import Noun
from strongroom.cli.options import PATH, json_option

if TYPE_CHECKING:
    from strongroom.signing import Role


@click.group(cls=Noun)
def trust() -> None:
    """Look at a trust file."""


@trust.command("show", examples=["strongroom trust show strongroom/trust.json"])
@click.argument("path", metavar="FILE", type=PATH)
@json_option
def show(path: Path, *, as_json: bool) -> None:
    """Check FILE and show what it says."""
    from strongroom.cli.places import read_trust

    document = read_trust(path)
    roles = {"owner": document.owner, "release": document.release, "order": document.order}
    if as_json:
        printing.document(
            {
                "version": document.version,
                "expires": document.expires,
                "server": document.server,
                "hosts": [pin.host for pin in document.pins],
                "roles": {name: {"threshold": role.threshold, "keys": _keys(role)} for name, role in roles.items()},
                "deposit": [{"kem": one.kem, "expires": one.expires} for one in document.deposit],
                "suites": list(document.suites),
                "kems": list(document.kems),
                "epochs": dict(document.epochs),
            }
        )
        return
    printing.fields(
        [
            ("version", document.version),
            ("expires", printing.moment(document.expires)),
            ("server", document.server),
            ("hosts", ", ".join(pin.host for pin in document.pins)),
            *((name, _short(role)) for name, role in roles.items()),
            ("deposit", ", ".join(f"{one.kem:#06x} until {printing.moment(one.expires)}" for one in document.deposit)),
            ("suites", ", ".join(map(str, document.suites))),
            ("kems", ", ".join(f"{kem:#06x}" for kem in document.kems)),
        ]
    )


def _keys(role: "Role") -> list[list[dict[str, str]]]:
    return [[{"alg": key.alg, "key": key.key_id} for key in one.keys] for one in role.principals]


def _short(role: "Role") -> str:
    signers = ["+".join(f"{key['alg']} {key['key'][:12]}" for key in one) for one in _keys(role)]
    return f"{role.threshold} of {len(role.principals)}: {', '.join(signers)}"
