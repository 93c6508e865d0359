"""What opens the keyring, for every command that needs it: one option, one prompt."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from strongroom.cli.options import PATH, Function

if TYPE_CHECKING:
    from strongroom.server.settings import Settings


def passphrase_option(function: Function) -> Function:
    """Add `--passphrase-file`."""
    option = click.option(
        "--passphrase-file",
        type=PATH,
        metavar="FILE",
        help="What opens the keyring. [default: strongroom.toml, else a prompt]",
    )
    return option(function)


def passphrase(settings: "Settings", path: Path | None) -> bytes | None:
    """Return the passphrase of this file, or what a person types where strongroom.toml names nothing; None: it does.

    Raises:
        InputError: ARGUMENT if there is no such file or it has several lines.
        SetupError: PERMISSIONS if others may read it.
        StoreError: STORE_IO.
    """
    from strongroom.cli.init import read_passphrase

    if path is not None:
        return read_passphrase(path)
    if settings.key_file is None and settings.passphrase_file is None and sys.stdin.isatty():
        return str(click.prompt("Passphrase of the keyring", hide_input=True, err=True)).encode()
    return None
