"""Where things are: the office, its trust file and token, the device directory.

A flag wins over the environment, the environment over strongroom.toml, and that over the default.
"""

import os
import re
import socket
import time
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from strongroom.cli import printing
from strongroom.cli.options import OfficeAt
from strongroom.errors import Code, InputError, IntegrityError, SetupError, StrongroomError

if TYPE_CHECKING:
    from strongroom.edge.client import Room
    from strongroom.operator.office import OfficeClient
    from strongroom.wire.trust import Trust

CONFIG = "strongroom.toml"
DEFAULT_ADMIN_URL = "https://localhost:8444"  # of a server whose strongroom.toml names none
TRUST_LIMIT = 1_048_576  # bytes
TOKEN_LIMIT = 16_384  # bytes
CONFIG_LIMIT = 1_048_576  # bytes
START_SECONDS = 15.0  # how long a server on this machine may take to listen: 2 s, and more on a busy machine
START_POLL = 0.05  # seconds

_LOCAL = re.compile(r"https://(localhost|127\.[0-9.]+|\[::1\])(?::([0-9]{1,5}))?(?:/.*)?", re.IGNORECASE)


def device_home(given: Path | None) -> Path:
    """Return the device directory; nothing is made."""
    if given is not None:
        return given
    if home := os.environ.get("STRONGROOM_HOME"):
        return Path(home)
    return Path.home() / ".local" / "share" / "strongroom"


def room(home: Path | None) -> "Room":
    """Open the device directory of an enrolled device.

    Raises:
        SetupError: NOT_ENROLLED, PERMISSIONS.
        StoreError: STORE_DAMAGED, STORE_IO.
    """
    from strongroom.edge.client import connect
    from strongroom.edge.store import not_enrolled

    place = device_home(home)
    if not place.exists():  # asking must not make the directory
        raise not_enrolled(place)
    return connect(home=place)


def find_config(given: Path | None) -> Path | None:
    """Return the strongroom.toml to use: the one given, in $STRONGROOM_CONFIG or _DIR, here, in ./strongroom; or None.

    Raises:
        SetupError: NOT_INITIALISED if one was named and is not there.
    """
    named = given or _path("STRONGROOM_CONFIG") or _path("STRONGROOM_DIR")
    if named is not None:
        path = named / CONFIG if named.is_dir() else named
        if not path.is_file():
            raise _no_strongroom(path)
        return path
    return next((path for path in (Path(CONFIG), Path("strongroom", CONFIG)) if path.is_file()), None)


def need_config(given: Path | None) -> Path:
    """Return the strongroom.toml to use.

    Raises:
        SetupError: NOT_INITIALISED.
    """
    found = find_config(given)
    if found is None:
        raise _no_strongroom(Path(CONFIG))
    return found


def office(at: OfficeAt) -> "OfficeClient":
    """Prepare the admin API's client, closed when the command ends; nothing is sent yet.

    An office on this machine that was only just started is waited for (`await_local`).

    Raises:
        InputError: ARGUMENT if the trust file, the token or the URL is missing or not one.
        SetupError: NOT_INITIALISED if nothing says where the office is; CONFIG, PERMISSIONS.
        IntegrityError: the trust file is not genuine.
    """
    from strongroom.operator.office import OfficeClient

    whole = at.admin_url is not None and at.token_file is not None and at.trust is not None
    config = None if whole else find_config(at.config)
    directory = None if config is None else config.parent
    settings = {} if config is None else read_config(config)
    url = at.admin_url or os.environ.get("STRONGROOM_ADMIN_URL") or _setting(settings, "admin_url", DEFAULT_ADMIN_URL)
    if config is None and url is DEFAULT_ADMIN_URL:
        next_step = "say --config FILE, or --admin-url URL --token-file FILE --trust FILE, or run: strongroom init"
        raise SetupError(Code.NOT_INITIALISED, "nothing here says where the office is", next_step=next_step)
    trust_file = (
        at.trust
        or _path("STRONGROOM_TRUST")
        or _beside(directory, _setting(settings, "trust", "trust.json"), "--trust FILE")
    )
    owner_key = directory / "owner" / "owner.key" if directory is not None else None
    client = OfficeClient.connect(
        url,
        token=_operator_token(at, directory),
        trust=read_trust(trust_file),
        owner_keys=() if owner_key is None or not owner_key.is_file() else (owner_key,),
    )
    click.get_current_context().call_on_close(client.close)
    await_local(url)
    return client


