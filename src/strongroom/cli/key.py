"""`strongroom key`: the keys this server holds and trust.json names."""

from pathlib import Path

import click

from strongroom.cli import printing
from strongroom.cli.lazy import Noun
from strongroom.cli.options import PATH, config_option, json_option
from strongroom.cli.unlocking import passphrase, passphrase_option


@click.group(cls=Noun)
def key() -> None:
    """The keys this server signs with and receives deposits by."""


@key.command("status", examples=["strongroom key status --json"])
@passphrase_option
@config_option
@json_option
def status(*, passphrase_file: Path | None, config_file: Path | None, as_json: bool) -> None:
    """Show which keys the keyring holds, which of them trust.json names, and which wait for the owners."""
    from strongroom.cli.db import load_settings
    from strongroom.cli.extras import needs

    with needs("server"):
        from strongroom.server import succession
        from strongroom.server.wiring import open_vault, read_trust
    settings = load_settings(config_file)
    trust, _ = read_trust(settings.resolve(settings.trust))
    states = succession.states(open_vault(settings, passphrase=passphrase(settings, passphrase_file)), trust)
    if as_json:
        printing.document(
            {
                "keys": [
                    {"role": one.role, "key": one.name, "trusted": one.trusted, "next": one.coming} for one in states
                ]
            }
        )
        return
    words = {
        (True, False): "in use",
        (False, True): "waits for the owners",
        (True, True): "in use, the newer one",
        (False, False): "replaced: trust.json does not name it any more",
    }
    printing.table(
        ("ROLE", "KEY", "STATE"), [(one.role, one.name[:12], words[one.trusted, one.coming]) for one in states]
    )


@key.command(
    "rotate",
    examples=[
        "strongroom key rotate release -o release.pub",
        "strongroom key rotate deposit -o deposit.pub",
        "strongroom key rotate release -o release.pub --discard-waiting",
    ],
)
@click.argument("role", type=click.Choice(["release", "order", "deposit"]))
@click.option(
    "-o",
    "--output",
    type=PATH,
    required=True,
    metavar="FILE",
    help="Where the new key's public half goes, for the owners.",
)
@click.option(
    "--discard-waiting", "discard", is_flag=True, help="Make another key though one waits: that one may be stolen."
)
@passphrase_option
@config_option
@json_option
def rotate(
    role: str,
    *,
    output: Path,
    discard: bool,
    passphrase_file: Path | None,
    config_file: Path | None,
    as_json: bool,
) -> None:
    """Make the key that is to replace ROLE's; nothing uses it before the owners name it.

    The next steps are the owners' (`strongroom trust new`, `strongroom trust sign`), then `strongroom trust rotate`.
    """
    from strongroom.cli.db import load_settings
    from strongroom.cli.extras import needs
    from strongroom.operator import ceremony
    from strongroom.operator.small_files import reserved

    with needs("server"):
        from strongroom.server import succession
    settings = load_settings(config_file)
    with reserved(output, what="public key") as place:  # before the keyring changes
        made = succession.rotate(settings, role, passphrase=passphrase(settings, passphrase_file), discard=discard)
        place.write(ceremony.encode_key(made.key))
    if as_json:
        printing.document({"role": role, "key": made.name, "public": str(output)})
        return
    printing.line(str(output))
    printing.note(f"next, where the owners' keys are: strongroom trust new --from trust.json --add {role}={output}")
