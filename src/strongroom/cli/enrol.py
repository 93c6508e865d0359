"""`strongroom enrol`: make this installation known to a server, once."""

import os
import sys
from pathlib import Path

import click

from strongroom.cli import printing
from strongroom.cli.lazy import Command
from strongroom.cli.options import PATH, home_option, json_option


@click.command(
    cls=Command,
    examples=[
        "strongroom enrol --trust trust.json --token-file ada.token",
        "strongroom enrol --server https://models.example.com:8443 --trust trust.json --token-file ada.token",
        "strongroom enrol --tpm /dev/tpmrm0 --trust trust.json --token-file ada.token",
        "strongroom enrol --tpm /dev/tpmrm0 --tpm-issuers maker.pem --pcrs 0,2,4,7 --token-file ada.token",
    ],
)
@click.option("--server", metavar="URL", help="The device API. [default: the one that the trust file names]")
@click.option(
    "--trust", "trust_file", type=PATH, metavar="FILE", help="The trust file. [default: the device directory's own]"
)
@click.option(
    "--token-file", type=PATH, metavar="FILE", help="The user's token. [default: STRONGROOM_TOKEN, else a prompt]"
)
@click.option(
    "--tpm",
    metavar="ADDRESS",
    help="Keep this device's keys in a TPM, and let it vouch for the device: a device file, a socket, or HOST:PORT.",
)
@click.option(
    "--tpm-issuers",
    type=PATH,
    metavar="FILE",
    help="Certificates of whoever certified the TPM, where the TPM holds only its own: PEM, without the maker's root.",
)
@click.option(
    "--pcrs", metavar="LIST", help="Registers that the TPM quotes, now and later, such as 0,2,4,7. [default: 0 to 7]"
)
@home_option
@json_option
def enrol(
    server: str | None,
    trust_file: Path | None,
    token_file: Path | None,
    tpm: str | None,
    tpm_issuers: Path | None,
    pcrs: str | None,
    *,
    home: Path | None,
    as_json: bool,
) -> None:
    """Enrol this installation, with a token of its user.

    A device that was enrolled with a TPM finds it by itself afterwards; again with --tpm it attests its key anew. The
    registers are remembered, the issuers are not.
    """
    from strongroom.cli.attest_tpm import read_registers
    from strongroom.cli.places import await_local, device_home
    from strongroom.edge.client import connect
    from strongroom.operator.office import check_address

    token = _token(token_file)
    address = None if server is None else check_address(server)
    registers = () if pcrs is None else read_registers(pcrs)
    place = device_home(home)
    with connect(address, home=place, trust=trust_file, tpm=tpm, tpm_issuers=tpm_issuers, pcrs=registers) as room:
        await_local(room.trust.server)
        identity = room.enrol(token)
    if as_json:
        printing.document({"device": identity.id, "account": identity.account, "server": room.trust.server})
        return
    printing.line(identity.id)
    printing.note("next: strongroom pull MODEL")


def _token(token_file: Path | None) -> str:
    """Take the token from a file, the environment or a prompt; arguments are everybody's to read."""
    from strongroom.cli.places import read_token

    if token_file is not None:
        return read_token(token_file)
    if token := os.environ.get("STRONGROOM_TOKEN"):
        return token.strip()
    if not sys.stdin.isatty():
        raise click.UsageError("no token: say --token-file FILE or set STRONGROOM_TOKEN")
    return str(click.prompt("Token", hide_input=True, err=True)).strip()
