"""`strongroom attest tpm capture`: what the registers of this machine's TPM hold, as a policy wants it."""

from typing import TYPE_CHECKING

import click

from strongroom.cli import printing
from strongroom.cli.lazy import Command
from strongroom.cli.options import json_option
from strongroom.errors import Code, InputError, StoreError

if TYPE_CHECKING:
    from strongroom.edge.tpm.chip import Pcrs, Tpm

USUAL = "0,1,2,3,4,5,6,7"
USUAL_BANK = "sha256"
_BANKS = ("sha256", "sha384", "sha512")


@click.command(
    "capture",
    cls=Command,
    examples=[
        "strongroom attest tpm capture --pcrs 0,2,4,7 > registers.toml",
        "strongroom attest tpm capture --tpm /dev/tpmrm0 --model kiosk",
    ],
)
@click.option(
    "--tpm", default="/dev/tpmrm0", show_default=True, metavar="ADDRESS", help="A device, a unix socket or HOST:PORT."
)
@click.option("--pcrs", default=USUAL, show_default=True, metavar="LIST", help="Which registers.")
@click.option("--bank", default=USUAL_BANK, show_default=True, help="Of which bank: sha256, sha384 or sha512.")
@click.option("--model", metavar="NAME", help="Print them as rules of this model. [default: as those of [default]]")
@json_option
def capture(tpm: str, pcrs: str, bank: str, *, model: str | None, as_json: bool) -> None:
    """Print the registers of a machine that is known to be good, for the policy of its models.

    Registers 0 to 3 are the firmware and its settings, 4 and 5 the boot loader, 7 Secure Boot. An update of what they
    measure changes them: a policy may name several values for each.
    """
    from strongroom import names
    from strongroom.edge.tpm.chip import Tpm

    registers = read_registers(pcrs)
    if bank not in _BANKS:
        raise click.BadParameter("sha256, sha384 or sha512; SHA-1 proves nothing", param_hint="--bank")
    if model is not None:
        names.check("model", model)
    with Tpm.open(tpm) as chip:
        found = _read(chip, registers, bank, tpm)
    values = {str(number): [digest.hex()] for number, digest in found.items()}
    if as_json:
        printing.document({"pcrs": {bank: values}})
    else:
        table = "default" if model is None else f'models."{model}"' if "." in model else f"models.{model}"
        printing.line(f"[{table}.tpm.pcrs.{bank}]")
        for number, digests in values.items():
            printing.line(f'{number} = ["{digests[0]}"]')
    empty = [number for number, digest in found.items() if not any(digest)]
    if empty:
        what = ", ".join(map(str, empty))
        printing.note(f"nothing was ever measured into {what}: leave them out, or find out why")
    if bank != USUAL_BANK:
        printing.note(f"WARNING: devices quote {USUAL_BANK} alone: rules for {bank} refuse every one of them")
    elif not set(registers) <= set(read_registers(USUAL)):
        what = f"devices enrol with `strongroom enrol --tpm {tpm} --pcrs {','.join(map(str, registers))}`"
        printing.note(f"WARNING: unless told otherwise a device quotes 0 to 7, and these rules would refuse it: {what}")


def _read(chip: "Tpm", registers: list[int], bank: str, where: str) -> "Pcrs":
    """Read registers; a bank that this TPM has not is told with those that it has."""
    try:
        return chip.read_pcrs(registers, bank)
    except StoreError:
        there = [one for one in _BANKS if one != bank and _has(chip, registers, one)]
        if not there:
            raise
        what = f"this TPM keeps no bank {bank} of these registers"
        step = f"say --bank {there[0]}, or switch {bank} on in the firmware's settings of the TPM"
        raise InputError(Code.ARGUMENT, what, where=where, next_step=step) from None


def _has(chip: "Tpm", registers: list[int], bank: str) -> bool:
    try:
        return bool(chip.read_pcrs(registers, bank))
    except StoreError:
        return False


def read_registers(text: str) -> list[int]:
    """Return the numbers of an option `--pcrs`. Raises BadParameter."""
    parts = text.split(",")
    if not all(part.strip().isascii() and part.strip().isdecimal() and int(part) < 24 for part in parts):
        raise click.BadParameter("numbers from 0 to 23 with commas between", param_hint="--pcrs")
    return sorted({int(part) for part in parts})
