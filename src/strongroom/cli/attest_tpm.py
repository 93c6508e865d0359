"""`strongroom attest tpm capture`: what the registers of this machine's TPM hold, as a policy wants it."""

import click

from strongroom.cli import printing
from strongroom.cli.lazy import Command
from strongroom.cli.options import json_option

USUAL = "0,1,2,3,4,5,6,7"


@click.command(
    "capture",
    cls=Command,
    examples=[
        "strongroom attest tpm capture --pcrs 0,2,4,7 > registers.toml",
        "strongroom attest tpm capture --tpm /dev/tpmrm0 --json",
    ],
)
@click.option(
    "--tpm", default="/dev/tpmrm0", show_default=True, metavar="ADDRESS", help="A device, a unix socket or HOST:PORT."
)
@click.option("--pcrs", default=USUAL, show_default=True, metavar="LIST", help="Which registers.")
@click.option("--bank", default="sha256", show_default=True, help="Of which bank: sha256, sha384 or sha512.")
@json_option
def capture(tpm: str, pcrs: str, bank: str, *, as_json: bool) -> None:
    """Print the registers of a machine that is known to be good, for the policy of its models.

    Registers 0 to 3 are the firmware and its settings, 4 and 5 the boot loader, 7 Secure Boot. An update of what they
    measure changes them: a policy may name several values for each.
    """
    from strongroom.edge.tpm.chip import Tpm

    registers = read_registers(pcrs)
    if bank not in {"sha256", "sha384", "sha512"}:
        raise click.BadParameter("sha256, sha384 or sha512; SHA-1 proves nothing", param_hint="--bank")
    with Tpm.open(tpm) as chip:
        found = chip.read_pcrs(registers, bank)
    values = {str(number): [digest.hex()] for number, digest in found.items()}
    if as_json:
        printing.document({"pcrs": {bank: values}})
        return
    printing.line(f"[default.tpm.pcrs.{bank}]")
    for number, digests in values.items():
        printing.line(f'{number} = ["{digests[0]}"]')
    empty = [number for number, digest in found.items() if not any(digest)]
    if empty:
        what = ", ".join(map(str, empty))
        printing.note(f"nothing was ever measured into {what}: leave them out, or find out why")


def read_registers(text: str) -> list[int]:
    """Return the numbers of an option `--pcrs`. Raises BadParameter."""
    parts = text.split(",")
    if not all(part.strip().isascii() and part.strip().isdecimal() and int(part) < 24 for part in parts):
        raise click.BadParameter("numbers from 0 to 23 with commas between", param_hint="--pcrs")
    return sorted({int(part) for part in parts})
