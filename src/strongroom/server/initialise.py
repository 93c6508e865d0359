"""Make an embedded strongroom: one directory with keys, database, objects, certificates and the first admin.

All of it appears at once or nothing does, and nothing is ever overwritten. Files get mode 0600 and directories 0700,
whatever the umask.
"""

import ipaddress
import json
import os
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from strongroom.canonical import JsonValue, encode, to_base64url
from strongroom.errors import Code, InputError
from strongroom.risk.defaults import default_text
from strongroom.server import certificates, new_directory
from strongroom.server.audit import Event, event
from strongroom.server.ledger import upgrade
from strongroom.server.ledger.engine import sqlite_url
from strongroom.server.ledger.first import add_first_operator
from strongroom.server.new_directory import write
from strongroom.server.office import new_id
from strongroom.server.policy import Policy
from strongroom.server.ports import Operator
from strongroom.server.settings import FILE_NAME
from strongroom.server.tokens import hash_token, operator_token
from strongroom.server.vaults.keyring import Keyring
from strongroom.server.vaults.keyring_file import KEY_FILE_SIZE, KeyFile, Passphrase, seal_keyring
from strongroom.signing import ED25519, ML_DSA_65, Principal, Role, SigningKey
from strongroom.wire import trust as trust_file
from strongroom.wire.trust import DepositRecipient, Pin, Trust

TRUST_SECONDS = 365 * 86_400  # afterwards the owners sign the next trust.json
FIRST_ADMIN = "admin"

_DIRECTORIES = ("database", "keys", "objects", "owner", "tls")
_HOST = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*\Z")
_TEMPLATE = Path(__file__).with_name("strongroom.toml.template")
_POLICY = Path(__file__).with_name("attestation.toml.template")


@dataclass(frozen=True, slots=True)
class Initialised:
    """What was made, and where.

    Attributes:
        directory: the new strongroom, absolute.
        config: its strongroom.toml.
        trust: trust.json, for devices and publishers.
        attestation: its attestation.toml, which asks nothing of devices yet.
        admin_token: file with the first admin's token.
        owner_key: the owners' signing keys; to be moved to a place that is not connected.
        public_url: where devices reach it.
        admin_url: where operators reach it.
        spki: SHA-256 of the server key's SPKI, then of the backup key's.
    """

    directory: Path
    config: Path
    trust: Path
    attestation: Path
    admin_token: Path
    owner_key: Path
    public_url: str
    admin_url: str
    spki: tuple[bytes, bytes]


def init(
    directory: Path,
    *,
    now: int,
    hosts: Sequence[str] = (),
    device_port: int = 8443,
    admin_port: int = 8444,
    passphrase: bytes | None = None,
    passphrase_file: Path | None = None,
    random: Callable[[int], bytes] = os.urandom,
) -> Initialised:
    """Make a strongroom in a directory that does not exist yet or is empty.

    Args:
        directory: where; its parent must exist.
        now: Unix seconds.
        hosts: names and addresses under which devices reach it, the preferred one first; loopback is always added.
        device_port: port of the device API.
        admin_port: port of the admin API.
        passphrase: seals the keyring; without one a key file beside it does.
        passphrase_file: where the server will find that passphrase; only its name is written down.
        random: cryptographically strong bytes.

    Raises:
        InputError: ALREADY_THERE if something is there; ARGUMENT for a bad host or port, or a missing parent.
        SetupError: PERMISSIONS; VAULT_SEALED if the passphrase is too short.
        StoreError: STORE_IO or DATABASE.
    """
    target = directory.absolute()
    names = _hosts(hosts)
    for port in (device_port, admin_port):
        if not 1 <= port <= 65_535:
            raise InputError(Code.ARGUMENT, f"not a port: {port}", next_step="use 1 to 65535")
    if device_port == admin_port:
        raise InputError(Code.ARGUMENT, "the device API and the admin API need a port each")
    urls = tuple(f"https://{_bracketed(names[0])}:{port}" for port in (device_port, admin_port))
    new_directory.check_free(target)
    try:
        draft = new_directory.begin(target)
        try:
            made = _build(draft, names, urls, now, passphrase, random)
            ports = (device_port, admin_port)
            write(draft / "attestation.toml", _POLICY.read_bytes())
            write(draft / "risk.toml", default_text().encode("utf-8"))
            write(draft / FILE_NAME, _config(names[0], urls, ports, passphrase is None, passphrase_file))
            new_directory.place(draft, target, last=FILE_NAME)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    except OSError as error:
        raise new_directory.failed(error, target) from None
    return Initialised(
        directory=target,
        config=target / FILE_NAME,
        trust=target / "trust.json",
        attestation=target / "attestation.toml",
        admin_token=target / "admin.token",
        owner_key=target / "owner/owner.key",
        public_url=urls[0],
        admin_url=urls[1],
        spki=(made.server.spki, made.backup.spki),
    )


