"""Replacing keys without losing a device: a new key waits in the keyring until the owners' next trust.json names it.

    1. `rotate`   the server makes the key and shows its public half; nothing changes yet
    2. the owners sign the next trust.json, which names it (`operator/ceremony.py`)
    3. `install`  the server takes that document; from its next start on it signs with what the document names

A key whose successor is in force alone is forgotten at the next rotation of its role. See docs/operations.md.
"""

import fcntl
import hashlib
import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from strongroom.canonical import to_base64url
from strongroom.errors import Code, InputError, IntegrityError, SetupError, StoreError, StrongroomError
from strongroom.server import new_directory
from strongroom.server.settings import Settings
from strongroom.server.stranding import check_nothing_stranded
from strongroom.server.vaults.keyring import ROTATED, Keyring
from strongroom.server.vaults.keyring_file import seal_keyring
from strongroom.server.wiring import check_roles, open_vault, read_trust, vault_secret
from strongroom.signing import ED25519, PublicKey, SigningKey
from strongroom.wire import succession as papers
from strongroom.wire import trust as trust_of
from strongroom.wire.hpke import DEFAULT_KEM, DepositKey
from strongroom.wire.trust import DepositRecipient, Trust


@dataclass(frozen=True, slots=True)
class KeyState:
    """One key of the server that trust.json names.

    Attributes:
        role: release, order or deposit.
        key: its public half: one that signs, or one that deposits are sealed to.
        trusted: whether the trust.json in force names it.
        coming: whether it is the newer one of two.
    """

    role: str
    key: PublicKey | DepositRecipient
    trusted: bool
    coming: bool

    @property
    def name(self) -> str:
        """What tells it from others: its key id, or the beginning of a deposit key."""
        return self.key.key_id if isinstance(self.key, PublicKey) else to_base64url(self.key.key[:32])


def states(keyring: Keyring, trust: Trust) -> tuple[KeyState, ...]:
    """Say of every key that trust.json names, or will name, how it stands."""
    found = []
    for role, of in (("release", trust.release), ("order", trust.order)):
        for index, signer in enumerate(keyring.signers(role)):
            public = signer.public
            found.append(KeyState(role, public, of.key(public.key_id) is not None, index > 0))
    named = {one.key for one in trust.deposit}
    for index, key in enumerate(keyring.deposit_keys):
        recipient = DepositRecipient(key.kem, key.public, 0)
        found.append(KeyState("deposit", recipient, key.public in named, index > 0))
    return tuple(found)


def rotate(
    settings: Settings,
    role: str,
    *,
    passphrase: bytes | None = None,
    random: Callable[[int], bytes] = os.urandom,
    discard: bool = False,
) -> KeyState:
    """Make the key that is to replace a role's, and keep it in the keyring. Nothing uses it before trust.json names it.

    One that waits already is returned again: a public half that was lost costs nothing. With `discard` another takes
    its place: it may be stolen.

    Args:
        settings: of the server.
        role: one of `ROTATED`.
        passphrase: what a person typed; wins over passphrase_file and key_file.
        random: cryptographically strong bytes.
        discard: forget a key that waits; one that trust.json names already is never forgotten here.

    Raises:
        InputError: CONFLICT, if trust.json names both keys; ARGUMENT, for an unknown role.
        SetupError: NOT_INITIALISED, PERMISSIONS, VAULT_SEALED.
        StoreError: STORE_IO.
    """
    if role not in ROTATED:
        raise InputError(Code.ARGUMENT, f"{role[:20]!a} is not one of {', '.join(ROTATED)}")
    path = settings.resolve(settings.keyring)
    with _alone(path):
        secret = vault_secret(settings, passphrase=passphrase)
        trust, _ = read_trust(settings.resolve(settings.trust))
        keyring = settled(open_vault(settings, passphrase=passphrase, random=random), trust)
        waits = any(one.role == role and one.coming and not one.trusted for one in states(keyring, trust))
        if role not in keyring.coming or (discard and waits):
            keyring = replace(keyring, coming={**keyring.coming, role: random(32)})
            _replace(path, seal_keyring(keyring, secret, random))
        made = next(one for one in states(keyring, trust) if one.role == role and one.coming)
        if made.trusted:
            what, step = (
                f"trust.json names both {role} keys",
                f"first drop the old one: strongroom trust new --drop {role}=KEY",
            )
            raise InputError(Code.CONFLICT, what, where=str(path), next_step=step)
    return made


def settled(keyring: Keyring, trust: Trust) -> Keyring:
    """Let what trust.json names alone take the place of what it replaced."""
    for name in ROTATED:
        mine = [one for one in states(keyring, trust) if one.role == name]
        if [one.trusted for one in mine] == [False, True]:
            seed = keyring.coming[name]
            rest = {other: kept for other, kept in keyring.coming.items() if other != name}
            if name == "deposit":
                keyring = replace(keyring, coming=rest, deposit_key=DepositKey.from_seed(DEFAULT_KEM, seed))
            elif name == "release":
                keyring = replace(keyring, coming=rest, release_signer=SigningKey(ED25519, seed))
            else:
                keyring = replace(keyring, coming=rest, order_signer=SigningKey(ED25519, seed))
    return keyring


