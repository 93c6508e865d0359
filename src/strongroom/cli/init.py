"""`strongroom init`: an embedded strongroom in one directory."""

import time
from pathlib import Path

import click

from strongroom.cli import printing
from strongroom.cli.lazy import Command
from strongroom.cli.options import PATH, json_option

PASSPHRASE_LIMIT = 1024  # bytes


@click.command(
    cls=Command,
    examples=[
        "strongroom init",
        "strongroom init /srv/strongroom --host models.example.com --passphrase-file passphrase.txt",
    ],
)
@click.argument("directory", metavar="[DIR]", default="strongroom", type=PATH)
@click.option(
    "--host", "hosts", multiple=True, metavar="NAME", help="A name or address devices reach it by; may be repeated."
)
@click.option(
    "--device-port", type=click.IntRange(1, 65_535), default=8443, show_default=True, help="Port of the device API."
)
@click.option(
    "--admin-port", type=click.IntRange(1, 65_535), default=8444, show_default=True, help="Port of the admin API."
)
@click.option(
    "--passphrase-file",
    type=PATH,
    metavar="FILE",
    help="Seal the keys by this passphrase. [default: a key file beside them]",
)
@json_option
def init(
    directory: Path,
    hosts: tuple[str, ...],
    device_port: int,
    admin_port: int,
    passphrase_file: Path | None,
    as_json: bool,  # noqa: FBT001 - a flag of the command line
) -> None:
    """Make an embedded strongroom in DIR: keys, database, folder store, certificates, first admin.

    All of it appears at once or nothing does; nothing is ever overwritten.
    """
    from strongroom.cli.extras import needs

    with needs("server"):
        from strongroom.server import initialise
    made = initialise.init(
        directory,
        now=int(time.time()),  # noqa: TID251 - the rim
        hosts=hosts,
        device_port=device_port,
        admin_port=admin_port,
        passphrase=None if passphrase_file is None else read_passphrase(passphrase_file),
        passphrase_file=passphrase_file,
    )
    shown = {
        "directory": str(made.directory),
        "config": str(made.config),
        "trust": str(made.trust),
        "attestation": str(made.attestation),
        "admin_token": str(made.admin_token),
        "owner_key": str(made.owner_key),
        "public_url": made.public_url,
        "admin_url": made.admin_url,
    }
    if as_json:
        printing.document(shown)
        return
    printing.fields([(name.replace("_", " "), value) for name, value in shown.items()])
    printing.note(
        f"move {made.owner_key} to a place that is not connected: whoever holds it signs models and trust files"
    )
    printing.note(f"WARNING: devices that prove nothing are served; {made.attestation} says what models ask of devices")
    if passphrase_file is None:
        printing.note("the key that opens the keyring lies beside it; --passphrase-file FILE keeps them apart")
    printing.note(f"next: strongroom serve --config {made.config}")


def read_passphrase(path: Path) -> bytes:
    """Read a passphrase: the file's first and only line, mode 0600.

    Raises:
        InputError: ARGUMENT if there is no such file or it has several lines.
        SetupError: PERMISSIONS if others may read it.
        StoreError: STORE_IO.
    """
    from strongroom.errors import Code, InputError
    from strongroom.operator.small_files import read_secret

    passphrase = (
        read_secret(path, limit=PASSPHRASE_LIMIT, what="passphrase file").removesuffix(b"\n").removesuffix(b"\r")
    )
    if b"\n" in passphrase:
        raise InputError(Code.ARGUMENT, "the passphrase file has more than one line", where=str(path))
    return passphrase