def _build(
    draft: Path,
    hosts: Sequence[str],
    urls: tuple[str, ...],
    now: int,
    passphrase: bytes | None,
    random: Callable[[int], bytes],
) -> certificates.Certificates:
    for name in _DIRECTORIES:
        new_directory.make_directory(draft / name)
    made = certificates.issue(hosts, now=now)
    write(draft / "tls/ca.pem", made.authority)
    for name, one in (("server", made.server), ("backup", made.backup)):
        write(draft / f"tls/{name}.pem", one.certificate)
        write(draft / f"tls/{name}.key", one.key)

    keyring = Keyring.generate(random)
    secret: Passphrase | KeyFile
    if passphrase is None:
        secret = KeyFile(random(KEY_FILE_SIZE))
        write(draft / "keys/vault.key", secret.secret)
    else:
        secret = Passphrase(passphrase)
    write(draft / "keys/keyring.json", seal_keyring(keyring, secret, random))

    owner = (SigningKey(ED25519, random(32)), SigningKey(ML_DSA_65, random(32)))
    write(draft / "owner/owner.key", _owner_file(owner))
    pins = tuple(Pin(host, made.authority.decode("ascii"), (made.server.spki, made.backup.spki)) for host in hosts)
    write(draft / "trust.json", trust_file.encode(_first_trust(keyring, owner, urls[0], pins, now), owner))

    token = operator_token(random)
    write(draft / "admin.token", token.encode("ascii") + b"\n")
    database = sqlite_url(draft / "database/strongroom.db")
    upgrade(database)
    admin = Operator(new_id("op", random), FIRST_ADMIN, "admin", hash_token(token), "active", now)
    add_first_operator(database, admin, event(Event.STRONGROOM_INITIALISED, at=now, actor="", subject=admin.id))
    return made


def _first_trust(
    keyring: Keyring, owner: tuple[SigningKey, ...], public_url: str, pins: tuple[Pin, ...], now: int
) -> Trust:
    policy = Policy()
    return Trust(
        version=1,
        expires=now + TRUST_SECONDS,
        server=public_url,
        pins=pins,
        owner=Role(1, (Principal(tuple(key.public for key in owner)),)),
        release=Role(1, (Principal((keyring.release_signer.public,)),)),
        order=Role(1, (Principal((keyring.order_signer.public,)),)),
        deposit=(DepositRecipient(keyring.deposit_key.kem, keyring.deposit_key.public, now + TRUST_SECONDS),),
        suites=policy.suites,
        kems=policy.kems,
    )


def _owner_file(owner: Sequence[SigningKey]) -> bytes:
    keys: list[JsonValue] = [{"alg": key.alg, "seed": to_base64url(key.seed)} for key in owner]
    return encode({"keys": keys}) + b"\n"


def _config(
    host: str,
    urls: tuple[str, ...],
    ports: tuple[int, int],
    key_file: bool,  # noqa: FBT001 - private, called once
    passphrase_file: Path | None,
) -> bytes:
    remote = host not in certificates.LOOPBACK
    phrase = "/run/secrets/strongroom" if passphrase_file is None else str(passphrase_file.absolute())
    values = {
        "@PUBLIC_URL@": urls[0],
        "@ADMIN_URL@": urls[1],
        "@DEVICE_HOST@": "0.0.0.0" if remote else "127.0.0.1",  # noqa: S104 - whoever names a host wants to be reached
        "@DEVICE_PORT@": str(ports[0]),
        "@ADMIN_PORT@": str(ports[1]),
        "@KEY_FILE@": "" if key_file else "# ",
        "@PASSPHRASE_FILE@": "# " if key_file or passphrase_file is None else "",
        "@PASSPHRASE@": json.dumps(phrase, ensure_ascii=False).replace("\x7f", "\\u007f"),  # a TOML basic string too
    }
    text = _TEMPLATE.read_text("utf-8")
    for mark, value in values.items():
        text = text.replace(mark, value)
    return text.encode("utf-8")


def _hosts(hosts: Sequence[str]) -> tuple[str, ...]:
    names = []
    for host in hosts:
        try:
            names.append(str(ipaddress.ip_address(host)))
        except ValueError:
            name = host.lower()
            if len(name) > 253 or not _HOST.match(name) or name.rsplit(".", 1)[-1].isdigit():
                step = "give a host name or an IP address, without port and without https://"
                raise InputError(Code.ARGUMENT, f"not a host: {host[:80]!a}", next_step=step) from None
            names.append(name)
    return tuple(dict.fromkeys((*names, *certificates.LOOPBACK)))


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