def install(
    settings: Settings,
    *documents: bytes,
    now: int,
    names: Sequence[str] = (),
    passphrase: bytes | None = None,
    strand: bool = False,
) -> tuple[Trust, Trust]:
    """Make the owners' next document the one that this server hands out, from its next start on.

    Those before stay beside it, for devices that have not followed yet. A crash leaves the old one in force, or one
    on the way to the last: the same call again goes on from there.

    Args:
        settings: of the server.
        documents: signed by k of the old and k of the new owners; several are steps of one way, the oldest first.
        now: Unix seconds.
        names: what to call each document in an error, as the files they came from.
        passphrase: what a person typed; wins over passphrase_file and key_file.
        strand: put it into force though published versions do not open under it.

    Returns:
        The document before and the new one.

    Raises:
        RefusedError: TRUST_VERSION, TRUST_EXPIRED.
        IntegrityError: it is not signed by enough owners, or malformed.
        SetupError: CONFIG, if this server could not serve under it; NOT_INITIALISED, PERMISSIONS, VAULT_SEALED,
            DATABASE.
        InputError: CONFLICT, if published versions would not open any more.
        StoreError: STORE_IO, LOCKED, DATABASE.
    """
    path = settings.resolve(settings.trust)
    called = names or ["the new trust.json"] * len(documents)
    with _alone(path):
        old, chain = read_trust(path)
        way = [(name, one) for name, one in zip(called, documents, strict=True)]
        while len(way) > 1 and any(trust_of.join(known) == way[0][1] for known in chain):
            del way[0]  # a call that was cut short took this step already
        new = old
        for name, document in way:
            new = _step(new, document, name, path)
        last = way[-1][0]
        trust_of.check_fresh(new, now)
        keyring = open_vault(settings, passphrase=passphrase)
        check_roles(new, keyring, settings, where=last)
        _check_reachable(old, new, keyring, settings, last)
        if not strand:
            check_nothing_stranded(settings, new, last)
        before, version = trust_of.join(chain[-1]), old.version
        for _, document in way:
            _replace(_numbered(path, version), before)
            _replace(path, document)
            before, version = document, version + 1
        _replace(_numbered(path, version), before)  # tells an old trust.json put back from the newest
    return old, new


def _numbered(path: Path, version: int) -> Path:
    return path.with_name(f"{path.stem}.{version}{path.suffix}")


def _step(old: Trust, document: bytes, name: str, path: Path) -> Trust:
    """Take one step, or say of this file why not and what to do."""
    try:
        said = papers.read(document)
        if not said.signatures:
            raise IntegrityError(Code.TRUST_THRESHOLD, "nobody has signed this trust file")
        return trust_of.advance(old, document)
    except StrongroomError as error:
        error.where = name
        if error.code == Code.TRUST_THRESHOLD:
            error.next_step = f"see who is missing: strongroom trust show {name} --from {path}; then: trust sign"
        elif error.code == Code.TRUST_VERSION and said.trust.version <= old.version:
            error.what = f"this is version {said.trust.version}, and version {old.version} is in force already"
            error.next_step = f"make the next one: strongroom trust new --from {path} -o FILE"
        elif error.code == Code.TRUST_VERSION and said.trust.version > old.version + 1:
            error.next_step = "give the files between too, the oldest first: strongroom trust rotate FILE FILE"
        else:
            error.next_step = error.next_step or f"make it anew: strongroom trust new --from {path} -o FILE"
        raise


def _check_reachable(old: Trust, new: Trust, keyring: Keyring, settings: Settings, where: str) -> None:
    """Refuse a document under which nobody can publish to this server, or no device can connect to it."""
    mine = {(one.kem, one.public) for one in keyring.deposit_keys}
    if new.deposit and not mine & {(one.kem, one.key) for one in new.deposit}:
        step = "add it: strongroom key rotate deposit, strongroom trust new --add deposit=FILE"
        raise SetupError(Code.CONFIG, "none of its deposit keys is the keyring's", where=where, next_step=step)
    try:
        shown = x509.load_pem_x509_certificate(settings.resolve(settings.tls_certificate).read_bytes())
    except (OSError, ValueError):
        return  # no certificate here: the start says so, or somebody else speaks TLS for this server
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    digest = hashlib.sha256(shown.public_key().public_bytes(serialization.Encoding.DER, form)).digest()
    pinned = [any(digest in pin.spki for pin in one.pins) for one in (old, new)]
    if pinned == [True, False]:
        step = "start the server with the certificate that stays pinned first, or leave out --unpin"
        what = "it unpins the certificate this server shows: no device could connect"
        raise SetupError(Code.CONFIG, what, where=where, next_step=step)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Be the only one who changes keys of this directory; a running server only reads them, at its start.

    Raises:
        StoreError: LOCKED; STORE_IO.
        SetupError: NOT_INITIALISED, PERMISSIONS.
    """
    try:
        handle = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        step = "restore it from the backup, or mend its path in strongroom.toml"
        raise SetupError(
            Code.NOT_INITIALISED, "there is no such directory", where=str(path.parent), next_step=step
        ) from None
    except OSError as error:
        raise new_directory.failed(error, path.parent) from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        step = "wait until it has finished"
        raise StoreError(
            Code.LOCKED, "somebody else changes keys here", where=str(path.parent), next_step=step
        ) from None
    finally:
        os.close(handle)


def _replace(path: Path, data: bytes) -> None:
    """Put a file in the place of another, whole and durable, or leave what is there."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}.part")
    try:
        try:
            new_directory.write(draft, data)
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
        new_directory.sync(path.parent)
    except OSError as error:
        raise new_directory.failed(error, path) from None