def await_local(url: str) -> None:
    """Wait until a server on this machine listens, as one does soon after `strongroom serve &`.

    Only refused connections to a loopback address are waited for, and no longer than a start takes. Whatever else is
    wrong is left to the request that follows.
    """
    found = _LOCAL.fullmatch(url)
    if found is None:
        return
    place = found[1].strip("[]"), int(found[2] or 443)
    deadline, told = time.monotonic() + START_SECONDS, False
    while True:
        try:
            socket.create_connection(place, timeout=1.0).close()
        except ConnectionRefusedError:
            if time.monotonic() >= deadline:
                return
        except (OSError, OverflowError):
            return
        else:
            return
        if not told:
            printing.note(f"waiting for a server to listen at {place[0]} port {place[1]} …")
            told = True
        time.sleep(START_POLL)


def read_trust(path: Path) -> "Trust":
    """Read and check a trust file.

    Raises:
        InputError: ARGUMENT if there is no such file.
        IntegrityError: it is not genuine.
    """
    from strongroom.operator.small_files import read_public
    from strongroom.wire import trust

    data = read_public(path, limit=TRUST_LIMIT, what="trust file")
    try:
        return trust.read(data)
    except IntegrityError as error:
        raise IntegrityError(
            error.code,
            f"this is no trust file that its owners signed: {error.what}",
            where=str(path),
            next_step=error.next_step,
        ) from None


def read_token(path: Path) -> str:
    """Read a token file: one line, mode 0600.

    Raises:
        InputError: ARGUMENT if there is no such file or it holds no token.
        SetupError: PERMISSIONS if others may read it.
        StoreError: STORE_IO.
    """
    from strongroom.operator.small_files import read_secret

    token = read_secret(path, limit=TOKEN_LIMIT, what="token file").strip()
    if not token.isascii() or not token or any(byte <= 0x20 or byte == 0x7F for byte in token):
        raise InputError(Code.ARGUMENT, "this file does not hold one token", where=str(path))
    return token.decode("ascii")


def read_config(path: Path) -> dict[str, Any]:
    """Parse a strongroom.toml without the server's packages.

    Raises:
        InputError: ARGUMENT if it cannot be read.
        SetupError: CONFIG if it is no TOML.
    """
    from strongroom.operator.small_files import read_public

    try:
        return tomllib.loads(read_public(path, limit=CONFIG_LIMIT, what="configuration").decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        what = f"not TOML: {error}" if isinstance(error, tomllib.TOMLDecodeError) else "not TOML: not UTF-8 text"
        raise SetupError(Code.CONFIG, what, where=str(path), next_step="mend the file") from None


def _operator_token(at: OfficeAt, directory: Path | None) -> str:
    if at.token_file is not None:
        return read_token(at.token_file)
    if token := os.environ.get("STRONGROOM_ADMIN_TOKEN"):
        return token.strip()
    return read_token(_path("STRONGROOM_TOKEN_FILE") or _beside(directory, "admin.token", "--token-file FILE"))


def _beside(directory: Path | None, name: str, option: str) -> Path:
    if directory is None:
        raise InputError(Code.ARGUMENT, f"nothing here says where {name} is", next_step=f"say {option}")
    return directory / name


def _path(variable: str) -> Path | None:
    value = os.environ.get(variable)
    return Path(value) if value else None


def _setting(settings: dict[str, Any], name: str, default: str) -> str:
    value = settings.get(name)
    return value if isinstance(value, str) and value else default


def _no_strongroom(path: Path) -> StrongroomError:
    next_step = "run: strongroom init, or say --config FILE"
    return SetupError(Code.NOT_INITIALISED, "there is no strongroom here", where=str(path), next_step=next_step)
