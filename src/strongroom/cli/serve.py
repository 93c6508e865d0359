"""`strongroom serve`: the server."""

import sys
from pathlib import Path

import click

from strongroom.cli.lazy import Command
from strongroom.cli.options import PATH, config_option


@click.command(cls=Command, examples=["strongroom serve --config strongroom/strongroom.toml"])
@config_option
@click.option("--device-port", type=click.IntRange(0, 65_535), help="Port of the device API; 0 takes any free one.")
@click.option("--admin-port", type=click.IntRange(0, 65_535), help="Port of the admin API; 0 takes any free one.")
@click.option(
    "--passphrase-file",
    type=PATH,
    metavar="FILE",
    help="What opens the keyring. [default: strongroom.toml, else a prompt]",
)
def serve(
    *, config_file: Path | None, device_port: int | None, admin_port: int | None, passphrase_file: Path | None
) -> None:
    """Run the device API and the admin API until SIGTERM or Ctrl-C.

    One line of JSON on stderr says that both ports are open, and where. Ctrl-C lets requests that run finish.
    """
    from strongroom.cli.db import explained
    from strongroom.cli.extras import needs
    from strongroom.cli.init import read_passphrase
    from strongroom.cli.places import need_config

    config = need_config(config_file)
    with needs("server"):
        from strongroom.server import settings
        from strongroom.server.http import serve as server
    found = settings.load(config, device_port=device_port, admin_port=admin_port)
    passphrase = None
    if passphrase_file is not None:
        passphrase = read_passphrase(passphrase_file)
    elif found.key_file is None and found.passphrase_file is None and sys.stdin.isatty():
        passphrase = str(click.prompt("Passphrase of the keyring", hide_input=True, err=True)).encode()
    with explained(found):
        server.serve(found, passphrase=passphrase)
