"""What `strongroom doctor` looks at in the directory of a server."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from strongroom.cli.findings import Finding, disk, ending, examined, modes
from strongroom.errors import StrongroomError

if TYPE_CHECKING:
    from strongroom.server.settings import Settings

_RENEW_TRUST = "let the owners sign the next trust.json"


def office(config: Path, now: int) -> Iterator[Finding]:
    """Look at a strongroom's files, keys, database, trust, certificate and disk; one that is bad hides no other.

    What `serve` opens is opened here by the same functions: what would keep it from starting is bad.
    """
    from strongroom.cli.db import load_settings

    settings = load_settings(config)
    yield Finding("strongroom", "ok", str(settings.directory))
    yield from examined("files", lambda: _modes(settings))
    yield from examined("vault key", lambda: _keys(settings))
    yield from examined("keyring", lambda: _keyring(settings))
    yield from examined("database", lambda: _database(settings))
    yield from examined("trust", lambda: _trust(settings, now))
    yield from examined("attestation", lambda: _attestation(settings, now))
    yield from examined("certificate", lambda: _certificate(settings, now))
    yield from examined("TLS", lambda: _tls(settings))
    yield from examined("disk", lambda: _disk(settings))


def _trust(settings: "Settings", now: int) -> Iterator[Finding]:
    from strongroom.server.wiring import read_trust

    document, _ = read_trust(settings.resolve(settings.trust))
    if document.server != settings.public_url:
        what = f"devices look for {document.server}, but public_url is {settings.public_url}"
        yield Finding("public_url", "bad", what, "set public_url in strongroom.toml to what trust.json says")
    yield ending("trust", document.expires, now, _RENEW_TRUST)
    if not document.deposit:
        yield Finding("deposit key", "warn", "the trust file names none: nobody can publish", _RENEW_TRUST)
    else:
        yield ending("deposit key", max(one.expires for one in document.deposit), now, _RENEW_TRUST)


def _attestation(settings: "Settings", now: int) -> Iterator[Finding]:
    """Read the attestation policy and what it names, as the server does, and repeat what is said loudly."""
    from strongroom.server.governed import governed, listed
    from strongroom.server.wiring import open_attestation

    path = settings.resolve(settings.attestation)
    policies = open_attestation(settings, now=lambda: now).policies
    said = policies.loud()
    for one in said:
        yield Finding("attestation", "warn", one, f"say in {path} what models ask of devices")
    if not said:
        yield Finding("attestation", "ok", f"version {policies.version}")
    with suppress(StrongroomError):  # what is wrong with the database is said under its own name
        found = governed(settings, policies)
        for one in found.odd:
            yield Finding("model rules", "warn", one, f"see what {path} names and takes")
        if found.by_default:
            yield Finding("model rules", "ok", f"under [default]: {listed(found.by_default)}")


def _keyring(settings: "Settings") -> Iterator[Finding]:
    """Open the keyring as the server does, and see that the trust file names its keys."""
    from strongroom.server.wiring import open_vault, read_trust

    if settings.key_file is None and settings.passphrase_file is None:
        what = "not tried: a person types its passphrase when the server starts"
        yield Finding("keyring", "ok", what)
        return
    keyring = open_vault(settings)
    yield Finding("keyring", "ok", "opens")
    with suppress(StrongroomError):  # what is wrong with the trust file itself is said under its own name
        document, _ = read_trust(settings.resolve(settings.trust))
        together = "use the keyring and the trust.json that belong together"
        for role, of, so in (
            ("release", document.release, "no grant counts"),
            ("order", document.order, "no wipe order counts"),
        ):
            mine = {one.public.key_id for one in keyring.signers(role)}
            if not of.satisfied(mine):
                named = sum(of.key(one) is not None for one in mine)
                what = f"the trust file does not name the keyring's: {so}"
                if named:
                    what = f"the trust file asks for {of.threshold}, and the keyring has {named}: {so}"
                yield Finding(f"keyring's {role} key", "bad", what, together)
        ours = {(one.kem, one.public) for one in keyring.deposit_keys}
        if document.deposit and not ours & {(one.kem, one.key) for one in document.deposit}:
            what = "the trust file does not name the keyring's: nobody can publish"
            yield Finding("keyring's deposit key", "bad", what, together)


def _tls(settings: "Settings") -> Iterator[Finding]:
    from strongroom.server.http.certificate import Tls, tls_context

    tls_context(Tls(settings.resolve(settings.tls_certificate), settings.resolve(settings.tls_key)))
    yield Finding("TLS", "ok", "the key belongs to the certificate")


def _disk(settings: "Settings") -> Iterator[Finding]:
    objects = settings.resolve(settings.objects)
    if objects.is_dir():
        yield disk("disk", objects)
    else:
        what = f"there is no folder for objects at {objects}"
        yield Finding("disk", "bad", what, "put it back from a backup, or mend objects in strongroom.toml")


def _modes(settings: "Settings") -> Iterator[Finding]:
    """Look who may read and write what: everything is its owner's, but what every device or maker publishes anyway."""
    from strongroom.server.attestation.opening import public_files, read_policies

    rules = settings.resolve(settings.attestation)
    public = {rules, settings.resolve(settings.tls_certificate), *settings.directory.glob("trust*.json")}
    with suppress(StrongroomError):  # what is wrong with the policy file is said under its own name
        public |= {path for path in public_files(rules, read_policies(rules).sources) if path.exists()}
    files = _files(settings.directory)
    files += sorted(path for path in public - set(files) if path.exists())
    yield from modes("files", files, public)


