"""Replacing keys without losing a device: a new key waits in the keyring until the owners' next trust.json names it.

    1. `rotate`   the server makes the key and shows its public half; nothing changes yet
    2. the owners sign the next trust.json, which names it (`operator/ceremony.py`)
    3. `install`  the server takes that document; from its next start on it signs with what the document names

A key whose successor is in force alone is forgotten at the next rotation of its role. See docs/operations.md.
"""

import fcntl
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from strongroom.canonical import to_base64url
from strongroom.errors import Code, InputError, SetupError, StoreError
from strongroom.server import new_directory
from strongroom.server.settings import Settings
from strongroom.server.vaults.keyring import ROTATED, Keyring
from strongroom.server.vaults.keyring_file import seal_keyring
from strongroom.server.wiring import check_roles, open_vault, read_trust, vault_secret
from strongroom.signing import ED25519, PublicKey, SigningKey
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
) -> KeyState:
    """Make the key that is to replace a role's, and keep it in the keyring. Nothing uses it before trust.json names it.

    One that waits already is returned again: a public half that was lost costs nothing.

    Args:
        settings: of the server.
        role: one of `ROTATED`.
        passphrase: what a person typed; wins over passphrase_file and key_file.
        random: cryptographically strong bytes.

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
        if role not in keyring.coming:
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


def install(settings: Settings, document: bytes, *, now: int, passphrase: bytes | None = None) -> tuple[Trust, Trust]:
    """Make the owners' next document the one that this server hands out, from its next start on.

    The one before stays beside it, for devices that have not followed yet. A crash leaves the old one in force.

    Args:
        settings: of the server.
        document: trust.json, signed by k of the old and k of the new owners.
        now: Unix seconds.
        passphrase: what a person typed; wins over passphrase_file and key_file.

    Returns:
        The document before and the new one.

    Raises:
        RefusedError: TRUST_VERSION, TRUST_EXPIRED.
        IntegrityError: it is not signed by enough owners, or malformed.
        SetupError: CONFIG, if this server could not serve under it.
        StoreError: STORE_IO.
    """
    path = settings.resolve(settings.trust)
    with _alone(path):
        old, documents = read_trust(path)
        new = trust_of.advance(old, document)
        trust_of.check_fresh(new, now)
        check_roles(new, open_vault(settings, passphrase=passphrase), settings, where="the new trust.json")
        before = path.with_name(f"{path.stem}.{old.version}{path.suffix}")
        _replace(before, trust_of.join(documents[-1]))
        _replace(path, document)
    return old, new


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
        step = "run `strongroom init`, or mend its path in strongroom.toml"
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
