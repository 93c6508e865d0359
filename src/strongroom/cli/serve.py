"""`strongroom serve`: the server."""

from pathlib import Path

import click

from strongroom.cli.lazy import Command
from strongroom.cli.options import config_option
from strongroom.cli.unlocking import passphrase, passphrase_option


@click.command(cls=Command, examples=["strongroom serve --config strongroom/strongroom.toml"])
@config_option
@click.option("--device-port", type=click.IntRange(0, 65_535), help="Port of the device API; 0 takes any free one.")
@click.option("--admin-port", type=click.IntRange(0, 65_535), help="Port of the admin API; 0 takes any free one.")
@passphrase_option
def serve(
    *, config_file: Path | None, device_port: int | None, admin_port: int | None, passphrase_file: Path | None
) -> None:
    """Run the device API and the admin API until SIGTERM or Ctrl-C.

    One line of JSON on stderr says that both ports are open, and where. Ctrl-C lets requests that run finish.
    """
    from strongroom.cli.db import explained
    from strongroom.cli.extras import needs
    from strongroom.cli.places import need_config

    config = need_config(config_file)
    with needs("server"):
        from strongroom.server import settings
        from strongroom.server.http import serve as server
    found = settings.load(config, device_port=device_port, admin_port=admin_port)
    with explained(found):
        server.serve(found, passphrase=passphrase(found, passphrase_file))