def _files(directory: Path) -> list[Path]:
    """The directory and what holds secrets; not the objects, which are many and ciphertext."""
    top = list(directory.iterdir())
    return [directory, *top, *(path for one in top if one.is_dir() and one.name != "objects" for path in one.iterdir())]


def _keys(settings: "Settings") -> Iterator[Finding]:
    owner = settings.directory / "owner" / "owner.key"
    if owner.exists():
        what = f"the owners' signing key lies on the server: {owner}"
        yield Finding("owner key", "warn", what, "move it to a place that is not connected")
    else:
        yield Finding("owner key", "ok", "not here")
    keyring = settings.resolve(settings.keyring)
    key_file = None if settings.key_file is None else settings.resolve(settings.key_file)
    if (
        key_file is not None
        and key_file.exists()
        and keyring.exists()
        and key_file.stat().st_dev == keyring.stat().st_dev
    ):
        what = "the key that opens the keyring lies on the same disk: a copy of the disk is a copy of the keys"
        yield Finding("vault key", "warn", what, "mount it only while the server starts, or use a passphrase")
    else:
        yield Finding("vault key", "ok", "not beside the keyring")
    backup = settings.directory / "tls" / "backup.key"
    if backup.exists():
        what = "the backup TLS key lies beside the one it should replace"
        yield Finding("backup TLS key", "warn", what, f"move {backup} to another place")


def _database(settings: "Settings") -> Iterator[Finding]:
    from strongroom.cli.db import RESTORE, explained, is_empty, shown
    from strongroom.server.ledger import migrate
    from strongroom.server.wiring import database_url

    with explained(settings):
        if is_empty(settings):
            yield Finding("database", "bad", f"missing or empty: {shown(settings)}", RESTORE)
            return
        current, head = migrate.current(database_url(settings)), migrate.head()
    if current != head:
        what = f"at {current or 'nothing'}; this version wants {head}"
        yield Finding("database", "bad", what, "run: strongroom db upgrade")
    else:
        yield Finding("database", "ok", f"at {current}")


def _certificate(settings: "Settings", now: int) -> Iterator[Finding]:
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    from strongroom.cli.places import read_trust
    from strongroom.operator.small_files import read_public
    from strongroom.transport import spki_digest

    path = settings.resolve(settings.tls_certificate)
    try:
        certificate = x509.load_pem_x509_certificate(read_public(path, limit=1_048_576, what="certificate"))
    except ValueError:
        yield Finding("certificate", "bad", f"{path} is no certificate", "put the server's PEM certificate there")
        return
    end = int(certificate.not_valid_after_utc.timestamp())
    yield ending("certificate", end, now, "make a new certificate for the same key, or move to the backup key")
    document = read_trust(settings.resolve(settings.trust))
    if not any(spki_digest(certificate.public_bytes(Encoding.DER)) in pin.spki for pin in document.pins):
        what = "the trust file does not pin the server's key: no device will connect"
        yield Finding("pins", "bad", what, "use the key that is pinned, or " + _RENEW_TRUST)
    else:
        yield Finding("pins", "ok", "the server's key is pinned")
